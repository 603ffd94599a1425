"""`cifar10-small`: the layers around and between the choices of small searches on CIFAR-10, one for three spaces.

It is ours, sized so that a search takes minutes on a CPU: eight searched layers instead of 21 or 22, the first of them
already at 16 x 16 pixels. Widths are multiples of 16, those that the training kernels for CPUs take.
"""

from __future__ import annotations

from cofront.space.chain import Macro

#: What stands behind the "@" (in `nasa` behind the space and a "-").
VARIANT = "cifar10-small"

SMALL = Macro(
    task="cifar10",
    input_shape=(3, 32, 32),
    classes=10,
    stem=(16, 2),
    layers=((16, 1), (32, 2), (32, 1), (48, 1), (64, 2), (64, 1), (96, 1), (96, 1)),
    head=256,
)
