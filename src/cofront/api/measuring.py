"""`measure` and `predict`: latencies of this machine or a board, and of networks on what was measured."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from cofront.api.files import is_table, need_file
from cofront.errors import InputError, UsageError
from cofront.study.documents import LatencyDocument, LatencyPart, MeasurementDocument, OverheadPart

if TYPE_CHECKING:
    from cofront.measure.base import Settings
    from cofront.measure.campaign import Result
    from cofront.measure.estimate import LatencyModel, Subject
    from cofront.measure.session import Step


def measure(
    device: str,
    *,
    space: str,
    out: str | Path,
    settings: Settings | None = None,
    networks: int = 12,
    operators: bool = True,
    samples: int | None = None,
    adapt_from: str | Path | None = None,
    ssh_config: str | Path | None = None,
    python: str | None = None,
    fresh: bool = False,
    on_step: Callable[[Step], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> MeasurementDocument:
    """Measures the operators of a space and some whole networks on "host" or "ssh://user@board", into tables.

    `samples` measures that many whole networks alone and adapts the known devices (or the operator table
    `adapt_from`) to them. Finished visits are kept beside `out` and not measured again.
    """
    from cofront.measure import campaign
    from cofront.measure.base import Settings as Measuring
    from cofront.measure.target import parse_target
    from cofront.space import load

    started = time.perf_counter()
    if samples is not None and not operators:
        raise UsageError("--samples measures whole networks alone; leave --no-operators out")
    if adapt_from is not None and samples is None:
        raise UsageError("--adapt-from says what few measurements are adapted from; give --samples too")
    request = campaign.Request(
        space=load(space), target=parse_target(device, ssh_config=ssh_config, python=python), out=Path(out),
        settings=settings or Measuring(), n_networks=networks, with_operators=operators, samples=samples,
        adapt_from=None if adapt_from is None else str(adapt_from),
    )  # fmt: skip
    found = campaign.measure(request, fresh=fresh, on_step=on_step, should_stop=should_stop, say=say)
    return _document(request, found, time.perf_counter() - started)


def _document(request: object, found: Result, seconds: float) -> MeasurementDocument:
    from cofront.measure.campaign import Request

    assert isinstance(request, Request)
    said = found.description
    overhead = said.get("overhead")
    files = {what: str(path) for what, path in found.files.items()}
    if found.reused:
        files = {"table": str(request.out)}
    return MeasurementDocument(
        device=request.target.name, space=request.space.name, operators=len(found.operators),
        networks=len(found.networks), done=found.done, total=found.total, settings=asdict(request.settings),
        machine=said.get("machine", {}), quality=said.get("quality", {}),
        half_width=median(t.half for t in found.timing.values()) if found.timing else None,
        overhead=OverheadPart(**overhead) if overhead else None, adapted=said.get("adapted"), files=files,
        seconds=seconds, reused=found.reused, notes=list(said.get("notes", [])),
    )  # fmt: skip


def predict(
    sources: Sequence[str], *, device: str | None = None, table: str | Path | None = None, space: str | None = None
) -> LatencyDocument:
    """Latency of networks (published names, ONNX files, design files, points "SPACE:0,1,2") on a device.

    `device` is a table that was measured, the name of a known device, or the column of `table` to use.
    """
    from cofront.space import load

    started = time.perf_counter()
    if not sources:
        raise UsageError("name at least one network: a published name, an ONNX or design file, or SPACE:0,1,2,...")
    subjects = [_subject(s) for s in sources]
    wanted = load(space) if space is not None else next((s.space for s in subjects if s.space is not None), None)
    model, path = _model(device, table, wanted)
    parts = []
    for subject in subjects:
        e = model.estimate(subject)
        low, high = e.range_s or (None, None)
        parts.append(
            LatencyPart(network=subject.name, latency_s=e.latency_s, std_s=e.std_s, low_s=low, high_s=high, how=e.how)
        )
    said = {}
    if path is not None:
        from cofront.measure.table import read_description

        said = read_description(path)
    return LatencyDocument(
        device=model.name, table="" if path is None else path.name, networks=parts, machine=said.get("machine", {}),
        seconds=time.perf_counter() - started, notes=list(said.get("notes", [])),
    )  # fmt: skip


def _model(device: str | None, table: str | Path | None, space: object) -> tuple[LatencyModel, Path | None]:
    from cofront.measure.estimate import KnownModel, load_model
    from cofront.predict.devices import shipped
    from cofront.space.base import Space

    assert space is None or isinstance(space, Space)
    if table is not None:
        need_file(Path(table), "a table, as `cofront measure` writes it")
        return load_model(Path(table), column=device, space=space), Path(table)
    if device is None:
        raise UsageError("say on which device: --device TABLE, as `cofront measure` writes them, or a known device")
    path = Path(device)
    if is_table(path):
        need_file(path, "a table, as `cofront measure` writes it, or the name of a known device")
        return load_model(path, space=space), path
    _check_known(device)
    if space is None:
        raise UsageError(
            f"'{device}' is no table; known devices are known by networks of a space: give SPACE:0,1,... or --space"
        )
    return KnownModel(space, shipped(space.name), device), None


def _check_known(name: str) -> None:
    """UsageError for a device that is known of no space, with the nearest names and how to list all."""
    from cofront.api.catalogue import known_devices
    from cofront.predict.devices import nearest

    every = sorted({n for known in known_devices() for n in known.names})
    if name in every:
        return
    near = nearest(name, every)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise UsageError(
        f"no known device '{name}', nor a table (FILE.parquet, .csv or .json, as `cofront measure` writes them); {hint}"
        "`cofront devices --known` lists them"
    )


def _subject(source: str) -> Subject:
    import numpy as np

    from cofront.api.networks import read_design, resolve
    from cofront.measure.estimate import Subject
    from cofront.space import load

    match = re.fullmatch(r"([\w.@,-]+):\s*\[?\s*(-?\d+(?:\s*,\s*-?\d+)*)\s*\]?", source)
    if match is not None and not Path(source).exists():
        space = load(match[1])
        try:
            point = space.canonical(np.array([[int(v) for v in match[2].split(",")]], dtype=np.int64))[0]
        except OverflowError:
            raise InputError(f"{source:.60}: an option number is far out of range") from None
        return Subject(source, space.network(point), space, point)
    resolved = resolve(source)
    if resolved.design is not None and resolved.design.space:
        design = read_design(Path(source))
        space, points = load(design.space).from_table({k: [v] for k, v in design.design.choices.items()})
        return Subject(resolved.label, resolved.network, space, points[0])
    return Subject(resolved.label, resolved.network)
