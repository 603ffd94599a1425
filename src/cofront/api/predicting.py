"""Blind evaluation of a predictor on a table: adapt on few rows, score on the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofront.errors import UsageError, unknown_name
from cofront.study.documents import PredictorDocument, PredictorScore
from cofront.study.provenance import file_hash, source_hash
from cofront.study.recording import ending

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cofront.hardware.tables import MeasuredTable
    from cofront.predict.base import Prediction, Predictor
    from cofront.predict.devices import KnownDevices
    from cofront.predict.latency_harness import LatencyReport, Split
    from cofront.space import Space
    from cofront.study import Run, Study

#: Test rows of the first draw that a study keeps of each predictor: what a scatter can show.
KEPT_ROWS = 1000
#: Printed beside every few-shot predictor.
BASELINES = ("nnls", "ridge")
#: Known devices of the papers' training splits, which the others are tested with.
PAPER = {
    "nasbench201": ("1080ti_1", "1080ti_32", "1080ti_256", "silver_4114", "silver_4210r", "samsung_a50", "pixel3",
                    "essential_ph_1", "samsung_s7"),
    "fbnet": ("1080ti_1", "1080ti_32", "1080ti_64", "silver_4114", "silver_4210r", "samsung_a50", "pixel3",
              "essential_ph_1", "samsung_s7"),
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Which rows of the table to learn from and to score on: ranges of row numbers, None for all."""

    pool: tuple[int, int] | None = None
    test: tuple[int, int] | None = None
    trim: float = 0.0
    keep_dead: bool = False


def evaluate_predictor(
    method: str,
    *,
    space: str,
    table: str | Path,
    target: str,
    samples: int = 10,
    seed: int = 0,
    draws: int = 1,
    known: str = "paper",
    rows: Rows | None = None,
    unit: str | None = None,
    drop_negative: bool = False,
    any_magnitude: bool = False,
    baselines: bool = True,
    study: Study | None = None,
) -> PredictorDocument:
    """Scores of `method` after learning `samples` rows of `target`, with baselines beside it.

    With a `study` they are a run of it, with the first draw's predictions, for its report.

    `known`: "paper" (the training devices of HELP's split), "all" (every device that ships), or names, separated by
    commas, of shipped devices or of columns of the table. The target itself is never among them, whatever its case; a
    predictor whose shipped weights were trained on it is refused.
    """
    from cofront import registry
    from cofront.hardware.tables import plain, read_measured
    from cofront.predict.latency_harness import evaluate_latency

    started, rows = time.perf_counter(), rows or Rows()
    kind: type[Predictor] = registry.load("predictor", method)
    wanted, said = _variant(space)
    found = read_measured(table, wanted, [target], unit=unit, drop_negative=drop_negative, any_magnitude=any_magnitude)
    kept, notes = _kept(found, target, rows)
    notes = said + notes
    own = found.quantities[target].device
    if (seen := next((d for d in kind.learnt_from(found.space) if plain(d) == plain(own)), None)) is not None:
        raise UsageError(f"{method} comes trained on '{seen}': judge it on another device, or use transfer")
    others = [n for n in BASELINES if baselines and n != method]
    needed = kind.needs_devices or "nnls" in others
    devices = _known(found, Path(table), known, own, required=kind.needs_devices, unit=unit) if needed else None
    if devices is None:
        others = [n for n in others if not registry.load("predictor", n).needs_devices]
    split = _split(found, kept, rows)
    inputs = {
        "method": method, "space": space, "table": Path(table).name, "target": target, "samples": samples,
        "draws": draws, "known": known, "rows": asdict(rows), "unit": unit, "drop_negative": drop_negative,
        "table_hash": file_hash(Path(table)), "source_hash": source_hash(),
    }  # fmt: skip
    run = None if study is None else study.start("evaluate-predictor", inputs, seed)
    reports = []
    with ending(run):
        for name in (method, *others):
            one: type[Predictor] = registry.load("predictor", name)
            reports.append(
                evaluate_latency(
                    partial(_make, one, found, devices),
                    one.encode(found.space, found.points),
                    found.column(target),
                    split=split,
                    samples=samples,
                    draws=draws,
                    seed=seed,
                    keep=None if run is None else partial(_keep, run, name, found, target),
                )
            )
    document = PredictorDocument(
        space=found.space.name, table=Path(table).name, target=target, quantity=found.quantities[target].kind,
        rows=len(kept), left_out=len(found) - len(kept), samples=samples, n_test=reports[0].n_test, draws=draws,
        seed=seed, trim=rows.trim, score=_score(reports[0]), baselines=[_score(r) for r in reports[1:]],
        known=list(devices.names) if devices is not None else [], seconds=time.perf_counter() - started, notes=notes,
    )  # fmt: skip
    if run is not None:
        run.finish("done", document)
    return document


def _keep(
    run: Run, name: str, found: MeasuredTable, target: str, rows: NDArray[np.int64], prediction: Prediction
) -> None:
    """Predictions and measurements of some test rows, drawn at random, in SI units to four figures."""
    import numpy as np

    some = np.sort(np.random.default_rng(0).permutation(len(rows))[:KEPT_ROWS])

    def figures(values: NDArray[np.float64]) -> list[float]:
        return [float(f"{v:.4g}") for v in values[some]]

    data: dict[str, Any] = {
        "predictor": name, "device": found.quantities[target].device, "of": len(rows),
        "measured": figures(found.column(target)[rows]), "mean": figures(prediction.mean),
        "std": figures(prediction.std),
    }  # fmt: skip
    run.event("predictions", data)


