"""The differentiable systems as `cofront run` knows them: what each descends, and with which settings.

`small` presets are ours, a search and a training in minutes on a CPU; `paper` presets are the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cofront.errors import UsageError, unknown_name
from cofront.search.gradient.cost import CostModel, check_target
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.supernet import SupernetTask
from cofront.search.gradient.system import GradientSystem
from cofront.systems import eh_dnas, fbnet, light_nas, nasa
from cofront.task.scratch import Schedule

PRESETS = ("small", "paper")
#: The unit of FBNet's logarithm as a share of the latency: a microsecond of 20 ms.
UNIT_OF_LATENCY = 5e-5
#: Of lambda, in small searches: ours, as the small presets' rates of the architecture, which move its parameters by
#: several units in all their steps.
SMALL_MULTIPLIER_RATE = 0.01


@dataclass(frozen=True)
class Preset:
    """`images` of the training set are searched with (None: all), the share `weights` of them trains the operators.

    `derived` trains the derived network, from the start. `pretraining` steps come before the search (NASA's).
    """

    space: str
    recipe: Recipe
    batch: int
    images: int | None
    weights: float
    derived: Schedule
    pretraining: int = 0
    smoothing: float = 0.0
    cutout: int = 0


#: Makes the search of a system: (task, cost, recipe, target in seconds, exchange rate, small).
Make = Callable[[SupernetTask, CostModel, Recipe, float | None, float | None, bool], GradientSystem]


@dataclass(frozen=True)
class System:
    """A system as `cofront run` knows it. `weight` is its exchange rate unless told: for latencies near a reference."""

    name: str
    title: str
    small: Preset
    paper: Preset
    make: Make
    weight: float | None = None
    needs_target: bool = False

    def preset(self, name: str) -> Preset:
        if name not in PRESETS:
            raise unknown_name("preset", name, PRESETS)
        return self.small if name == "small" else self.paper


def reference_s(cost: CostModel) -> float:
    """Half way between the fastest and the slowest network: the unit in which fixed exchange rates count."""
    return 0.5 * sum(cost.bounds())


def _fbnet(
    task: SupernetTask, cost: CostModel, recipe: Recipe, target_s: float | None, weight: float | None, small: bool
) -> GradientSystem:
    # on a faster device a microsecond would let the latency weigh far more than in the paper: the unit follows it
    unit = min(1e-6, UNIT_OF_LATENCY * reference_s(cost))
    return fbnet.FBNetSearch(task, cost, beta=0.6 if weight is None else weight, unit_s=unit, recipe=recipe)


def _light_nas(
    task: SupernetTask, cost: CostModel, recipe: Recipe, target_s: float | None, weight: float | None, small: bool
) -> GradientSystem:
    assert target_s is not None
    rate = SMALL_MULTIPLIER_RATE if small else light_nas.PAPER_RATE
    return light_nas.LightNasSearch(task, cost, target_s, recipe, rate if weight is None else weight)


def _eh_dnas(
    task: SupernetTask, cost: CostModel, recipe: Recipe, target_s: float | None, weight: float | None, small: bool
) -> GradientSystem:
    assert weight is not None
    return eh_dnas.EhDnasSearch(task, cost, weight, getattr(cost, "unit_s", reference_s(cost)), recipe)


def _nasa(
    task: SupernetTask, cost: CostModel, recipe: Recipe, target_s: float | None, weight: float | None, small: bool
) -> GradientSystem:
    assert weight is not None
    return nasa.NasaSearch(task, cost, weight / reference_s(cost), recipe)


def _short(paper: Recipe, epochs: int, freeze: int, rate: float) -> Recipe:
    """A recipe in few epochs, with rates of ours."""
    return replace(paper.shortened(epochs, freeze), arch_rate=rate, arch_halve=0, weight_rate=0.1)


_SHORT_TRAINING = Schedule(epochs=8)

SYSTEMS: dict[str, System] = {
    s.name: s
    for s in (
        System(
            "fbnet", "FBNet [FBNet19]",
            Preset("fbnet@cifar10-small", _short(fbnet.PAPER, 8, 1, 0.02), 64, 12000, 0.5, _SHORT_TRAINING),
            Preset("fbnet", fbnet.PAPER, 192, None, 0.8, Schedule(360, 256, weight_decay=4e-5, cutout=0)),
            _fbnet,
        ),
        System(
            "light-nas", "LightNAS [LightNAS22]",
            Preset(
                "light_nas@cifar10-small", _short(light_nas.PAPER, 40, 3, 0.005), 64, 12000, 0.5,
                _SHORT_TRAINING, smoothing=0.1,
            ),
            Preset(
                "light_nas", light_nas.PAPER, 128, None, 0.5,
                Schedule(360, 1024, rate=0.5, warm=5 / 360, weight_decay=4e-5, cutout=0), smoothing=0.1,
            ),
            _light_nas, needs_target=True,
        ),
        System(
            "eh-dnas", "EH-DNAS [EHDNAS21]",
            Preset(
                "darts@channels=8,cells=5,side=16", _short(eh_dnas.PAPER, 4, 0, 0.03), 64, 10000, 0.5,
                _SHORT_TRAINING,
            ),
            Preset(
                "darts@channels=16,cells=8", eh_dnas.PAPER, 64, None, 0.5,
                Schedule(600, 96, rate=0.025, warm=0.0, weight_decay=3e-4, cutout=16),
            ),
            _eh_dnas, weight=0.1,
        ),
        System(
            "nasa", "NASA [NASA22]",
            Preset(
                "nasa@add_all-cifar10-small", _short(nasa.PAPER, 8, 0, 0.02), 64, 12000, 0.5,
                _SHORT_TRAINING, pretraining=300,
            ),
            Preset(
                "nasa", nasa.PAPER, 128, None, 0.5, Schedule(650, 196, rate=0.02, weight_decay=5e-4), pretraining=23437
            ),
            _nasa, weight=0.1,
        ),
    )
}  # fmt: skip


def system(name: str) -> System:
    """The system of that name; a UsageError with the nearest names when there is none."""
    found = SYSTEMS.get(name.replace("_", "-"))
    if found is None:
        raise unknown_name("system", name, SYSTEMS)
    return found


def check_request(known: System, cost: CostModel, target_s: float | None) -> None:
    """A UsageError, with both bounds, for a target that no network meets or a missing one."""
    low, high = cost.bounds()
    if target_s is not None and (known.needs_target or target_s < low):
        check_target(cost, target_s)
    elif target_s is None and known.needs_target:
        raise UsageError(
            f"{known.name} searches for a target: give --target, from {1e3 * low:.4g}ms to {1e3 * high:.4g}ms on "
            f"'{cost.name}'"
        )
