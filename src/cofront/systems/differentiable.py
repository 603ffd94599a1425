"""The differentiable systems on one footing: presets, supernets, and what a search has learnt, judged exactly.

`small` presets are ours, a search and a training in minutes on a CPU; `paper` presets are the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from cofront.errors import UsageError, unknown_name
from cofront.problem import IntArray
from cofront.rights import move_into_place
from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost, CostModel, check_target
from cofront.search.gradient.exact import ExactFront, exact_front
from cofront.search.gradient.polish import centred
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.stacked import StackedCells
from cofront.search.gradient.supernet import MixedSupernet, Supernet, SupernetTask
from cofront.search.gradient.surrogate import encode
from cofront.search.gradient.system import GradientSystem
from cofront.search.gradient.throughput import Fit, fit_throughput
from cofront.space.base import Layered, Space
from cofront.space.chain import ChainSpace
from cofront.space.darts import Darts
from cofront.space.nasa import Nasa
from cofront.study.provenance import digest
from cofront.systems import eh_dnas, fbnet, light_nas, nasa
from cofront.systems.eh_dnas_images import kernels
from cofront.task.batches import ImageBatches, compute_device
from cofront.task.data import Dataset
from cofront.task.hybrid_supernet import HybridSupernet
from cofront.task.progressive import Pretraining, pretrain
from cofront.task.scratch import Schedule
from cofront.task.speed import input_dtype, speed_up

FloatArray = NDArray[np.float64]

PRESETS = ("small", "paper")
#: The unit of FBNet's logarithm as a share of the latency: a microsecond of 20 ms.
UNIT_OF_LATENCY = 5e-5
#: Of lambda, in small searches: ours, as the small presets' rates of the architecture, which move its parameters by
#: several units in all their steps.
SMALL_MULTIPLIER_RATE = 0.01
#: Labels of a learnt throughput: for training, validation and test.
LABELS = (8000, 1000, 1000)


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
    """A recipe in few epochs: the temperature ends where the paper's does; the architecture's rate is ours."""
    before, now = paper.epochs - paper.temperature.hold, epochs - (freeze if paper.temperature.hold else 0)
    temperature = replace(
        paper.temperature, rate=paper.temperature.rate * before / now, hold=freeze if paper.temperature.hold else 0
    )
    return replace(
        paper, epochs=epochs, freeze=freeze, temperature=temperature, arch_rate=rate, arch_halve=0, weight_rate=0.1
    )


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


# spaces and supernets


def layers_of(space: Space) -> tuple[Layers, Layered | None]:
    """A space as layers of options, and as a chain where it is one."""
    if isinstance(space, Darts):
        return eh_dnas.CellLayers.of_choices(space), None
    if isinstance(space, Nasa):
        return nasa.layers_of(space)
    if not isinstance(space, ChainSpace):
        raise UsageError(
            f"space '{space.name}' is no chain of layers with a choice of operators each: there is no supernet of it "
            "for differentiable search; take fbnet, light_nas, nasa or darts, or variants of them"
        )
    layered = space.layered(("W8A8",))
    layers = Layers.of_trellis(space, layered.trellis)
    if "skip" in space.ops and all(space.is_identity(p, space.ops.index("skip")) == p.same_shape for p in space.places):
        # elsewhere "skip" is a 1 x 1 convolution, which tables have at no cost at all
        allowed = np.ones(layers.shape, bool)
        allowed[[not p.same_shape for p in space.places], space.ops.index("skip")] = False
        layers = layers.restrict(allowed)
    return layers, layered


def supernet(space: Space, layers: Layers, layered: Layered | None, seed: int) -> Supernet:
    """Every option of every layer with weights of its own; NASA's share them across expansions."""
    if isinstance(space, Darts):
        cells = CellSupernet(space, layers, seed)
        if compute_device() == "cpu":
            return cast(Supernet, StackedCells(cells, kernels()))
        return cast(Supernet, speed_up(cells).to(compute_device()))
    if isinstance(space, Nasa):
        operators = [space.operators(p) for p in space.places]
        return cast(
            Supernet,
            HybridSupernet(
                space.places,
                operators,
                (space.macro.stem[0], space.macro.head),
                space.macro.classes,
                stem_stride=space.macro.stem[1],
                seed=seed,
            ).to(compute_device()),
        )
    assert layered is not None
    return cast(Supernet, speed_up(MixedSupernet(layers, layered, seed)).to(compute_device()))


