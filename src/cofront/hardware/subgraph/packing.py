"""Several narrow products from one wide multiplication: the arithmetic behind `packing` in coefficients.toml.

Weights are signed, activations unsigned or signed. A convolution's output channels share an activation, so several
weights stand `distance` bits apart in one operand (`Shared`). A depthwise kernel shares nothing: two weights in one
operand and their two activations in the other give four products, of which the two own ones are used (`Pair`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def signed_bits(low: int, high: int) -> int:
    """Width of a two's complement number that holds low..high."""
    return max((high).bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


@dataclass(frozen=True)
class Shared:
    """`count` weights times one activation.

    Products are read from the lowest up, each with its sign, and taken off before the next, which undoes the borrow.
    With `distance` less than a product's width the fields overlap; the overlapping low bits of the next product follow
    from the low bits of its factors, so that the result stays exact. `narrow`: weights lack their most negative value,
    as symmetric quantisers leave it out.
    """

    weight_bits: int
    act_bits: int
    count: int
    distance: int = 0
    narrow: bool = False

    @property
    def least_weight(self) -> int:
        return -(1 << (self.weight_bits - 1)) + int(self.narrow)

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Signed widths that hold every packed weight operand and every activation."""
        places = sum(1 << (i * self.distance) for i in range(self.count))
        top = (1 << (self.weight_bits - 1)) - 1
        return signed_bits(self.least_weight * places, top * places), self.act_bits + 1

    def multiply(self, weights: IntArray, acts: IntArray) -> IntArray:
        """(n, count) weights, (n,) activations -> (n, count) products through one multiplication each."""
        rest = sum(weights[:, i] << (i * self.distance) for i in range(self.count)) * acts
        width = signed_bits(self.least_weight * ((1 << self.act_bits) - 1), -self.least_weight << (self.act_bits - 1))
        overlap = max(width - self.distance, 0)
        mask = (1 << overlap) - 1
        out = np.empty_like(weights)
        for i in range(self.count - 1):
            field = rest & ((1 << (self.distance + overlap)) - 1)
            field = field - (((weights[:, i + 1] & mask) * (acts & mask) & mask) << self.distance)
            bits = self.distance + overlap
            field = field & ((1 << bits) - 1)
            out[:, i] = field - ((field >> (bits - 1)) << bits)
            rest = (rest - out[:, i]) >> self.distance
        out[:, -1] = rest
        return out


@dataclass(frozen=True)
class Pair:
    """Two weights times one activation each: (w0 + w1 2^a)(x0 + x1 2^b), lowest and highest product used.

    The two mixed products lie between; the lowest is read below the nearer of them, and all three together are less
    than half a unit of the highest, so that adding their sign bit gives it exactly.
    """

    weight_bits: int
    act_bits: int
    weight_distance: int
    act_distance: int

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Signed widths of the packed weight operand and the packed activation operand (unsigned activations)."""
        low, high = -(1 << (self.weight_bits - 1)), (1 << (self.weight_bits - 1)) - 1
        places = 1 + (1 << self.weight_distance)
        acts = ((1 << self.act_bits) - 1) * (1 + (1 << self.act_distance))
        return signed_bits(low * places, high * places), signed_bits(0, acts)

    def multiply(self, weights: IntArray, acts: IntArray) -> IntArray:
        """(n, 2) weights, (n, 2) activations -> (n, 2) products through one multiplication each."""
        a, b = self.weight_distance, self.act_distance
        whole = (weights[:, 0] + (weights[:, 1] << a)) * (acts[:, 0] + (acts[:, 1] << b))
        first = min(a, b)
        low = whole & ((1 << first) - 1)
        low = low - ((low >> (first - 1)) << first)
        high = (whole >> (a + b)) + ((whole >> (a + b - 1)) & 1)
        return np.stack([low, high], axis=1)


#: Operand widths of one multiplier, signed.
PORTS: dict[str, tuple[int, int]] = {"DSP48E2": (27, 18), "DSP48E1": (25, 18), "INTEL18X19": (18, 19)}

#: (DSP kind, operand key) -> products of one multiplier that share an activation. On DSP48E1 two 8 x 8 products are 16
#: bits apart, exactly their width: they fit, but nothing can be accumulated inside the DSP (18 apart would need 27).
SHARED: dict[tuple[str, str], Shared] = {
    ("DSP48E2", "88"): Shared(8, 8, 2, 18),
    ("DSP48E2", "48"): Shared(4, 8, 2, 18),
    ("DSP48E2", "44"): Shared(4, 4, 4, 7),
    ("DSP48E1", "88"): Shared(8, 8, 2, 16),
    ("DSP48E1", "48"): Shared(4, 8, 2, 18),
    ("DSP48E1", "44"): Shared(4, 4, 4, 7, narrow=True),
    ("INTEL18X19", "88"): Shared(8, 8, 1),
    ("INTEL18X19", "48"): Shared(4, 8, 2, 12),
    ("INTEL18X19", "44"): Shared(4, 4, 2, 8),
}

#: (DSP kind, operand key) -> two products of one multiplier that share nothing; absent: one each. The activations of
#: 4 x 8 go to the wider port.
PAIRS: dict[tuple[str, str], Pair] = {
    ("DSP48E2", "48"): Pair(4, 8, 13, 18),
    ("DSP48E2", "44"): Pair(4, 4, 9, 9),
    ("DSP48E1", "48"): Pair(4, 8, 13, 16),
    ("DSP48E1", "44"): Pair(4, 4, 9, 9),
    ("INTEL18X19", "44"): Pair(4, 4, 9, 9),
}
