"""What a study holds about predictors of latency: scores and predictions, for the page."""

from __future__ import annotations

import json
from typing import Any

from cofront.study.documents import PredictorDocument, PredictorScore, read_document
from cofront.study.store import RunRecord, Study

VERB = "evaluate-predictor"
#: Inputs of a run besides its space, which scores must share to stand in one picture.
_PROTOCOL = ("samples", "draws", "known", "rows")


def scored(runs: list[RunRecord]) -> list[RunRecord]:
    """The runs that scored a predictor, oldest first."""
    return [r for r in runs if r.verb == VERB and r.status == "done" and r.result is not None]


def predictor_data(study: Study, runs: list[RunRecord]) -> list[dict[str, Any]]:
    """One entry per protocol (space, quantity, rows learnt, known devices, seed), the newest first.

    Each has `targets`, `methods` (the best mean rank correlation first), `spearman` (methods x targets, None where a
    method was not scored on a target) and `entries`: the newest scores of a method on a target, with the predictions
    of its first draw.
    """
    groups: dict[str, dict[str, Any]] = {}
    for run in scored(runs):
        found = read_document(run.result, PredictorDocument, f"run {run.id} of study '{study.path}'")
        protocol = [found.space, found.quantity, run.seed, *(run.inputs.get(k) for k in _PROTOCOL)]
        key = json.dumps(protocol, sort_keys=True)
        # a group is where its newest run is
        group = groups[key] = groups.pop(key, {"quantity": found.quantity, "found": {}})
        group |= {"label": _label(found), "note": _note(found, run)}
        points = {data["predictor"]: data for _, data in study.events(run.id, "predictions")}
        for score in (found.score, *found.baselines):
            kept = points.get(score.predictor, {})
            device = str(kept.get("device", found.target))
            # taken out first: what was scored last stands last
            group["found"].pop((score.predictor, device), None)
            group["found"][score.predictor, device] = _entry(found, score, device, kept)
    return [_group(g) for g in reversed(groups.values())]


def _label(found: PredictorDocument) -> str:
    return f"{found.quantity} on {found.space}, {found.samples} measurements"


def _note(found: PredictorDocument, run: RunRecord) -> str:
    rows = run.inputs.get("rows") or {}
    parts = [f"{found.samples} of {found.rows:,} rows learnt, {found.n_test:,} others predicted"]
    parts.append("one draw" if found.draws == 1 else f"mean of {found.draws} draws")
    parts.append(f"seed {run.seed}")
    if found.trim:
        parts.append(f"without the fastest and slowest {100 * found.trim:g} %")
    parts += [f"{name} rows {r[0]}:{r[1]}" for name in ("pool", "test") if (r := rows.get(name))]
    if found.known:
        parts.append(f"known devices: {', '.join(found.known)}")
    return "; ".join(parts) + "."


def _entry(found: PredictorDocument, score: PredictorScore, device: str, kept: dict[str, Any]) -> dict[str, Any]:
    names = ("spearman", "spearman_half", "kendall", "mape", "within_10", "coverage", "fit_s", "predict_s")
    return {
        "method": score.predictor, "target": device, "table": found.table, **{n: getattr(score, n) for n in names},
        **{n: kept.get(n, []) for n in ("measured", "mean", "std")}, "of": kept.get("of", 0),
    }  # fmt: skip


def _group(group: dict[str, Any]) -> dict[str, Any]:
    found = group.pop("found")
    targets = sorted({target for _, target in found})
    methods = {m for m, _ in found}

    def mean(method: str) -> float:
        values = [found[method, t]["spearman"] for t in targets if (method, t) in found]
        return float(sum(values) / len(values))

    order = sorted(methods, key=lambda m: (-mean(m), m))
    matrix = [[found[m, t]["spearman"] if (m, t) in found else None for t in targets] for m in order]
    return {**group, "targets": targets, "methods": order, "spearman": matrix, "entries": list(found.values())}
