"""What a study holds of quantised networks (`cofront quantize`), for the page."""

from __future__ import annotations

from typing import Any

import msgspec

from cofront.figures import accuracy, limit_words, number, seconds
from cofront.study.documents import QuantAccuracy, QuantisedDocument
from cofront.study.documents.parts import Limit
from cofront.study.report.entries import Card
from cofront.study.report.origins import provenance
from cofront.study.store import RunRecord

#: What its accuracies are called of the network as it came.
FLOATING = "floating point"
#: Quantities of budgets, by their SI unit.
_UNITS = {"latency": "s", "energy": "J", "size": "bytes"}
#: What counts as a proof: a smaller gap is rounding.
_EXACT = 1e-9


def title(found: QuantisedDocument) -> str:
    return f"{found.model} on {found.device}" if found.device else f"{found.model}, by its size"


def statement(found: QuantisedDocument) -> str:
    """One sentence on what came of it."""
    if not found.layers:
        return f"No bits for the layers of {found.model} meet the budget: {'; '.join(_refusals(found))}."
    costs = ", ".join(
        f"{b.quantity} {quantity(b.quantity, b.taken)} of {quantity(b.quantity, b.limit)} allowed "
        f"({quantity(b.quantity, b.at_8_bits)} at 8 bits)"
        for b in found.budgets
    )
    said = f"Bits of {number(len(found.layers), 'layer')}: {costs or 'no limit'}; {proof(found)}"
    tested, was = _tested(found), _floating(found)
    if tested is not None:
        said += f"; {accuracy(tested.accuracy)} of {_images(tested)} with {tested.what}"
        if was is not None:
            said += f", {accuracy(was.accuracy)} of {_images(was)} in floating point"
    return f"{said}."


def proof(found: QuantisedDocument) -> str:
    """What is known of the allocation, by its sensitivity model alone."""
    if found.gap is None or found.rise is None:
        return f"nothing is proven by method '{found.method}'"
    if found.gap <= _EXACT:
        return "no allocation within the budget has a smaller expected rise of the loss, proven for this model"
    return f"its expected rise of the loss is at most {found.gap:.2g} above the least one"


def quantity(name: str, value: float | None) -> str:
    """A cost with its unit: seconds, joules, bytes."""
    if value is None:
        return "-"
    if name == "latency":
        return seconds(value)
    if name == "energy":
        return f"{1e3 * value:.4g} mJ"
    return f"{value / 1e3:,.1f} kB"


def _images(a: QuantAccuracy) -> str:
    return f"{a.images:,} {a.part} images"


def _tested(found: QuantisedDocument) -> QuantAccuracy | None:
    """Of the network that was written, on test images."""
    return next((a for a in found.accuracies if a.part == "test" and a.what != FLOATING), None)


def _validated(found: QuantisedDocument) -> float | None:
    """Validation accuracy of what is tested; before a network is written, of the chosen bits."""
    tested = _tested(found)
    known = {a.what: a.accuracy for a in found.accuracies if a.part == "validation"}
    return known.get(tested.what if tested is not None else "chosen", known.get("chosen"))


def _floating(found: QuantisedDocument) -> QuantAccuracy | None:
    """Of the network as it came: on test images where that is known."""
    known = [a for a in found.accuracies if a.what == FLOATING]
    return next((a for a in known if a.part == "test"), known[0] if known else None)


def _refusals(found: QuantisedDocument) -> list[str]:
    """Why there are no bits to choose, in words."""
    return [_refusal(limit) for limit in found.infeasible] or [found.cost_note or "nothing fits the device"]


def _refusal(limit: Limit) -> str:
    unit = _UNITS.get(limit.limit)
    if unit is None or limit.unit == "conflict":
        return limit_words(limit.limit, limit.needed, limit.available, limit.unit, limit.remedy)
    return (
        f"the least {limit.limit} is {quantity(limit.limit, limit.needed)}, the budget "
        f"{quantity(limit.limit, limit.available)}; {limit.remedy}"
    )


def _entry(run: RunRecord, found: QuantisedDocument) -> dict[str, Any]:
    tested, was = _tested(found), _floating(found)
    plain = msgspec.to_builtins(found)
    return {
        "id": run.id, "title": title(found), "statement": statement(found),
        **{k: plain[k] for k in (
            "model", "device", "task", "method", "sensitivity", "sensitivity_words", "weight_bits", "act_bits",
            "budgets", "layers", "units", "points", "accuracies", "rise", "gap", "cost_note", "refined", "accelerator",
            "floating", "seconds", "notes", "roofline", "roofline_note")},
        "exact": found.gap is not None and found.gap <= _EXACT,
        "infeasible": [] if found.layers else _refusals(found),
        "float": None if was is None else msgspec.to_builtins(was),
        "tested": None if tested is None else msgspec.to_builtins(tested),
        "validated": _validated(found),
        "provenance": _provenance(run, found),
    }  # fmt: skip


def _provenance(run: RunRecord, found: QuantisedDocument) -> list[list[Any]]:
    rows: list[list[Any]] = [
        ["images", found.task],
        ["sensitivity", f"{found.sensitivity}: {found.sensitivity_words}"],
        ["allocation", f"{found.method}, {found.status}" if found.status else found.method],
        ["costs", found.cost_note or "–"],
    ]
    if isinstance(count := run.inputs.get("images"), int):
        rows.append(["calibrated on", number(count, "training image")])
    if found.seconds:
        rows.append(["time", ", ".join(f"{stage} {seconds(s)}" for stage, s in found.seconds.items())])
    return provenance(run, rows, found.files)


QUANTISED = Card("quantize", QuantisedDocument, title, statement, _entry)
