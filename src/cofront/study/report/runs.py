"""What a study holds of differentiable searches (`cofront run`), for the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cofront.figures import seconds
from cofront.study.documents import RunDocument, RunLayer, RunNetwork
from cofront.study.report.entries import Card
from cofront.study.report.origins import provenance
from cofront.study.store import RunRecord

#: Role of the network that a run ends with, and of what stands for it where it ended early.
LIKELY, SO_FAR = "most likely", "most likely so far"
#: Operators without layers of their own, wherever a shape allows it.
PASSING = ("skip", "identity", "skip_connect", "none")
#: An edge of a cell: its cell, the node that it ends in, the tensor that it reads.
EDGE = re.compile(r"([a-z]+)(\d+)_(\d+)")


def title(found: RunDocument) -> str:
    return f"{found.system} on {found.space}, {found.device}"


def statement(found: RunDocument) -> str:
    """One sentence on what came of it."""
    latency_s = _likely_s(found)
    asked = "" if found.target_s is None else f", {seconds(found.target_s)} asked"
    network = "its most likely network" if found.networks else "its most likely network so far"
    ended = "it was interrupted; " if found.interrupted else ""
    return (
        f"A differentiable search, {found.system} ({found.preset}): {ended}{network} takes {seconds(latency_s)}{asked}"
        f"{_taken(found)}."
    )


def _taken(found: RunDocument) -> str:
    """The network that was taken in the place of the most likely one."""
    if found.chosen is None or found.networks[found.chosen].role == LIKELY:
        return ""
    taken = found.networks[found.chosen]
    return f"; the {taken.role} one, which was taken, {seconds(taken.latency_s)}"


def _entry(run: RunRecord, found: RunDocument) -> dict[str, Any]:
    palette, names = options_of(found.layers)
    history = found.history
    networks = [msgspec.to_builtins(n) for n in found.networks] or _so_far(found)
    likely = next((n for n in found.networks if n.role == LIKELY), None)
    latency_s = _likely_s(found)
    columns = ("epoch", "loss", "expected_s", "likely_s", "entropy", "temperature", "multiplier")
    return {
        "id": run.id, "status": run.status, "title": title(found),
        **{k: getattr(found, k) for k in (
            "system", "preset", "space", "device", "task", "target_s", "words", "bounds_s", "chosen", "gap", "regret",
            "predictor_note", "latency_note", "search_s", "fitted", "interrupted", "notes")},
        "latency_s": latency_s,
        "target_error": None if found.target_s is None else latency_s / found.target_s - 1.0,
        "accuracy": None if likely is None else likely.accuracy,
        "test": None if found.training is None else found.training.test,
        # of the network that was trained, which is not the most likely one where polish found a better
        "trained_s": None if found.chosen is None or found.training is None else found.networks[found.chosen].latency_s,
        "palette": palette,
        "layers": [
            {"name": _layer_name(layer), "options": name, "allowed": layer.allowed, "cost_s": layer.cost_s}
            for layer, name in zip(found.layers, names, strict=True)
        ],
        "cells": cells_of(found.layers),
        "history": {k: [getattr(h, k) for h in history] for k in columns},
        # a tenth of a percent is all that a picture can show; rows are as long as those of the layer with most options
        "probabilities": [
            [
                [round(1000 * p) for p in row[: len(layer.options)]]
                for row, layer in zip(h.probabilities, found.layers, strict=True)
            ]
            for h in history
        ],
        "networks": networks,
        "points": {
            kind: [[p.latency_s, p.predicted, p.accuracy] for p in found.points if p.kind == kind]
            for kind in ("front", "random")
        },
        "training": None if found.training is None else msgspec.to_builtins(found.training),
        "provenance": _provenance(run, found),
    }  # fmt: skip


def _likely_s(found: RunDocument) -> float:
    """Latency of the most likely network, or of what it was when the search ended."""
    return next((n.latency_s for n in found.networks if n.role == LIKELY), found.history[-1].likely_s)


def _so_far(found: RunDocument) -> list[dict[str, Any]]:
    """The most likely options of a search that ended early; of cells, whose edges compete, none."""
    if cells_of(found.layers) is not None:
        return []
    rows = found.history[-1].probabilities
    options = [max(range(len(row)), key=row.__getitem__) for row in rows]
    return [{"role": SO_FAR, "options": options, "latency_s": found.history[-1].likely_s,
             **dict.fromkeys(set(RunNetwork.__struct_fields__) - {"role", "options", "latency_s"})}]  # fmt: skip


def _layer_name(layer: RunLayer) -> str:
    """ "op3", also where names of options were made of it."""
    return layer.name.partition("=")[0]


@dataclass(frozen=True)
class Operator:
    """An option by its name: `label` for people, what it is (`word`), kernel and expansion where the name has them."""

    label: str
    word: str
    kernel: str
    expand: int | None


def operator_of(name: str) -> Operator:
    """Of "k5_e6", "op3=shift_k3_e6,op3_bits=W4A8" or "sep_conv_3x3"."""
    first, *more = (part.partition("=")[2] or part for part in name.split(","))
    label = " ".join([first.replace("_", " "), *more])
    if first in PASSING:
        return Operator(label, first, "", None)
    kernel = re.search(r"(?:^|_)k(\d+)(?=_|$)", first)
    expand = re.search(r"_e(\d+)(?=_|$)", first)
    word = first[: kernel.start()] if kernel else re.sub(r"_\d+x\d+$", "", first)
    return Operator(label, word, f"k{kernel[1]}" if kernel else "", int(expand[1]) if expand else None)


def options_of(layers: Sequence[RunLayer]) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Every different option of the layers, and the numbers of each layer's own.

    An option has a `label`, its `kind`, its `rank` of `of` among those of the kind, its expansion and whether it is
    `passing`. Kinds are sorts of convolution where there are several, else kernels.
    """
    found: dict[str, Operator] = {}
    numbers: list[list[int]] = []
    for layer in layers:
        operators = [operator_of(name) for name in layer.options]
        for one in operators:
            found.setdefault(one.label, one)
        order = list(found)
        numbers.append([order.index(one.label) for one in operators])
    words = {o.word for o in found.values() if o.word not in PASSING}

    def kind(o: Operator) -> str:
        return o.kernel if o.kernel and len(words) == 1 else o.word.replace("_", " ") or "convolution"

    kinds = [kind(o) for o in found.values()]
    palette = [
        {
            "label": o.label, "kind": kinds[i], "rank": kinds[:i].count(kinds[i]), "of": kinds.count(kinds[i]),
            "expand": o.expand, "passing": o.word in PASSING, "absent": o.word == "none",
        }
        for i, o in enumerate(found.values())
    ]  # fmt: skip
    return palette, numbers


