"""`quantize`: bits for every layer of a trained network within a budget, and the integers of the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.api.quantise.choosing import Chosen, on_layers
from cofront.api.quantise.document import document_of
from cofront.api.quantise.files import write_files
from cofront.api.quantise.judging import floating, judged
from cofront.api.quantise.scene import QuantizeRequest, Scene, inputs_of, model_key, on_part
from cofront.api.quantise.sensing import MODELS, Sensed, sense
from cofront.api.recorded import recorded, unchanged
from cofront.api.request import OnProgress
from cofront.api.training import need_torch
from cofront.study.documents import QuantAccuracy, QuantisedDocument
from cofront.study.provenance import source_hash

if TYPE_CHECKING:
    from cofront.study import Study
    from cofront.task.quantise.curvature import LossTables
    from cofront.task.quantise.setting import Setting
    from cofront.task.quantise.simulate import QuantModule

#: The most allocations of the front whose accuracy is measured, for the report.
MEASURED = 8


def quantize(
    request: QuantizeRequest,
    folder: Path,
    *,
    study: Study | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> QuantisedDocument:
    """Calibrate, sense, choose, refine, test, write; sensitivities stay in `folder` for the next budget.

    `note` hears early of what the document will note too.
    """
    need_torch("quantising a network")
    scene = Scene(request, folder, on_progress or (lambda _: None), should_stop or (lambda: False), note)
    return recorded(
        study, "quantize", QuantisedDocument, inputs_of(scene), request.seed, lambda d: unchanged(d, folder),
        lambda: _quantize(scene),
    )  # fmt: skip


def _quantize(scene: Scene) -> QuantisedDocument:
    from cofront.task.quantise.observe import observe
    from cofront.task.quantise.simulate import QuantModule

    request, began = scene.request, time.perf_counter()
    if scene.hopeless is not None:
        return document_of(scene, scene.hopeless, None, [], {}, {})
    scene.say("calibrating", f"{len(scene.calibration)} images")

    def seen(done: int, total: int) -> None:
        scene.say("calibrating", f"image {done:,} of {total:,}")
        if scene.stop():
            raise KeyboardInterrupt

    ranges = observe(scene.network, scene.model.weights, scene.calibration, progress=seen)
    module = QuantModule(scene.network, scene.model.weights, ranges)
    scene.timed("calibration", began)
    began = time.perf_counter()
    widths = scene.widths()
    key = {"model": model_key(scene), "images": scene.data.fingerprint(), "source": source_hash()}
    sensed = Sensed(module, scene.model.weights, scene.calibration, scene.labels, widths, key)
    scene.say("sensing", MODELS[scene.sensitivity])
    tables = sense(
        sensed, scene.sensitivity, scene.folder, request.seed, lambda d: scene.say("sensing", d), scene.stop
    ).falling()
    scene.timed("sensitivity", began)
    began = time.perf_counter()
    scene.say("choosing", request.method)
    chosen = choose(scene, module, tables)
    scene.timed("allocation", began)
    if chosen.point is None:
        return document_of(scene, chosen, tables, [], {}, {})
    began = time.perf_counter()
    accuracies, by_point = measured(scene, module, chosen)
    scene.say("refining", request.refine)
    setting, said = refined(scene, module, chosen, by_point["chosen"])
    accuracies += said
    scene.timed("refinement", began)
    began = time.perf_counter()
    files, tested = write_files(scene, setting, chosen)
    scene.timed("integers", began)
    return document_of(scene, chosen, tables, accuracies + tested, by_point, files)


def choose(scene: Scene, module: QuantModule, tables: LossTables) -> Chosen:
    """The bits, by the request's method."""
    request, network = scene.request, scene.network
    if on_part(request):
        from cofront.api.parts import load_device
        from cofront.api.quantise import parts as bit_parts
        from cofront.network.bits import PRECISIONS

        offered = tuple(n for n, (w, a) in PRECISIONS.items() if w in tables.weight_bits and a in tables.act_bits)
        return bit_parts.on_part(
            network, load_device(str(request.device)), tables, scene.budgets, wide=tuple(scene.held()), offered=offered,
            clock_hz=request.clock_hz, should_stop=scene.stop,
        )  # fmt: skip
    if request.method == "haq":
        from cofront.api.quantise.haq import by_policy

        return by_policy(scene, module, scene.costs, tables)
    return on_layers(scene.costs, tables, scene.budgets, request.method, request.seed)


def measured(scene: Scene, module: QuantModule, chosen: Chosen) -> tuple[list[QuantAccuracy], dict[int | str, float]]:
    """Validation accuracies: floating point, uniform bits, some of the front (by number), and what was chosen."""
    x, y = scene.check()
    real = judged(scene, "validating", "floating point", floating(scene), x, y)
    out = [QuantAccuracy(what="floating point", part="validation", accuracy=real, images=len(y))]
    by_point: dict[int | str, float] = {}

    def of(what: str, bits: Any) -> float:
        module.set_bits(dict(bits))
        return judged(scene, "validating", what, module.accuracy, x, y)

    for name, point in chosen.uniform.items():
        by_point[name] = of(name, point.bits)
        out.append(QuantAccuracy(what=name, part="validation", accuracy=by_point[name], images=len(y)))
    for i in np.unique(np.linspace(0, len(chosen.front) - 1, min(MEASURED, len(chosen.front))).astype(int)):
        by_point[int(i)] = of(f"design {int(i) + 1} of {len(chosen.front)} of the front", chosen.front[int(i)].bits)
    assert chosen.point is not None
    by_point["chosen"] = of("the chosen bits", chosen.point.bits)
    out.append(QuantAccuracy(what="chosen", part="validation", accuracy=by_point["chosen"], images=len(y)))
    return out, by_point


def refined(scene: Scene, module: QuantModule, chosen: Chosen, before: float) -> tuple[Setting, list[QuantAccuracy]]:
    """The chosen bits with their integers refined, where that does not lower validation accuracy from `before`."""
    assert chosen.point is not None
    plain = module.set_bits(dict(chosen.point.bits))
    request, (x, y) = scene.request, scene.check()
    if request.refine == "none":
        return plain, []
    if request.refine == "train":
        from cofront.api.quantise.training import tuned

        better = tuned(scene, plain)
    else:
        from cofront.task.quantise.refine import refine

        def progress(done: int, total: int) -> None:
            scene.say("refining", f"layer {done} of {total}")
            if scene.stop():
                raise KeyboardInterrupt

        better = refine(
            plain, scene.network, scene.model.weights, scene.calibration, request.refine, progress
        )  # fmt: skip
    module.use(better)
    after = judged(scene, "validating", "the refined integers", module.accuracy, x, y)
    said = [QuantAccuracy(what=f"chosen, {request.refine}", part="validation", accuracy=after, images=len(y))]
    if after < before:
        scene.notes.append(f"refinement '{request.refine}' lowered validation accuracy, and was left out")
        return plain, said
    return better, said
