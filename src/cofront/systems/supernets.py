"""Spaces as layers of options, their supernets, and what these learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch

from cofront.errors import InputError, UsageError
from cofront.problem import IntArray
from cofront.rights import written_whole
from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.stacked import StackedCells
from cofront.search.gradient.supernet import MixedSupernet, Supernet, SupernetTask
from cofront.space.base import Layered, Space
from cofront.space.chain import ChainSpace
from cofront.space.darts import Darts
from cofront.space.nasa import Nasa
from cofront.study.provenance import digest
from cofront.systems import eh_dnas, nasa
from cofront.systems.eh_dnas_images import kernels
from cofront.systems.presets import Preset
from cofront.task.batches import ImageBatches, compute_device
from cofront.task.data import Dataset
from cofront.task.hybrid_supernet import HybridSupernet
from cofront.task.progressive import Pretraining, pretrain
from cofront.task.speed import input_dtype, speed_up


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
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    names = [o.name for layer in task.layers.layers for o in layer]
    of = digest({"told": task.told, "seed": seed, "preset": [preset.pretraining, preset.batch], "options": names})
    file = folder / f"pretrained-{of[:8]}.safetensors"
    if file.exists():
        try:
            net.load_state_dict(load_file(file))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise InputError(f"'{file}' is damaged: remove it, and the supernet is trained again") from error
        return
    weights = task.data["weights"]
    x, y = weights.plain(0, len(weights) * preset.batch)
    recipe = Pretraining(steps=preset.pretraining, batch=preset.batch, seed=seed)
    pretrain(net, x, y, recipe, lambda step, phase, loss: on_step(step))
    with written_whole(file) as part:
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, part)
