"""How much the loss of the quantised network rises when one layer alone gets fewer bits, measured.

Every other layer has 8 bits. Only what comes behind the first tensor that changes is computed again. The rise is that
of the cross entropy with labels, or of the divergence from the outputs of the network in floating point: that needs no
labels, and tells changes apart that leave a well-learnt label's loss near 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cofront.errors import UsageError
from cofront.task.data import Images, Labels
from cofront.task.quantise.choose import Chooser
from cofront.task.quantise.curvature import LossTables
from cofront.task.quantise.inputs import check_images, check_labels, pixels_of
from cofront.task.quantise.setting import Setting
from cofront.task.quantise.simulate import QuantModule

BATCH = 64


class ChosenQuantisers:
    """The quantisers of a `Chooser`, as `curvature_tables` asks for them."""

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser
        self._source = {s.node.name: s.sources[0] for s in chooser.steps if s.kind == "layer"}

    def weight(self, layer: str, bits: int) -> Tensor:
        return self.chooser.layer(layer, bits).real()

    def read(self, layer: str, x: Tensor, bits: int) -> Tensor:
        grid = self.chooser.grid(self._source[layer], bits)
        return (x / grid.scale).round_().clamp_(grid.low, grid.high).mul_(grid.scale)


def first_change(a: Setting, b: Setting) -> int:
    """The number of the first step that does not compute the same in both settings of one network."""
    for i, step in enumerate(a.steps):
        name = step.node.name
        layers = (a.layers.get(name), b.layers.get(name))
        grids = (a.stored.get(step.output), b.stored.get(step.output))
        reads = (a.read.get(name), b.read.get(name))
        if layers[0] is not layers[1] or grids[0] != grids[1] or reads[0] != reads[1]:
            return i
    return len(a.steps)


def measured_tables(
    module: QuantModule,
    images: Images,
    labels: Labels | None = None,
    *,
    target: Tensor | None = None,
    weight_bits: Sequence[int],
    act_bits: Sequence[int],
    fixed_reads: Sequence[str] = (),
    batch: int = BATCH,
    on_progress: Callable[[int, int], None] | None = None,
) -> LossTables:
    """The tables of a trained network on uint8 images (n, h, w, c), by `labels` (n,) or by `target` (n, classes).

    `target` are the logits of the network in floating point. The entries of 8 bits are 0; a rise below 0 stays as it
    is. `on_progress` hears (settings done, all) of a batch. UsageError without labels and target.
    """
    images = check_images(module.network, images, least=1)
    if labels is None and target is None:
        raise UsageError("measured sensitivities need labels or the outputs of the network in floating point")
    y = torch.from_numpy(check_labels(module.network, images, labels)) if labels is not None else None
    base = module.set_bits({})
    names = [n.name for n in module.network.layers]
    wanted = [(i, n, (w, 8)) for i, n in enumerate(names) for w in weight_bits if w != 8]
    wanted += [(i, n, (8, a)) for i, n in enumerate(names) for a in act_bits if a != 8 and n not in fixed_reads]
    settings = [module.chooser.setting({n: pair}) for _, n, pair in wanted]
    rises = np.zeros(len(wanted))
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        x = pixels_of(images[part], module.network)
        to = (None if y is None else y[part], None if target is None else target[part])
        module.use(base)
        held = module.tensors(x)
        before = _loss(held[module.network.output.name], *to)
        for k, setting in enumerate(settings):
            module.use(setting)
            rises[k] += _loss(_resumed(module, setting, held, first_change(base, setting)), *to) - before
            if on_progress is not None and k % 16 == 0:
                on_progress(start // batch * len(settings) + k, -(-len(images) // batch) * len(settings))
    module.use(base)
    return _tables(names, wanted, rises / len(images), tuple(weight_bits), tuple(act_bits), labels is not None)


@torch.inference_mode()
def _resumed(module: QuantModule, setting: Setting, held: dict[str, Tensor], start: int) -> Tensor:
    """The output when steps from `start` on are computed again."""
    now = dict(held)
    for step in setting.steps[start:]:
        now[step.output] = module.compute(step, now)
    return now[module.network.output.name]


def _loss(out: Tensor, labels: Tensor | None, target: Tensor | None) -> float:
    """Summed over images: cross entropy, or the divergence of the outputs from `target`."""
    logits = out.flatten(1)
    if labels is not None:
        return float(F.cross_entropy(logits, labels, reduction="sum"))
    assert target is not None
    return float(F.kl_div(logits.log_softmax(1), target.log_softmax(1), reduction="sum", log_target=True))


def _tables(
    names: Sequence[str],
    wanted: Sequence[tuple[int, str, tuple[int, int]]],
    rises: NDArray[np.float64],
    weight_bits: tuple[int, ...],
    act_bits: tuple[int, ...],
    labelled: bool,
) -> LossTables:
    by_weight, by_read = np.zeros((len(names), len(weight_bits))), np.zeros((len(names), len(act_bits)))
    for (i, _, (w, a)), rise in zip(wanted, rises, strict=True):
        if w != 8:
            by_weight[i, weight_bits.index(w)] = rise
        else:
            by_read[i, act_bits.index(a)] = rise
    model = "loss" if labelled else "divergence"
    return LossTables(model, tuple(names), weight_bits, act_bits, by_weight, by_read)
