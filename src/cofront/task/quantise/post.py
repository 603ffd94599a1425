"""A trained network quantised after training, in one call: ranges, refinement, fine-tuning if wanted, integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import UnsupportedError, UsageError
from cofront.network import Network
from cofront.task.integer import QuantizedNetwork
from cofront.task.kernels import Grid
from cofront.task.quantise.choose import Bits, Chooser
from cofront.task.quantise.convert import to_integers
from cofront.task.quantise.grids import Rules
from cofront.task.quantise.inputs import PIXELS, check_labels
from cofront.task.quantise.observe import observe
from cofront.task.quantise.refine import Refiner, refine
from cofront.task.quantise.rounding import rounding
from cofront.task.quantise.setting import Setting
from cofront.task.quantise.simulate import Simulator
from cofront.task.quantise.steps import without_integers
from cofront.task.quantise.tuning import Schedule, fine_tune

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Quantised:
    """A quantised network: its setting, and its integers, or what of it has none and stays in floating point."""

    setting: Setting
    integers: QuantizedNetwork | None
    left_in_float: tuple[str, ...] = ()

    def simulator(self) -> Simulator:
        """The same in float32, quickly."""
        module = Simulator(self.setting.network)
        module.use(self.setting)
        return module

    def accuracy(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
        """Fraction classified correctly: by the integers, or simulated where something is left in floating point."""
        if self.integers is None:
            return self.simulator().accuracy(images, labels)
        return self.integers.accuracy(images, check_labels(self.setting.network, images, labels))


def quantise(
    network: Network,
    weights: Mapping[str, npt.NDArray[np.float32]] | None,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None = None,
    *,
    bits: Bits | None = None,
    rules: Rules | None = None,
    refinement: str | Refiner | None = "rounding",
    schedule: Schedule | None = None,
    pixels: Grid = PIXELS,
    keep_float: bool = False,
    meta: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Quantised:
    """A trained network at its own bits, or at `bits` {layer: (weight bits, input bits)} with 8 where left out.

    `images` (n, h, w, c) uint8 set ranges and refine ("bias", "moments", "rounding" or None); with a `schedule` they
    are trained on, too, with `labels` if there are any. What has no integers is refused with its list, or left in
    floating point with `keep_float`. `progress` is told (what is done, how far, of how much).
    """
    rules = rules or Rules()
    refinement = _kept(rules, refinement, schedule)
    missing = without_integers(network)
    if missing and not keep_float:
        raise UnsupportedError(
            f"network '{network.name}' has no integers for {', '.join(missing)}; keep_float leaves them real"
        )

    def told(what: str) -> Callable[..., None] | None:
        return None if progress is None else lambda done, of, *_: progress(what, done, of)

    ranges = observe(network, weights, images, pixels, told("ranges"))
    assert weights is not None
    setting = Chooser(network, weights, ranges, rules).setting(bits)
    if refinement is not None:
        setting = refine(setting, network, weights, images, refinement, told("refinement"))
    if schedule is not None:
        setting = fine_tune(setting, network, weights, images, labels, schedule, told("training"))
    return Quantised(setting, None if missing else to_integers(setting, meta), tuple(missing))


def _kept(rules: Rules, refinement: str | Refiner | None, schedule: Schedule | None) -> str | Refiner | None:
    """The refinement that keeps to the rules: scales that are powers of two, or one for all channels, stay as they are.

    UsageError for what would change them.
    """
    if not rules.power_of_two and rules.per_channel:
        return refinement
    what = "powers of two" if rules.power_of_two else "one for all channels"
    if schedule is not None or refinement == "moments":
        other = "training" if schedule is not None else "the refinement 'moments'"
        raise UsageError(f"scales that are {what} would be lost in {other}; take the refinement 'rounding' or 'bias'")
    return partial(rounding, free=False) if refinement == "rounding" else refinement