def cells_of(layers: Sequence[RunLayer]) -> list[dict[str, Any]] | None:
    """Cells whose edges the layers are (as in `cofront.space.darts`), with (layer, node, source); None of a chain."""
    cells: dict[str, list[list[int]]] = {}
    for i, layer in enumerate(layers):
        match = EDGE.fullmatch(_layer_name(layer))
        if match is None:
            return None
        cells.setdefault(match[1], []).append([i, int(match[2]), int(match[3])])
    return [{"name": name, "edges": edges} for name, edges in cells.items()]


def _provenance(run: RunRecord, found: RunDocument) -> list[list[Any]]:
    rows: list[list[Any]] = [
        ["system", f"{found.system}, preset {found.preset}"],
        ["task", found.task],
        ["searched for", _searched(found)],
    ]
    if found.training is not None:
        t = found.training
        rows.append(["trained for", f"{seconds(t.seconds)}: {_epochs(t.epochs)} of {t.images:,} images"])
        if t.test is not None:
            rows.append(["tested on", f"{t.test_images:,} images, once"])
    if found.peak_bytes is not None:
        rows.append(["memory", f"{found.peak_bytes / 2**20:,.0f} MiB at most"])
    rows += [["accuracy", found.predictor_note or "–"], ["latency", found.latency_note or "–"]]
    return provenance(run, rows, found.files)


def _searched(found: RunDocument) -> str:
    return (
        f"{seconds(found.search_s)} ({seconds(found.search_cpu_s)} of processor time): {_epochs(found.epochs)}, "
        f"{found.steps:,} steps, {found.images:,} images"
    )


def _epochs(n: int) -> str:
    return f"{n} epoch{'' if n == 1 else 's'}"


LEARNT = Card("run", RunDocument, title, statement, _entry, shows=lambda result: bool(result.get("history")))
