"""What the bits of each layer cost on a device where layers add up: latency, energy, and the size of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError, unknown_name

if TYPE_CHECKING:
    from cofront.network import Network

FloatArray = NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class BitCosts:
    """Costs (l, o) by quantity of l layers at o pairs (weight bits, activation bits); `allowed` (l, o) says which.

    `fixed` is what has no bits (pools, sums). `note` says where the costs come from.
    """

    layers: tuple[str, ...]
    pairs: tuple[Pair, ...]
    allowed: NDArray[np.bool_]
    costs: Mapping[str, FloatArray]
    note: str
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def now(self) -> dict[str, float]:
        """What the network costs at 8 bits throughout."""
        at = self.pairs.index((8, 8))
        return {name: float(c[:, at].sum()) + self.fixed.get(name, 0.0) for name, c in self.costs.items()}

    def of_layer(self, name: str, pair: Pair) -> dict[str, float]:
        """What one layer costs, by quantity."""
        i, o = self.layers.index(name), self.pairs.index(pair)
        return {q: float(c[i, o]) for q, c in self.costs.items()}

    def of(self, quantity: str, bits: Mapping[str, Pair]) -> float:
        """What an allocation costs."""
        at = [self.pairs.index(bits[n]) for n in self.layers]
        return float(self.costs[quantity][np.arange(len(at)), at].sum()) + self.fixed.get(quantity, 0.0)


def bit_costs(
    network: Network,
    device: str | None,
    weight_bits: Sequence[int],
    act_bits: Sequence[int],
    held: Mapping[str, Pair],
) -> BitCosts:
    """Costs on a bit-serial accelerator by name, by a table (l, 8, 8) in a `.npy` file, or of the size alone (None).

    Layers of `held` have its (weight bits, activation bits), the others choose. UsageError for an unknown device,
    InputError for a table that does not fit.
    """
    nodes = network.layers
    pairs = tuple(product(sorted({*weight_bits, 8}), sorted({*act_bits, 8})))
    allowed = np.array([[pair == held.get(n.name, pair) for pair in pairs] for n in nodes])
    weights = np.array([math.prod(n.op.weight_shape(network.in_shapes(n)) or ()) for n in nodes], float)
    costs: dict[str, FloatArray] = {"size": weights[:, None] * np.array([w / 8 for w, _ in pairs])}
    note, fixed = "size: bytes of the weights", dict[str, float]()
    if device is not None and Path(device).suffix == ".npy":
        table = read_table(Path(device), len(nodes))
        costs["latency"] = table[:, [w - 1 for w, _ in pairs], [a - 1 for _, a in pairs]]
        note = f"latency: '{Path(device).name}', in its own unit; {note}"
    elif device is not None:
        family, part, config = engine_of(device)
        found = family.table(network, part, config)
        w, a = (np.array([pair[i] - 1 for pair in pairs]) for i in range(2))
        costs |= {"latency": found.latency_s[:, w, a], "energy": found.energy_j[:, w, a]}
        fixed = {"latency": found.other_s, "energy": found.other_j}
        note = f"latency and energy: {config} on {part.name}, an estimate by layers; {note}"
    return BitCosts(tuple(n.name for n in nodes), pairs, allowed, costs, note, fixed)


#: Bit-serial accelerators by name.
ENGINES = ("bismo-edge", "bismo-cloud", "bitfusion")


def engine_of(name: str) -> tuple[Any, Any, Any]:
    """The family, the part and the configuration of a bit-serial accelerator by name."""
    from cofront.hardware import bit_serial as known

    if name not in ENGINES:
        raise unknown_name("bit-serial accelerator", name, ENGINES)
    if name == "bitfusion":
        return known.SPATIAL, known.Chip(), known.CHIP
    return (known.TEMPORAL, known.edge(), known.EDGE) if name == "bismo-edge" else (
        known.TEMPORAL, known.cloud(), known.CLOUD
    )  # fmt: skip


def read_table(path: Path, layers: int) -> FloatArray:
    """(l, 8, 8) latencies by layer, weight bits and activation bits; InputError for anything else."""
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is no .npy table: {error}") from None
    if table.shape != (layers, 8, 8):
        raise InputError(
            f"'{path}': expected latencies ({layers}, 8, 8) by layer and weight and activation bits, got {table.shape}"
        )
    out = np.asarray(table, np.float64)
    if not np.isfinite(out).all() or out.min() < 0:
        raise InputError(f"'{path}': latencies must be finite and not negative")
    return out


def quantity_of(costs: BitCosts, quantity: str) -> str:
    """The quantity, if the device has it."""
    if quantity not in costs.costs:
        known = ", ".join(sorted(costs.costs))
        more = "a bit-serial accelerator knows all" if "latency" in costs.costs else "give --device for others"
        raise UsageError(f"--budget limits the {quantity}, of which nothing is known here: known is {known}; {more}")
    return quantity
