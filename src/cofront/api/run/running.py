"""`run`: a differentiable system on a task and a device, judged by exact search, and the network that comes of it."""

from __future__ import annotations

import math
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cofront.api.files import is_table, need_file
from cofront.api.recorded import recorded
from cofront.api.request import OnProgress
from cofront.api.run.budget import fit_budget
from cofront.api.run.judging import judged
from cofront.api.run.scene import RunRequest, Scene, Stopped
from cofront.api.run.training import trained
from cofront.api.training import check_data, need_torch
from cofront.study.documents import RunDocument, RunEpoch, RunLayer
from cofront.study.provenance import file_hash, source_hash

if TYPE_CHECKING:
    from cofront.search.gradient.choices import Layers
    from cofront.search.gradient.recipe import Learned, Recipe
    from cofront.search.gradient.supernet import SupernetTask
    from cofront.search.gradient.system import GradientSystem
    from cofront.study import Study
    from cofront.task.hybrid_supernet import HybridSupernet


def inputs_of(request: RunRequest, images: str) -> dict[str, Any]:
    """Everything that the result depends on."""
    asked = asdict(request)
    asked["task"] = "" if request.task is None else str(request.task)
    if is_table(request.device):
        asked["device_hash"] = file_hash(Path(request.device))
    return {**asked, "images_hash": images, "source_hash": source_hash()}


