"""Validation accuracy of (sub-network, precision) points with the supernet's weights, one by one or by the thousand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from cofront.task.augment import resize
from cofront.task.calibrate import QNet, Runner, calibrate
from cofront.task.data import Dataset, Images, Labels, load_dataset
from cofront.task.kernels import Kernel, best_kernel
from cofront.task.release import load_supernet
from cofront.task.subnet import decode
from cofront.task.supernet import Supernet

CALIBRATION = 640


def tensor(x: Images) -> torch.Tensor:
    """Images (n, h, w, 3) uint8 as a tensor (n, 3, h, w) without a copy."""
    return torch.from_numpy(x).permute(0, 3, 1, 2)


class Evaluator:
    """Evaluates points; keeps the resized images of each resolution.

    Statistics and scales come from the first training images, accuracy from all `images`, which are not among them.
    """

    def __init__(
        self,
        net: Supernet,
        data: Dataset,
        images: tuple[Images, Labels] | None = None,
        kernel: Kernel | None = None,
        batch: int = 500,
    ) -> None:
        self.net, self.kernel, self.batch = net, kernel or best_kernel(), batch
        self.x, self.y = images if images is not None else (data.x_val, data.y_val)
        self.x_cal = data.x_train[:CALIBRATION]
        self._inputs: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = {}

    def inputs(self, side: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Calibration batch and evaluation batches at a resolution."""
        if side not in self._inputs:
            batches = [self._input(self.x[i : i + self.batch], side) for i in range(0, len(self.x), self.batch)]
            self._inputs[side] = self._input(self.x_cal, side), batches
        return self._inputs[side]

    @staticmethod
    def _input(x: Images, side: int) -> torch.Tensor:
        return resize(tensor(x), side).to(torch.uint8).contiguous(memory_format=torch.channels_last)

    def quantise(self, point: npt.ArrayLike) -> QNet:
        """The calibrated network of a point."""
        sub = decode(point)
        return calibrate(self.net, sub, self.inputs(sub.resolution)[0], self.kernel)

    def predict(self, net: QNet) -> Labels:
        """Class of each image (n,) by a quantised network."""
        run = Runner(net, self.kernel)
        parts = [run(x).argmax(1) for x in self.inputs(net.resolution)[1]]
        return torch.cat(parts).numpy()

    def right(self, net: QNet) -> int:
        """How many images a quantised network classifies correctly."""
        return int((self.predict(net) == self.y).sum())

    def accuracy(self, point: npt.ArrayLike) -> float:
        """Fraction of the images that a point classifies correctly."""
        return self.right(self.quantise(point)) / len(self.y)


def evaluate_points(
    points: Iterable[npt.ArrayLike], net: Supernet | None = None, data: Dataset | None = None
) -> npt.NDArray[np.float64]:
    """Validation accuracies (n,) of points (n, 25), with the weights and the data set that ship unless given."""
    evaluator = Evaluator(net or load_supernet()[0], data or load_dataset())
    return np.array([evaluator.accuracy(p) for p in points])