def make_task(space: Space, layers: Layers, net: Supernet, data: Dataset, preset: Preset, seed: int) -> SupernetTask:
    """The two splits of the images, drawn by the seed; the supernet is judged on validation images."""
    n = min(len(data.x_train), preset.images or len(data.x_train))
    rows = np.random.default_rng(seed).permutation(len(data.x_train))[:n]
    cut = round(n * preset.weights)
    dtype = torch.float32 if isinstance(net, HybridSupernet) else input_dtype(compute_device())

    def batches(part: IntArray, number: int) -> ImageBatches:
        return ImageBatches(
            data.x_train[part], data.y_train[part], preset.batch, seed=2 * seed + number, side=space.input_shape[1],
            cutout=preset.cutout, dtype=dtype, device=compute_device(),
        )  # fmt: skip

    judged = ImageBatches(
        data.x_val, data.y_val, 2, side=space.input_shape[1], dtype=dtype, device=compute_device()
    )  # fmt: skip
    return SupernetTask(
        layers,
        net,
        batches(rows[:cut], 0),
        batches(rows[cut:], 1),
        judge_on=judged,
        smoothing=preset.smoothing,
        told=f"{data.fingerprint()} {n} {cut} {seed} {preset.cutout}",
    )


def progressive(
    net: HybridSupernet, task: SupernetTask, preset: Preset, seed: int, folder: Path, on_step: Callable[[int], None]
) -> None:
    """NASA's pretraining, once: what it gives is kept in `folder`, by what it is of. `on_step(step)` may raise."""
    from safetensors.torch import load_file, save_file

    names = [o.name for layer in task.layers.layers for o in layer]
    of = digest({"told": task.told, "seed": seed, "preset": [preset.pretraining, preset.batch], "options": names})
    file = folder / f"pretrained-{of[:8]}.safetensors"
    if file.exists():
        net.load_state_dict(load_file(file))
        return
    weights = task.data["weights"]
    x, y = weights.plain(0, len(weights) * preset.batch)
    recipe = Pretraining(steps=preset.pretraining, batch=preset.batch, seed=seed)
    pretrain(net, x, y, recipe, lambda step, phase, loss: on_step(step))
    folder.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, part)
    move_into_place(part, file)


# costs


class LearntThroughput:
    """EH-DNAS's cost: a learnt model of the throughput on `of`, which stays what networks are judged by."""

    def __init__(self, layers: Layers, of: CostModel, seed: int, sizes: tuple[int, int, int] = LABELS) -> None:
        choices = np.unique(layers.sample(np.random.default_rng(seed), sum(sizes)), axis=0)
        choices = np.random.default_rng(seed + 1).permutation(choices)
        rate = 1.0 / of.of(choices)
        a, b = (round(len(choices) * s / sum(sizes)) for s in (sizes[0], sizes[0] + sizes[1]))
        cost, _ = fit_throughput(
            layers, (choices[:a], rate[:a]), (choices[a:b], rate[a:b]), of.name, training=eh_dnas.TUNED, seed=seed
        )
        self.learnt, self.judge, self.name, self.layers = cost, of, of.name, layers
        self.held = Fit.of(cost.predict(choices[b:]), rate[b:])
        self.unit_s = 1.0 / cost.mean
        self.note = (
            f"searched with a learnt throughput of '{of.name}', on {len(choices) - b:,} other networks {self.held}"
        )

    def expected(self, encoding: torch.Tensor) -> torch.Tensor:
        return self.learnt.expected(encoding)

    def of(self, choices: IntArray) -> FloatArray:
        return self.judge.of(choices)

    def bounds(self) -> tuple[float, float]:
        return self.judge.bounds()


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


# what was learnt


