"""The weight-sharing supernet of `subgraph32`: every sub-network is a slice of one set of weights.

Channels are shared by taking the first ones, kernels by taking the centre, expansions by taking the first hidden
channels. The `dw` and `full` operators of a block have weights of their own. Batch-norm statistics belong to no one:
they are the batch's own in training and re-estimated for each sub-network before it is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from cofront.space.subgraph32 import CLASSES
from cofront.task.depthwise import depthwise
from cofront.task.normalise import norm_relu
from cofront.task.quant import fake_act, fake_weight
from cofront.task.subnet import BLOCKS, STEM, WIDTHS, Block, Subnet

EPS = 1e-5
Stats = dict[str, tuple[torch.Tensor, torch.Tensor]]  # batch-norm mean and variance of each convolution, by name


@dataclass(frozen=True)
class Conv:
    """One convolution of a sub-network: whose weights it slices, and its shape. `relu` follows the batch norm."""

    name: str
    cin: int
    cout: int
    kernel: int
    stride: int
    depthwise: bool
    relu: bool


STEM_CONV = Conv("stem", 3, STEM, 3, 1, False, True)


def convs(b: Block) -> tuple[Conv, ...]:
    """The convolutions of a block, in order."""
    if b.kind == "dw":
        return (
            Conv(f"b{b.slot}_dw0", b.cin, b.hidden, 1, 1, False, True),
            Conv(f"b{b.slot}_dw1", b.hidden, b.hidden, b.kernel, b.stride, True, True),
            Conv(f"b{b.slot}_dw2", b.hidden, b.cout, 1, 1, False, False),
        )
    return (
        Conv(f"b{b.slot}_full0", b.cin, b.hidden, b.kernel, b.stride, False, True),
        Conv(f"b{b.slot}_full1", b.hidden, b.cout, 1, 1, False, False),
    )


def _full_shapes() -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    yield "stem", (STEM, 3, 3, 3)
    cin = STEM
    for slot in range(BLOCKS):
        cout = WIDTHS[slot // 3][-1]
        yield f"b{slot}_dw0", (4 * cin, cin, 1, 1)
        yield f"b{slot}_dw1", (4 * cin, 1, 5, 5)
        yield f"b{slot}_dw2", (cout, 4 * cin, 1, 1)
        yield f"b{slot}_full0", (cout, cin, 3, 3)
        yield f"b{slot}_full1", (cout, cout, 1, 1)
        cin = cout


class Supernet(nn.Module):
    """All weights at full size; `forward` runs one sub-network of them."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weights = nn.ParameterDict()
        self.gammas = nn.ParameterDict()
        self.betas = nn.ParameterDict()
        for name, shape in _full_shapes():
            fan_in = shape[1] * shape[2] * shape[3]
            w = torch.randn(shape, generator=generator) * (2.0 / fan_in) ** 0.5
            self.weights[name] = nn.Parameter(w)
            self.gammas[name] = nn.Parameter(torch.ones(shape[0]))
            self.betas[name] = nn.Parameter(torch.zeros(shape[0]))
        last = WIDTHS[-1][-1]
        self.linear = nn.Parameter(torch.randn((CLASSES, last), generator=generator) * last**-0.5)
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def weight(self, c: Conv) -> torch.Tensor:
        """The slice (cout, cin or 1, k, k) that a convolution uses."""
        w: torch.Tensor = self.weights[c.name]
        edge = (w.shape[-1] - c.kernel) // 2
        w = w[: c.cout, : 1 if c.depthwise else c.cin]
        return w[:, :, edge : edge + c.kernel, edge : edge + c.kernel] if edge else w

    def conv(self, x: torch.Tensor, c: Conv, bits: int, stats: Stats | None, update: bool) -> torch.Tensor:
        """Convolution, batch norm and perhaps ReLU; `stats` None means the batch's own."""
        w = self.weight(c)
        if bits < 8:
            w = fake_weight(w, bits)
        if c.depthwise:
            x = depthwise(x, w.to(x.dtype), c.stride)
        else:
            x = F.conv2d(x, w.to(x.dtype), stride=c.stride, padding=c.kernel // 2)
        gamma, beta = self.gammas[c.name][: c.cout], self.betas[c.name][: c.cout]
        if stats is None:
            return norm_relu(x, gamma, beta, EPS, c.relu)
        if update:
            mean, var = torch.zeros(c.cout), torch.ones(c.cout)
            x = F.batch_norm(x, mean, var, gamma, beta, True, 1.0, EPS)
            stats[c.name] = mean, var
        else:
            x = F.batch_norm(x, *stats[c.name], gamma, beta, False, 0.0, EPS)
        return F.relu_(x) if c.relu else x

    def forward(
        self, x: torch.Tensor, net: Subnet, quantised: bool = False, stats: Stats | None = None, update: bool = False
    ) -> torch.Tensor:
        """Logits (n, 10) float32 of inputs (n, 3, r, r).

        `quantised` applies the 4-bit quantisers of each block; 8 bits are left out because training computes in
        bfloat16, whose rounding is about as coarse. `stats` with `update` stores the batch's statistics for later.
        """
        x = self.conv(x, STEM_CONV, 8, stats, update)
        for b in net.blocks:
            w_bits, a_bits = (b.weight_bits, b.act_bits) if quantised else (8, 8)
            h = x
            for i, c in enumerate(convs(b)):
                if a_bits < 8:
                    h = fake_act(h, a_bits, signed=i == 0 and b.slot > 0)
                h = self.conv(h, c, w_bits, stats, update)
            x = x + h if b.residual else h
        pooled = x.mean((2, 3), dtype=torch.float32)
        return F.linear(pooled, self.linear[:, : pooled.shape[1]], self.bias)
