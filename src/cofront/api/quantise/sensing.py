"""Sensitivities for `quantize`: what each layer's bits are expected to cost in loss, kept in the folder once known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cofront.errors import unknown_name
from cofront.study.provenance import digest, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

    from cofront.network import Network
    from cofront.network.weights import Weights
    from cofront.task.data import Images, Labels
    from cofront.task.quantise.curvature import LossTables
    from cofront.task.quantise.simulate import QuantModule

#: Sensitivity models, and what each says in words.
MODELS: Mapping[str, str] = {
    "loss": "the rise of the loss with one layer at fewer bits, measured",
    "divergence": "the divergence from the outputs in floating point with one layer at fewer bits, measured",
    "hessian": "half the mean curvature of a layer times its squared quantisation error (HAWQ-V2)",
    "fisher": "half the sum of the curvature of each weight and activation times its squared quantisation error",
}


#: The default: `divergence` where measuring takes at most so many multiply-accumulates (minutes), `hessian` beyond.
AUTO, MOST_MACS = "auto", 1e13


def model_for(network: Network, images: int, widths: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    """The sensitivity model that "auto" stands for: what is behind a layer is computed again for each width of it."""
    settings = sum(len([b for b in part if b != 8]) for part in widths)
    behind = np.cumsum([network.node_macs(n) for n in reversed(network.layers)], dtype=float)
    return "divergence" if images * settings * float(behind.sum()) <= MOST_MACS else "hessian"


@dataclass(frozen=True)
class Sensed:
    """What sensitivities are taken on: the quantisers of a network, calibration images and their labels."""

    module: QuantModule
    weights: Weights
    images: Images
    labels: Labels
    widths: tuple[tuple[int, ...], tuple[int, ...]]
    key: object  # of the model and the images, for the file's name


def sense(
    scene: Sensed, model: str, folder: Path, seed: int, told: Callable[[str], None], stop: Callable[[], bool]
) -> LossTables:
    """The tables of a model, from the folder where they are known; KeyboardInterrupt when it is to stop."""
    from cofront.task.quantise.curvature import LossTables

    if model not in MODELS:
        raise unknown_name("sensitivity", model, MODELS)
    key = {"model": model, "widths": scene.widths, "images": len(scene.images), "of": scene.key, "seed": seed}
    file = folder / f"sensitivity-{digest(key)[:8]}.json"
    if file.is_file():
        with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged file is only made anew
            return LossTables.from_dict(json.loads(file.read_text(encoding="utf-8")))
    found = (_measured if model in ("loss", "divergence") else _curved)(scene, model, seed, told, stop)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(found.to_dict()) + "\n")
    return found


def input_layers(network: Network) -> tuple[str, ...]:
    """The layers that read the image, whose width is given."""
    return tuple(n.name for n in network.layers if network.input.name in n.inputs)


def _measured(
    scene: Sensed, model: str, seed: int, told: Callable[[str], None], stop: Callable[[], bool]
) -> LossTables:
    import torch

    from cofront.task.quantise.measured import measured_tables
    from cofront.task.quantise.observe import watched

    target = None
    if model == "divergence":
        with torch.inference_mode():
            real = watched(scene.module.network, scene.weights)
            target = torch.cat([real(x).flatten(1) for x in _inputs(scene).split(32)])

    def progress(done: int, total: int) -> None:
        told(f"setting {done:,} of {total:,}")
        if stop():
            raise KeyboardInterrupt

    return measured_tables(
        scene.module, scene.images, scene.labels if target is None else None, target=target,
        weight_bits=scene.widths[0], act_bits=scene.widths[1], fixed_reads=input_layers(scene.module.network),
        on_progress=progress,
    )  # fmt: skip


def _curved(scene: Sensed, model: str, seed: int, told: Callable[[str], None], stop: Callable[[], bool]) -> LossTables:
    from cofront.task.quantise.curvature import curvature_tables
    from cofront.task.quantise.measured import ChosenQuantisers
    from cofront.task.quantise.observe import watched

    def obey(*_: object) -> None:
        if stop():
            raise KeyboardInterrupt

    class Obedient(ChosenQuantisers):
        """Asks before each width whether to stop."""

        def weight(self, layer: str, bits: int) -> Tensor:
            obey()
            return super().weight(layer, bits)

        def read(self, layer: str, x: Tensor, bits: int) -> Tensor:
            obey()
            return super().read(layer, x, bits)

    def hear(_module: object, _inputs: object, logits: Tensor) -> None:
        if logits.requires_grad:
            # before each draw goes backward: a batch of a large network takes minutes
            logits.register_hook(obey)  # type: ignore[no-untyped-call]

    def progress(done: int) -> None:
        told(f"image {done:,} of {len(scene.images):,}")
        obey()

    real = watched(scene.module.network, scene.weights)
    real.register_forward_hook(hear)
    both = curvature_tables(
        real, Obedient(scene.module.chooser), _inputs(scene),
        weight_bits=scene.widths[0], act_bits=scene.widths[1], fixed_reads=input_layers(scene.module.network),
        seed=seed, on_progress=progress,
    )  # fmt: skip
    return next(t for t in both if t.model == model)


def _inputs(scene: Sensed):  # type: ignore[no-untyped-def]
    """The images as the network's real inputs."""
    from cofront.task.quantise.inputs import pixels_of

    grid = scene.module.chooser.ranges.pixels
    return (pixels_of(scene.images, scene.module.network) - grid.zero) * grid.scale