@dataclass(frozen=True)
class Judged:
    """An additive model of the supernet's accuracies, and its certified front.

    `table` (l, o) and `constant` give the predicted accuracy; `choices` (n, l) with `accuracy` (n,) are the random
    networks it was fitted on, `held` (n,) what it says of each without it.
    """

    table: FloatArray
    constant: float
    choices: IntArray
    accuracy: FloatArray
    held: FloatArray
    front: ExactFront | None

    def predict(self, choices: IntArray) -> FloatArray:
        """(n,) predicted accuracy of architectures (n, l)."""
        choices = np.atleast_2d(choices)
        return np.asarray(self.constant + self.table[np.arange(choices.shape[1]), choices].sum(axis=1), float)

    @property
    def spearman(self) -> float:
        """Rank correlation of the left-out predictions with the supernet's accuracies."""
        from scipy.stats import spearmanr

        return float(spearmanr(self.held, self.accuracy).statistic)

    def best_within(self, limit_s: float) -> float:
        """The certified best predicted accuracy at a latency of at most `limit_s`."""
        assert self.front is not None
        return 1.0 - self.front.within(limit_s).loss

    def regret(self, choice: IntArray, limit_s: float) -> float:
        """How far below the certified best an architecture (l,) is predicted to be."""
        return self.best_within(limit_s) - float(self.predict(choice)[0])


#: Ridge penalties that leave-one-out chooses from.
_PENALTIES = tuple(10.0**k for k in range(-2, 4))


def judge(
    task: SupernetTask, cost: CostModel, n: int, seed: int, on_each: Callable[[int], None] | None = None
) -> Judged:
    """Evaluates n random networks on the supernet and searches the additive model of them exactly."""
    layers = getattr(cost, "layers", task.layers)
    choices = layers.sample(np.random.default_rng(seed + 7), n)
    accuracy = np.empty(n)
    for i, choice in enumerate(choices):
        accuracy[i] = task.judge(choice)[1]
        if on_each is not None:
            on_each(i + 1)
    return fit_judge(layers, cost, choices, accuracy)


def fit_judge(layers: Layers, cost: CostModel, choices: IntArray, accuracy: FloatArray) -> Judged:
    """The additive model of accuracies (n,) of architectures (n, l), ridge by leave-one-out, and its exact front."""
    x = np.asarray(encode(layers, choices), float)
    mean = float(accuracy.mean())
    best: tuple[float, FloatArray, FloatArray] | None = None
    for penalty in _PENALTIES:
        inverse = np.linalg.inv(x.T @ x + penalty * np.eye(x.shape[1]))
        weights = inverse @ x.T @ (accuracy - mean)
        fitted = mean + x @ weights
        # leverage gives the leave-one-out predictions without n fits; the mean's own share is left in
        leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
        held = accuracy - (accuracy - fitted) / np.maximum(1.0 - leverage, 1e-9)
        error = float(np.mean((held - accuracy) ** 2))
        if best is None or error < best[0]:
            best = error, weights, held
    assert best is not None
    table = np.where(layers.mask, best[1].reshape(layers.shape), 0.0)
    front = None
    if isinstance(cost, AdditiveCost):
        front = exact_front(
            layers, cost.grains, -centred(layers, np.where(layers.mask, table, -np.inf), -np.inf),
            constant_grains=cost.constant_grains, constant=1.0 - mean - float(_means(layers, table).sum()),
        )  # fmt: skip
    return Judged(table, mean, choices, accuracy, best[2], front)


def _means(layers: Layers, table: FloatArray) -> FloatArray:
    """(l,) mean of each layer's allowed entries, which `centred` takes away."""
    mask = layers.mask
    return np.asarray(np.where(mask, table, 0.0).sum(axis=1) / mask.sum(axis=1), float)


def additive_of(cost: CostModel) -> AdditiveCost | None:
    """The sum over options that stands behind a cost, for exact search; None where there is none."""
    found = cost.judge if isinstance(cost, LearntThroughput) else cost
    return found if isinstance(found, AdditiveCost) else None


__all__ = [
    "PRESETS", "SYSTEMS", "Judged", "LearntThroughput", "Preset", "System", "additive_of", "check_request", "fit_judge",
    "judge", "layers_of", "make_task", "progressive", "supernet", "system",
]  # fmt: skip
