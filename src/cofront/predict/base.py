"""Predictor: fit and predict with uncertainty, on arrays; what the numbers mean is not its business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.space import Points, Space

if TYPE_CHECKING:
    from cofront.predict.devices import KnownDevices

FloatArray = NDArray[np.float64]

#: Fewer rows than this are no basis for a model of anything.
MIN_ROWS = 8


@dataclass(frozen=True)
class Prediction:
    """Mean and standard deviation (of a new observation, noise included), each (n,).

    Accuracy, latency and energy are not negative, and neither are the means of our predictors.
    """

    mean: FloatArray
    std: FloatArray


class Predictor(ABC):
    """Shapes: n rows, f columns. `fit` returns a fitted copy or self; predicting before fitting is an InputError."""

    name: str
    #: Whether a fitted one has an additive `model` (`AdditiveModel`), which the exact search needs.
    adds_up: ClassVar[bool] = False
    #: Whether it learns from known devices.
    needs_devices: ClassVar[bool] = False

    @classmethod
    def for_space(cls, space: Space) -> Self:
        """An unfitted predictor set up for the encoding of `space`."""
        return cls()

    @classmethod
    def with_devices(cls, space: Space, devices: KnownDevices) -> Self:
        """The same for a predictor that learns from known devices (`needs_devices`): these, not the shipped ones."""
        return cls.for_space(space)

    @classmethod
    def learnt_from(cls, space: Space) -> tuple[str, ...]:
        """Devices that trained the weights which come with it, if any: it cannot be judged on those."""
        return ()

    @classmethod
    @abstractmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        """(n, d) points -> (n, f) columns that this predictor works on."""

    @abstractmethod
    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        """Learn y (n,) from x (n, f)."""

    @abstractmethod
    def predict(self, x: FloatArray) -> Prediction:
        """What y would be measured at x (n, f)."""

    def linear(self) -> tuple[float, FloatArray] | None:
        """Intercept and weights (f,) of a fitted one whose mean is linear in the columns, but for what is below 0."""
        return None


def affine(mean: Callable[[FloatArray], FloatArray], columns: int) -> tuple[float, FloatArray]:
    """Intercept and weights (f,) of a function from (n, f) to (n,) that is linear."""
    at = mean(np.concatenate([np.zeros((1, columns)), np.eye(columns)]))
    return float(at[0]), at[1:] - at[0]


def check_training(x: FloatArray, y: FloatArray, what: str) -> tuple[FloatArray, FloatArray]:
    """The arrays as float64, or an InputError: shapes, number of rows, NaN and infinities."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 2 or y.shape != (len(x),):
        raise InputError(f"{what}: expected x (n, f) and y (n,), got {x.shape} and {y.shape}")
    if len(y) < MIN_ROWS:
        raise InputError(f"{what}: {len(y)} measurements are too few to fit, at least {MIN_ROWS} are needed")
    for name, array in (("x", x), ("y", y)):
        if not np.isfinite(array).all():
            raise InputError(f"{what}: {name} holds NaN or infinite values, the first in row {_first_bad(array)}")
    return x, y


def _first_bad(array: FloatArray) -> int:
    return int(np.argwhere(~np.isfinite(array))[0][0])


def one_hot(space: Space, points: Points) -> FloatArray:
    """(n, d) canonical points -> (n, sum of sizes) 0/1 columns, one per option of each choice."""
    points = space.canonical(points)
    return np.concatenate(
        [(points[:, [j]] == np.arange(size)).astype(float) for j, size in enumerate(space.sizes)], axis=1
    )
