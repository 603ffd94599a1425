"""Several narrow products from one wide multiplication: the arithmetic behind `products_per_dsp`.

Weights are signed, activations unsigned. Weights are placed `distance` bits apart in one operand and activations in
the other; each lane of the product is read with its sign and subtracted before the next, which undoes the borrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Packing:
    """`multipliers` per DSP, each multiplying `len(weight_shifts)` weights by `len(act_shifts)` activations."""

    weight_bits: int
    act_bits: int
    weight_shifts: tuple[int, ...]
    act_shifts: tuple[int, ...]
    multipliers: int = 1

    @property
    def products(self) -> int:
        """Products per DSP."""
        return self.multipliers * len(self.weight_shifts) * len(self.act_shifts)

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Signed widths that hold every packed weight operand and every packed activation operand."""
        low = sum(1 << (self.weight_bits - 1 + s) for s in self.weight_shifts)
        high = sum(((1 << self.act_bits) - 1) << s for s in self.act_shifts)
        return (low - 1).bit_length() + 1, high.bit_length() + 1

    def multiply(self, weights: IntArray, acts: IntArray) -> IntArray:
        """(n, w) weights and (n, a) activations -> (n, w, a) products, through one multiplication each."""
        one = sum(weights[:, i] << s for i, s in enumerate(self.weight_shifts))
        other = sum(acts[:, i] << s for i, s in enumerate(self.act_shifts))
        rest = one * other
        lanes = sorted((w + a, i, j) for i, w in enumerate(self.weight_shifts) for j, a in enumerate(self.act_shifts))
        out = np.zeros((len(weights), len(self.weight_shifts), len(self.act_shifts)), dtype=np.int64)
        for n, (at, i, j) in enumerate(lanes):
            if n + 1 < len(lanes):
                width = lanes[n + 1][0] - at
                lane = rest & ((1 << width) - 1)
                lane = lane - ((lane >> (width - 1)) << width)
                rest = (rest - lane) >> width
            else:
                lane = rest
            out[:, i, j] = lane
        return out


#: Operand widths of one multiplier, signed.
PORTS: dict[str, tuple[int, int]] = {"DSP48E2": (27, 18), "DSP48E1": (25, 18), "INTEL18X19": (18, 19)}

#: (DSP kind, operand key) -> packing. On DSP48E1 two 8 x 8 products are 16 bits apart, exactly their width: they fit,
#: but nothing can be accumulated inside the DSP (18 bits apart would need 27).
PACKINGS: dict[tuple[str, str], Packing] = {
    ("DSP48E2", "88"): Packing(8, 8, (0, 18), (0,)),
    ("DSP48E2", "48"): Packing(4, 8, (0, 18), (0,)),
    ("DSP48E2", "44"): Packing(4, 4, (0, 22), (0, 11)),
    ("DSP48E1", "88"): Packing(8, 8, (0, 16), (0,)),
    ("DSP48E1", "48"): Packing(4, 8, (0, 18), (0,)),
    ("DSP48E1", "44"): Packing(4, 4, (0, 20), (0, 10)),
    ("INTEL18X19", "88"): Packing(8, 8, (0,), (0,), multipliers=2),
    ("INTEL18X19", "48"): Packing(4, 8, (0, 12), (0,), multipliers=2),
    ("INTEL18X19", "44"): Packing(4, 4, (0, 8), (0,), multipliers=2),
}
