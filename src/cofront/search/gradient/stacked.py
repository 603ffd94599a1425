"""The supernet of `cells` computed fast: what reads one tensor with one kernel is one wide layer.

The edges of a cell that read the same tensor share its ReLU, pools and strides; their convolutions of a kind stand side
by side as channels, in the order edge, channel, and so do their batch norms. The last batch norms, the weights of the
operations and the sums of the nodes are one matrix, which depends on the statistics. The mathematics are those of
`CellSupernet`, whose weights are taken over; stacking is ours.

The layers that cost most come from outside (`Kernels`): on a CPU PyTorch's own depthwise backward is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.supernet import first_not_finite
from cofront.space.darts import AVG_POOL, EDGES, MAX_POOL, NODES, SKIP, Place

LAST = torch.channels_last
EPS = 1e-5


def _norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float, relu: bool) -> Tensor:
    y = F.batch_norm(x, None, None, gamma, beta, True, 0.0, eps)
    return F.relu(y) if relu else y


def _depthwise(x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
    return F.conv2d(x, w, None, stride, dilation * (w.shape[-1] // 2), dilation, len(w))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.double()
    return x.mean((0, 2, 3)), (x * x).mean((0, 2, 3))


@dataclass(frozen=True)
class Kernels:
    """What layers are computed with, all tensors (n, c, h, w) of type `dtype`, channels last; weights come in float32.

    `depthwise(x, w (c, 1, k, k), stride, dilation)`, sides kept but for the stride. `norm(x, gamma (c,), beta (c,),
    eps, relu)`: batch norm by the batch's own statistics. `moments(x)`: means (c,) of x and of its square in float64,
    without a gradient. Channels come in multiples of `lanes`.
    """

    dtype: torch.dtype = torch.float32
    depthwise: Callable[[Tensor, Tensor, int, int], Tensor] = _depthwise
    norm: Callable[[Tensor, Tensor, Tensor, float, bool], Tensor] = _norm
    moments: Callable[[Tensor], tuple[Tensor, Tensor]] = _moments
    lanes: int = 1


def _rows(x: Tensor) -> Tensor:
    """(n, c, h, w), channels last -> (n h w, c)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _image(rows: Tensor, like: Tensor) -> Tensor:
    n, _, h, w = like.shape
    return rows.view(n, h, w, -1).permute(0, 3, 1, 2)


def pointwise(x: Tensor, w: Tensor) -> Tensor:
    """1 x 1 convolution of x (n, c, h, w), channels last, by w (o, c)."""
    return _image(F.linear(_rows(x), w.to(x.dtype)), x)


