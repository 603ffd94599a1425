"""Files that are no MODEL to quantise, though they look like one: what each is, and what to give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cofront.errors import CofrontError, UsageError


@contextmanager
def explained(source: str) -> Iterator[None]:
    """While a model is read: a UsageError in place of errors of a file of weights, or of a network in integers."""
    path = Path(source)
    if path.is_file() and path.suffix.lower() == ".safetensors":
        raise UsageError(
            f"'{source}' holds weights (or integers) alone: give the network as MODEL, a design or a published name, "
            "and weights in floating point with --weights; or the trained network as an ONNX file"
        )
    try:
        yield
    except CofrontError:
        if in_integers(path):
            raise UsageError(
                f"'{source}' is in integers already, and has no floating point to choose bits from: give the network "
                "that it was made from"
            ) from None
        raise


def in_integers(path: Path) -> bool:
    """Whether an ONNX file multiplies integers, as ours and those of other quantisers do."""
    import onnx

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception:  # no such file, or no ONNX: whoever reads it says so
        return False
    kinds = {node.op_type for node in graph.node}
    return bool(kinds & {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"})
