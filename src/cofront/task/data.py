"""Image classification data: what a task trains on, validates on and is tested on.

Images are uint8 arrays (n, h, w, 3). The validation images are split off the training file by a fixed seed; the test
images are for the very end.
"""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLIT_SEED = 20260
VALIDATION = 5000


@dataclass(frozen=True)
class Dataset:
    """Images (n, h, w, 3) uint8 and labels (n,) int64 in three disjoint parts; `classes` names the labels."""

    x_train: Images
    y_train: Labels
    x_val: Images
    y_val: Labels
    x_test: Images
    y_test: Labels
    classes: tuple[str, ...]


def cache_dir() -> Path:
    """Where decoded images are kept: $COFRONT_CACHE or ~/.cache/cofront."""
    return Path(os.environ.get("COFRONT_CACHE") or Path.home() / ".cache" / "cofront")


def default_path() -> Path:
    """Where CIFAR-10 is looked for when no path is given: $COFRONT_DATA/cifar10 or ../shared/data/cifar10."""
    return Path(os.environ.get("COFRONT_DATA") or "../shared/data") / "cifar10"


def load_dataset(path: str | os.PathLike[str] | None = None) -> Dataset:
    """CIFAR-10 from `path` (see `readers` for the layouts), split by the fixed seed."""
    root = Path(path) if path is not None else default_path()
    x, y = _cached_parquet(root / "train.parquet")
    xt, yt = _cached_parquet(root / "test.parquet")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    val, train = np.sort(order[:VALIDATION]), np.sort(order[VALIDATION:])
    return Dataset(x[train], y[train], x[val], y[val], xt, yt, CIFAR10)


def _decode(blob: bytes) -> Images:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(blob)).convert("RGB"))


def _cached_parquet(path: Path) -> tuple[Images, Labels]:
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(f"no data set at {path}")
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16]
    cached = cache_dir() / f"images-{key}.npz"
    if cached.is_file():
        with np.load(cached, allow_pickle=False) as z:
            return z["x"], z["y"]
    table = pq.read_table(path)
    blobs = table.column("img").combine_chunks().field("bytes").to_pylist()
    with ThreadPoolExecutor(4) as pool:
        x = np.stack(list(pool.map(_decode, blobs, chunksize=256)))
    y = table.column("label").to_numpy().astype(np.int64)
    cached.parent.mkdir(parents=True, exist_ok=True)
    tmp = cached.with_suffix(".tmp.npz")
    np.savez(tmp, x=x, y=y)
    tmp.replace(cached)
    return x, y
