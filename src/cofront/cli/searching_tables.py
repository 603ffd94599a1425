"""What `cofront search` does on a device that is measured: measure it if need be, the exact front, study, report."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import msgspec

from cofront.api.files import is_table
from cofront.api.measuring import measure
from cofront.api.ours import check_ours
from cofront.api.request import SearchRequest
from cofront.api.tabled import check_request, search_table
from cofront.cli import output, show
from cofront.cli.leftovers import leave_nothing
from cofront.cli.main import INTERRUPTED
from cofront.cli.measure import stepper
from cofront.cli.progress import Interrupt, reporter
from cofront.measure.base import Settings
from cofront.study import Study
from cofront.study.documents import SearchDocument
from cofront.study.report import write_report


def run_table_search(request: SearchRequest, out: Path | None, study_path: Path | None, json: bool) -> int:
    """Runs the request and prints the result; returns the exit code."""
    check_request(request)
    short = Path(request.device).stem if is_table(request.device) else request.device.removeprefix("ssh://")
    safe = "".join(c if c.isalnum() or c in "-_.@" else "_" for c in short)
    folder = out or Path("runs") / f"{request.space.replace(',', '_')}-{safe}"
    check_ours(folder, ["report.html"])
    path = study_path or folder / "study.sqlite"
    if not is_table(request.device):
        with leave_nothing(path, folder):
            table = _measured(request, folder / f"{safe}.parquet")
        if table is None:
            return INTERRUPTED
        request = replace(request, device=str(table))
    with leave_nothing(path, folder), Study(path) as study:
        result = search_table(request, study)
        document = msgspec.structs.replace(result.document, study=str(study.path), report=str(folder / "report.html"))
        write_report(study, folder / "report.html", result.run_id, document)
    if json:
        output.emit_json(document)
    else:
        _show(document)
        for name in ("report", "study"):
            output.line(f"  {name:<12} {getattr(document, name)}")
        if document.chosen is not None:
            point = ",".join(map(str, document.front[document.chosen].point))
            output.line(f"next: cofront predict {document.space}:{point} --device {shlex.quote(request.device)}")
    if document.chosen is None:
        show.limits(document.infeasible, "no network of the front meets what was asked")
        return 1
    return 0


def _show(document: SearchDocument) -> None:
    """The front, the chosen network marked, and what is proven."""
    n = len(document.front)
    spread = {round(i * (n - 1) / 15) for i in range(16)} if n > 16 else set(range(n))
    some = sorted(spread if document.chosen is None else {*spread, document.chosen})
    rows = [
        [
            str(i + 1), output.accuracy(d.accuracy), output.seconds(d.latency_s), output.rate(d.fps),
            output.quantity(d.macs or 0), output.quantity(d.params or 0), show.bits(d.precisions) or "float32",
        ]
        for i, d in ((i, document.front[i]) for i in some)
    ]  # fmt: skip
    shown = "" if len(some) == n else f" ({len(some)} of {n} networks shown)"
    columns = ["#", "accuracy", "latency", "fps", "MACs", "parameters", "blocks at"]
    marked = some.index(document.chosen) if document.chosen is not None else None
    output.table(f"Front: {document.space} on {document.device}{shown}", columns, rows, marked)
    covered = output.count(document.designs)
    output.line(f"gap 0: exact over {covered} networks, searched for {output.seconds(document.solve_s)}")
    output.line(f"accuracy: {document.accuracy_note}")
    output.line(f"latency: {document.latency_note}")
    for text in document.notes:
        output.line(f"note: {text}")


def _measured(request: SearchRequest, table: Path) -> Path | None:
    """The table of a device that is measured now, or was before; None when interrupted."""
    table.parent.mkdir(parents=True, exist_ok=True)
    settings = Settings(seed=request.seed)
    with Interrupt() as stop, reporter() as progress:
        found = measure(
            request.device, space=request.space, out=table, settings=settings, on_step=stepper(progress, settings),
            should_stop=stop, say=lambda text: output.note(f"cofront: {text}"),
        )  # fmt: skip
    if found.done < found.total:
        output.note(f"cofront: interrupted: the visits so far are kept in {table}.partial; the same command goes on")
        return None
    for note in found.notes:
        output.note(f"cofront: note: {note}")
    return table