class _Mixed(torch.autograd.Function):
    """Batch norm of the first channels and then a matrix, without the normalised tensor in between."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, matrix: Tensor,
        moments: Callable[[Tensor], tuple[Tensor, Tensor]],
    ) -> Tensor:  # fmt: skip
        k = len(gamma)
        mean, square = (m[:k] for m in moments(x))
        inverse = ((square - mean * mean).clamp_min(0) + EPS).rsqrt()
        scale, shift = torch.ones_like(matrix[:, 0]), torch.zeros_like(matrix[:, 0])
        scale[:k] = gamma.double() * inverse
        shift[:k] = beta.double() - mean * gamma.double() * inverse
        whole = (scale[:, None] * matrix).to(x.dtype)
        ctx.save_for_backward(x, gamma, matrix, mean, inverse, scale, shift, whole)
        ctx.moments = moments
        return _image(F.linear(_rows(x), whole.t(), (shift @ matrix).to(x.dtype)), x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        x, gamma, matrix, mean, inverse, scale, shift, whole = ctx.saved_tensors
        g, k = grads[0].contiguous(memory_format=LAST), len(gamma)
        m = x.numel() // x.shape[1]
        total = ctx.moments(g)[0] * m
        by = (_rows(x).t() @ _rows(g)).double()
        d_matrix = scale[:, None] * by + shift[:, None] * total
        d_scale, d_shift = (by[:k] * matrix[:k]).sum(1), matrix[:k].double() @ total
        slope = d_scale - mean * d_shift
        d_variance = -0.5 * inverse**3 * gamma * slope
        constant, factor = torch.zeros_like(scale), torch.zeros_like(scale)
        constant[:k] = (-gamma * inverse * d_shift - 2 * mean * d_variance) / m
        factor[:k] = 2 * d_variance / m
        dx = F.linear(_rows(g), whole, constant.to(x.dtype))
        dx.addcmul_(_rows(x), factor.to(x.dtype))
        return _image(dx, x), (inverse * slope).to(gamma.dtype), d_shift.to(gamma.dtype), d_matrix.float(), None


class Fan(nn.Module):
    """All edges of a cell that read one tensor. Its parameters begin as those of `supernet`.

    `depthwise3` and `depthwise5` (3, edges, c, 1, k, k): the first and second of the separable and that of the dilated
    convolution. `pointwise` (p, edges, c, c), `gamma` and `beta` (p, edges, c) in the order of `pairs`.
    """

    def __init__(self, supernet: CellSupernet, place: Place, source: int, kernels: Kernels) -> None:
        super().__init__()
        self.kernels, c = kernels, place.channels
        self.cell, self.edges = place.number, [e for e, (_, s) in enumerate(EDGES) if s == source]
        self.stride = 2 if place.reduces and source < 2 else 1
        strided = self.stride == 2
        #: operation and layer of each pointwise convolution; all but two are the last ones of an operation
        self.pairs = ((4, 1), (5, 1), (4, 3), (5, 3), (6, 1), (7, 1), *(((SKIP, 0),) if strided else ()))
        self.normed = [op for op, _ in self.pairs[2:]]
        self.plain = [MAX_POOL, AVG_POOL, *(() if strided else (SKIP,))]
        # Edges, and tensors without weights, that bring nothing fill the kernels' lanes.
        self.more = next(i for i in range(kernels.lanes) if (len(self.edges) + i) * c % kernels.lanes == 0)
        self.filled = next(i for i in range(kernels.lanes) if (len(self.plain) + i) * c % kernels.lanes == 0)
        wide = len(self.edges) + self.more
        self.columns, self.nodes, self.unit, self.copies, self.blocks = (
            nn.Buffer(t, persistent=False)
            for t in (
                torch.tensor([len(EDGES) * place.reduces + e for e in self.edges]),
                F.one_hot(torch.tensor([EDGES[e][0] for e in self.edges]), NODES).float(),
                torch.eye(c), torch.eye(c).repeat(wide, 1), torch.eye(wide)[:, None, :, None],
            )
        )  # fmt: skip
        for name, value in self.stacked(supernet, lambda p: p.detach()).items():
            self.register_parameter(name, nn.Parameter(value.clone()))

    def stacked(self, supernet: CellSupernet, get: Callable[[nn.Parameter], Tensor]) -> dict[str, Tensor]:
        """This fan's parameters, or what `get` gives of those of a supernet, such as gradients."""

        def layers(op: int, number: int) -> list[Any]:
            """Layer `number` of an operation, on each edge."""
            cell: Any = supernet.operations[self.cell]
            return [cell[e][op].layer(cell[e][op].network.layers[number].name) for e in self.edges]

        def depthwise(*pairs: tuple[int, int]) -> Tensor:
            return torch.stack([torch.stack([get(m.weight) for m in layers(*p)]) for p in pairs])

        both = [layers(*p) for p in self.pairs]
        return {
            "depthwise3": depthwise((4, 0), (4, 2), (6, 0)),
            "depthwise5": depthwise((5, 0), (5, 2), (7, 0)),
            "pointwise": torch.stack([torch.stack([get(m.weight)[..., 0, 0] for m in ms]) for ms in both]),
            "gamma": torch.stack([torch.stack([get(m.norm.weight) for m in ms]) for ms in both]),
            "beta": torch.stack([torch.stack([get(m.norm.bias) for m in ms]) for ms in both]),
        }

    def _of(self, name: str) -> Tensor:
        """A parameter whose edges fill the lanes."""
        p = self.get_parameter(name)
        return F.pad(p, (0, 0) * (p.ndim - 2) + (0, self.more)) if self.more else p

    def _matrix(self, weights: Tensor) -> Tensor:
        """What of each channel reaches each of the four nodes' channels, by the weights (8, 28)."""
        mine = weights.index_select(1, self.columns)
        normed = mine[self.normed, :, None] * self.nodes
        if self.more:
            normed = F.pad(normed, (0, 0, 0, self.more))
        plain = F.pad(mine[self.plain] @ self.nodes, (0, 0, 0, self.filled))
        both = torch.cat([normed.flatten(0, 1), plain])
        return (both[:, None, :, None] * self.unit[:, None, :]).reshape(len(both) * len(self.unit), -1)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """What the edges bring to all nodes (n, 4 c, h, w); x (n, c, h, w) is read, by the weights (8, 28)."""
        k, s = self.kernels, self.stride
        three, five = (self._of(f"depthwise{i}").flatten(1, 2).unbind() for i in (3, 5))
        single, gamma, beta = self._of("pointwise"), self._of("gamma").flatten(1), self._of("beta").flatten(1)
        dense = (single[:6, :, :, None, :] * self.blocks).to(x.dtype).flatten(3).flatten(1, 2).unbind()
        shared = F.relu(x)
        wide = pointwise(shared, self.copies)
        ends = []
        for i, taps in enumerate((three, five)):
            y = pointwise(k.depthwise(wide, taps[0], s, 1), dense[i])
            y = k.norm(y, gamma[i], beta[i], EPS, True)
            ends.append(pointwise(k.depthwise(y, taps[1], 1, 1), dense[2 + i]))
        ends += [pointwise(k.depthwise(wide, t[2], s, 2), w) for t, w in ((three, dense[4]), (five, dense[5]))]
        if s == 2:
            ends.append(pointwise(shared[:, :, ::s, ::s], single[6].flatten(0, 1)))
        ends += [F.max_pool2d(x, 3, s, 1), F.avg_pool2d(x, 3, s, 1, False, False), *([x] if s == 1 else [])]
        whole = torch.cat(ends + ends[-1:] * self.filled, 1).contiguous(memory_format=LAST)
        matrix = self._matrix(weights)
        out: Tensor = _Mixed.apply(whole, gamma[2:].flatten(), beta[2:].flatten(), matrix, k.moments)  # type: ignore[no-untyped-call]
        return out


