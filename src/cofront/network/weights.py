"""Weights of a Network: a dictionary of float32 arrays, `<node>.weight` and `<node>.bias`, batch norm folded.

A layer has a bias entry when it has a bias or a batch norm (which folds into one), and `<node>.scale` where a batch
norm cannot be folded (shift and adder convolutions); see `weight_shapes`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.network.graph import Network, Node
from cofront.network.ops import AdderConv2d, Conv2d, Convolution, Linear, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

Weights = dict[str, NDArray[np.float32]]


def has_bias(node: Node) -> bool:
    """Whether the layer has a bias once batch norm is folded."""
    op = node.op
    return isinstance(op, Linear | Convolution) and (op.bias or (isinstance(op, Convolution) and op.norm))


def has_scale(node: Node) -> bool:
    """Whether the layer has a batch norm that its weights cannot take in."""
    return isinstance(node.op, Convolution) and node.op.norm and not isinstance(node.op, Conv2d)


def weight_shapes(network: Network) -> dict[str, Shape]:
    """Every key that a weights dictionary of `network` must have, with its shape, in the order of the layers."""
    shapes: dict[str, Shape] = {}
    for node in network.layers:
        shape = node.op.weight_shape(network.in_shapes(node))
        assert shape is not None
        shapes[f"{node.name}.weight"] = shape
        if has_scale(node):
            shapes[f"{node.name}.scale"] = (shape[0],)
        if has_bias(node):
            shapes[f"{node.name}.bias"] = (shape[0],)
    return shapes


def random_weights(network: Network, rng: np.random.Generator, bias_std: float = 0.1) -> Weights:
    """He-normal weights and small normal biases: activations keep their magnitude through deep networks.

    Scales are what a batch norm would leave on such inputs: 1, or less the more differences are summed, whose mean the
    bias then makes up for.
    """
    weights: Weights = {}
    for key, shape in weight_shapes(network).items():
        if key.endswith(".scale"):
            node = network.by_name[key.removesuffix(".scale")]
            terms = math.prod(weights[f"{node.name}.weight"].shape[1:]) if isinstance(node.op, AdderConv2d) else 1
            weights[key] = (terms**-0.5 * rng.uniform(0.5, 1.5, shape)).astype(np.float32)
            continue
        std = bias_std if key.endswith(".bias") else math.sqrt(2.0 / math.prod(shape[1:]))
        weights[key] = (std * rng.standard_normal(shape)).astype(np.float32)
        layer = key.removesuffix(".bias")
        if layer != key and isinstance(network.by_name[layer].op, AdderConv2d):
            terms = math.prod(weights[f"{layer}.weight"].shape[1:])
            weights[key] += np.float32(0.8 * terms) * weights.get(f"{layer}.scale", np.ones(shape, np.float32))
    return weights


def validate(network: Network, weights: Mapping[str, NDArray[np.float32]]) -> Weights:
    """The weights as contiguous, writable float32 arrays; an InputError names what is missing, foreign or misshapen."""
    expected = weight_shapes(network)
    missing = [k for k in expected if k not in weights]
    foreign = [k for k in weights if k not in expected]
    if missing or foreign:
        parts = [f"missing {_some(missing)}"] * bool(missing) + [f"not in the network {_some(foreign)}"] * bool(foreign)
        raise InputError(f"weights of '{network.name}': {'; '.join(parts)}")
    out: Weights = {}
    for key, shape in expected.items():
        array = np.asarray(weights[key])
        if array.shape != shape:
            raise InputError(f"weights of '{network.name}': '{key}' should have shape {shape}, has {array.shape}")
        if not np.issubdtype(array.dtype, np.floating):
            raise InputError(f"weights of '{network.name}': '{key}' should be floating point, is {array.dtype}")
        # a copy of what is read-only, as arrays of an ONNX file are: tensors share memory with these
        out[key] = np.require(array, np.float32, ("C", "W"))
        if not np.isfinite(out[key]).all():
            raise InputError(f"weights of '{network.name}': '{key}' has values that are not finite in float32")
    return out


def _some(keys: Iterable[str], limit: int = 4) -> str:
    """The first few keys, and how many more."""
    names = list(keys)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{n}'" for n in names[:limit]) + more


def save(path: str | Path, weights: Mapping[str, NDArray[np.float32]], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file; it replaces an old one only when complete."""
    from safetensors.numpy import save as to_bytes

    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    data = to_bytes({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in weights.items()}, metadata)
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except OSError as error:
        raise InputError(f"cannot write weights to '{target}': {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | Path, network: Network | None = None) -> Weights:
    """Read a safetensors file; with `network`, its weights are validated against it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        arrays = from_bytes(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read weights from '{path}': {error.strerror or error}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is not a safetensors file of weights: {error}") from None
    if network is not None:
        return validate(network, arrays)
    return {k: np.asarray(v, dtype=np.float32) for k, v in arrays.items()}
