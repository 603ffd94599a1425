"""Fine-tuning of one design under its quantisers, and its conversion to the integer network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.network import Network
from cofront.space.subgraph32 import Subgraph32
from cofront.task import subnet
from cofront.task.calibrate import QNet
from cofront.task.convert import to_integers
from cofront.task.data import Dataset
from cofront.task.evaluate import Evaluator
from cofront.task.integer import QuantizedNetwork
from cofront.task.kernels import FloatKernel
from cofront.task.release import default_weights, digest, load_supernet
from cofront.task.supernet import Supernet
from cofront.task.train import Recipe, Trainer

#: What a first fine-tuning does, and a second one of its result: more to learn from, and the mean of the last weights.
LR = ((0.0, 0.005), (0.1, 0.05), (1.0, 0.0))
FURTHER: dict[str, Any] = {
    "lr": ((0.0, 0.005), (0.05, 0.06), (0.55, 0.03), (1.0, 0.004)),
    "cutmix": 0.5,
    "average_from": 0.55,
}


@dataclass(frozen=True)
class Trained:
    """A trained sub-network: shared weights of which `point` uses a slice, and what was done to them."""

    point: npt.NDArray[np.int64]
    net: Supernet
    meta: dict[str, Any]


def network_of(point: npt.ArrayLike) -> Network:
    """The Network of a point of `subgraph32`, bit-widths included."""
    return Subgraph32().network(subnet.as_point(point))


def finetune(
    point: npt.ArrayLike,
    minutes: float,
    seed: int,
    data: Dataset,
    folder: Path,
    weights: str | Path | None = None,
    log_s: float = 60,
    threads: int = 2,
    further: bool = False,
) -> Trained:
    """Train one point within a time box, from the supernet's weights; goes on from `folder`'s checkpoint if it has one.

    `weights` None means the ones that ship with the package. A checkpoint of another point, seed, start or other images
    is a UsageError. `further` is for weights that were fine-tuned before: images are mixed, and the last weights
    averaged.
    """
    p = subnet.as_point(point)
    how: dict[str, Any] = FURTHER if further else {"lr": LR}
    recipe = Recipe(minutes=minutes, seed=seed, point=tuple(p.tolist()), threads=threads, **how)
    source = default_weights() if weights is None else Path(weights)
    trainer = Trainer(data, recipe, folder, digest(source))
    if trainer.checkpoint.exists():
        trainer.load()
    else:
        trainer.net.load_state_dict(load_supernet(weights)[0].state_dict())
    if trainer.share < 1:
        trainer.run(log_s=log_s)
    trainer.settle()
    return Trained(p, trainer.net, trainer.summary())


def calibrated(net: Supernet, point: npt.ArrayLike, data: Dataset) -> QNet:
    """A point's quantised network in real scales, computed in float32 so that every machine gets the same."""
    return Evaluator(net, data, kernel=FloatKernel()).quantise(point)


def quantize(
    net: Supernet, point: npt.ArrayLike, data: Dataset, meta: dict[str, Any] | None = None
) -> QuantizedNetwork:
    """The integer network of a point with the weights `net`, calibrated on training images."""
    return to_integers(calibrated(net, point, data), network_of(point), meta)


def compare(
    net: Supernet, point: npt.ArrayLike, data: Dataset, images: str = "test"
) -> tuple[dict[str, float], QuantizedNetwork]:
    """Accuracy of the quantised PyTorch network (float32) and of the integers, how often they agree, and the latter."""
    x, y = (data.x_test, data.y_test) if images == "test" else (data.x_val, data.y_val)
    q = calibrated(net, point, data)
    evaluator = Evaluator(net, data, (x, y), FloatKernel())
    real = evaluator.predict(q)
    integers = to_integers(q, network_of(point))
    whole = integers.run(x).argmax(1)
    result = {
        "images": float(len(y)),
        "pytorch": float((real == y).mean()),
        "integer": float((whole == y).mean()),
        "agreement": float((real == whole).mean()),
    }
    return result, integers