def _variant(space: str) -> tuple[Space, list[str]]:
    """The space by name; without a variant, the one that the known devices were measured on, and a note of it."""
    from cofront.predict.devices import shipped
    from cofront.space import load

    wanted = load(space)
    with suppress(UsageError):
        measured = shipped(space).space
        if "@" not in space and measured != space:
            other = load(measured)
            if [c.name for c in other.choices] == [c.name for c in wanted.choices]:
                return other, [f"networks are those of {measured}, on which the known devices were measured"]
    return wanted, []


def _make(kind: type[Predictor], found: MeasuredTable, devices: KnownDevices | None) -> Predictor:
    if kind.needs_devices and devices is not None:
        return kind.with_devices(found.space, devices)
    return kind.for_space(found.space)


def _kept(found: MeasuredTable, target: str, rows: Rows) -> tuple[Sequence[int], list[str]]:
    """Rows with a measurement, dead cells left out, and what was left out in words."""
    import numpy as np

    measured, notes = found.measured(target), []
    if not measured.all():
        notes.append(f"{int((~measured).sum())} rows without a measurement are left out")
    dead = getattr(found.space, "dead", None)
    if dead is not None and not rows.keep_dead:
        gone = np.asarray(dead(found.points)) & measured
        if gone.any():
            notes.append(f"{int(gone.sum())} dead cells are left out: they compute nothing")
            measured = measured & ~gone
    return np.flatnonzero(measured).tolist(), notes


def _split(found: MeasuredTable, kept: Sequence[int], rows: Rows) -> Split:
    import numpy as np

    from cofront.predict.latency_harness import Split

    all_rows = np.array(kept, dtype=np.int64)

    def within(bounds: tuple[int, int] | None, what: str) -> NDArray[np.int64]:
        if bounds is None:
            return all_rows
        part = all_rows[(all_rows >= bounds[0]) & (all_rows < bounds[1])]
        if not len(part):
            raise UsageError(
                f"--{what} {bounds[0]}:{bounds[1]}: the table has no measured row there, it has {len(found)}"
            )
        return part

    isomorphism = getattr(found.space, "isomorphism", None)
    groups = None if isomorphism is None else np.asarray(isomorphism(found.points))
    if groups is None:
        groups = np.unique(found.points, axis=0, return_inverse=True)[1].ravel()
    return Split(within(rows.pool, "pool"), within(rows.test, "test"), groups, rows.trim)


def _known(
    found: MeasuredTable, table: Path, known: str, own: str, *, required: bool, unit: str | None
) -> KnownDevices | None:
    """The known devices to learn from, or None if there are none and none is needed."""
    from cofront.predict.devices import shipped

    base = found.space.name.partition("@")[0]
    if known in ("paper", "all"):
        try:
            devices = shipped(base)
        except UsageError:
            if required:
                raise
            return None
        names = [n for n in devices.names if known == "all" or n in PAPER.get(base, devices.names)]
        return _without(devices.select(names), own)
    names = [n.strip() for n in known.split(",") if n.strip()]
    with suppress(UsageError):
        come_along = shipped(base)
        if all(n in come_along.names for n in names):
            return _without(come_along.select(names), own)
    return _from_columns(found, table, names, own, unit)


def _without(devices: KnownDevices, own: str) -> KnownDevices:
    """All but the target, however its column spells it."""
    from cofront.hardware.tables import plain

    return devices.without(*(n for n in devices.names if plain(n) == plain(own)))


def _from_columns(found: MeasuredTable, table: Path, names: list[str], own: str, unit: str | None) -> KnownDevices:
    from cofront.hardware.tables import parse_column, plain, read_measured
    from cofront.predict.devices import learn_devices
    from cofront.space.columnfile import read_columns

    _, columns = read_columns(table, set())
    chosen = {}
    for name in names:
        match = next((c for c in columns if name in (c, c.removeprefix("lat_ms_"))), None)
        if match is None:
            raise unknown_name("known device or column", name, columns)
        device = parse_column(match, unit).device
        if plain(device) != plain(own):
            chosen[device] = match
    if not chosen:
        raise UsageError("--known names no device but the target itself")
    read = read_measured(table, found.space, list(chosen.values()), unit=unit)
    return learn_devices(read.space, read.points, {d: read.column(c) for d, c in chosen.items()})


def _score(report: LatencyReport) -> PredictorScore:
    return PredictorScore(
        predictor=report.predictor, spearman=report.spearman.mean, kendall=report.kendall.mean,
        mape=report.mape.mean, mae=report.mae_s.mean, within_5=report.within_5.mean, within_10=report.within_10.mean,
        coverage=report.coverage.mean, fit_s=report.fit_s, predict_s=report.predict_s,
        spearman_half=_number(report.spearman.half), kendall_half=_number(report.kendall.half),
        mape_half=_number(report.mape.half),
    )  # fmt: skip


def _number(value: float) -> float | None:
    return value if value == value else None
