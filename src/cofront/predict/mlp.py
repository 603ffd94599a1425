"""A multi-layer perceptron on one-hot choices and totals of work."""

from __future__ import annotations

import torch
from torch import nn

from cofront.predict.base import FloatArray
from cofront.predict.columns import latency_columns
from cofront.predict.nets import NetPredictor, layers
from cofront.space import Points, Space

WIDTH = 100


class _Flat(nn.Module):
    def __init__(self, columns: int) -> None:
        super().__init__()
        self.net = layers([columns, WIDTH, WIDTH, 1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(x)
        return out[:, 0]


class Mlp(NetPredictor):
    """Two hidden layers of 100 units, four members."""

    name = "mlp"
    decay = 0.03

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return latency_columns(space, points)

    def module(self, columns: int) -> nn.Module:
        return _Flat(columns)
