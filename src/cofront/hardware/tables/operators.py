"""Additive devices: what each operator costs, so that a network costs the sum, and exact search applies.

A file has one row per operator, in one of two layouts, both with a latency column whose name says the unit
(`latency_ms`, `latency_us`) and perhaps an energy column (`energy_mJ`):

- `operator`: the key of a fragment's layers (`operator_key`); a fragment whose key is absent is an error;
- `feature`: a name of the space's features ("s1b1.kernel=5", "op3=skip_connect"), whose cost is added wherever a
  network has it. A choice has a row for each of its options, or none and costs nothing. The row with an empty name is
  what every network costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError, unknown_name
from cofront.hardware.tables.units import KNOWN_LATENCY_S, column_numbers, magnitude, parse_column
from cofront.network import Network, Node
from cofront.network.ops import (
    Activation,
    Add,
    ChannelShuffle,
    Concat,
    Conv2d,
    Convolution,
    Flatten,
    GlobalPool,
    Linear,
    Mul,
    Op,
    Pool2d,
)
from cofront.problem import Trellis
from cofront.space.base import Layered, Points, Space
from cofront.space.columnfile import Columns, in_file, read_columns

#: Costs on a trellis are integers: nanoseconds, nanojoules.
PER_UNIT = 1e9
#: Greatest cost of one operator, in seconds or joules: what is more is a wrong unit, and could overflow a sum.
MOST = 1e3
_KEYS = ("operator", "feature")
#: Networks whose median cost stands for a typical one.
_TYPICAL = 15


@dataclass(frozen=True)
class AdditiveDevice:
    """Costs in SI units: a constant, costs by operator key and by feature name, for latency and perhaps energy.

    With `any_magnitude` the latency of typical networks is not compared with that of known devices.
    """

    name: str
    latency_s: Mapping[str, float]
    energy_j: Mapping[str, float] = field(default_factory=dict)
    by: str = "operator"
    base_s: float = 0.0
    base_j: float = 0.0
    any_magnitude: bool = False

    def __post_init__(self) -> None:
        if self.by not in _KEYS:
            raise unknown_name("layout", self.by, _KEYS)
        for costs, base, unit in ((self.latency_s, self.base_s, "s"), (self.energy_j, self.base_j, "J")):
            for key, cost in [*costs.items(), ("", base)]:
                if not abs(cost) <= MOST:
                    what = f"'{key}'" if key else "what every network costs"
                    raise InputError(
                        f"device '{self.name}': {what} is {cost:g} {unit}, at most {MOST:,.0f} are read; check the unit"
                    )

    @cached_property
    def in_float(self) -> bool:
        """Whether all layers were measured in float32: such a device runs a network of any precision in that."""
        layers = [k for k in self.latency_s if "|conv" in k or "|linear" in k]
        return self.by == "operator" and bool(layers) and all("float" in k for k in layers)

    def costs(self, quantity: str = "latency") -> tuple[Mapping[str, float], float]:
        """Costs by key and the constant of "latency" or "energy"."""
        if quantity not in ("latency", "energy"):
            raise unknown_name("quantity", quantity, ("latency", "energy"))
        if quantity == "energy" and not self.energy_j:
            raise UsageError(f"device '{self.name}' has no energy column")
        return (self.latency_s, self.base_s) if quantity == "latency" else (self.energy_j, self.base_j)

    def edge_cost(self, space: Space, layered: Layered, quantity: str = "latency") -> tuple[NDArray[np.int64], int]:
        """(e,) cost of each trellis edge and the constant, in billionths of the SI unit, each rounded once."""
        known, base = self.costs(quantity)
        trellis = layered.trellis
        if self.by == "feature":
            per_feature = self._by_feature(space, known)
            if trellis.n_features != len(per_feature):
                raise UsageError(f"device '{self.name}': the trellis is not one of space '{space.name}'")
            cost = trellis.scores(per_feature, PER_UNIT)
        else:
            edge = layered.per_edge([self._of(known, f) for f in layered.fragments])
            cost = np.rint(edge * PER_UNIT).astype(np.int64)
        constant = round(base * PER_UNIT)
        if quantity == "latency" and not self.any_magnitude:
            self._check_typical(space, (_typical(trellis, cost) + constant) / PER_UNIT)
        return cost, constant

    def of_points(self, space: Space, points: Points, quantity: str = "latency") -> NDArray[np.float64]:
        """(n,) cost of networks in SI units, by features or, operator by operator, along their paths."""
        known, base = self.costs(quantity)
        if self.by == "feature":
            return np.asarray(space.features(points) @ self._by_feature(space, known) + base, float)
        declaration = getattr(space, "declaration", None)
        if declaration is None:
            return np.array([self._of(known, space.network(p)) + base for p in points])
        path = declaration.walk(space.canonical(points))
        taken, place = np.unique(path, return_inverse=True)
        keys = [declaration.edges[e].fragment if e >= 0 else None for e in taken]
        each = np.array([0.0 if k is None else self._of(known, space.fragment(k)) for k in keys])  # type: ignore[attr-defined]
        return np.asarray(each[place.reshape(path.shape)].sum(axis=1) + base, float)

    def _check_typical(self, space: Space, latency_s: float) -> None:
        """InputError when typical networks take far longer or shorter than on every known device of the space."""
        known = KNOWN_LATENCY_S.get(space.name.partition("@")[0])
        if known is not None and (doubt := magnitude(latency_s, known)[0]):
            raise InputError(
                f"device '{self.name}': its median of {doubt}; check the unit, or read it with any_magnitude=True"
            )

    def _by_feature(self, space: Space, known: Mapping[str, float]) -> NDArray[np.float64]:
        index = {name: i for i, name in enumerate(space.feature_names())}
        out = np.zeros(len(index))
        for name, value in known.items():
            if name not in index:
                raise unknown_name(f"feature of space '{space.name}'", name, index)
            out[index[name]] = value
        self._check_options(index, known)
        return out

    def _check_options(self, names: Iterable[str], known: Mapping[str, float]) -> None:
        """InputError when a choice has rows for some of its options only: a lost row would make an option free."""
        options: dict[str, list[str]] = {}
        for name in names:
            if "*" not in name:
                options.setdefault(name.rpartition("=")[0], []).append(name)
        for choice, features in options.items():
            lost = [f for f in features if f not in known]
            if lost and len(lost) < len(features):
                raise InputError(
                    f"device '{self.name}': no row for {', '.join(lost[:4])}, but for other options of '{choice}'; "
                    "give every option a row, 0 if it is free"
                )

    def _of(self, known: Mapping[str, float], fragment: Network) -> float:
        key = operator_key(fragment)
        if key not in known and self.in_float:
            key = operator_key(fragment.with_bits(lambda _: None))
        if key not in known:
            raise InputError(
                f"device '{self.name}' has no operator '{key}' ({fragment.name}); measure it or add its row"
            )
        return known[key]


def _typical(trellis: Trellis, cost: NDArray[np.int64]) -> float:
    """The median cost of a few paths drawn edge by edge."""
    rng = np.random.default_rng(0)
    order = np.argsort(trellis.edge_from, kind="stable")
    start = np.searchsorted(trellis.edge_from[order], np.arange(trellis.n_nodes + 1))
    totals = []
    for _ in range(_TYPICAL):
        node = total = 0
        while start[node] < start[node + 1]:  # the sink has no edges
            edge = order[rng.integers(start[node], start[node + 1])]
            node, total = int(trellis.edge_to[edge]), total + int(cost[edge])
        totals.append(total)
    return float(np.median(totals))


def operator_key(network: Network) -> str:
    """The layers of a fragment as text, from which names are absent: equal keys are equal work.

    Input shape, then one word per node: kind, size, what it reads by distance (1 is the node before), bits of a layer
    if its precision is not W8A8 ("float" where it has none).
    """
    position = {n.name: i for i, n in enumerate(network.nodes)}
    words = ["x".join(map(str, network.shapes[network.input.name]))]
    for i, node in enumerate(network.nodes[1:], 1):
        reads = ".".join(str(i - position[s]) for s in node.inputs)
        bits = _bits(node) if isinstance(node.op, Convolution | Linear) else ""
        words.append(f"{_word(node.op)}{bits}" + ("" if reads == "1" else f"@{reads}"))
    return "|".join(words)


def _bits(node: Node) -> str:
    widths = (node.weight_bits, node.in_bits)
    if widths == (8, 8):
        return ""
    return "float" if widths == (None, None) else f"w{node.weight_bits or 'f'}a{node.in_bits or 'f'}"


def _word(op: Op) -> str:
    if isinstance(op, Convolution):
        stride = "" if op.stride == (1, 1) else f"s{_square(op.stride)}"
        dilation = "" if op.dilation == (1, 1) else f"d{_square(op.dilation)}"
        groups = "" if op.groups == 1 else f"g{op.groups}"
        half = (op.kernel[0] // 2, op.kernel[1] // 2)
        padding = "" if op.padding == half * 2 else f"p{_square(op.padding)}"
        kind = "conv" if isinstance(op, Conv2d) else type(op).__name__.removesuffix("Conv2d").lower()
        return f"{kind}{op.out_channels}k{_square(op.kernel)}{stride}{dilation}{groups}{padding}"
    if isinstance(op, Pool2d):
        window = f"{op.kind}pool{_square(op.kernel)}s{_square(op.stride)}p{_square(op.padding)}"
        inside = op.kind == "avg" and any(op.padding) and not op.count_include_pad
        return window + "ceil" * op.ceil_mode + "inside" * inside
    if isinstance(op, Linear):
        return f"linear{op.out_features}"
    if isinstance(op, Activation):
        return op.kind
    if isinstance(op, ChannelShuffle):
        return f"shuffle{op.groups}"
    names: dict[type[Op], str] = {Add: "add", Mul: "mul", Concat: "cat", GlobalPool: "gap", Flatten: "flat"}
    return names.get(type(op), type(op).__name__.lower())


def _square(values: tuple[int, ...]) -> str:
    """One number where all are equal, else all of them."""
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


def read_additive(
    path: str | Path, *, latency: str | None = None, energy: str | None = None, any_magnitude: bool = False
) -> AdditiveDevice:
    """An additive device from a .parquet, .csv or .json file; `latency` and `energy` name the columns if several do."""
    path = Path(path)
    _, names = read_columns(path, set())
    by = next((k for k in _KEYS if k in names), None)
    if by is None:
        raise InputError(f"{path}: no column 'operator' or 'feature'; it has {', '.join(names[:12]) or 'none'}")
    lat = latency or _only(path, "latency", names)
    joules = energy or next((n for n in names if n.lower().startswith("energy")), None)
    for name in filter(None, (lat, joules)):
        if name not in names:
            raise InputError(f"{path}: {unknown_name('column', name, names)}")
    found, _ = read_columns(path, {by, lat, *filter(None, [joules])})
    try:
        keys = _keys(by, found)
        costs = {n: _costs(n, found, keys) for n in filter(None, (lat, joules))}
        latency_s, energy_j = costs[lat], costs.get(joules or "", {})
        base_s, base_j = latency_s.pop("", 0.0), energy_j.pop("", 0.0)
        return AdditiveDevice(path.stem, latency_s, energy_j, by, base_s, base_j, any_magnitude)
    except InputError as error:
        raise in_file(path, error) from None


def _only(path: Path, kind: str, names: Sequence[str]) -> str:
    found = [n for n in names if n.lower().startswith((kind, kind[:3] + "_"))]
    if len(found) != 1:
        what = f"several: {', '.join(found)}" if found else f"none among {', '.join(names[:12])}"
        raise InputError(f"{path}: expected one column of {kind} such as {kind}_ms, found {what}")
    return found[0]


def _keys(by: str, found: Columns) -> list[str]:
    keys = [("" if k is None else str(k)).strip() for k in found[by]]
    if not keys:
        raise InputError("the table has no rows")
    seen: set[str] = set()
    for i, key in enumerate(keys):
        if key in seen:
            raise InputError(f"column '{by}', row {i}: '{key}' is given twice")
        seen.add(key)
    return keys


def _costs(name: str, found: Columns, keys: list[str]) -> dict[str, float]:
    values, scale = column_numbers(name, found[name]), parse_column(name).scale
    missing = np.flatnonzero(np.isnan(values))
    if len(missing):
        raise InputError(f"column '{name}', row {missing[0]}: no entry for '{keys[missing[0]]}'")
    return {k: float(v) * scale for k, v in zip(keys, values, strict=True)}
