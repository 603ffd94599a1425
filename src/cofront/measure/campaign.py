"""A whole measurement: what of a space is measured where, and the tables that come of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cofront import __version__
from cofront.errors import UsageError
from cofront.measure import known
from cofront.measure.base import Item, Settings
from cofront.measure.journal import Journal
from cofront.measure.models import as_float, networks, operators, sample
from cofront.measure.overhead import Overhead
from cofront.measure.session import Step, run
from cofront.measure.statistics import Quality, Timing, timings
from cofront.measure.table import (
    check_name,
    fitted,
    network_columns,
    operator_columns,
    read_description,
    write_table,
)
from cofront.measure.target import Target
from cofront.network.split import split
from cofront.space.base import Space

#: Version of what a journal holds.
FORMAT = 1


@dataclass(frozen=True)
class Request:
    """What to measure: the operators of a space and `n_networks` random networks, or `samples` networks alone."""

    space: Space
    target: Target
    out: Path
    settings: Settings = field(default_factory=Settings)
    n_networks: int = 12
    with_operators: bool = True
    samples: int | None = None
    adapt_from: str | None = None

    @property
    def device(self) -> str:
        """The device's name in columns: host, or the machine's name without punctuation."""
        if not self.target.remote:
            return "host"
        return re.sub(r"\W+", "", self.target.destination.partition("@")[2] or self.target.destination) or "board"

    @property
    def networks_path(self) -> Path:
        """The table of whole networks: `out` itself when no operators are measured."""
        both = self.with_operators and self.samples is None
        return self.out.with_name(f"{self.out.stem}.networks{self.out.suffix}") if both else self.out

    @property
    def known_path(self) -> Path:
        """The known devices that a few-shot predictor was adapted from."""
        return self.out.with_name(f"{self.out.stem}.known.safetensors")

    def items(self) -> tuple[list[Item], list[Item]]:
        """Operators and whole networks, in the same order for the same seed."""
        rng = np.random.default_rng(self.settings.seed)
        if self.samples is not None:
            return [], networks(self.space, known.choose(self.space, rng, self.samples))
        if not self.with_operators and not self.n_networks:
            raise UsageError("nothing to measure: neither operators nor networks were asked for")
        points = sample(self.space, rng, self.n_networks) if self.n_networks else np.zeros((0, 0), np.int64)
        return operators(self.space) if self.with_operators else [], networks(self.space, points)

    def header(self, items: list[Item]) -> dict[str, Any]:
        """What makes two measurements the same one."""
        keys = json.dumps([[i.id, i.key] for i in items])
        return {
            "format": FORMAT, "device": self.target.name, "space": self.space.name, "samples": self.samples,
            "adapt_from": self.adapt_from, "settings": json.loads(json.dumps(asdict(self.settings))),
            "items": hashlib.sha256(keys.encode()).hexdigest(),
        }  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What was measured. Without `timing` it was interrupted; `files` says what was written."""

    operators: list[Item]
    networks: list[Item]
    done: int
    total: int
    timing: dict[str, Timing] = field(default_factory=dict)
    quality: Quality | None = None
    overhead: Overhead | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    adapted: dict[str, Any] | None = None
    description: dict[str, Any] = field(default_factory=dict)
    reused: bool = False

    @property
    def finished(self) -> bool:
        return self.done == self.total


def measure(
    request: Request,
    *,
    fresh: bool = False,
    on_step: Callable[[Step], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Measures, or goes on measuring, and writes the tables; the same finished measurement is not made twice."""
    check_name(request.out)
    ops, nets = request.items()
    items = [*ops, *nets]
    header = request.header(items)
    if request.out.exists() and not fresh:
        description = read_description(request.out)
        if description.get("header") != header:
            raise UsageError(f"'{request.out}' exists and is something else; choose another -o, or use --fresh")
        return Result(ops, nets, len(items), len(items), description=description, reused=True)
    source = known.known_devices(request.space, request.adapt_from) if request.samples is not None else None
    with Journal(request.out, header, fresh=fresh) as journal:
        whole = run(request.target, items, request.settings, journal, on_step=on_step, should_stop=should_stop, say=say)
        total = len(items) * request.settings.rounds
        if not whole:
            return Result(ops, nets, len(journal.visited), total)
        result = _written(request, header, ops, nets, journal, source)
        journal.finish()
    return result


def _written(
    request: Request, header: dict[str, Any], ops: list[Item], nets: list[Item], journal: Journal, source: Any
) -> Result:
    timing, quality = timings(journal.lines)
    machine, notes = journal.machines[-1], [*quality.notes(), *_changes(journal.machines)]
    overhead = None
    if ops:
        parts = [split(as_float(i.network)) for i in nets]
        overhead = fitted(nets, parts, ops, timing, request.settings.batch)
    description: dict[str, Any] = {
        "header": header, "cofront": __version__, "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "space": request.space.name, "device": request.device, "precision": "float32", "machine": machine,
        "quality": asdict(quality), "notes": notes, "overhead": asdict(overhead) if overhead is not None else None,
    }  # fmt: skip
    files: dict[str, Path] = {}
    adapted = None
    if source is not None:
        devices, words = source
        points = np.array([i.point for i in nets])
        latency = np.array([timing[i.id].median_s for i in nets])
        _, error = known.adapt(request.space, devices, points, latency)
        adapted = {
            "predictor": "transfer", "source": words, "known": list(devices.names), "error": error,
            "file": request.known_path.name,
        }  # fmt: skip
        devices.save(request.known_path)
        files["known devices"] = request.known_path
        description["adapted"] = adapted
    if nets:
        path = request.networks_path
        write_table(path, network_columns(request.space, nets, timing, request.device), description)
        files["networks"] = path
    if ops:
        assert overhead is not None
        write_table(request.out, operator_columns(ops, timing, overhead, request.settings.batch), description)
        files["operators"] = request.out
    total = (len(ops) + len(nets)) * request.settings.rounds
    return Result(
        ops, nets, total, total, timing, quality, overhead, machine, files, tuple(notes), adapted, description
    )


def _changes(machines: list[dict[str, Any]]) -> list[str]:
    """What differs between the attempts' machines: then the figures do not belong together."""
    out = []
    for name in ("host", "cpu", "governor", "runtime_version", "provider", "cores_used"):
        found = list(dict.fromkeys(str(m.get(name)) for m in machines))
        if len(found) > 1:
            out.append(f"the measurement was interrupted and went on with another {name}: {', then '.join(found)}")
    return out
