"""Builds the report: collects what the study holds about its newest search and fills the page with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from cofront import __version__
from cofront.errors import MissingDependencyError, StudyError, UsageError
from cofront.figures import seconds
from cofront.study.asked import asked_of
from cofront.study.documents import ReportDocument, SearchDocument, VerifyDocument, clean, read_document
from cofront.study.fronts import fronts, with_front
from cofront.study.provenance import write_atomic
from cofront.study.report.frontless import CARDS, cards, of_its_own, without_front
from cofront.study.report.origins import listed, minute, origins, when
from cofront.study.store import RunRecord, Study

_BYTES = ("weight_bytes", "activation_bytes")
_RANGE = ("latency_low_s", "latency_high_s")
#: Scripts of the page's cards; page.js calls them.
_SCRIPTS = ("gantt", "predictors", "pictures", "cards", "roofline", "heat", "runs", "bits", "quantised", "accelerated")
#: Kernels in the order of the pipeline; others follow alphabetically.
KERNEL_ORDER = ("conv", "dw", "pw")


def write_report(
    study: Study, path: Path, run_id: int | None = None, document: SearchDocument | None = None
) -> ReportDocument:
    """Writes the report of the study's newest search (or of run `run_id`) to `path`.

    `document` replaces the stored result, when it knows more (which design was asked for).
    """
    data = report_data(study, run_id, document)
    write_atomic(path, _page(data))
    counts = {name: len((data[name] or {"entries": []})["entries"]) for name in CARDS}
    return ReportDocument(
        study=str(study.path), report=str(path), runs=len(data["runs"]), designs=len(data["designs"]),
        scores=sum(len(group["entries"]) for group in data["predictors"]),
        differentiable=counts["differentiable"], quantised=counts["quantised"], accelerated=counts["accelerated"],
    )  # fmt: skip


def _page(data: dict[str, Any]) -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        raise MissingDependencyError("the report needs the package 'plotly': pip install plotly") from None

    here = files("cofront.study.report")
    text = {
        name: (here / name).read_text(encoding="utf-8")
        for name in ("page.html", "page.css", "page.js", *(f"{name}.js" for name in _SCRIPTS))
    }
    # "</script>" and "<!--" inside the data would end the element that holds it
    payload = json.dumps(clean(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace(
        "<", "\\u003c"
    )
    parts = {
        "title": _escape(str(data["title"])), "style": text["page.css"], "data": payload, "script": text["page.js"],
        "plotly": get_plotlyjs(), **{name: text[f"{name}.js"] for name in _SCRIPTS},
    }  # fmt: skip
    out: list[str] = []
    for i, piece in enumerate(text["page.html"].split("{{")):
        if i:
            name, piece = piece.split("}}", 1)
            out.append(parts[name])
        out.append(piece)
    return "".join(out)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def report_data(study: Study, run_id: int | None = None, document: SearchDocument | None = None) -> dict[str, Any]:
    """Everything the page shows, as plain JSON values."""
    runs = study.runs()
    alone = not any(with_front(r) for r in runs) if run_id is None else run_id in of_its_own(runs)
    if document is None and alone and (found := without_front(study, runs, run_id)) is not None:
        return found
    run = _pick(study, runs, run_id)
    assert run.result is not None
    search = document or read_document(run.result, SearchDocument, f"run {run.id} of study '{study.path}'")
    costs = {_key(i): result for i, result in study.evaluations(run.id) if "config" in i}
    calls, configs, rest = _Pool(), _Pool(), _Pool()
    asked, front = asked_of(search), json_front(search)
    choices = list(front[0]["choices"]) if front else []
    designs = [_design(d, costs, calls, configs, rest, choices) for d in front]
    kernels = {k for c in calls.items for k in c["kernels"]}
    return {
        "title": f"{search.space} on {search.device}",
        "cofront": __version__,
        "statement": statement(search),
        "front_note": front_note(search),
        "search": {
            "designs": str(search.designs), "gap": search.gap, "solve_s": search.solve_s, "method": search.method,
            "clock_hz": search.clock_hz, "hardware": search.accelerator, "third": search.third,
            "required_fps": search.required_fps, "required_accuracy": search.required_accuracy,
            "bound": [{"latency_s": b.latency_s, "accuracy": b.accuracy} for b in search.bound],
        },
        "designs": designs,
        "calls": calls.items,
        "configs": configs.items,
        "kernel_tables": rest.items,
        "choices": choices,
        "chosen": search.chosen,
        "knee": search.knee,
        "asked": asdict(asked),
        "budget": search.budget,
        "kernels": sorted(kernels, key=lambda k: (KERNEL_ORDER.index(k) if k in KERNEL_ORDER else 9, k)),
        "others": _others(study, runs, run, search),
        "history": _history(study, run),
        "cover": [_cover(c) for c in search.cover],
        "verified": verified(study, runs, run),
        "provenance": _provenance(study, run, search),
        "runs": listed(runs),
    } | cards(study, runs)  # fmt: skip


def has_search(study: Study) -> bool:
    """Whether there is something to report: a search with a front, or a run that a page can be about without one."""
    runs = study.runs()
    return any(with_front(r) for r in runs) or bool(of_its_own(runs))


def _pick(study: Study, runs: list[RunRecord], run_id: int | None) -> RunRecord:
    searches = fronts(runs)
    if run_id is not None:
        searches = [r for r in searches if r.id == run_id]
    if not searches:
        if run_id is not None and (known := ", ".join(str(r.id) for r in runs if with_front(r))):
            raise UsageError(f"run {run_id} of study '{study.path}' holds no front; those that do: {known}")
        raise StudyError(
            f"study '{study.path}' has no search with a front yet; run `cofront search --study {study.path}` first"
        )
    return searches[0]  # a certified front is what the report is about; a heuristic's is shown beside it


def json_front(search: SearchDocument) -> list[dict[str, Any]]:
    import msgspec

    out = msgspec.to_builtins(search.front)
    assert isinstance(out, list)
    return out


def _key(inputs: dict[str, Any]) -> str:
    return json.dumps([inputs.get("point"), inputs["config"]], sort_keys=True)


class _Pool:
    """Equal values once: designs of a front share most of their calls and accelerators."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._index: dict[str, int] = {}

    def add(self, item: Any) -> int:
        key = json.dumps(item)
        if key not in self._index:
            self._index[key] = len(self.items)
            self.items.append(item)
        return self._index[key]


