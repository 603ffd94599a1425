"""The exact front of a full table, and what named searches find of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from cofront.errors import InputError, UsageError, unknown_name
from cofront.study.documents import ParetoDocument, ParetoPoint, SearchTrace, clean


def pareto(
    *,
    space: str,
    table: str | Path,
    accuracy: str,
    cost: str,
    searches: Sequence[str] = (),
    evaluations: int = 500,
    runs: int = 5,
    seed: int = 0,
    drop_negative: bool = False,
) -> ParetoDocument:
    """The rows that no other row beats in both columns: `accuracy` high, `cost` low (a throughput: high).

    Rows without one of the two are left out. Each of `searches` is run `runs` times with so many evaluations.
    """
    import numpy as np

    from cofront.hardware.tables.units import column_numbers
    from cofront.search.dominance import non_dominated
    from cofront.search.table import TABLE_SEARCHES, Table, run
    from cofront.space import load
    from cofront.space.columnfile import in_file, read_columns

    started, path, wanted = time.perf_counter(), Path(table), load(space)
    for name in searches:
        if name not in TABLE_SEARCHES:
            raise unknown_name("search of a table", name, TABLE_SEARCHES)
    if runs < 1:
        raise UsageError(f"a search is run at least once, got {runs}")
    columns, names = read_columns(path, {*wanted.table_columns(), accuracy, cost})
    for name in (accuracy, cost):
        if name not in columns:
            raise UsageError(f"{path}: {unknown_name('column', name, names)}")
    try:
        found, points = wanted.from_table({k: v for k, v in columns.items() if k not in (accuracy, cost)})
        values = {n: column_numbers(n, columns[n], drop_negative=drop_negative) for n in (accuracy, cost)}
    except InputError as error:
        raise in_file(path, error) from None
    kept = np.flatnonzero(np.isfinite(values[accuracy]) & np.isfinite(values[cost]))
    if not len(kept):
        raise InputError(f"{path}: no row has both '{accuracy}' and '{cost}'")
    better = "high" if "throughput" in cost.lower() else "low"
    gain, price = values[accuracy][kept], values[cost][kept]
    paid = 1.0 / np.maximum(price, 1e-300) if better == "high" else price
    front = non_dominated(paid, gain)
    designs = [
        ParetoPoint(
            row=int(kept[i]), cost=float(price[i]), accuracy=float(gain[i]),
            choices=clean(found.describe(points[kept[i]])),
            ties=int(((price == price[i]) & (gain == gain[i])).sum()) - 1,
        )
        for i in front
    ]  # fmt: skip
    traces = []
    if searches:
        seen = np.concatenate([found.features(points[kept]), found.work(points[kept])], axis=1)
        whole = Table(points[kept], paid, gain, seen / np.maximum(np.abs(seen).max(axis=0), 1e-30))
        for name in searches:
            each = [run(TABLE_SEARCHES[name], whole, min(evaluations, len(kept)), seed + i) for i in range(runs)]
            traces.append(
                SearchTrace(
                    search=name, evaluations=min(evaluations, len(kept)), runs=runs,
                    share=median(f.share for f in each), hypervolume=median(f.volume for f in each),
                    to_half=_median([f.to_half for f in each]), to_all=_median([f.to_all for f in each]),
                    found_after=[f.times.tolist() for f in each],
                )
            )  # fmt: skip
    gone = len(points) - len(kept)
    return ParetoDocument(
        space=found.name, table=path.name, accuracy=accuracy, cost=cost, cost_better=better, rows=len(kept),
        left_out=gone, front=designs, searches=traces, seconds=time.perf_counter() - started,
        notes=[f"{gone} rows lack one of the two columns"] if gone else [],
    )  # fmt: skip


def _median(values: Sequence[int | None]) -> float | None:
    """The median with None as never: None when half of the runs or more never got there."""
    ordered = sorted(v for v in values if v is not None)
    return float(ordered[len(values) // 2]) if len(ordered) > len(values) // 2 else None
