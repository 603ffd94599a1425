"""The precisions that networks may have here."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from cofront.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from cofront.network.graph import Network

#: Precisions by name: (weight bits, activation bits).
PRECISIONS: dict[str, tuple[int, int]] = {"W8A8": (8, 8), "W4A8": (4, 8), "W4A4": (4, 4)}


def parse_precision(text: str) -> tuple[int, int]:
    """(weight bits, activation bits) of a known precision such as "W4A8"."""
    key = text.strip().upper()
    if key not in PRECISIONS:
        if len(re.split(r"[,\s]+", key)) > 1:
            raise UsageError(f"one precision for all layers is expected, such as W4A8, got '{text}'; run once for each")
        if re.fullmatch(r"W\d+A\d+", key):
            raise UsageError(f"precision {key} is not supported by any engine; known: {', '.join(PRECISIONS)}")
        raise unknown_name("precision", text, PRECISIONS)
    return PRECISIONS[key]


def with_precision(network: Network, precision: str | None) -> Network:
    """Every layer at `precision`; without one, layers that have no bit-widths get 8 and 8."""
    if precision is None:
        if all(n.weight_bits and n.in_bits for n in network.layers):
            return network
        if not any(n.weight_bits or n.in_bits for n in network.layers):
            return network.uniform_bits(8, 8)
        return network.with_bits(lambda n: (n.weight_bits or 8, n.in_bits or 8))
    return network.uniform_bits(*parse_precision(precision))


def without_bits(network: Network) -> Network:
    """The same graph in floating point throughout."""
    from cofront.network.graph import Network

    nodes = (replace(n, weight_bits=None, in_bits=None, out_bits=None) for n in network.nodes)
    return Network(network.name, tuple(nodes))