def _design(
    design: dict[str, Any],
    costs: dict[str, dict[str, Any]],
    calls: _Pool,
    configs: _Pool,
    rest: _Pool,
    choices: list[str],
) -> dict[str, Any]:
    """One design for the page: its calls and configuration as numbers into the pools, its choices in order."""
    cost = costs.get(_key(design), {})
    keep = ("accuracy", "latency_s", "fps", "cycles", "resources", "energy_j", "macs", "params", *_BYTES,
            *_RANGE)  # fmt: skip
    return {k: design.get(k) for k in keep} | {
        "choices": [design["choices"].get(name) for name in choices],
        "config": configs.add(design["config"]),
        "calls": [calls.add(c) for c in cost.get("calls", [])],
        "roof": cost.get("roof"),
        "kernels": rest.add({"kernels": cost.get("kernels", []), "notes": cost.get("notes", [])}),
        "bits": ", ".join(f"{n} × {b}" for b, n in design["precisions"].items()),
    }


def statement(search: SearchDocument) -> str:
    """One sentence on what was proven."""
    covered = scientific(search.designs)
    if search.gap is None:
        return f"A heuristic search ({search.method}) over {covered} designs: nothing is proven about what it missed."
    if search.third is not None and search.gap == 0:
        what = (
            "latency and accuracy, and energy and accuracy"
            if search.third == "energy"
            else (f"latency and accuracy at each of {len(search.third_levels)} budgets of {search.third}")
        )
        return f"Proven exact over {covered} designs: the fronts of {what}, by the accuracy and cost models used."
    if search.gap == 0:
        return (
            f"Proven exact: of the {covered} designs of this space, none is at least as fast as a design of this "
            "front and more accurate, by the accuracy and cost models used."
        )
    return (
        f"Certified: of the {covered} designs of this space, none exceeds this front's accuracy at any latency by "
        f"more than {100 * search.gap:.3f} points, by the accuracy and cost models used."
    )


def scientific(value: int) -> str:
    """ "5.9 × 10³⁶", or the number itself while it is short."""
    if value < 10**7:
        return f"{value:,}"
    mantissa, exponent = f"{float(value):.1e}".split("e+")
    return f"{mantissa} × 10{str(int(exponent)).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def front_note(search: SearchDocument) -> str:
    """Where the accuracies come from, and what the shading means."""
    source = f"Accuracy: {search.accuracy_note}. " if search.accuracy_note else ""
    source += f"Latency: {search.latency_note}. " if search.latency_note else ""
    if any(d.latency_low_s is not None for d in search.front):
        source += "95 % of new measurements are expected within the band around the front. "
    proven = "The shaded region is proven to be empty." if search.gap is not None and search.third is None else ""
    return source + proven


def _others(study: Study, runs: list[RunRecord], main: RunRecord, search: SearchDocument) -> list[dict[str, Any]]:
    """Fronts of other searches of the same space and device in this study, the newest of each method.

    Where both saw the same problem, the certified front says what the other one lost.
    """
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run.id == main.id or not with_front(run):
            continue
        other = read_document(run.result, SearchDocument, f"run {run.id} of study '{study.path}'")
        if (other.space, other.device) == (search.space, search.device) and other.method != search.method:
            points = [[d.latency_s, d.accuracy] for d in other.front if d.accuracy is not None]
            label = f"{other.method} (run {run.id})"
            if _same_problem(run, main):
                label += f": {certified_loss(other, search)}"
            found[other.method] = {"label": label, "points": points}
    return list(found.values())[-5:]


