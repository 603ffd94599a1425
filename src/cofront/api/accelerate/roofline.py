"""The roofline of the teacher and of the network that took its place, unit by unit."""

from __future__ import annotations

from collections.abc import Sequence

from cofront.api.accelerate.pricing import OnPart
from cofront.api.files import is_table
from cofront.api.rooflines import by_group
from cofront.space.operators_of import TEACHER
from cofront.study.documents import AccelerateDocument, RoofPair, RoofSide


def roofline_of(on_part: OnPart | None, document: AccelerateDocument, device: str) -> tuple[RoofPair | None, str]:
    """Both networks on the accelerator that the prices are of, or why there is none. `document` has its units."""
    if on_part is None:
        source = "a table of latencies" if is_table(device) else "a measurement"
        return None, f"no roofline: {source} says nothing of multipliers and memory"
    assert document.chosen is not None
    taken = document.solutions[document.chosen]
    teacher = [TEACHER] * len(taken.operators)
    return RoofPair(
        before=_side("teacher", on_part, teacher, document.before_s),
        after=_side("with the chosen operators", on_part, taken.operators, taken.latency_s),
    ), ""


def _side(label: str, on_part: OnPart, operators: Sequence[str], latency_s: float) -> RoofSide:
    """What multiplies, by unit: an identity does not."""
    from cofront.api.costing import family

    space = on_part.space
    groups = [
        (part.name, space.fragment((i, name)))
        for i, (part, name) in enumerate(zip(space.parts, operators, strict=True))
        if (layers := space.operators[i][name]) is not None and layers.layers
    ]
    return by_group(label, groups, latency_s, family("subgraph"), on_part.part, on_part.config)