class StackedCells(nn.Module):
    """`CellSupernet`, stacked; it begins with the weights of `supernet`, which it does not change or keep.

    Every operation is run, whatever paths a draw leaves out. Batch norms keep no running statistics.
    """

    def __init__(self, supernet: CellSupernet, kernels: Kernels | None = None) -> None:
        super().__init__()
        self.layers, self.places, self.kernels = supernet.layers, supernet.places, kernels or Kernels()
        self.ends = nn.ParameterDict()
        for name, value in self.ends_of(supernet, lambda p: p.detach()).items():
            self.ends[name] = nn.Parameter(value.clone())
        self.fans = nn.ModuleList(
            nn.ModuleList(Fan(supernet, place, s, self.kernels) for s in range(1 + NODES)) for place in supernet.places
        )

    @staticmethod
    def ends_of(supernet: CellSupernet, get: Callable[[nn.Parameter], Tensor]) -> dict[str, Tensor]:
        """The parameters outside of the edges, or what `get` gives of them."""
        modules = {"stem": supernet.stem, "head": supernet.head}
        for place, fits in zip(supernet.places, supernet.fits, strict=True):
            assert isinstance(fits, nn.ModuleList)
            modules |= {f"fit{place.number}_{i}": m for i, m in enumerate(fits)}
        out = {}
        for name, module in modules.items():
            for key, value in module.named_parameters():
                out[f"{name}_{'norm_' if 'norm' in key else ''}{key.rpartition('.')[2]}"] = get(value)
        return out

    def _normed(self, name: str, x: Tensor) -> Tensor:
        return self.kernels.norm(x, self.ends[f"{name}_norm_weight"], self.ends[f"{name}_norm_bias"], EPS, False)

    def forward(self, x: Tensor, relaxed: Relaxed) -> Tensor:
        return self._run(x, relaxed, None)

    def _run(self, x: Tensor, relaxed: Relaxed, bad: list[str] | None) -> Tensor:
        """The logits in float32; what is not finite goes to `bad`."""
        weights = relaxed.weights.float().t()
        x = x.to(self.kernels.dtype).contiguous(memory_format=LAST)
        stem = F.conv2d(x, self.ends["stem_weight"].to(x.dtype), padding=1)
        before = last = self._normed("stem", stem.contiguous(memory_format=LAST))
        for place, fans in zip(self.places, self.fans, strict=True):
            assert isinstance(fans, nn.ModuleList)
            inputs = [self._fit(place, i, y) for i, y in enumerate((before, last))]
            c, total = NODES * place.channels, torch.zeros((), device=x.device)
            nodes = torch.eye(c, device=x.device).view(NODES, place.channels, c)
            for source, fan in enumerate(fans):
                if source >= 2:
                    inputs.append(pointwise(total, nodes[source - 2]))
                brought = fan(inputs[source], weights)
                if bad is not None and not bool(torch.isfinite(brought).all()):
                    bad.append(f"one of cell {place.number} that reads its tensor {source}")
                total = brought if source == 0 else total + brought
            before, last = last, total
        return F.linear(last.mean((2, 3), dtype=torch.float32), self.ends["head_weight"], self.ends["head_bias"])

    def _fit(self, place: Place, which: int, x: Tensor) -> Tensor:
        name, stride = f"fit{place.number}_{which}", place.strides[which]
        x = F.relu(x[:, :, ::stride, ::stride])
        return self._normed(name, pointwise(x, self.ends[f"{name}_weight"][..., 0, 0]))

    def first_bad(self, x: Tensor, relaxed: Relaxed) -> str:
        """The first stack of operators whose output is not finite, in the order of the cells."""
        return first_not_finite(lambda bad: self._run(x, relaxed, bad), x)
