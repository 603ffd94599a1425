"""A Network as a PyTorch module, and that module's weights with batch norm folded."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cofront.errors import InputError, UnsupportedError
from cofront.network.graph import Network, Node
from cofront.network.ops import (
    Activation,
    ActivationKind,
    Add,
    AdderConv2d,
    ChannelShuffle,
    Concat,
    Conv2d,
    Convolution,
    Flatten,
    GlobalPool,
    Linear,
    Mul,
    Padding,
    Pair,
    Pool2d,
    ShiftConv2d,
)
from cofront.network.shift_adder import WEIGHT_BITS
from cofront.network.torch_io.shift_adder import adder_conv2d, power_of_two
from cofront.network.weights import Weights, has_bias, has_scale, validate

#: What batch norm adds to the variance (PyTorch's own default).
EPS = 1e-5


def _torch_sides(padding: Padding) -> list[int]:
    """(top, left, bottom, right) in the order of `torch.nn.functional.pad`."""
    top, left, bottom, right = padding
    return [left, right, top, bottom]


def _zero(layer: nn.Conv2d | nn.Linear) -> None:
    """No draw from PyTorch's global generator: `to_torch` fills the parameters."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ConvNorm(nn.Conv2d):
    """A convolution with an optional batch norm and activation behind it; zero until initialised or loaded."""

    norm: nn.BatchNorm2d | None
    #: The activation that is computed here and not by its own node; see `NetworkModule.fuse_activations`.
    act: ActivationKind | None = None

    def reset_parameters(self) -> None:
        _zero(self)

    def convolved(self, x: Tensor) -> Tensor:
        return super().forward(x)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolved(x)
        y = y if self.norm is None else self.norm(y)
        return y if self.act is None else _ACTIVATIONS[self.act](y)


class ShiftNorm(ConvNorm):
    """The same with weights that are signed powers of two of `bits` bits."""

    bits: int

    def convolved(self, x: Tensor) -> Tensor:
        weight = power_of_two(self.weight, self.bits)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class AdderNorm(ConvNorm):
    """The same with sums of absolute differences in the place of products."""

    stride: Pair
    padding: Pair
    dilation: Pair

    def convolved(self, x: Tensor) -> Tensor:
        y = adder_conv2d(x, self.weight, self.stride, self.padding, self.dilation, self.groups)
        return y if self.bias is None else y + self.bias[:, None, None]


class Dense(nn.Linear):
    """A linear layer; zero until initialised or loaded."""

    norm: None = None

    def reset_parameters(self) -> None:
        _zero(self)


Layer = ConvNorm | Dense


def _make_layer(network: Network, node: Node) -> Layer:
    (shape,) = network.in_shapes(node)
    op = node.op
    if isinstance(op, Linear):
        return Dense(shape[0], op.out_features, bias=op.bias)
    assert isinstance(op, Convolution)
    kinds: dict[type[Convolution], type[ConvNorm]] = {ShiftConv2d: ShiftNorm, AdderConv2d: AdderNorm}
    conv = kinds.get(type(op), ConvNorm)(
        shape[0],
        op.out_channels,
        op.kernel,
        stride=op.stride,
        padding=op.padding[:2] if op.padding[:2] == op.padding[2:] else 0,
        dilation=op.dilation,
        groups=op.groups,
        bias=op.bias,
    )
    if isinstance(conv, ShiftNorm):
        conv.bits = node.weight_bits or WEIGHT_BITS
    conv.norm = nn.BatchNorm2d(op.out_channels, eps=EPS) if op.norm else None
    return conv