#: Inputs of a run that say how it searched, not what.
_HOW = ("method", "evaluations", "time_limit_s", "seed", "third")


def _same_problem(a: RunRecord, b: RunRecord) -> bool:
    def what(run: RunRecord) -> dict[str, Any]:
        return {k: v for k, v in run.inputs.items() if k not in _HOW}

    return bool(what(a)) and what(a) == what(b)


def certified_loss(other: SearchDocument, certified: SearchDocument) -> str:
    """What a heuristic front loses against a certified one of the same problem, at the latter's designs."""
    best: list[tuple[float, float]] = [(d.latency_s, d.accuracy) for d in other.front if d.accuracy is not None]
    losses = []
    for d in certified.front:
        reached = max((a for t, a in best if t <= d.latency_s), default=None)
        if reached is not None and d.accuracy is not None:
            losses.append(d.accuracy - reached)
    if certified.gap is None or not losses:
        return "loss unknown"
    # an uncertified part of the gap could be lost besides
    text = f"loses at most {100 * (max(losses) + certified.gap):.2f} points"
    missed = len(certified.front) - len(losses)
    return f"{text}, {missed} faster designs missed" if missed else text


def verified(study: Study, runs: list[RunRecord], main: RunRecord) -> dict[str, Any] | None:
    """What the newest `cofront verify` with this study found, and what the kernels did meanwhile.

    `main` is the search that the page is about.
    """
    done = [r for r in runs if r.verb == "verify" and r.status == "done" and r.result is not None]
    if not done:
        return None
    run = done[-1]
    found = read_document(run.result, VerifyDocument, f"run {run.id} of study '{study.path}'")
    equal = "equal to the integer network in every bit" if found.passed else f"{found.differing:,} of them DIFFER"
    images = f"{found.images} image{'' if found.images == 1 else 's'}"
    cycles = f"{found.cycles:,} cycles simulated"
    if found.stalls:
        cycles += f" with a memory that rested {found.stalls} of 1000 cycles at random, which no prediction assumes"
    else:
        cycles += f", {found.predicted_cycles:,} predicted by the schedule"
    design = ""
    if found.front_index is not None:
        front = (
            "this front" if found.front_run == main.id else f"the front of run {found.front_run}, another than shown"
        )
        design = f"Design {found.front_index + 1} of {front}. "
    activity = [data for _, data in study.events(run.id, "activity")]
    return {
        "note": f"{design}{found.title}: {found.elements:,} results of {images} ({found.image_source}) are "
        f"{equal}; {cycles}. Run {run.id}, {minute(run.started)}; the folder was '{found.folder}'.",
        "activity": activity[-1] if activity else None,
    }


def _history(study: Study, run: RunRecord) -> list[list[float]]:
    """(seconds, gap) of the progress events."""
    events = [data for _, data in study.events(run.id, "progress")]
    return [[e["elapsed_s"], e["gap"]] for e in events if e.get("gap") is not None and "elapsed_s" in e]


def _cover(entry: dict[str, Any]) -> dict[str, Any]:
    configs = [describe_config(c) for c in entry.get("configs", []) if isinstance(c, dict)]
    return {"accelerators": entry.get("accelerators"), "max_loss": entry.get("max_loss"), "configs": configs}


def describe_config(config: dict[str, Any]) -> str:
    """One line: engine, then the lanes of each kernel."""
    parts = [str(config.get("engine", ""))]
    for name in KERNEL_ORDER:
        kernel = config.get(name)
        if isinstance(kernel, dict) and kernel.get("po"):
            place = "DSP" if kernel.get("dsp") else "LUT"
            parts.append(f"{name} {kernel.get('pi')}×{kernel.get('po')}×{kernel.get('taps')} {place}")
    return " · ".join(parts)


def _provenance(study: Study, run: RunRecord, search: SearchDocument) -> list[list[Any]]:
    rows: list[list[Any]] = [
        ["command", run.command, True],
        ["run", when(run)],
        *_asked_since(study, run),
        ["seed", str(run.seed)],
        ["searched for", seconds(search.solve_s)],
        ["certified gap", "none (heuristic)" if search.gap is None else f"{search.gap:.6f} (fraction of 1)"],
        ["designs covered", f"{search.designs:,}"],
        ["limits", ", ".join(f"{k} ≤ {v:,}" for k, v in search.budget.items())],
        ["clock", f"{search.clock_hz / 1e6:g} MHz"],
        ["accuracy", search.accuracy_source or "–"],
        *origins(run),
    ]
    rows += [["left out", text] for text in search.left_out]
    return rows


def _asked_since(study: Study, run: RunRecord) -> list[list[Any]]:
    """The command that last chose from a front which an earlier one had found."""
    wishes = study.events(run.id, "wish")
    last = str(wishes[-1][1].get("command", "")) if wishes else ""
    return [["asked last", last, True]] if last and last != run.command else []
