"""Inputs on another scale: the normalisation that a network was trained with, moved into its first layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UnsupportedError
from cofront.network.graph import Network
from cofront.network.ops import Conv2d
from cofront.network.weights import Weights, has_bias, validate


def rescaled_input(
    network: Network,
    weights: Mapping[str, NDArray[np.float32]],
    gain: Sequence[float],
    offset: Sequence[float],
) -> tuple[Network, Weights]:
    """The network that computes for x what the given one does for gain * x + offset, both by channel (c,).

    Exact but for padding: the zeros around x stand for `offset` there, where the given network had zeros. Every reader
    of the input must be a convolution (UnsupportedError). InputError when the channels do not fit.
    """
    known = dict(validate(network, weights))
    channels = network.shapes[network.input.name][0]
    a, b = np.asarray(gain, np.float64), np.asarray(offset, np.float64)
    if a.shape != (channels,) or b.shape != (channels,):
        raise InputError(
            f"network '{network.name}' has {channels} input channels, got {len(a)} gains, {len(b)} offsets"
        )
    readers = network.consumers[network.input.name]
    for node in readers:
        if not isinstance(node.op, Conv2d) or node.op.groups != 1:
            raise UnsupportedError(
                f"'{node.name}' reads the input: another scale can be moved into convolutions without groups alone"
            )
        w = known[f"{node.name}.weight"].astype(np.float64)
        before = known.get(f"{node.name}.bias", np.zeros(len(w), np.float32))
        known[f"{node.name}.bias"] = (before + (w.sum((2, 3)) * b).sum(1)).astype(np.float32)
        known[f"{node.name}.weight"] = (w * a[None, :, None, None]).astype(np.float32)
    names = {n.name for n in readers if not has_bias(n)}
    nodes = (
        replace(n, op=replace(n.op, bias=True)) if n.name in names and isinstance(n.op, Conv2d) else n
        for n in network.nodes
    )
    changed = Network(network.name, tuple(nodes))
    return changed, validate(changed, known)