class NetworkModule(nn.Module):
    """Computes `network` in train or eval mode; parameters are named `<node>.weight`, `.bias`, `<node>.norm.*`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self._layer: dict[str, Layer] = {}
        # Shorter names first, so that "a" exists before "a.b" is hung below it.
        for node in sorted(network.layers, key=lambda n: n.name.count(".")):
            self._layer[node.name] = _make_layer(network, node)
            self._attach(node.name, self._layer[node.name])
        # Tensors whose last reader is a node are dropped behind it, so that memory stays that of the widest cut.
        last_reader = {i: n.name for n in network.nodes for i in n.inputs}
        self._drop: dict[str, list[str]] = {}
        for tensor, reader in last_reader.items():
            self._drop.setdefault(reader, []).append(tensor)
        self._fused: set[str] = set()

    def fuse_activations(self, kinds: Collection[ActivationKind]) -> None:
        """Such activations are computed by the convolution before them, where they are its output's only reader."""
        readers = self.network.consumers
        for node in self.network.nodes[1:]:
            layer = self._layer.get(node.inputs[0])
            if (
                isinstance(node.op, Activation)
                and node.op.kind in kinds
                and isinstance(layer, ConvNorm)
                and len(readers[node.inputs[0]]) == 1
            ):
                layer.act = node.op.kind
                self._fused.add(node.name)

    def _attach(self, name: str, layer: nn.Module) -> None:
        """Register a layer under its dotted name; segments that nn.Module itself uses get a "_" at their end."""
        *path, leaf = name.split(".")
        owner: nn.Module = self
        for part in path:
            key = part or "_"
            while key not in owner._modules and hasattr(owner, key):
                key += "_"
            child = owner._modules.get(key)
            if child is None:
                child = nn.Module()
                owner.add_module(key, child)
            owner = child
        leaf = leaf or "_"
        while hasattr(owner, leaf):
            leaf += "_"
        owner.add_module(leaf, layer)

    def layer(self, name: str) -> Layer:
        """The convolution (with its batch norm as `.norm`) or linear layer of node `name`."""
        return self._layer[name]

    def forward(self, x: Tensor) -> Tensor:
        values = {self.network.input.name: x}
        for node in self.network.nodes[1:]:
            values[node.name] = self._compute(node, [values[i] for i in node.inputs])
            for dead in self._drop.get(node.name, ()):
                del values[dead]
        return values[self.network.output.name]

    def _run(self, node: Node, x: Tensor) -> Tensor:
        out: Tensor = self._layer[node.name](x)
        return out

    def _compute(self, node: Node, inputs: list[Tensor]) -> Tensor:
        op, x = node.op, inputs[0]
        match op:
            case Conv2d() | ShiftConv2d() | AdderConv2d():
                if op.padding[:2] != op.padding[2:]:
                    x = F.pad(x, _torch_sides(op.padding))
                return self._run(node, x)
            case Linear():
                return self._run(node, x)
            case Activation():
                return x if node.name in self._fused else _ACTIVATIONS[op.kind](x)
            case GlobalPool():
                return x.mean((2, 3), keepdim=True)
            case Pool2d():
                return _pool(op, x)
            case Add():
                return _sum(inputs)
            case Mul():
                return _product(inputs)
            case Concat():
                return torch.cat(inputs, 1)
            case ChannelShuffle():
                return F.channel_shuffle(x, op.groups)
            case Flatten():
                return torch.flatten(x, 1)
        raise UnsupportedError(f"node '{node.name}': {type(op).__name__} has no PyTorch counterpart here")


def _sum(inputs: list[Tensor]) -> Tensor:
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    return total


def _product(inputs: list[Tensor]) -> Tensor:
    product = inputs[0]
    for x in inputs[1:]:
        product = product * x
    return product


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hswish": F.hardswish,
    "hsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
}


def _pool(op: Pool2d, x: Tensor) -> Tensor:
    top, left, bottom, right = op.padding
    # PyTorch pads both sides alike and by at most half the kernel; anything else is padded by hand.
    plain = (top, left) == (bottom, right) and 2 * top <= op.kernel[0] and 2 * left <= op.kernel[1]
    if plain and op.kind == "max":
        return F.max_pool2d(x, op.kernel, op.stride, (top, left), ceil_mode=op.ceil_mode)
    if plain:
        return F.avg_pool2d(x, op.kernel, op.stride, (top, left), op.ceil_mode, op.count_include_pad)
    # Exactly what the windows cover: more than the padded input in ceil mode, or less (a negative pad crops).
    _, rows, columns = op.out_shape((tuple(x.shape[1:]),))
    over_h = (rows - 1) * op.stride[0] + op.kernel[0] - (x.shape[2] + top + bottom)
    over_w = (columns - 1) * op.stride[1] + op.kernel[1] - (x.shape[3] + left + right)
    over = [0, over_w, 0, over_h]
    sides = _torch_sides(op.padding)
    if op.kind == "max":
        return F.max_pool2d(F.pad(F.pad(x, sides, value=-math.inf), over, value=-math.inf), op.kernel, op.stride)
    counted = F.pad(torch.ones_like(x[:1, :1]), sides, value=float(op.count_include_pad))
    total = F.avg_pool2d(F.pad(F.pad(x, sides), over), op.kernel, op.stride)
    return total / F.avg_pool2d(F.pad(counted, over), op.kernel, op.stride)


