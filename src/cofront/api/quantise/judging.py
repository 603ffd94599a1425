"""Accuracies, a few images at a time: how far it is can be seen, and Ctrl-C is obeyed within seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cofront.api.quantise.scene import Scene

#: Images of a batch, and multiply-accumulates: fewer images of a larger network.
IMAGES, MACS = 100, 2e10

#: The share of uint8 images (n, h, w, c) classified as their labels (n,).
Accuracy = Callable[[Any, Any], float]


def judged(scene: Scene, stage: str, what: str, accuracy: Accuracy, x: Any, y: Any) -> float:
    """The share of all images that is right; KeyboardInterrupt when it is to stop."""
    batch = max(1, min(IMAGES, int(MACS / max(scene.network.macs, 1))))
    right = 0
    for i in range(0, len(y), batch):
        if scene.stop():
            raise KeyboardInterrupt
        scene.say(stage, f"{what}, image {i:,} of {len(y):,}")
        some = y[i : i + batch]
        right += round(accuracy(x[i : i + batch], some) * len(some))
    return right / len(y)


def floating(scene: Scene) -> Accuracy:
    """Of the network in floating point."""
    import torch

    from cofront.task.quantise.inputs import PIXELS, pixels_of
    from cofront.task.quantise.observe import watched

    net = watched(scene.network, scene.model.weights)

    def accuracy(x: Any, y: Any) -> float:
        with torch.inference_mode():
            real = (pixels_of(x, scene.network) - PIXELS.zero) * PIXELS.scale
            return float(np.mean(net(real).flatten(1).argmax(1).numpy() == y))

    return accuracy
