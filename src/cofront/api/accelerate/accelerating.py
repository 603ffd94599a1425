"""`accelerate`: a trained network made faster by cheaper operators, on a device, within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from cofront.api.accelerate.picture import picture
from cofront.api.accelerate.pricing import check_device, with_chosen
from cofront.api.accelerate.roofline import roofline_of
from cofront.api.accelerate.scene import AccelerateRequest, Acceleration, Stopped
from cofront.api.budgets import parse_budgets
from cofront.api.recorded import asked_of, recorded, unchanged
from cofront.api.request import OnProgress
from cofront.api.training import check_data, need_torch
from cofront.errors import MissingDependencyError, UnsupportedError, UsageError
from cofront.study.documents import (
    AcceleratedNetwork,
    AccelerateDocument,
    AcceleratedPoint,
    AcceleratedUnit,
    MeasuredPair,
    RunTraining,
)
from cofront.study.provenance import file_hash, write_atomic

if TYPE_CHECKING:
    from cofront.network.pytorch import NetworkModule
    from cofront.network.weights import Weights
    from cofront.study import Study
    from cofront.systems.lana import Checked
    from cofront.systems.lana_prices import Prices
    from cofront.task.data import Images, Labels
    from cofront.task.distil.layerwise import Layerwise
    from cofront.task.distil.scores import Scores

#: Visits of each network when both are measured in turns.
VISITS = 50
#: Images that are judged at once.
BATCH = 250
#: Every file that may be written, besides stages.
WRITTEN = ("accelerated.onnx", "accelerated.safetensors", "accelerate.json", "accelerate.svg")


def accelerate(
    request: AccelerateRequest,
    folder: Path,
    *,
    study: Study | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> AccelerateDocument:
    """All of LANA on a model: learn, score, price, choose, fine-tune, test once, write.

    `folder` keeps every stage: the same request goes on from there. The result is there as ONNX and as safetensors, and
    `study` keeps this document. UsageError, InputError or UnsupportedError says in a line what is wrong with a request.
    """
    parse_budgets(request.budget, ("latency",))
    check_device(request.device, request.column)
    need_torch("distillation")
    check_data(request.data)
    run = Acceleration(request, folder, on_progress or (lambda _: None), should_stop or (lambda: False))
    run.read()
    inputs = asked_of(request, run.data.digest(), run.key())
    return recorded(
        study, "accelerate", AccelerateDocument, inputs, request.seed, lambda d: unchanged(d, folder),
        lambda: _accelerate(run),
    )  # fmt: skip


def _accelerate(run: Acceleration) -> AccelerateDocument:
    request = run.request
    run.folder.mkdir(parents=True, exist_ok=True)
    document = AccelerateDocument(
        model=run.model.label, device=request.device, task=str(request.data or "cifar10"), budget=request.budget,
        limit_s=0.0, before_s=0.0, least_s=0.0, latency_note="", teacher_loss=0.0, teacher_validation=0.0,
        notes=list(run.notes), interrupted=True,
    )  # fmt: skip
    try:
        prices = run.price()
        document = msgspec.structs.replace(
            document, limit_s=run.limit(prices), before_s=prices.teacher_s, least_s=prices.least_s,
            latency_note=prices.note, device=prices.device, notes=list(run.notes),
        )  # fmt: skip
        learnt = run.learn()
        scores, errors = run.score(learnt)
        document = _selected(run, document, learnt, scores, errors, prices)
        document = _finished(run, document, learnt)
    except Stopped:
        return document
    return msgspec.structs.replace(document, interrupted=False)


def _selected(
    run: Acceleration, document: AccelerateDocument, learnt: Layerwise, scores: Scores,
    errors: dict[tuple[int, str], float], prices: Prices,
) -> AccelerateDocument:  # fmt: skip
    """Solutions, each checked, and the table of units under the best of them."""
    from cofront.systems.lana import best_of

    total = run.lana.recipe.solutions
    run.say("choosing", f"up to {total} solutions, each swapped in")
    done: list[Checked] = []

    def told(c: Checked) -> None:
        done.append(c)
        run.step("choosing, solution", len(done), total)

    found = run.lana.solutions(learnt, scores, prices, document.limit_s, told, run.stop)
    if run.stop():
        raise Stopped
    if not found:
        raise UsageError("no network of these operators meets the budget; raise --budget, or --candidates all")
    best = best_of(found)
    units = []
    for i, operators in enumerate(run.lana.space.operators):
        names = list(operators)
        own, k = prices.seconds[i], int(best.choice[i])
        units.append(
            AcceleratedUnit(
                name=run.lana.space.parts[i].name, names=names, change=scores.change[i, : len(names)].tolist(),
                error=[e if math.isfinite(e := errors[i, n]) else None for n in names],
                seconds=[None if np.isnan(s) else float(s) for s in own[: len(names)]],
                chosen=names[k], saved_s=float(own[0] - own[k]),
            )
        )  # fmt: skip
    solutions = [
        AcceleratedNetwork(
            operators=list(c.names), predicted=c.predicted, latency_s=c.latency_s, loss=c.judged.loss,
            accuracy=c.judged.accuracy,
        )
        for c in found
    ]  # fmt: skip
    document = msgspec.structs.replace(
        document, units=units, solutions=solutions, chosen=found.index(best), teacher_loss=scores.teacher,
        front=[AcceleratedPoint(latency_s=s, predicted=p) for s, p in run.lana.front(scores, prices)],
    )  # fmt: skip
    if run.on_part is not None:
        notes = with_chosen(document.notes, run.on_part.notes(best.names))
        document = msgspec.structs.replace(document, notes=notes)
    roofline, note = roofline_of(run.on_part, document, run.request.device)
    return msgspec.structs.replace(document, roofline=roofline, roofline_note=note)


def _finished(run: Acceleration, document: AccelerateDocument, learnt: Layerwise) -> AccelerateDocument:
    """The chosen network trained on, measured beside the teacher, tested once and written."""
    from cofront.network.pytorch import fold_batchnorm, to_torch

    assert document.chosen is not None
    lana, names = run.lana, document.solutions[document.chosen].operators
    module: NetworkModule = lana.student(learnt, names)
    training = None
    if run.request.epochs:
        module, training = _trained(run, module)
    weights = fold_batchnorm(module)
    network = module.network
    before, teacher = lana.teacher.network, to_torch(lana.teacher.network, lana.weights)
    device = run.request.device
    if device == "host" or device.startswith("ssh://"):  # before test images are read: it can be stopped and go on
        document = _measured(run, document, module)
    run.say("testing")
    data = lana.data
    test = _accuracy(run, module, data.x_test, data.y_test)
    if training is None:
        training = RunTraining(epochs=0, images=0, seconds=0.0, loss=[], validation=[])
    document = msgspec.structs.replace(
        document, macs=[before.macs, network.macs], params=[before.params, network.params],
        validation=_accuracy(run, module, data.x_val, data.y_val),
        teacher_validation=_accuracy(run, teacher, data.x_val, data.y_val),
        teacher_test=_accuracy(run, teacher, data.x_test, data.y_test),
        training=msgspec.structs.replace(training, test=test, test_images=len(data.y_test)),
    )  # fmt: skip
    return _written(run, document, module, weights)


def _accuracy(run: Acceleration, module: NetworkModule, x: Images, y: Labels) -> float:
    """Share of images (n, h, w, 3) that are classified right; Stopped between batches of them."""
    from cofront.task.distil.student import judge

    right = 0
    for first in range(0, len(x), BATCH):
        run.check()
        part = slice(first, first + BATCH)
        right += round(judge(module, x[part], y[part], BATCH).accuracy * len(y[part]))
    return right / len(x)


def _trained(run: Acceleration, start: NetworkModule) -> tuple[NetworkModule, RunTraining]:
    lana = run.lana
    training = lana.training(
        start, run.folder / f"student-{run.key(start.network.nodes, lana.recipe.schedule)}.safetensors"
    )
    training.resume()

    def stop() -> bool:
        run.step("fine-tuning, step", training.position, training.steps)
        return run.stop()

    training.run(should_stop=stop)
    if training.share < 1:
        raise Stopped
    told = RunTraining(
        epochs=lana.recipe.schedule.epochs, images=len(lana.data.x_train), seconds=training.seconds,
        loss=[h.loss for h in training.history], validation=[h.accuracy for h in training.history],
    )  # fmt: skip
    return training.net, told


def _written(
    run: Acceleration, document: AccelerateDocument, module: NetworkModule, weights: Weights
) -> AccelerateDocument:
    from cofront.network import weights as files

    out = {"weights": str(run.folder / "accelerated.safetensors")}
    files.save(out["weights"], weights, {"cofront": "weights", "network": module.network.name})
    notes = list(document.notes)
    out["picture"] = str(run.folder / "accelerate.svg")
    write_atomic(Path(out["picture"]), picture(document))
    try:
        from cofront.network.onnx_io import to_onnx

        onnx = run.folder / "accelerated.onnx"
        write_atomic(onnx, to_onnx(module.network, weights).SerializeToString())
        out["onnx"] = str(onnx)
    except (UnsupportedError, MissingDependencyError) as error:
        notes.append(f"no ONNX file: {error}")
    hashes = {name: file_hash(Path(path)) for name, path in out.items()}
    return msgspec.structs.replace(document, files=out, hashes=hashes, notes=notes)


def _measured(run: Acceleration, document: AccelerateDocument, module: NetworkModule) -> AccelerateDocument:
    from cofront.measure.target import parse_target
    from cofront.systems.lana_prices import side_by_side

    run.say("measuring both networks in turns")
    nets = [run.lana.teacher.network, module.network]
    found = side_by_side(
        nets, parse_target(run.request.device), run.folder / "pair.jsonl", runs=VISITS, should_stop=run.stop
    )
    if found is None:
        raise Stopped
    a, b = found
    pair = MeasuredPair(
        before_s=a.median_s, after_s=b.median_s, speed_up=a.median_s / b.median_s,
        interval_95=[a.low_s / b.high_s, a.high_s / b.low_s], visits=VISITS,
    )  # fmt: skip
    return msgspec.structs.replace(document, measured=pair)
