"""Readers of image classification data: Parquet, image folders, `.npz` and CIFAR's binary batches.

Each returns training images and labels, test images and labels (None when the source has no test part) and class
names. What is read is checked before it is used: whatever is wrong becomes one InputError that names the file.
"""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import CofrontError, InputError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Part = tuple[Images, Labels]
Read = tuple[Part, Part | None, tuple[str, ...]]

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAX_SIDE = 512
MAX_BYTES = 8 << 30
MAX_CLASSES = 10_000


def read(path: Path) -> Read:
    """Whatever is at `path`: the layout is recognised by what is there."""
    if path.is_file() and path.suffix == ".npz":
        return read_npz(path)
    if path.is_file() and path.suffix == ".parquet":
        part = read_parquet(path)
        return part, None, _parquet_names(path, [part])
    if path.is_dir():
        if train := sorted(path.glob("train*.parquet")):
            tests = sorted(path.glob("test*.parquet"))
            part = _join([read_parquet(f) for f in train])
            test = _join([read_parquet(f) for f in tests]) if tests else None
            return part, test, _parquet_names(train[0], [part] if test is None else [part, test])
        if (path / "data_batch_1.bin").is_file():
            return read_binary(path)
        if any(p.is_dir() for p in path.iterdir()):
            return read_folders(path)
    if not path.exists():
        raise InputError(f"no data set at {path}: give a folder or file that exists, or set COFRONT_DATA")
    raise InputError(
        f"{path} is no data set: expected train.parquet, data_batch_1.bin, folders of images by class, or a .npz file"
    )


def read_parquet(path: Path) -> Part:
    """The layout of the Hugging Face hub: `img.bytes` (or `image.bytes`) holds an encoded image, `label` an integer."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except Exception as e:
        raise InputError(f"{path} is not a readable Parquet file: {_first_line(e)}") from None
    name = next((n for n in ("img", "image") if n in table.column_names), None)
    if name is None or "label" not in table.column_names:
        raise InputError(f"{path}: expected columns img (struct with bytes) and label, found {table.column_names}")
    column = table.column(name)
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            raise InputError(f"{path}: column {name} has no field bytes")
        column = pc.struct_field(column, "bytes")
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    if not table.num_rows or not any(kind(column.type) for kind in kinds):
        raise InputError(
            f"{path}: column {name} must hold the bytes of an image (binary), and at least one row; "
            f"found {table.num_rows} rows of {column.type}"
        )
    label = table.column("label")
    if not pa.types.is_integer(label.type) or label.null_count or column.null_count:
        raise InputError(f"{path}: labels must be integers, and neither labels nor images may be missing")
    x = _decode_all(column.to_pylist(), [f"{path} row {i}" for i in range(table.num_rows)])
    return _check(path, x, label.to_numpy())


def read_npz(path: Path) -> Read:
    """Arrays x_train, y_train, x_test, y_test, or images and labels."""
    try:
        with np.load(path, allow_pickle=False) as z:
            arrays = {k: z[k] for k in ("x_train", "y_train", "x_test", "y_test", "images", "labels") if k in z}
    except Exception as e:
        raise InputError(f"{path} is not a readable .npz file of plain arrays: {_first_line(e)}") from None
    if {"images", "labels"} <= arrays.keys():
        train, test = _check(path, arrays["images"], arrays["labels"]), None
    elif {"x_train", "y_train"} <= arrays.keys():
        train = _check(path, arrays["x_train"], arrays["y_train"])
        test = None
        if {"x_test", "y_test"} <= arrays.keys():
            test = _check(path, arrays["x_test"], arrays["y_test"])
    else:
        raise InputError(f"{path}: expected x_train and y_train, or images and labels; found {sorted(arrays)}")
    return train, test, tuple(map(str, range(_count([p for p in (train, test) if p]))))


def read_binary(path: Path) -> Read:
    """CIFAR-10's binary version: records of one label byte and 3,072 pixel bytes, channel by channel."""

    def batch(file: Path) -> Part:
        try:
            raw = np.fromfile(file, dtype=np.uint8)
        except OSError as e:
            raise InputError(f"{file} cannot be read: {_first_line(e)}") from None
        if not raw.size or raw.size % 3073:
            raise InputError(f"{file}: expected records of 3073 bytes, found {raw.size} bytes")
        rows = raw.reshape(-1, 3073)
        if rows[:, 0].max() > 9:
            raise InputError(f"{file}: label {rows[:, 0].max()} is out of range 0..9")
        return np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), rows[:, 0].astype(
            np.int64
        )

    train = _join([batch(f) for f in sorted(path.glob("data_batch_*.bin"))])
    test = path / "test_batch.bin"
    return train, batch(test) if test.is_file() else None, CIFAR10


