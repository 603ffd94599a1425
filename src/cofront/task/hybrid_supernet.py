"""A supernet of units of convolutions, shifts and adders, whose smaller expansions are slices of the widest [NASA22].

Of each layer, kind, kernel and grouping only the widest unit is stored; the others take its first hidden channels.
Batch norms use the batch's own statistics, also when a path is judged: no path has statistics of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cofront.network import AdderConv2d, Conv2d, Convolution, ShiftConv2d
from cofront.network.torch_io.shift_adder import adder_conv2d, power_of_two
from cofront.space.chain import Place
from cofront.space.nasa import KINDS, SKIP, UNITS, Unit

EPS = 1e-5
#: Parameters that belong to no unit: stem, head, classifier, and the layers that skips are.
COMMON = "common"


class Draw(Protocol):
    """A relaxed choice: weights (l, o) of the options, and those that run (l, k); None: all that have a weight."""

    @property
    def weights(self) -> Tensor: ...
    @property
    def paths(self) -> Tensor | None: ...


class Layer(nn.Module):
    """A convolution of one kind with its batch norm, of which the first channels can be used alone."""

    def __init__(self, op: type[Convolution], cout: int, cin: int, kernel: int, generator: torch.Generator) -> None:
        super().__init__()
        std = 1.0 if op is AdderConv2d else (2.0 / (cin * kernel**2)) ** 0.5
        self.op = op
        self.weight = nn.Parameter(std * torch.randn((cout, cin, kernel, kernel), generator=generator))
        self.gamma = nn.Parameter(torch.ones(cout))
        self.beta = nn.Parameter(torch.zeros(cout))

    def forward(self, x: Tensor, cout: int, cin: int, stride: int = 1, groups: int = 1, relu: bool = False) -> Tensor:
        """With the first `cout` output channels and `cin` input channels of a group."""
        w = self.weight[:cout, :cin]
        pad = w.shape[-1] // 2
        if self.op is AdderConv2d:
            y = adder_conv2d(x, w, (stride, stride), (pad, pad), groups=groups)
        else:
            w = power_of_two(w) if self.op is ShiftConv2d else w
            y = F.conv2d(x, w, None, stride, pad, 1, groups)
        y = F.batch_norm(y, None, None, self.gamma[:cout], self.beta[:cout], True, 0.0, EPS)
        return F.relu(y) if relu else y


class Stored(nn.Module):
    """The widest unit of a kind, kernel and grouping at one place."""

    def __init__(self, place: Place, unit: Unit, generator: torch.Generator, zero_gamma: bool) -> None:
        super().__init__()
        self.place, self.unit = place, unit
        hidden, ops = unit.expand * place.cin, KINDS[unit.kind]
        self.expand = Layer(ops[0], hidden, place.cin // unit.groups, 1, generator)
        self.filter = Layer(ops[1], hidden, 1, unit.kernel, generator)
        self.project = Layer(ops[2], place.cout, hidden // unit.groups, 1, generator)
        if zero_gamma and place.same_shape:
            nn.init.zeros_(self.project.gamma)

    def forward(self, x: Tensor, expand: int) -> Tensor:
        hidden, g = expand * self.place.cin, self.unit.groups
        h = self.expand(x, hidden, self.place.cin // g, groups=g, relu=True)
        h = F.channel_shuffle(h, g) if g > 1 else h
        h = self.filter(h, hidden, 1, self.place.stride, groups=hidden, relu=True)
        out: Tensor = self.project(h, self.place.cout, hidden // g, groups=g)
        return x + out if self.place.same_shape else out


class HybridSupernet(nn.Module):
    """`operators[i]` names the options of layer i, as in `cofront.space.nasa`; `widths` are those of stem and head.

    `zero_gamma`: the last batch norm of a unit with a residual starts at 0, so that the unit starts as the identity.
    """

    def __init__(
        self,
        places: Sequence[Place],
        operators: Sequence[Sequence[str]],
        widths: tuple[int, int],
        classes: int,
        *,
        stem_stride: int = 1,
        seed: int = 0,
        zero_gamma: bool = True,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.stem_stride = stem_stride
        self.places, self.operators = tuple(places), tuple(tuple(names) for names in operators)
        self.stem = Layer(Conv2d, widths[0], 3, 3, generator)
        self.head = Layer(Conv2d, widths[1], places[-1].cout, 1, generator)
        self.classifier = nn.Linear(widths[1], classes)
        with torch.no_grad():  # not from PyTorch's global generator
            self.classifier.weight.copy_(widths[1] ** -0.5 * torch.randn((classes, widths[1]), generator=generator))
            self.classifier.bias.zero_()
        self.layers = nn.ModuleList()
        for place, names in zip(self.places, self.operators, strict=True):
            stored = nn.ModuleDict()
            units = [UNITS[name] for name in names if name != SKIP]
            for key in dict.fromkeys(map(_key, units)):
                widest = max((u for u in units if _key(u) == key), key=lambda u: u.expand)
                stored[key] = Stored(place, widest, generator, zero_gamma)
            if SKIP in names and not place.same_shape:
                stored[SKIP] = Layer(Conv2d, place.cout, place.cin, 1, generator)
            self.layers.append(stored)

    def kinds(self) -> dict[str, list[nn.Parameter]]:
        """The parameters by kind of unit, and the `COMMON` ones."""
        out: dict[str, list[nn.Parameter]] = {COMMON: []}
        for name, parameter in self.named_parameters():
            first, _, rest = name.partition(".")
            key = rest.split(".")[1] if first == "layers" else SKIP
            out.setdefault(COMMON if key == SKIP else key.partition("_")[0], []).append(parameter)
        return out

    def option(self, x: Tensor, layer: int, option: int) -> Tensor:
        """One option's output."""
        name, stored = self.operators[layer][option], self.layers[layer]
        assert isinstance(stored, nn.ModuleDict)
        place = self.places[layer]
        if name == SKIP:
            return x if place.same_shape else stored[SKIP](x, place.cout, place.cin, place.stride, relu=True)
        out: Tensor = stored[_key(UNITS[name])](x, UNITS[name].expand)
        return out

    def _ends(self, x: Tensor) -> Tensor:
        pooled = self.head(x, len(self.head.weight), x.shape[1], relu=True).mean((2, 3))
        out: Tensor = self.classifier(pooled)
        return out

    def path(self, x: Tensor, choice: Sequence[int]) -> Tensor:
        """Logits of one network: the option of each layer."""
        x = self.stem(x, len(self.stem.weight), 3, self.stem_stride, relu=True)
        for layer, option in enumerate(choice):
            x = self.option(x, layer, option)
        return self._ends(x)

    def _options(self, draw: Draw, layer: int) -> list[int]:
        if draw.paths is not None:
            return [int(o) for o in draw.paths[layer]]
        return list(range(len(self.operators[layer])))

    def forward(self, x: Tensor, draw: Draw) -> Tensor:
        """Logits of a relaxed choice: the options that run, times their weights."""
        x = self.stem(x, len(self.stem.weight), 3, self.stem_stride, relu=True)
        for layer in range(len(self.layers)):
            w = draw.weights[layer].to(x.dtype)
            x = torch.stack([w[o] * self.option(x, layer, o) for o in self._options(draw, layer)]).sum(0)
        return self._ends(x)

    @torch.no_grad()
    def first_bad(self, x: Tensor, draw: Draw) -> str:
        """The first operator whose output is not finite, or ""."""
        if not bool(torch.isfinite(x).all()):
            return "the batch of images"
        x = self.stem(x, len(self.stem.weight), 3, self.stem_stride, relu=True)
        for layer in range(len(self.layers)):
            total = torch.zeros(())
            for o in self._options(draw, layer):
                y = self.option(x, layer, o)
                if not bool(torch.isfinite(y).all()):
                    return f"op{layer}={self.operators[layer][o]}"
                total = total + draw.weights[layer, o].to(y.dtype) * y
            x = total
        return ""


def _key(unit: Unit) -> str:
    return f"{unit.kind}_k{unit.kernel}" + (f"_g{unit.groups}" if unit.groups > 1 else "")
