"""What `quantize` found, as a document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cofront.api.costing import limits_of
from cofront.api.quantise.roofline import roofline_of
from cofront.api.quantise.sensing import MODELS
from cofront.study.documents import (
    QuantAccuracy,
    QuantBudget,
    QuantisedDocument,
    QuantLayer,
    QuantPoint,
    QuantUnit,
    clean,
)
from cofront.study.provenance import file_hash

if TYPE_CHECKING:
    from cofront.api.quantise.choosing import Chosen, Point
    from cofront.api.quantise.scene import Scene
    from cofront.task.quantise.curvature import LossTables


def document_of(
    scene: Scene,
    chosen: Chosen,
    tables: LossTables | None,
    accuracies: list[QuantAccuracy],
    by_point: Mapping[int | str, float],
    files: dict[str, str],
) -> QuantisedDocument:
    """The document; without a choice it says why there is none, maybe before there are `tables`.

    `by_point`: accuracies of points that were measured.
    """
    request, best, widths = scene.request, chosen.point, scene.widths()
    budgets = [
        QuantBudget(
            quantity=q, at_8_bits=chosen.now.get(q, math.nan), limit=limit, taken=best.costs.get(q) if best else None
        )
        for q, limit in chosen.limits.items()
    ]  # fmt: skip
    points = [_point("front", "", p, by_point.get(i)) for i, p in enumerate(chosen.front)]
    points += [_point("uniform", name, p, by_point.get(name)) for name, p in chosen.uniform.items()]
    if best is not None:
        points.append(_point("chosen", request.method, best, by_point.get("chosen")))
    gap = None if best is None or chosen.bound is None else max(0.0, best.rise - chosen.bound)
    roofline, roofline_note = roofline_of(scene, chosen)
    document = QuantisedDocument(
        model=scene.model.label, device=request.device or "", method=request.method, sensitivity=scene.sensitivity,
        task="cifar10" if request.data is None else str(request.data), sensitivity_words=MODELS[scene.sensitivity],
        weight_bits=list(widths[0]), act_bits=list(widths[1]), budgets=budgets,
        layers=[] if best is None or tables is None else _layers(scene, chosen, tables, best),
        units=[] if best is None else _units(chosen, best), points=points, accuracies=accuracies,
        rise=None if best is None else best.rise, bound=chosen.bound, gap=gap, status=chosen.status,
        infeasible=limits_of(chosen.infeasible), cost_note=chosen.note, refined=request.refine,
        accelerator=clean({**chosen.accelerator, **(scene.outlook.to_dict() if scene.outlook else {})}),
        floating=scene.floating, seconds=scene.seconds, files=files,
        hashes={name: file_hash(Path(path)) for name, path in files.items()}, notes=scene.notes,
        roofline=roofline, roofline_note=roofline_note,
    )  # fmt: skip
    return document


def _point(kind: str, label: str, p: Point, accuracy: float | None) -> QuantPoint:
    return QuantPoint(kind=kind, label=label, costs=dict(p.costs), rise=p.rise, accuracy=accuracy)


def _layers(scene: Scene, chosen: Chosen, tables: LossTables, best: Point) -> list[QuantLayer]:
    unit = {layer: name for name, layers in chosen.units.items() for layer in layers}
    out = []
    for i, node in enumerate(scene.network.layers):
        w, a = best.bits[node.name]
        shape = node.op.weight_shape(scene.network.in_shapes(node)) or ()
        out.append(
            QuantLayer(
                name=node.name, unit=unit.get(node.name, node.name), op=type(node.op).__name__,
                macs=scene.network.node_macs(node), weights=math.prod(shape), weight_bits=w, act_bits=a,
                rise=tables.rise(node.name, w, a), rise_by_weight_bits=tables.weight[i].tolist(),
                rise_by_act_bits=tables.act[i].tolist(),
            )
        )  # fmt: skip
    return out


def _units(chosen: Chosen, best: Point) -> list[QuantUnit]:
    out = []
    for name, layers in chosen.units.items():
        pair = best.bits[layers[0]]
        out.append(
            QuantUnit(
                name=name, weight_bits=pair[0], act_bits=pair[1], costs=chosen.unit_costs(name, pair),
                at_8_bits=chosen.unit_costs(name, (8, 8)),
            )
        )  # fmt: skip
    return out
