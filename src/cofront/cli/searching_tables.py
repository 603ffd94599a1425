"""What `cofront search` does on a device that is measured: measure it if need be, the exact front, study, report."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from cofront.api.files import is_table
from cofront.api.ours import check_ours
from cofront.api.request import SearchRequest
from cofront.api.tabled import check_request, is_known, search_table
from cofront.api.weights import SUPERNETS
from cofront.api.weights import check_request as check_weights
from cofront.cli import output, show
from cofront.cli.leftovers import leave_nothing
from cofront.cli.main import INTERRUPTED
from cofront.cli.measured import measured_now
from cofront.cli.writing import file_name, write_results, written
from cofront.study import Study
from cofront.study.asked import chosen_words
from cofront.study.documents import SearchDocument


def run_table_search(
    request: SearchRequest, out: Path | None, study_path: Path | None, json: bool, data: Path | None = None
) -> int:
    """Runs the request and prints the result; returns the exit code. `data` is what exported weights are set on."""
    check_request(request)
    check_weights(request.space, data)
    short = Path(request.device).stem if is_table(request.device) else request.device.removeprefix("ssh://")
    folder = out or Path("runs") / file_name(f"{request.space}-{short}")
    check_ours(folder, [*written(request.space), "report.html"])
    path = study_path or folder / "study.sqlite"
    if not is_table(request.device) and not is_known(request.device, request.space):
        with leave_nothing(path, folder):
            table = measured_now(request.device, request.space, request.seed, folder / file_name(f"{short}.parquet"))
        if table is None:
            return INTERRUPTED
        request = replace(request, device=str(table))
    with leave_nothing(path, folder), Study(path) as study:
        result = search_table(request, study)
        document, told = write_results(request, result, study, folder, data, None)
    if json:
        output.emit_json(document)
    else:
        _show(document)
        if document.chosen is not None:
            output.line(chosen_words(document))
        show.written(document)
        if "design" in document.files:
            design = shlex.quote(document.files["design"])
            known = f"--device {shlex.quote(request.device)}"
            if request.latency_column is not None:
                known = f"--table {shlex.quote(request.device)} --device {shlex.quote(request.latency_column)}"
            output.line(f"next: cofront predict {design} {known}")
            if document.space in SUPERNETS:
                output.line(f"      cofront train {design}{output.named_data(data)}")
    if told:
        output.note(f"cofront: {told}")
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
            output.quantity(d.macs or 0), output.quantity(d.params or 0), show.bits(d.precisions) or "as measured",
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
