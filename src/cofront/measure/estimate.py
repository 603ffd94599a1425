"""What networks would take on a device that was measured: by its operators, or by a predictor adapted to it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront import registry
from cofront.errors import InputError, UsageError, unknown_name
from cofront.hardware.tables import AdditiveDevice, MeasuredTable, operator_key, read_additive, read_measured
from cofront.hardware.tables.operators import PER_UNIT
from cofront.hardware.tables.units import column_numbers
from cofront.measure.known import known_devices
from cofront.measure.models import as_float, plain_points
from cofront.measure.paths import linear_cost, points_of
from cofront.measure.table import read_description
from cofront.measure.work import GUESS, work_rates
from cofront.network import Network
from cofront.network.split import split
from cofront.predict.base import Predictor
from cofront.predict.devices import KnownDevices, load_devices
from cofront.space.base import Layered, Points, Space
from cofront.space.columnfile import read_columns
from cofront.space.work import WORK, network_work

#: Relative standard deviation of a sum of operators where no whole network was measured: a guess, and said to be one.
UNKNOWN = 0.1
#: Standard deviations on either side of the mean within which 95 % of a normal distribution lie.
NORMAL_95 = 1.96
#: Up to so many measured networks known devices are adapted; more say all that is needed by themselves.
FEW = 200
#: Rows of a table that a predictor is fitted to at most: its time grows with their cube.
MOST_LEARNT = 1500


@dataclass(frozen=True)
class Subject:
    """A network in question; its space and point if it is known as a point of one."""

    name: str
    network: Network
    space: Space | None = None
    point: Points | None = None  # (d,)


@dataclass(frozen=True)
class Estimate:
    """Seconds, with the standard deviation of a new measurement (None: not known), and how they were found.

    `interval_s`: where 95 % lie, when that is not symmetric about the latency.
    """

    latency_s: float
    std_s: float | None
    how: str
    interval_s: tuple[float, float] | None = None

    @property
    def range_s(self) -> tuple[float, float] | None:
        """Where 95 % of new measurements lie; None when that is not known."""
        if self.interval_s is not None or self.std_s is None:
            return self.interval_s
        return max(self.latency_s - NORMAL_95 * self.std_s, 0.0), self.latency_s + NORMAL_95 * self.std_s


class LatencyModel(ABC):
    """Latency of networks on one device. `words` say how it knows them.

    `runs` says, where a network of any precision takes the same, in what it is run; "" where precisions matter.
    """

    name: str
    words: str
    runs: str = ""

    @abstractmethod
    def estimate(self, subject: Subject) -> Estimate:
        """The latency of one network."""

    @abstractmethod
    def edge_cost(self, space: Space, layered: Layered) -> tuple[NDArray[np.int64], int]:
        """(e,) whole nanoseconds of each trellis edge, none negative, and what every network takes besides."""

    def on_front(self, subject: Subject, latency_s: float) -> Estimate:
        """The estimate for a network whose latency is what `edge_cost` says of its path."""
        return self.estimate(subject)

    def parts(self, network: Network) -> list[tuple[str, Network | None, float]]:
        """What a latency is the sum of: names, fragments (None: what every network takes) and seconds."""
        return []


class OperatorModel(LatencyModel):
    """The sum of a table's operators, corrected as the table's description says; others by their work."""

    def __init__(self, device: AdditiveDevice, description: Mapping[str, Any], work: Mapping[str, Any]) -> None:
        self.device, self.name = device, str(description.get("device", device.name))
        self.space = description.get("space")
        self.runs = "the device runs float32" if device.in_float else ""
        overhead = description.get("overhead") or {}
        self.spread: float | None = overhead.get("spread")
        self.checked = overhead.get("networks", 0)
        self._rates, measured = work_rates(work)
        self._factor = GUESS if measured is None else measured
        self._where = "where the table's own kinds of operators are left out in turn"
        if measured is None:
            self._where = "as a guess: the table has too few kinds of operators to leave one out"
        what = "features" if device.by == "feature" else "operators"
        self.words = f"sum of the table's {what}; no whole networks were measured, 10 % is a guess of its error"
        if self.spread is not None:
            off = f"{100 * self.spread:.1f} % off (root mean square)"
            self.words = f"sum of the table's {what}, {off} on {self.checked} whole networks left out in turn"

    def edge_cost(self, space: Space, layered: Layered) -> tuple[NDArray[np.int64], int]:
        try:
            return self.device.edge_cost(space, layered)
        except InputError as error:
            if self.space in (None, space.name):
                raise
            raise InputError(
                f"device '{self.name}' was measured for space '{self.space}', and has not all operators of "
                f"'{space.name}'; make a table for that: `cofront measure --space {space.name}`"
            ) from error

    def estimate(self, subject: Subject) -> Estimate:
        if self.device.by == "feature":
            if subject.space is None or subject.point is None:
                raise UsageError(f"{subject.name}: the table holds features of a space; give a point of that space")
            latency = float(self.device.of_points(subject.space, subject.point[None])[0])
            return Estimate(latency, UNKNOWN * latency, "sum of features; their spread is not known, 10 % is a guess")
        parts, found = self._looked_up(subject.network)
        missing = [p for p, f in zip(parts, found, strict=True) if f is None]
        if missing and self._rates is None:
            raise InputError(
                f"{subject.name}: device '{self.name}' has no operator '{operator_key(missing[0])}' "
                f"({missing[0].name}), nor columns of work to estimate it from; measure it or add its row"
            )
        guessed = np.array([self._rates @ network_work(p) for p in missing] if self._rates is not None else [])
        total = self.device.base_s + sum(f for f in found if f is not None) + float(guessed.sum())
        spread = self.spread if self.spread is not None else UNKNOWN
        std, rest = spread * total, float(guessed.sum())
        how = f"sum of {len(parts)} operators"
        if self.spread is None:
            how += "; no whole networks were measured, 10 % is a guess"
        if not missing:
            return Estimate(total, std, how)
        # what is not in the table is off by a factor, the same for all of it: its cause is common
        below = math.hypot(NORMAL_95 * std, rest * (1 - 1 / self._factor))
        above = math.hypot(NORMAL_95 * std, rest * (self._factor - 1))
        how += (
            f"; {len(missing)} of them not in the table ({100 * rest / total:.0f} %): by their work, off by up to a "
            f"factor of {self._factor:.2g} {self._where}"
        )
        return Estimate(total, (below + above) / (2 * NORMAL_95), how, (max(total - below, 0.0), total + above))

    def _looked_up(self, network: Network) -> tuple[list[Network], list[float | None]]:
        """The fragments of a network and what the table says of each, None where it says nothing."""
        parts = split(as_float(network) if self.device.in_float else network)
        return parts, [self.device.latency_s.get(operator_key(p)) for p in parts]

    def parts(self, network: Network) -> list[tuple[str, Network | None, float]]:
        if self.device.by == "feature":
            return []
        out: list[tuple[str, Network | None, float]] = [("every network", None, self.device.base_s)]
        for part, seconds in zip(*self._looked_up(network), strict=True):
            if seconds is None and self._rates is not None:
                seconds = float(self._rates @ network_work(part))
            out.append((part.name, part, seconds or 0.0))
        return [p for p in out if p[2]]


class AdaptedModel(LatencyModel):
    """A predictor fitted to a table of measured networks; measured ones are looked up."""

    def __init__(self, table: MeasuredTable, column: str, predictor: Predictor, words: str) -> None:
        kept = table.measured(column)
        self.name, self.space = table.quantities[column].device, table.space
        points, latency_s = plain_points(table.space, table.points[kept]), table.column(column)[kept]
        each: dict[tuple[int, ...], list[float]] = {}
        for point, seconds in zip(points.tolist(), latency_s.tolist(), strict=True):
            each.setdefault(tuple(point), []).append(seconds)
        self._known = {point: float(np.median(found)) for point, found in each.items()}
        # all, in their order, where they are few enough
        learnt = np.sort(np.random.default_rng(0).permutation(len(points))[:MOST_LEARNT])
        rows = predictor.encode(self.space, points[learnt])
        self._predictor = predictor.fit(rows, latency_s[learnt])
        self.runs = "latencies are those of networks as they were measured"
        self.words = f"{predictor.name}, {words} {len(rows):,} measurements"

    def estimate(self, subject: Subject) -> Estimate:
        point = _point_of(subject, self.space)
        measured = self._known.get(tuple(point.tolist()))
        return self._predicted(point) if measured is None else Estimate(measured, None, "measured")

    def on_front(self, subject: Subject, latency_s: float) -> Estimate:
        found = self.estimate(subject)
        if found.std_s is None and abs(found.latency_s - latency_s) > 1 / PER_UNIT:
            # a sum over edges knows of no measurement of the whole
            found = self._predicted(_point_of(subject, self.space))
        return found

    def _predicted(self, point: Points) -> Estimate:
        said = self._predictor.predict(self._predictor.encode(self.space, plain_points(self.space, point[None])))
        return Estimate(float(said.mean[0]), float(said.std[0]), self.words)

    def edge_cost(self, space: Space, layered: Layered) -> tuple[NDArray[np.int64], int]:
        """See `LatencyModel`. Where an edge is a whole network that was measured, its cost is the measurement."""
        if space.name != self.space.name:
            raise UsageError(f"device '{self.name}' is known by networks of '{self.space.name}', not of '{space.name}'")
        if layered.trellis.n_nodes == 2:
            points = plain_points(space, points_of(layered.trellis, len(space.sizes)))
            said = self._predictor.predict(self._predictor.encode(space, points)).mean
            pairs = zip(points.tolist(), said, strict=True)
            return np.rint([PER_UNIT * self._known.get(tuple(p), s) for p, s in pairs]).astype(np.int64), 0
        linear = self._predictor.linear()
        assert linear is not None, "only predictors that add up are fitted to tables"
        return linear_cost(space, layered, *linear)


class KnownModel(LatencyModel):
    """The linear model of a known device that ships."""

    def __init__(self, space: Space, devices: KnownDevices, name: str) -> None:
        self.space, self.devices, self.name = space, devices.select([name]), name
        self.words = f"linear model of a public table of {devices.space}"
        self.runs = "latencies are those of networks as they were measured"

    def edge_cost(self, space: Space, layered: Layered) -> tuple[NDArray[np.int64], int]:
        return linear_cost(space, layered, float(self.devices.bias[0]), self.devices.weights[0])

    def estimate(self, subject: Subject) -> Estimate:
        from cofront.predict.base import one_hot

        point = _point_of(subject, self.space)
        latency = float(self.devices.predict(one_hot(self.space, point[None]))[0, 0])
        return Estimate(max(latency, 0.0), None, self.words)


def _point_of(subject: Subject, space: Space) -> Points:
    if subject.space is None or subject.point is None or subject.space.name != space.name:
        raise UsageError(
            f"{subject.name}: this device is known by whole networks of space '{space.name}'; give a point of it, "
            f"{space.name}:0,1,2,..., or a design of it, or measure the device's operators"
        )
    return np.asarray(plain_points(space, subject.point[None])[0])


def load_model(
    path: Path, *, column: str | None = None, space: Space | None = None, any_magnitude: bool = True
) -> LatencyModel:
    """The model that a table stands for: of operators, or of measured networks (`column`, if it has several).

    Without `any_magnitude`, a table of operators is compared with the devices known for the space.
    """
    description = read_description(path)
    _, names = read_columns(path, set())
    if "operator" in names or "feature" in names:
        known = description.get("device", path.stem)
        latency = None if column in (None, known) else _latency_columns(path, names, column)[0]
        additive = read_additive(path, latency=latency, any_magnitude=any_magnitude)
        return OperatorModel(additive, description, _work(path, names, latency))
    from cofront import space as spaces

    stated = description.get("space")
    found = space if space is not None else spaces.load(str(stated)) if stated else None
    if found is None:
        raise UsageError(f"'{path}' does not say of which space its networks are; say it with --space")
    chosen = _latency_columns(path, names, column)
    table = read_measured(path, found, chosen, any_magnitude=bool(description))  # a table of ours says its units
    if int(table.measured(chosen[0]).sum()) > FEW:
        return AdaptedModel(table, chosen[0], registry.load("predictor", "ridge").for_space(table.space), "learnt from")
    adapted = description.get("adapted") or {}
    file = path.with_name(adapted["file"]) if adapted else None
    if file is not None and file.is_file():
        devices, words = load_devices(file), str(adapted.get("source"))
    else:
        devices, words = known_devices(table.space, None)
    kind: type[Predictor] = registry.load("predictor", "transfer")
    return AdaptedModel(table, chosen[0], kind.with_devices(table.space, devices), f"adapted from {words} by")


def _latency_columns(path: Path, names: Sequence[str], column: str | None) -> list[str]:
    """The one column of latency that is meant, by its name or its device's."""
    columns = [n for n in names if n.lower().startswith(("lat_", "latency"))]
    chosen = [n for n in columns if column in (None, n) or n.lower().endswith(f"_{str(column).lower()}")]
    if len(chosen) != 1:
        if column is not None and not chosen:
            raise unknown_name(f"device or column in '{path}'", column, columns)
        some = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
        raise UsageError(
            f"'{path}' has {len(columns)} columns of latency ({some}); say which: `search` with --latency-column, "
            "`predict` with --table and --device"
        )
    return chosen


def _work(path: Path, names: tuple[str, ...], latency: str | None) -> dict[str, Any]:
    """The columns of work, the keys and the seconds of a table's operators; {} when it has none."""
    if not set(WORK) <= set(names):
        return {}
    latency = latency or next(n for n in names if n.lower().startswith(("lat_", "latency")))
    found, _ = read_columns(path, {*WORK, latency, "operator"})
    kept = [i for i, key in enumerate(found["operator"]) if key]
    out: dict[str, Any] = {name: column_numbers(name, found[name])[kept] for name in WORK}
    out["operator"] = np.array([str(found["operator"][i]) for i in kept])
    from cofront.hardware.tables import parse_column

    return out | {"seconds": column_numbers(latency, found[latency])[kept] * parse_column(latency).scale}
