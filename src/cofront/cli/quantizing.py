"""What `cofront quantize` does: the work with progress, its study and report."""

from __future__ import annotations

from pathlib import Path

from cofront.api.quantise.files import WRITTEN
from cofront.api.quantise.quantising import quantize
from cofront.api.quantise.scene import QuantizeRequest
from cofront.cli import output
from cofront.cli.in_folder import in_folder
from cofront.cli.writing import file_name
from cofront.study.documents import QuantisedDocument


def carry_out(request: QuantizeRequest, out: Path | None, study: Path | None) -> QuantisedDocument:
    """Quantises in its folder; the document says where everything is."""
    folder = out or Path("runs") / file_name(f"quantize-{Path(request.model).name}-{request.device or 'size'}")
    return in_folder(
        lambda kept, progress, stop: quantize(
            request, folder, study=kept, on_progress=progress, should_stop=stop,
            note=lambda text: output.note(f"cofront: note: {text}"),
        ),
        folder, study, WRITTEN, (request.model, request.weights, request.device),
    )  # fmt: skip
