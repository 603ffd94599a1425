"""[HAQ19]'s released table as a device: simulated latency of MobileNetV2's layers at 1 to 8 bits of each operand.

Its unit is not said; costs here are plain numbers of the table. A policy has weight and input bits of each layer, -1
where an input is not quantised. In the released search -1 indexes the second last column, that of 7 bits (`quirk`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cofront.errors import InputError
from cofront.problem import IntArray

#: Bits of an input that is not quantised.
FLOAT_INPUT = -1


@dataclass(frozen=True)
class HaqTable:
    """`cycles` (l, 8, 8): layer, weight bits - 1, input bits - 1."""

    cycles: IntArray

    def __post_init__(self) -> None:
        t = np.asarray(self.cycles)
        if t.ndim != 3 or t.shape[1:] != (8, 8) or not np.issubdtype(t.dtype, np.integer) or t.min(initial=1) < 1:
            raise InputError(f"HAQ table: expected positive whole numbers of shape (layers, 8, 8), got {t.shape}")

    def cost(self, bits: ArrayLike, *, quirk: bool = True) -> IntArray:
        """(n,) cost of policies (n, l, 2), or one (l, 2): weight bits, then input bits. InputError beyond 1 to 8."""
        policy = np.asarray(bits, np.int64)
        policy = policy[None] if policy.ndim == 2 else policy
        if policy.shape[1:] != (len(self.cycles), 2):
            raise InputError(f"HAQ table: expected policies of shape ({len(self.cycles)}, 2), got {policy.shape[1:]}")
        w, a = policy[..., 0], policy[..., 1]
        a = np.where(a == FLOAT_INPUT, 7 if quirk else 8, a)
        if w.min() < 1 or w.max() > 8 or a.min() < 1 or a.max() > 8:
            raise InputError("HAQ table: bits are 1 to 8, or -1 for an input that is not quantised")
        return np.asarray(self.cycles[np.arange(len(self.cycles)), w - 1, a - 1].sum(axis=1), np.int64)

    @property
    def base(self) -> int:
        """Cost at 8 bits everywhere."""
        return int(self.cycles[:, 7, 7].sum())

    def ratio(self, bits: ArrayLike, *, quirk: bool = True) -> NDArray[np.float64]:
        """(n,) cost relative to 8 bits everywhere."""
        return self.cost(bits, quirk=quirk) / self.base

    def uniform(self, bits: int) -> float:
        """The ratio of the same bits everywhere."""
        return float(self.ratio(np.full((len(self.cycles), 2), bits))[0])


def read_haq_table(path: str | Path) -> HaqTable:
    """A table file (.npy without pickled objects)."""
    try:
        return HaqTable(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is not a HAQ latency table: {error}") from None


def read_policies(path: str | Path) -> dict[str, IntArray]:
    """The published policies by name: (l, 2) for "linear_...", (l,) for "kmeans_..."."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return {k: np.array(v, np.int64) for k, v in data.items() if isinstance(v, list)}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"'{path}' does not hold HAQ policies: {error}") from None
