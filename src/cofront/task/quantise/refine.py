"""Refinement of a setting without training: layer by layer, each on what the quantised layers before it produce.

All images go through the network in step, in floating point and quantised, and a `Refiner` sees for each layer what it
reads and what it should have produced. "moments" gives each output channel the mean and the deviation that it has in
floating point: what re-estimating batch norms does, for networks whose batch norms are folded. "bias" gives it the
mean alone. "rounding" chooses the integers anew (`cofront.task.quantise.rounding`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from cofront.errors import UsageError
from cofront.network import Network, Node
from cofront.task.quantise.inputs import check_images, check_weights, pixels_of
from cofront.task.quantise.observe import Watched, watched
from cofront.task.quantise.setting import LayerSetting, Setting
from cofront.task.quantise.simulate import Simulator
from cofront.task.quantise.steps import Step

METHODS = ("bias", "moments", "rounding")
#: A channel's scale is changed by at most this factor.
_MOST = 2.0
_CHUNK = 64


@dataclass(frozen=True)
class Seen:
    """What a refiner sees of one layer: real input (n, ...) as the integers have it, and the real output wanted.

    `wanted` (n, cout, ...) is the float layer's own, less what the quantised residual already has too much. `weight`
    are the float weights.
    """

    step: Step
    layer: LayerSetting
    weight: torch.Tensor
    read: torch.Tensor
    wanted: torch.Tensor

    def product(self, weight: torch.Tensor) -> torch.Tensor:
        """Real outputs without bias, in the layout of `wanted`."""
        parts = [Simulator.product(self.step, x, weight, None) for x in torch.split(self.read, _CHUNK)]
        return torch.cat(parts)


Refiner = Callable[[Seen], LayerSetting]


def _channels(y: torch.Tensor) -> torch.Tensor:
    """(cout, values) of (n, cout, ...)."""
    return y.transpose(0, 1).flatten(1)


def bias(seen: Seen) -> LayerSetting:
    """The bias that gives every channel the mean it should have."""
    off = _channels(seen.wanted).mean(1) - _channels(seen.product(seen.layer.real())).mean(1)
    return replace(seen.layer, bias=off)


def moments(seen: Seen) -> LayerSetting:
    """Scale and bias that give every channel the mean and the deviation it should have."""
    got, want = _channels(seen.product(seen.layer.real())), _channels(seen.wanted)
    own, other = torch.var_mean(got, 1), torch.var_mean(want, 1)
    ratio = (other[0] / own[0].clamp_min(1e-12)).sqrt().clamp(1 / _MOST, _MOST)
    return replace(seen.layer, scale=seen.layer.scale * ratio, bias=other[1] - ratio * own[1])


def refiner(method: str) -> Refiner:
    """The refiner of that name."""
    if method == "rounding":
        from cofront.task.quantise.rounding import rounding

        return rounding
    if method not in METHODS:
        raise UsageError(f"refinement '{method}' is unknown; known: {', '.join(METHODS)}")
    return bias if method == "bias" else moments


@torch.inference_mode()
def refine(
    setting: Setting,
    network: Network,
    weights: Mapping[str, npt.NDArray[np.float32]],
    images: npt.NDArray[np.uint8],
    method: str | Refiner = "moments",
    progress: Callable[[int, int], None] | None = None,
) -> Setting:
    """The setting with every layer refined on uint8 images (n, h, w, c).

    `network` and `weights` are the trained ones. Memory is that of all images' tensors at the widest cut. `progress`
    is told (layers done, all).
    """
    images, by = check_images(network, images), refiner(method) if isinstance(method, str) else method
    real, sim = watched(network, check_weights(network, weights)), Simulator(network)
    layers = dict(setting.layers)
    work = replace(setting, layers=layers)
    sim.use(work)
    x = pixels_of(images, network) - setting.pixels.zero
    held = {network.input.name: x}
    values = {network.input.name: x * setting.pixels.scale}
    steps = {s.node.name: s for s in setting.steps}
    done = 0
    for node in real.network.nodes[1:]:
        values[node.name] = _in_parts(real, node, [values[i] for i in node.inputs])
        step = steps.get(node.name)
        if step is None:
            continue
        if step.kind == "layer":
            layers[node.name] = by(_seen(work, sim, step, held, values, real.layer(node.name).weight))
            done += 1
            if progress is not None:
                progress(done, len(layers))
        held[step.output] = _held(sim, step, held)
        _forget(network, step, held, values)
    return replace(setting, layers=layers)


def _seen(
    setting: Setting,
    sim: Simulator,
    step: Step,
    held: Mapping[str, torch.Tensor],
    values: Mapping[str, torch.Tensor],
    weight: torch.Tensor,
) -> Seen:
    read = sim.read(step, held[step.sources[0]]) * setting.multiplied(step).scale
    wanted = values[step.node.name]
    if step.residual is not None:
        wanted = wanted + values[step.residual] - held[step.residual] * setting.grid(step.residual).scale
    return Seen(step, setting.layers[step.node.name], weight, read, wanted)


def _in_parts(real: Watched, node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
    """A node's float output, some images at a time."""
    parts = zip(*(torch.split(v, _CHUNK) for v in inputs), strict=True)
    return torch.cat([real.node(node, list(p)) for p in parts])


def _held(sim: Simulator, step: Step, held: Mapping[str, torch.Tensor]) -> torch.Tensor:
    names = [*step.sources, *([step.residual] if step.residual is not None else [])]
    parts = zip(*(torch.split(held[n], _CHUNK) for n in names), strict=True)
    return torch.cat([sim.compute(step, dict(zip(names, p, strict=True))) for p in parts])


def _forget(network: Network, step: Step, held: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> None:
    """Drop the tensors that no later node reads."""
    names = [n.name for n in network.nodes]
    later = {i for n in network.nodes[names.index(step.node.name) + 1 :] for i in n.inputs}
    later |= {network.output.name, step.output}
    for name in [n for n in values if n not in later]:
        del values[name]
    for name in [n for n in held if n not in later]:
        del held[name]
