"""The operators a Network is made of: what each computes, its output shape, its multiply-accumulates.

Shapes are (channels, height, width) for feature maps and (features,) for vectors; there is never a batch axis.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

from cofront.errors import InputError

Shape = tuple[int, ...]
Pair = tuple[int, int]
Padding = tuple[int, int, int, int]  # top, left, bottom, right: ONNX order

ActivationKind = Literal["relu", "relu6", "hswish", "hsigmoid", "sigmoid", "silu"]


class Op(ABC):
    """An operator. `arity` is the number of inputs it takes (None: two or more)."""

    arity: int | None = 1

    @abstractmethod
    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """Shape of the output; an InputError where the inputs do not fit."""

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        """Multiply-accumulates for one sample; 0 for everything but convolution and linear layers.

        What accumulates something else in the place of products counts the same.
        """
        return 0

    def weight_shape(self, inputs: tuple[Shape, ...]) -> Shape | None:
        """Shape of the weight tensor, or None."""
        return None


def _need_map(op: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise InputError(f"{op} expects a (channels, height, width) input, got shape {shape}")
    return shape[0], shape[1], shape[2]


def _window(size: int, kernel: int, stride: int, pad: int, dilation: int = 1, ceil: bool = False) -> int:
    span = size + pad - dilation * (kernel - 1) - 1
    if span < 0:
        raise InputError(f"window of {kernel} (dilation {dilation}) is larger than the padded input of {size + pad}")
    return (math.ceil(span / stride) if ceil else span // stride) + 1


def _whole(op: str, least: int, **values: int | tuple[int, ...]) -> None:
    """InputError unless every value, or every number in it, is a whole number of at least `least`."""
    for name, value in values.items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, Integral) or number < least:
                raise InputError(f"{op}: {name} must be whole numbers of at least {least}, got {value!r}")


def _one_of(op: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{op} must be one of {', '.join(known)}, got {value!r}")


def _broadcast(op: str, inputs: tuple[Shape, ...]) -> Shape:
    big = max(inputs, key=math.prod)
    for shape in inputs:
        if shape != big and not (len(shape) == len(big) and shape == (big[0],) + (1,) * (len(big) - 1)):
            raise InputError(f"element-wise {op} cannot broadcast {shape} to {big}")
    return big


@dataclass(frozen=True, slots=True)
class Input(Op):
    """The network's input; `shape` without batch."""

    shape: Shape
    arity = 0

    def __post_init__(self) -> None:
        _whole("input", 1, shape=self.shape)

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return self.shape


@dataclass(frozen=True, slots=True)
class Convolution(Op):
    """What the 2-d convolutions have in common; depthwise when `groups` equals the input channels.

    `norm` says that a batch normalisation follows in training; it is folded at inference, and its scale and
    offset (2 per channel) count as parameters, as the published figures do.
    """

    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    dilation: Pair = (1, 1)
    bias: bool = False
    norm: bool = True

    def __post_init__(self) -> None:
        _whole("convolution", 1, out_channels=self.out_channels, kernel=self.kernel, stride=self.stride)
        _whole("convolution", 1, groups=self.groups, dilation=self.dilation)
        _whole("convolution", 0, padding=self.padding)

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        c, h, w = _need_map("convolution", inputs[0])
        if c % self.groups or self.out_channels % self.groups:
            raise InputError(f"convolution {c}->{self.out_channels} cannot be split into {self.groups} groups")
        top, left, bottom, right = self.padding
        return (
            self.out_channels,
            _window(h, self.kernel[0], self.stride[0], top + bottom, self.dilation[0]),
            _window(w, self.kernel[1], self.stride[1], left + right, self.dilation[1]),
        )

    def weight_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (self.out_channels, inputs[0][0] // self.groups, *self.kernel)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        _, h, w = self.out_shape(inputs)
        return h * w * math.prod(self.weight_shape(inputs))

    def is_depthwise(self, in_channels: int) -> bool:
        return self.groups == in_channels == self.out_channels and self.groups > 1


@dataclass(frozen=True, slots=True)
class Conv2d(Convolution):
    """The convolution that multiplies."""


@dataclass(frozen=True, slots=True)
class ShiftConv2d(Convolution):
    """A convolution whose weights are signed powers of two, so that each product is a shift [DeepShift21].

    Its batch norm cannot be folded into such weights and leaves a scale and an offset per channel.
    """


@dataclass(frozen=True, slots=True)
class AdderConv2d(Convolution):
    """Minus the sum of |input - weight| in the place of the sum of products [AdderNet20].

    Its batch norm cannot be folded and leaves a scale and an offset per channel. Padding counts as zeros.
    """


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """Fully connected layer on a vector."""

    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        _whole("linear layer", 1, out_features=self.out_features)

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len(inputs[0]) != 1:
            raise InputError(f"linear layer expects a vector, got shape {inputs[0]}; flatten or pool it first")
        return (self.out_features,)

    def weight_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (self.out_features, inputs[0][0])

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return self.out_features * inputs[0][0]


@dataclass(frozen=True, slots=True)
class Pool2d(Op):
    """Max or average pooling over windows."""

    kind: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0, 0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        _one_of("kind of pooling", self.kind, ("max", "avg"))
        _whole("pooling", 1, kernel=self.kernel, stride=self.stride)
        _whole("pooling", 0, padding=self.padding)

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        c, h, w = _need_map("pooling", inputs[0])
        top, left, bottom, right = self.padding
        rows = _window(h, self.kernel[0], self.stride[0], top + bottom, ceil=self.ceil_mode)
        columns = _window(w, self.kernel[1], self.stride[1], left + right, ceil=self.ceil_mode)
        if self.ceil_mode:  # PyTorch and ONNX drop a window that would start beyond the input and its leading padding.
            rows -= (rows - 1) * self.stride[0] >= h + top
            columns -= (columns - 1) * self.stride[1] >= w + left
        return (c, rows, columns)


@dataclass(frozen=True, slots=True)
class GlobalPool(Op):
    """Average over the whole map: (c, h, w) -> (c, 1, 1)."""

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        c, _, _ = _need_map("global pooling", inputs[0])
        return (c, 1, 1)


@dataclass(frozen=True, slots=True)
class Activation(Op):
    kind: ActivationKind

    def __post_init__(self) -> None:
        _one_of("activation", self.kind, get_args(ActivationKind))

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Element-wise sum; (c, 1, 1) broadcasts over (c, h, w)."""

    arity = None

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return _broadcast("add", inputs)


@dataclass(frozen=True, slots=True)
class Mul(Op):
    """Element-wise product; (c, 1, 1) broadcasts over (c, h, w), as squeeze-excite needs."""

    arity = None

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return _broadcast("multiply", inputs)


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Concatenation along the channels."""

    arity = None

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len({s[1:] for s in inputs}) != 1:
            raise InputError(f"concatenation needs equal heights and widths, got {list(inputs)}")
        return (sum(s[0] for s in inputs), *inputs[0][1:])


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Op):
    """Reshape (g, c/g), transpose, flatten: mixes the channels of grouped convolutions."""

    groups: int

    def __post_init__(self) -> None:
        _whole("channel shuffle", 1, groups=self.groups)

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        c, h, w = _need_map("channel shuffle", inputs[0])
        if c % self.groups:
            raise InputError(f"{c} channels cannot be shuffled in {self.groups} groups")
        return (c, h, w)


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (math.prod(inputs[0]),)