def run(
    request: RunRequest,
    folder: Path,
    *,
    study: Study | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RunDocument:
    """Search, judge, polish, train, test; checkpoints lie in `folder`, from which the same request goes on."""
    need_torch("differentiable search")
    check_data(request.task)
    if is_table(request.device):
        need_file(Path(request.device), "a table, as `cofront measure` writes it")
    scene = Scene(request, folder, on_progress or (lambda _: None), should_stop or (lambda: False))
    data = scene.read()  # names and targets are checked before images are decoded
    inputs = inputs_of(request, data.digest())
    return recorded(
        study, "run", RunDocument, inputs, request.seed, lambda d: _here(d, folder),
        lambda: msgspec.structs.replace(_run(scene), peak_bytes=_peak()),
    )  # fmt: skip


def _run(scene: Scene) -> RunDocument:
    """Every stage in turn."""
    from cofront.systems.learnt import LearntThroughput
    from cofront.systems.supernets import make_task, supernet
    from cofront.task.hybrid_supernet import HybridSupernet

    request, cost = scene.request, scene.priced.cost
    net = supernet(scene.space, scene.layers, scene.layered, request.seed)
    task = make_task(scene.space, scene.layers, net, scene.data, scene.preset, request.seed)
    if isinstance(net, HybridSupernet) and scene.preset.pretraining:
        _pretrain(scene, net, task)
    elif scene.preset.pretraining:
        scene.notes.append(f"no progressive pretraining: space '{scene.space.name}' has no hybrid units")
    if scene.system.name == "eh-dnas" or not scene.priced.differentiable:
        scene.say("learning the throughput", f"of {cost.name}")
        cost = LearntThroughput(scene.layers, cost, request.seed)
    weight = scene.system.weight if request.weight is None else request.weight
    recipe = replace(scene.preset.recipe, seed=request.seed)
    small = request.preset == "small"

    def make(how: Recipe) -> GradientSystem:
        return scene.system.make(task, cost, how, request.target_s, weight, small)

    recipe, train_epochs = _in_time(scene, make, recipe)
    search = make(recipe).search(scene.folder / f"search-{scene.search_key(recipe)}.safetensors")

    def told(_: Any) -> None:
        p = search.history[-1]
        loss = "" if math.isnan(p.loss) else f"loss {p.loss:.3f}, "
        scene.say(
            "searching",
            f"epoch {p.epoch + 1} of {recipe.epochs}: {loss}expected {1e3 * p.expected_s:.4g} ms, most likely "
            f"{1e3 * p.likely_s:.4g} ms, entropy {p.entropy:.2f}",
        )

    search.on_progress = told
    steps = recipe.epochs * search.steps_per_epoch
    learned = search.run(should_stop=scene.going("searching", lambda: (search.position, steps)))
    document = _document(scene, learned, recipe, search.share < 1)
    if search.share < 1:
        return document
    try:
        document = judged(scene, document, task, cost, learned)
    except Stopped:
        return msgspec.structs.replace(document, interrupted=True)
    return trained(scene, document, train_epochs) if request.train else document


def _in_time(scene: Scene, make: Callable[[Recipe], GradientSystem], recipe: Recipe) -> tuple[Recipe, int | None]:
    """The recipe, and the epochs of the training (None: the preset's), as asked or as the budget allows."""
    request = scene.request
    if request.epochs is not None:
        recipe = recipe.shortened(request.epochs)
    if request.budget_s is None:
        return recipe, request.train_epochs
    scene.say("timing", "a few steps, to fit the budget")
    left = request.budget_s - (time.perf_counter() - scene.started)
    file = scene.folder / f"budget-{scene.search_key(recipe, budget=request.budget_s)}.json"
    fitting = fit_budget(left, make, recipe, scene.first, scene.data, scene.preset.derived, file)
    if request.epochs is None:
        recipe = recipe.shortened(fitting.epochs)
    train_epochs = request.train_epochs or fitting.train_epochs
    if (recipe.epochs, train_epochs) != (scene.preset.recipe.epochs, scene.preset.derived.epochs):
        repeats = f"--epochs {recipe.epochs} --train-epochs {train_epochs} repeats it"
        scene.notes.append(f"shortened to the budget on this machine: {repeats}")
    if not fitting.fits:
        scene.notes.append("the budget is too short for two epochs of the search and one of the training")
    return recipe, train_epochs


def _pretrain(scene: Scene, net: HybridSupernet, task: SupernetTask) -> None:
    from cofront.systems.supernets import progressive

    steps = scene.preset.pretraining

    def told(step: int) -> None:
        if scene.stop():  # nothing of it is kept
            raise KeyboardInterrupt
        if step % 100 == 0:
            scene.say("pretraining", f"step {step:,} of {steps:,}")

    progressive(net, task, scene.preset, scene.request.seed, scene.folder, told)


def _document(scene: Scene, learned: Learned, recipe: Recipe, interrupted: bool) -> RunDocument:
    """What the search says by itself."""
    cost = scene.priced.cost
    table = getattr(cost, "table_s", None)
    layers = [
        RunLayer(
            name=_layer_name(scene.layers, i), options=[o.name.partition("=")[2] or o.name for o in options],
            allowed=scene.layers.mask[i, : len(options)].tolist(),
            cost_s=[] if table is None else table[i, : len(options)].tolist(),
        )
        for i, options in enumerate(scene.layers.layers)
    ]  # fmt: skip
    history = [
        RunEpoch(
            epoch=h.epoch, loss=None if math.isnan(h.loss) else h.loss, expected_s=h.expected_s,
            likely_s=h.likely_s, entropy=h.entropy, temperature=h.temperature, multiplier=h.multiplier,
            probabilities=[list(row) for row in h.probabilities],
        )
        for h in learned.history
    ]  # fmt: skip
    images = min(len(scene.data.x_train), scene.preset.images or len(scene.data.x_train))
    words = f"{scene.system.title}: {recipe.relaxation} paths, {recipe.epochs} epochs"
    return RunDocument(
        system=scene.system.name, preset=scene.request.preset, space=scene.space.name, device=cost.name,
        task="cifar10" if scene.request.task is None else str(scene.request.task), target_s=scene.request.target_s,
        words=words, bounds_s=list(cost.bounds()), layers=layers, history=history, networks=[], chosen=None,
        points=[], gap=None, regret=None, predictor_note="", latency_note=scene.priced.note, epochs=recipe.epochs,
        steps=learned.steps, images=images, search_s=learned.wall_s, search_cpu_s=learned.cpu_s,
        interrupted=interrupted, notes=[*scene.notes, *learned.notes],
    )  # fmt: skip


def _here(found: RunDocument, folder: Path) -> RunDocument | None:
    """A finished run, its files copied to `folder` where they lie elsewhere; None when one of them is gone."""
    if not all(Path(p).exists() for p in found.files.values()):
        return None
    files = {}
    for name, path in found.files.items():
        files[name] = str(folder / Path(path).name)
        if Path(path).resolve() != Path(files[name]).resolve():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, files[name])
    return msgspec.structs.replace(found, files=files)


def _layer_name(layers: Layers, i: int) -> str:
    return layers.layers[i][0].name.partition("=")[0]


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(used if sys.platform == "darwin" else 1024 * used)
