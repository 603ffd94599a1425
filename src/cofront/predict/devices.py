"""Known devices: a linear model of latency for each, on the one-hot choices of a space; the basis of few-shot learning.

Models, not measurements: each is a ridge regression on a device's public table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Self

import numpy as np

from cofront.errors import InputError, UsageError, unknown_name
from cofront.predict.base import FloatArray, Predictor, check_training, one_hot
from cofront.predict.columns import check_variety, latency_columns
from cofront.rights import move_into_place
from cofront.space import Points, Space

_FILE = "devices_{}.safetensors"
_ALPHA = 1.0


@dataclass(frozen=True)
class KnownDevices:
    """m devices over f one-hot columns: latency = bias + columns . weights, in seconds.

    `centre` (f,) is the mean row of the networks that they were fitted on, `space` the variant that was measured.
    """

    space: str
    names: tuple[str, ...]
    weights: FloatArray  # (m, f)
    bias: FloatArray  # (m,)
    centre: FloatArray  # (f,)
    note: str = ""

    def predict(self, columns: FloatArray) -> FloatArray:
        """(n, f) -> (n, m) latencies."""
        return np.asarray(self.bias + columns[:, : self.weights.shape[1]] @ self.weights.T, float)

    @property
    def mean(self) -> FloatArray:
        """(m,) latency of the mean row."""
        return np.asarray(self.bias + self.weights @ self.centre, float)

    def select(self, names: Sequence[str]) -> KnownDevices:
        """Some of the devices; an unknown name is a UsageError with the nearest ones."""
        for name in names:
            if name not in self.names:
                raise unknown_name(f"known device of space '{self.space}'", name, self.names)
        if not names:
            raise UsageError(f"no known device of space '{self.space}' is left to learn from")
        keep = [self.names.index(n) for n in names]
        return KnownDevices(self.space, tuple(names), self.weights[keep], self.bias[keep], self.centre, self.note)

    def without(self, *names: str) -> KnownDevices:
        """All but some; names that are not among them do not matter."""
        return self.select([n for n in self.names if n not in names])

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        arrays = {"weights": self.weights, "bias": self.bias, "centre": self.centre}
        tmp = path.with_suffix(".tmp")
        save_file(
            {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()},
            tmp,
            {"space": self.space, "names": " ".join(self.names), "note": self.note},
        )
        move_into_place(tmp, path)


def learn_devices(
    space: Space, points: Points, latency_s: Mapping[str, FloatArray], rows: int | None = None, note: str = ""
) -> KnownDevices:
    """One ridge per device, latencies (n,) NaN where not measured; `rows` uses that many of the first ones only."""
    columns = one_hot(space, points)[:rows]
    centre = columns.mean(axis=0)
    weights, bias = [], []
    for name, column in latency_s.items():
        here = np.isfinite(column[:rows])
        if here.sum() < columns.shape[1] // 2:
            raise InputError(f"known device '{name}': {here.sum()} measurements are too few for its model")
        x, y = columns[here], column[:rows][here]
        mean = x.mean(axis=0)
        gram = (x - mean).T @ (x - mean)
        gram.flat[:: len(gram) + 1] += _ALPHA
        w = np.linalg.solve(gram, (x - mean).T @ (y - y.mean()))
        weights.append(w)
        bias.append(float(y.mean() - mean @ w))
    return KnownDevices(space.name, tuple(latency_s), np.array(weights), np.array(bias), centre, note)


@cache
def shipped(space: str) -> KnownDevices:
    """The known devices that come with the package, by the space's name, variants aside."""
    base = space.partition("@")[0]
    file = resources.files("cofront.data_tables") / _FILE.format(base)
    if not file.is_file():
        raise UsageError(
            f"no known devices come with space '{base}': name columns of the table with --known, "
            "or choose a predictor that needs none (ridge, quadratic, gp)"
        )
    with resources.as_file(file) as path:
        return load_devices(path)


def spaces_of_shipped() -> tuple[str, ...]:
    """The spaces with known devices in the package."""
    head, tail = _FILE.split("{}")
    found = [f.name for f in resources.files("cofront.data_tables").iterdir()]
    return tuple(sorted(n.removeprefix(head).removesuffix(tail) for n in found if n.startswith(head)))


def nearest(name: str, known: Sequence[str], n: int = 3) -> list[str]:
    """Those of the names that are most like one."""
    import difflib

    lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), lower, n=n, cutoff=0.5)
    return [lower[k] for k in found] or [k for k in known if name.lower() in k.lower()][:n]


def load_devices(path: Path) -> KnownDevices:
    """What `KnownDevices.save` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as opened:
            meta = opened.metadata()
            weights, bias, centre = (opened.get_tensor(k).astype(np.float64) for k in ("weights", "bias", "centre"))
        return KnownDevices(meta["space"], tuple(meta["names"].split()), weights, bias, centre, meta["note"])
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is not a file of known devices: {error}") from None


class DevicePredictor(Predictor):
    """A predictor that learns from known `devices` besides measurements; `for_space` takes those of the package."""

    needs_devices = True

    def __init__(self, devices: KnownDevices | None = None) -> None:
        self.devices = devices

    @classmethod
    def for_space(cls, space: Space) -> Self:
        return cls(shipped(space.name))

    @classmethod
    def with_devices(cls, space: Space, devices: KnownDevices) -> Self:
        return cls(devices)

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return latency_columns(space, points)

    def _checked(
        self, x: FloatArray, y: FloatArray, *, more: bool = True
    ) -> tuple[FloatArray, FloatArray, KnownDevices]:
        """What `fit` was given, as float64, and the devices; an InputError when they do not belong together.

        `more`: whether rows may have columns behind those that the devices know.
        """
        x, y = check_training(x, y, self.name)
        check_variety(x, y, self.name)
        if self.devices is None:
            raise InputError(f"{self.name}: no known devices were given to learn from")
        columns = self.devices.weights.shape[1]
        if x.shape[1] < columns or (x.shape[1] > columns and not more):
            raise InputError(
                f"{self.name}: the known devices have {columns} columns, the rows {x.shape[1]}: "
                "they come from different spaces"
            )
        return x, y, self.devices