def to_torch(
    network: Network,
    weights: Mapping[str, NDArray[np.float32]] | None = None,
    rng: np.random.Generator | None = None,
) -> NetworkModule:
    """The network as a module in train mode, on the CPU.

    With `weights` it computes exactly what they say in eval mode: batch norms hold the identity and the bias. Without,
    it is initialised for training (He-normal weights, biases 0) from `rng`, by default seed 0. Bit-widths are not
    simulated, but those of shift weights; adder weights are initialised with standard deviation 1 [AdderNet20].
    """
    module = NetworkModule(network)
    known = None if weights is None else validate(network, weights)
    rng = rng or np.random.default_rng(0)
    with torch.no_grad():
        for node in network.layers:
            layer = module.layer(node.name)
            if known is None:
                of_adder = isinstance(node.op, AdderConv2d)
                std = 1.0 if of_adder else math.sqrt(2.0 / math.prod(layer.weight.shape[1:]))
                draw = std * rng.standard_normal(tuple(layer.weight.shape), dtype=np.float32)
                layer.weight.copy_(torch.from_numpy(draw))
                continue
            layer.weight.copy_(torch.from_numpy(known[f"{node.name}.weight"]))
            if has_bias(node):
                value = torch.from_numpy(known[f"{node.name}.bias"])
                if layer.norm is None:
                    assert layer.bias is not None
                    layer.bias.copy_(value)
                else:
                    assert layer.norm.running_var is not None
                    layer.norm.bias.copy_(value)
                    layer.norm.running_var.fill_(1.0 - EPS)
                    if has_scale(node):
                        layer.norm.weight.copy_(torch.from_numpy(known[f"{node.name}.scale"]))
    return module


def fold_batchnorm(module: NetworkModule) -> Weights:
    """The module's weights as arrays, its batch norms (with their running statistics) folded in."""
    if not isinstance(module, NetworkModule):
        raise InputError(f"expected the module that to_torch made, got {type(module).__name__}; see from_torch")
    weights: Weights = {}
    for node in module.network.layers:
        layer = module.layer(node.name)
        norm = layer.norm
        w, b = to_numpy(layer.weight), to_numpy(layer.bias)
        if norm is not None:
            ones = np.ones((len(layer.weight), 1)) if has_scale(node) else w  # folded into ones, the scale is left
            new, b = fold(
                ones, b, to_numpy(norm.weight), to_numpy(norm.bias), norm.running_mean, norm.running_var, norm.eps
            )
            if has_scale(node):
                weights[f"{node.name}.scale"] = new[:, 0].astype(np.float32)
            else:
                w = new
        assert w is not None
        weights[f"{node.name}.weight"] = w.astype(np.float32)
        if b is not None:
            weights[f"{node.name}.bias"] = b.astype(np.float32)
    return validate(module.network, weights)


Array = NDArray[np.floating[Any]]


def to_numpy(tensor: object) -> Array | None:
    if not isinstance(tensor, Tensor):
        return None
    return np.asarray(tensor.detach().cpu().to(torch.float32).numpy())


def fold(
    weight: Array | None,
    bias: Array | None,
    gamma: Array | None,
    beta: Array | None,
    mean: object,
    var: object,
    eps: float,
) -> tuple[Array, Array]:
    """Weight and bias of layer and batch norm together, in float64; axis 0 of `weight` is the output channel."""
    mean_, var_ = to_numpy(mean), to_numpy(var)
    assert weight is not None and mean_ is not None and var_ is not None
    scale = (1.0 if gamma is None else gamma) / np.sqrt(var_.astype(np.float64) + eps)
    offset = (0.0 if beta is None else beta) + ((0.0 if bias is None else bias) - mean_.astype(np.float64)) * scale
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), offset
