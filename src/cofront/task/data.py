"""Image classification data: what a task trains on, validates on and is tested on.

The validation images are split off the training images by a fixed seed; the test images are for the very end.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cofront.errors import InputError
from cofront.figures import number
from cofront.task.readers import CIFAR10, Images, Labels, Read, read

__all__ = ["CIFAR10", "Dataset", "Images", "Labels", "cache_dir", "default_path", "load_dataset"]

SPLIT_SEED = 20260
VALIDATION_SHARE = 0.1
TEST_SHARE = 1 / 6  # only of sources that have no test part
LEAST = 6  # training images of which one is held out for validation; one more where the test part is split off, too
_READERS = 2  # counts up when the readers give something else for the same files


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

    def fingerprint(self) -> str:
        """Of what is trained on: the training images and labels."""
        found = hashlib.sha256(repr(self.x_train.shape).encode())
        for part in (self.x_train, self.y_train.astype("<i8")):
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()[:16]

    def digest(self) -> str:
        """Of all images and labels: of other test images an accuracy must not be repeated."""
        found = hashlib.sha256(self.fingerprint().encode())
        for part in (self.x_val, self.y_val, self.x_test, self.y_test):
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()[:16]


def cache_dir() -> Path:
    """Where what takes long to make is kept: $COFRONT_CACHE, or $XDG_CACHE_HOME/cofront, or ~/.cache/cofront."""
    if own := os.environ.get("COFRONT_CACHE"):
        return Path(own)
    shared = Path(os.environ.get("XDG_CACHE_HOME") or "")
    # a relative one is to be ignored, says the XDG base directory specification
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "cofront"


def default_path() -> Path:
    """Where CIFAR-10 is looked for when no path is given: $COFRONT_DATA/cifar10 or ../shared/data/cifar10."""
    return Path(os.environ.get("COFRONT_DATA") or "../shared/data") / "cifar10"


def load_dataset(path: str | os.PathLike[str] | None = None) -> Dataset:
    """Read a data set (see `readers` for the layouts) and split it; the decoded images are cached."""
    source = Path(path) if path is not None else default_path()
    (x, y), test, classes = _cached(source)
    if len(x) < (least := LEAST + (test is None)):
        parts = "training and validation" if test is not None else "training, validation and test"
        raise InputError(f"{source}: {number(len(x), 'image')} to split into {parts}; at least {least} are needed")
    if test is None:
        rest, held = _split(len(x), TEST_SHARE, SPLIT_SEED + 1)
        (x, y), test = (x[rest], y[rest]), (x[held], y[held])
    if test[0].shape[1:] != x.shape[1:]:
        raise InputError(f"{source}: training images are {x.shape[1:]}, test images {test[0].shape[1:]}")
    train, val = _split(len(x), VALIDATION_SHARE, SPLIT_SEED)
    return Dataset(x[train], y[train], x[val], y[val], *test, classes)


def _split(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rest and of the part held out, each in order."""
    held = round(n * share)
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[held:]), np.sort(order[:held])


def _fingerprint(source: Path) -> str:
    """Changes whenever a file under `source` does."""
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    stats = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr((_READERS, stats)).encode()).hexdigest()[:16]


def _cached(source: Path) -> Read:
    target = cache_dir() / f"images-{_fingerprint(source)}.npz"
    if target.is_file():
        try:
            with np.load(target, allow_pickle=False) as z:
                test = (z["xt"], z["yt"]) if "xt" in z else None
                return (z["x"], z["y"]), test, tuple(json.loads(str(z["classes"])))
        except Exception:
            target.unlink(missing_ok=True)  # a damaged cache is only read again
    train, test, classes = read(source)
    arrays = {"x": train[0], "y": train[1], "classes": np.array(json.dumps(classes))}
    if test is not None:
        arrays |= {"xt": test[0], "yt": test[1]}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            np.savez(Path(folder) / "images.npz", **arrays)  # type: ignore[arg-type]
            (Path(folder) / "images.npz").replace(target)
    except OSError:
        pass  # no room for the cache: decode again next time
    return train, test, classes
