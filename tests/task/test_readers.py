"""Every layout reads back what was written; whatever is wrong is one InputError."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cofront.errors import CofrontError, InputError
from cofront.task import load_dataset
from cofront.task.data import LEAST, cache_dir
from cofront.task.readers import CIFAR10, read

RNG = np.random.default_rng(1)
X = RNG.integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
Y = np.arange(30) % 3
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def png(x: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(x).save(out, "PNG")
    return out.getvalue()


def parquet(path: Path, x: np.ndarray = X, y: object = Y, column: str = "img") -> None:
    rows = [{"bytes": png(i), "path": None} for i in x]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({column: pa.array(rows, kind), "label": y}), path)


def folders(root: Path, x: np.ndarray, y: np.ndarray) -> None:
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        folder = root / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:03}.png").write_bytes(png(image))


def binary(path: Path, n: int) -> np.ndarray:
    rows = RNG.integers(0, 10, (n, 3073)).astype(np.uint8)
    rows.tofile(path)
    return rows


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path_factory.mktemp("cache")))


def same(part: tuple[np.ndarray, np.ndarray], x: np.ndarray = X, y: np.ndarray = Y) -> None:
    np.testing.assert_array_equal(part[0], x)
    np.testing.assert_array_equal(part[1], y)


def test_parquet(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet")
    parquet(tmp_path / "test.parquet", X[:5], Y[:5], column="image")
    train, test, classes = read(tmp_path)
    same(train)
    assert test is not None
    same(test, X[:5], Y[:5])
    assert classes == ("0", "1", "2")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
@pytest.mark.parametrize("nested", [True, False])
def test_parquet_with_any_kind_of_bytes(tmp_path: Path, kind: pa.DataType, nested: bool) -> None:
    blobs = [png(x) for x in X]
    column = pa.array([{"bytes": b} for b in blobs], pa.struct([("bytes", kind)])) if nested else pa.array(blobs, kind)
    pq.write_table(pa.table({"img": column, "label": Y}), tmp_path / "a.parquet")
    same(read(tmp_path / "a.parquet")[0])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pa.array([{"bytes": "a"}] * 2, pa.struct([("bytes", pa.string())])),
            "must hold the bytes of an image.*string",
        ),
        (pa.array([{"bytes": 3}] * 2, pa.struct([("bytes", pa.int32())])), "must hold the bytes of an image.*int32"),
        (pa.array([{"path": "a"}] * 2), "column img has no field bytes"),
        (pa.array([b"1234"] * 2, pa.binary(4)), "must hold the bytes of an image"),
        (pa.array([{"bytes": png(X[0])}, None], pa.struct([("bytes", pa.binary())])), "may be missing"),
    ],
)
def test_parquet_columns_that_hold_no_images(tmp_path: Path, column: pa.Array, message: str) -> None:
    pq.write_table(pa.table({"img": column, "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("layout", ["npz", "parquet", "folder", "binary"])
@pytest.mark.parametrize("side", [28, 32])
def test_only_cifar_has_the_names_of_cifar(tmp_path: Path, layout: str, side: int) -> None:
    x, y = RNG.integers(0, 256, (20, side, side, 3)).astype(np.uint8), np.arange(20) % 10
    path = tmp_path
    if layout == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, x_train=x, y_train=y)
    elif layout == "binary":
        binary(tmp_path / "data_batch_1.bin", 40)
    else:
        parquet(tmp_path / "train.parquet", x, y)
        path = tmp_path / "train.parquet" if layout == "parquet" else tmp_path
    cifar = layout == "binary" or (layout != "npz" and side == 32)
    assert read(path)[2] == (CIFAR10 if cifar else tuple("0123456789"))


@pytest.mark.parametrize(
    ("about", "names"),
    [
        ({"info": {"features": {"label": {"names": ["a", "b", "c", "d"]}}}}, ("a", "b", "c", "d")),
        ({"info": {"features": {"label": {"names": ["a"]}}}}, ("0", "1", "2")),
        ({"info": {"features": {"label": {"names": [1, 2, 3]}}}}, ("0", "1", "2")),
        ({"info": [1]}, ("0", "1", "2")),
        ("no object", ("0", "1", "2")),
    ],
)
def test_names_of_a_parquet_file_are_those_of_its_metadata(tmp_path: Path, about: object, names: object) -> None:
    parquet(tmp_path / "train.parquet")
    table = pq.read_table(tmp_path / "train.parquet")
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), tmp_path / "train.parquet")
    assert read(tmp_path)[2] == names


def test_npz_in_both_layouts(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y[:, None], x_test=X[:4, ..., 0], y_test=Y[:4])
    train, test, _ = read(tmp_path / "a.npz")
    same(train)
    assert test is not None
    assert test[0].shape == (4, 8, 8, 3)
    np.savez(tmp_path / "b.npz", images=X, labels=Y)
    train, test, _ = read(tmp_path / "b.npz")
    same(train)
    assert test is None


def test_folders(tmp_path: Path) -> None:
    order = np.argsort(Y, kind="stable")
    folders(tmp_path / "train", X, Y)
    folders(tmp_path / "val", X[:6], Y[:6])
    train, test, classes = read(tmp_path)
    same(train, X[order], Y[order])
    assert test is not None
    assert len(test[1]) == 6
    assert classes == ("class0", "class1", "class2")
    same(read(tmp_path / "train")[0], X[order], Y[order])


def test_binary_batches(tmp_path: Path) -> None:
    rows = binary(tmp_path / "data_batch_1.bin", 3)
    binary(tmp_path / "test_batch.bin", 2)
    train, test, classes = read(tmp_path)
    same(train, rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0].astype(int))
    assert test is not None
    assert classes[3] == "cat"


def test_split_is_disjoint_and_cached(tmp_path: Path) -> None:
    x = np.arange(60, dtype=np.uint8)[:, None, None] + np.zeros((1, 4, 4), np.uint8)
    np.savez(tmp_path / "d.npz", images=x, labels=np.arange(60) % 2)
    a, b = load_dataset(tmp_path / "d.npz"), load_dataset(tmp_path / "d.npz")
    ids = np.concatenate([p[:, 0, 0, 0] for p in (a.x_train, a.x_val, a.x_test)])
    assert sorted(ids) == list(range(60))
    assert (len(a.x_train), len(a.x_val), len(a.x_test)) == (45, 5, 10)
    np.testing.assert_array_equal(a.x_val, b.x_val)


@pytest.mark.parametrize("test", [None, X[:1]])
def test_the_fewest_images_leave_no_part_empty(tmp_path: Path, test: np.ndarray | None) -> None:
    n = LEAST + (test is None)
    arrays = {"x_train": X[:n], "y_train": Y[:n]} if test is not None else {"images": X[:n], "labels": Y[:n]}
    np.savez(tmp_path / "d.npz", **arrays, **({} if test is None else {"x_test": test, "y_test": Y[:1]}))
    found = load_dataset(tmp_path / "d.npz")
    assert min(len(found.x_train), len(found.x_val), len(found.x_test)) == 1


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("COFRONT_CACHE")
    assert cache_dir() == tmp_path / "shared/cofront"
    for ignored in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_dir() == Path.home() / ".cache/cofront"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "is no data set"),
        (lambda p: (p / "train.parquet").write_bytes(b"no"), "not a readable Parquet"),
        (lambda p: pq.write_table(pa.table({"a": [1]}), p / "train.parquet"), "expected columns img"),
        (lambda p: parquet(p / "train.parquet", y=[0.5] * 30), "labels must be integers"),
        (lambda p: parquet(p / "train.parquet", y=[-1] * 30), "labels must be 0..9999"),
        (lambda p: pq.write_table(pa.table({"img": [b"x"], "label": [1]}), p / "train.parquet"), "row 0: not a read"),
        (lambda p: (p / "data_batch_1.bin").write_bytes(b"x" * 10), "records of 3073 bytes"),
        (lambda p: (p / "data_batch_1.bin").write_bytes(b"\x0b" * 3073), "label 11 is out of range"),
        (lambda p: (p / "only").mkdir(), "at least two"),
    ],
)
def test_wrong_folder(tmp_path: Path, make: object, message: str) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": X.astype(float), "labels": Y}, "must be uint8"),
        ({"images": X, "labels": Y[:3]}, "expected 30 integer labels"),
        ({"images": X[:, :, :, :2], "labels": Y}, "shape"),
        ({"pictures": X}, "expected x_train"),
        ({"images": X[:1], "labels": Y[:1]}, "1 image to split into training, validation and test; at least 7 are"),
        ({"images": X[:6], "labels": Y[:6]}, "6 images to split into training, validation and test; at least 7 are"),
        ({"x_train": X[:5], "y_train": Y[:5], "x_test": X, "y_test": Y}, "5 images to split into training and valid"),
        ({"images": np.array([{}], dtype=object), "labels": Y}, "plain arrays"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :4], "y_test": Y}, "test images"),
    ],
)
def test_wrong_npz(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path / "a.npz")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set at"):
        load_dataset(tmp_path / "nowhere")


def _try(path: Path) -> None:
    try:
        load_dataset(path)
    except CofrontError as e:
        one_line = "\n" not in str(e)
        assert one_line


def _damage(data: st.DataObject, blob: bytes) -> bytes:
    out = bytearray(blob[: data.draw(st.integers(0, len(blob)))] if data.draw(st.booleans()) else blob)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(blob)), st.integers(0, 255)), max_size=20)):
        if at < len(out):
            out[at] = value
    return bytes(out)


@FUZZ
@given(data=st.data())
def test_fuzz_damaged_npz(tmp_path: Path, data: st.DataObject) -> None:
    good = io.BytesIO()
    np.savez(good, images=X, labels=Y)
    (tmp_path / "f.npz").write_bytes(_damage(data, good.getvalue()))
    _try(tmp_path / "f.npz")


@FUZZ
@given(data=st.data())
def test_fuzz_damaged_parquet(tmp_path: Path, data: st.DataObject) -> None:
    parquet(tmp_path / "good", X[:6], Y[:6])
    (tmp_path / "f.parquet").write_bytes(_damage(data, (tmp_path / "good").read_bytes()))
    _try(tmp_path / "f.parquet")


@FUZZ
@given(data=st.data())
def test_fuzz_damaged_image(tmp_path: Path, data: st.DataObject) -> None:
    for i in range(2):
        (tmp_path / str(i)).mkdir(exist_ok=True)
        (tmp_path / str(i) / "a.png").write_bytes(png(X[i]))
    (tmp_path / "1" / "b.jpg").write_bytes(_damage(data, png(X[0])))
    _try(tmp_path)


@FUZZ
@given(blob=st.binary(max_size=7000), name=st.sampled_from(["f.npz", "f.parquet", "data_batch_1.bin"]))
def test_fuzz_any_bytes(tmp_path: Path, blob: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(blob)
    _try(tmp_path if name.endswith("bin") else tmp_path / name)