def read_folders(path: Path) -> Read:
    """One folder per class, under `train` and `test` (or `val`), or directly."""
    train = path / "train"
    if not train.is_dir():
        names = _classes(path)
        return _folder(path, names), None, names
    names = _classes(train)
    test = next((path / n for n in ("test", "val") if (path / n).is_dir()), None)
    return _folder(train, names), _folder(test, names) if test else None, names


def _classes(path: Path) -> tuple[str, ...]:
    names = tuple(sorted(p.name for p in path.iterdir() if p.is_dir()))
    if len(names) < 2:
        raise InputError(f"{path}: expected one folder per class and at least two, found {len(names)}")
    return names


def _folder(path: Path, names: tuple[str, ...]) -> Part:
    if extra := sorted({p.name for p in path.iterdir() if p.is_dir()} - set(names)):
        raise InputError(f"{path}: class '{extra[0]}' does not occur in the training part")
    files, labels = [], []
    for i, name in enumerate(names):
        found = sorted(p for p in (path / name).glob("*") if p.suffix.lower() in SUFFIXES)
        files += found
        labels += [i] * len(found)
    if not files:
        raise InputError(f"{path}: no images ({', '.join(SUFFIXES)}) in its class folders")
    try:
        blobs = [f.read_bytes() for f in files]
    except OSError as e:
        raise InputError(f"{path}: {_first_line(e)}") from None
    return _check(path, _decode_all(blobs, [str(f) for f in files]), np.array(labels))


def _decode(blob: bytes, where: str) -> Images:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(blob)) as image:
            if max(image.size) > MAX_SIDE:
                raise InputError(f"{where}: image of {image.size[0]} x {image.size[1]} pixels, at most {MAX_SIDE}")
            return np.asarray(image.convert("RGB"))
    except CofrontError:
        raise
    except Exception as e:
        raise InputError(f"{where}: not a readable image: {_first_line(e)}") from None


def _decode_all(blobs: list[bytes], where: list[str]) -> Images:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        out = list(pool.map(_decode, blobs, where, chunksize=256))
    for image, place in zip(out, where, strict=True):
        if image.shape != out[0].shape:
            raise InputError(f"{place}: image of shape {image.shape}, the others have {out[0].shape}")
    return np.stack(out) if out else np.zeros((0, 1, 1, 3), np.uint8)


def _check(path: Path, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Part:
    """Images (n, h, w, 3), (n, h, w, 1) or (n, h, w) uint8 and labels (n,) or (n, 1), made uniform."""
    if x.dtype != np.uint8:
        raise InputError(f"{path}: images must be uint8, found {x.dtype}")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or not x.size or max(x.shape[1:3]) > MAX_SIDE or x.nbytes > MAX_BYTES:
        raise InputError(f"{path}: images must have shape (n, h, w, 3) with sides up to {MAX_SIDE}, found {x.shape}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or len(y) != len(x) or not np.issubdtype(y.dtype, np.integer):
        raise InputError(f"{path}: expected {len(x)} integer labels, found shape {y.shape} of {y.dtype}")
    if y.min() < 0 or y.max() >= MAX_CLASSES:
        raise InputError(f"{path}: labels must be 0..{MAX_CLASSES - 1}, found {y.min()}..{y.max()}")
    x = np.repeat(x, 3, axis=3) if x.shape[-1] == 1 else x
    return np.ascontiguousarray(x), y.astype(np.int64)


def _join(parts: list[Part]) -> Part:
    if any(p[0].shape[1:] != parts[0][0].shape[1:] for p in parts):
        raise InputError(f"parts of one data set differ in image shape: {sorted({p[0].shape[1:] for p in parts})}")
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _count(parts: list[Part]) -> int:
    """How many classes the labels speak of."""
    return max(int(y.max()) for _, y in parts) + 1


def _parquet_names(path: Path, parts: list[Part]) -> tuple[str, ...]:
    """The names that the file's metadata give to the labels; CIFAR-10's when it looks like it; otherwise numbers."""
    import pyarrow.parquet as pq

    count = _count(parts)
    try:
        about = json.loads((pq.read_schema(path).metadata or {})[b"huggingface"])
        names = about["info"]["features"]["label"]["names"]
        if isinstance(names, list) and len(names) >= count and all(isinstance(n, str) for n in names):
            return tuple(names)
    except (KeyError, TypeError, ValueError, OSError):
        pass  # most files have none, and what is there follows no standard
    if count == len(CIFAR10) and parts[0][0].shape[1:] == (32, 32, 3):
        return CIFAR10
    return tuple(map(str, range(count)))


def _first_line(e: BaseException) -> str:
    return (str(e).splitlines() or [type(e).__name__])[0][:200]
