"""`run`: a differentiable system on a task and a device, judged by exact search, and the network that comes of it."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cofront.api.files import is_table, need_file
from cofront.api.request import Progress
from cofront.api.run_budget import fit_budget, shortened
from cofront.api.training import check_data, need_torch
from cofront.errors import MissingDependencyError, UnsupportedError, UsageError
from cofront.rights import move_into_place
from cofront.study.documents import (
    RunDocument,
    RunEpoch,
    RunLayer,
    RunNetwork,
    RunPoint,
    RunTraining,
    read_document,
)
from cofront.study.provenance import digest, file_hash, source_hash, write_atomic

if TYPE_CHECKING:
    from cofront.api.differentiable import Priced
    from cofront.problem import IntArray
    from cofront.search.gradient.choices import Layers
    from cofront.search.gradient.recipe import Learned, Recipe
    from cofront.search.gradient.system import GradientSystem
    from cofront.study import Study
    from cofront.systems.differentiable import Judged, Preset, System
    from cofront.task.data import Dataset

OnProgress = Callable[[Progress], None]
#: Random networks that the supernet is judged on; fewer of cells, where each takes longer.
RANDOM, RANDOM_CELLS = 160, 40
#: Seconds between two lines of progress within an epoch.
TELL_S = 5.0
#: So many of them between two lines of progress.
JUDGING_EVERY = 20
#: What is said of a model that hardly ranks networks.
WEAK = ": too little for the front and the regret to say much; a longer search ranks better"


@dataclass(frozen=True)
class RunRequest:
    """What `cofront run` is asked. `task` is a folder or file of images, None for CIFAR-10 where $COFRONT_DATA says.

    `epochs` and `train_epochs` replace the preset's, `budget_s` shortens both to fit. `train` False: search alone.
    """

    system: str
    device: str
    task: Path | None = None
    column: str | None = None
    space: str | None = None
    preset: str = "small"
    target_s: float | None = None
    weight: float | None = None
    budget_s: float | None = None
    epochs: int | None = None
    train_epochs: int | None = None
    train: bool = True
    clock_hz: float | None = None
    seed: int = 0


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
    runner = _Runner(request, folder, on_progress or (lambda _: None), should_stop or (lambda: False))
    data = runner.read()  # names and targets are checked before images are decoded
    inputs = inputs_of(request, _images(data))
    if study is not None and (known := study.finished(inputs)) is not None and known.result is not None:
        found = read_document(known.result, RunDocument, f"run {known.id} of study '{study.path}'")
        if all(Path(p).exists() for p in found.files.values()):
            return _here(found, folder)
    record = study.start("run", inputs, request.seed) if study is not None else None
    try:
        document = msgspec.structs.replace(runner.run(), peak_bytes=_peak())
    except (KeyboardInterrupt, SystemExit):
        if record is not None:
            record.finish("interrupted")
        raise
    except BaseException:
        if record is not None:
            record.finish("failed")
        raise
    if record is not None:
        record.finish("interrupted" if document.interrupted else "done", document)
    return document


class _Stopped(Exception):
    """Somebody asked to stop behind the search, whose result is kept."""


class _Runner:
    """The steps of one run, and what they hand on."""

    data: Dataset

    def __init__(self, request: RunRequest, folder: Path, tell: OnProgress, stop: Callable[[], bool]) -> None:
        from cofront import space as spaces
        from cofront.api.differentiable import priced
        from cofront.systems import differentiable as d

        self.request, self.folder, self.tell, self.stop = request, folder, tell, stop
        self.system: System = d.system(request.system)
        preset = self.system.preset(request.preset)
        self.preset: Preset = preset if request.space is None else replace(preset, space=request.space)
        self.space = spaces.load(self.preset.space)
        self.layers, self.layered = d.layers_of(self.space)
        self.priced: Priced = priced(
            self.space, self.layers, self.layered, request.device, request.column, request.clock_hz
        )
        self.layers = getattr(self.priced.cost, "layers", self.layers)
        d.check_request(self.system, self.priced.cost, request.target_s)
        #: A network of the space: every layer's first option.
        self.first = self.space.network(self.layers.points(self.layers.mask.argmax(axis=1))[0])
        self.notes: list[str] = []
        self.train_epochs: int | None = None  # what the budget allows
        self.started = self.told = time.perf_counter()

    def read(self) -> Dataset:
        """The images, which must have as many classes as the space."""
        from cofront.task.data import load_dataset

        self._say("reading the images", "")
        self.data = load_dataset(self.request.task)
        classes, outputs = len(self.data.classes), self.first.shapes[self.first.output.name][0]
        if outputs != classes:
            raise UsageError(
                f"space '{self.space.name}' is for {outputs} classes, the images have {classes}: take a space that "
                f"matches (of --space, darts has any number: darts@classes={classes}), or other images with --task"
            )
        return self.data

    def _going(self, stage: str, done: Callable[[], tuple[int, int]]) -> Callable[[], bool]:
        """Whether to stop; between two answers it tells how far a stage is, and how long it may take."""
        begun, at = time.perf_counter(), done()[0]

        def ask() -> bool:
            now = time.perf_counter()
            if now - self.told > TELL_S:
                self.told = now
                step, all_steps = done()
                left = (all_steps - step) * (now - begun) / max(step - at, 1)
                self._say(stage, f"step {step:,} of {all_steps:,}, about {left / 60:.1f} minutes left")
            return self.stop()

        return ask

    def _say(self, stage: str, detail: str) -> None:
        self.tell(Progress(stage, time.perf_counter() - self.started, detail=detail))

    def run(self) -> RunDocument:
        from cofront.systems import differentiable as d
        from cofront.task.hybrid_supernet import HybridSupernet

        request, cost = self.request, self.priced.cost
        net = d.supernet(self.space, self.layers, self.layered, request.seed)
        task = d.make_task(self.space, self.layers, net, self.data, self.preset, request.seed)
        if isinstance(net, HybridSupernet) and self.preset.pretraining:
            self._pretrain(net, task)
        elif self.preset.pretraining:
            self.notes.append(f"no progressive pretraining: space '{self.space.name}' has no hybrid units")
        if self.system.name == "eh-dnas" or not self.priced.differentiable:
            self._say("learning the throughput", f"of {cost.name}")
            cost = d.LearntThroughput(self.layers, cost, request.seed)
        weight = self.system.weight if request.weight is None else request.weight
        recipe = replace(self.preset.recipe, seed=request.seed)
        small = request.preset == "small"

        def make(how: Recipe) -> GradientSystem:
            return self.system.make(task, cost, how, request.target_s, weight, small)

        if request.epochs is not None:
            recipe = shortened(recipe, request.epochs)
        if request.budget_s is not None:
            self._say("timing", "a few steps, to fit the budget")
            left = request.budget_s - (time.perf_counter() - self.started)
            fitting = fit_budget(
                left, make, recipe, self.first, self.data, self.preset.derived,
                self.folder / f"budget-{self._of(recipe, budget=request.budget_s)}.json",
            )  # fmt: skip
            if request.epochs is None:
                recipe = shortened(recipe, fitting.epochs)
            self.train_epochs = fitting.train_epochs
            derived = request.train_epochs or fitting.train_epochs
            if (recipe.epochs, derived) != (self.preset.recipe.epochs, self.preset.derived.epochs):
                self.notes.append(
                    f"shortened to the budget on this machine: --epochs {recipe.epochs} --train-epochs {derived} "
                    "repeats it"
                )
            if not fitting.fits:
                self.notes.append("the budget is too short for two epochs of the search and one of the training")
        search = make(recipe).search(self.folder / f"search-{self._of(recipe)}.safetensors")

        def told(_: Any) -> None:
            p = search.history[-1]
            loss = "" if math.isnan(p.loss) else f"loss {p.loss:.3f}, "
            self._say(
                "searching",
                f"epoch {p.epoch + 1} of {recipe.epochs}: {loss}expected {1e3 * p.expected_s:.4g} ms, most likely "
                f"{1e3 * p.likely_s:.4g} ms, entropy {p.entropy:.2f}",
            )

        search.on_progress = told
        steps = recipe.epochs * search.steps_per_epoch
        learned = search.run(should_stop=self._going("searching", lambda: (search.position, steps)))
        document = self._document(learned, recipe, search.share < 1)
        if search.share < 1:
            return document
        try:
            return self._judged(document, task, cost, learned)
        except _Stopped:
            return msgspec.structs.replace(document, interrupted=True)

    def _of(self, recipe: Recipe, **more: object) -> str:
        """What a search is of, for the names of its files: another wish does not meet this one's."""
        r = self.request
        told = {
            "system": r.system, "space": self.space.name, "device": r.device, "column": r.column, "clock": r.clock_hz,
            "target": r.target_s if self.system.needs_target else None, "weight": r.weight, "preset": r.preset,
            "seed": r.seed, "images": self.data.fingerprint(), "recipe": recipe.to_dict(), **more,
        }  # fmt: skip
        return digest(told)[:8]

    def _pretrain(self, net: Any, task: Any) -> None:
        from cofront.systems import differentiable as d

        steps = self.preset.pretraining

        def told(step: int) -> None:
            if self.stop():  # nothing of it is kept
                raise KeyboardInterrupt
            if step % 100 == 0:
                self._say("pretraining", f"step {step:,} of {steps:,}")

        d.progressive(net, task, self.preset, self.request.seed, self.folder, told)

    def _judging(self, done: int, n: int) -> None:
        if done % JUDGING_EVERY == 0:
            self._say("judging", f"{done} of {n} random networks")
        if self.stop():
            raise _Stopped

    def _document(self, learned: Learned, recipe: Any, interrupted: bool) -> RunDocument:
        cost = self.priced.cost
        table = getattr(cost, "table_s", None)
        layers = [
            RunLayer(
                name=_layer_name(self.layers, i), options=[o.name.partition("=")[2] or o.name for o in options],
                allowed=self.layers.mask[i, : len(options)].tolist(),
                cost_s=[] if table is None else table[i, : len(options)].tolist(),
            )
            for i, options in enumerate(self.layers.layers)
        ]  # fmt: skip
        history = [
            RunEpoch(
                epoch=h.epoch, loss=None if math.isnan(h.loss) else h.loss, expected_s=h.expected_s,
                likely_s=h.likely_s, entropy=h.entropy, temperature=h.temperature, multiplier=h.multiplier,
                probabilities=[list(row) for row in h.probabilities],
            )
            for h in learned.history
        ]  # fmt: skip
        images = min(len(self.data.x_train), self.preset.images or len(self.data.x_train))
        words = f"{self.system.title}: {recipe.relaxation} paths, {recipe.epochs} epochs"
        return RunDocument(
            system=self.system.name, preset=self.request.preset, space=self.space.name, device=cost.name,
            task="cifar10" if self.request.task is None else str(self.request.task), target_s=self.request.target_s,
            words=words, bounds_s=list(cost.bounds()), layers=layers, history=history, networks=[], chosen=None,
            points=[], gap=None, regret=None, predictor_note="", latency_note=self.priced.note, epochs=recipe.epochs,
            steps=learned.steps, images=images, search_s=learned.wall_s, search_cpu_s=learned.cpu_s,
            interrupted=interrupted, notes=[*self.notes, *learned.notes],
        )  # fmt: skip

    def _judged(self, document: RunDocument, task: Any, cost: Any, learned: Learned) -> RunDocument:
        """What the supernet and exact search say of what was learnt; then training and test."""
        from cofront.search.gradient.polish import polish
        from cofront.systems import differentiable as d

        exact = d.additive_of(cost)
        n = RANDOM if exact is not None else RANDOM_CELLS
        judged = d.judge(
            task, exact or cost, n, self.request.seed,
            lambda i: self._judging(i, n),
        )  # fmt: skip
        chosen: list[tuple[str, IntArray]] = [("most likely", learned.choice)]
        limit = learned.latency_s if self.request.target_s is None else self.request.target_s
        notes = list(document.notes)
        if exact is not None:
            self._say("polishing", "exact search over what was learnt")
            better = polish(task, exact, learned, limit, rounds=1)
            chosen.append(("polished", better.choice))
            assert judged.front is not None
            chosen.append(("certified optimum", judged.front.within(limit).choice))
        else:
            notes.append("no polish and no certified front: latencies of cells are no sum over their operations")
        networks = [self._network(role, c, task, judged) for role, c in chosen]
        points = [
            RunPoint(
                kind="random", latency_s=float(s), predicted=float(p), accuracy=float(a), options=c.tolist()
            )
            for c, s, p, a in zip(
                judged.choices, cost.of(judged.choices), judged.predict(judged.choices), judged.accuracy, strict=True
            )
        ]  # fmt: skip
        gap = regret = None
        if judged.front is not None:
            points += _front(judged)
            gap = 0.0
            regret = judged.regret(learned.choice, learned.latency_s)
        index = 1 if exact is not None else 0
        document = msgspec.structs.replace(
            document, networks=networks, points=points, gap=gap, regret=regret, chosen=index, notes=notes,
            predictor_note=f"additive model of the supernet's accuracy of {n} random networks on "
            f"{min(task.judged, len(self.data.x_val)):,} validation images; rank correlation {judged.spearman:.2f} "
            "with networks left out" + (WEAK if judged.spearman < 0.5 else ""),
        )  # fmt: skip
        fitted = self._fitted(document)
        if fitted.get("accelerator") == "subgraph":
            from cofront.api.costing import unbuildable

            point = self.layers.points(chosen[index][1])[0]
            notes = [*notes, *unbuildable(self.space.network(point), "subgraph")]
        document = msgspec.structs.replace(document, fitted=fitted, notes=notes)
        return self._trained(document) if self.request.train else document

    def _fitted(self, document: RunDocument) -> dict[str, Any]:
        import numpy as np

        from cofront.api.run_design import fitted

        assert document.chosen is not None
        chosen, request = document.networks[document.chosen], self.request
        network = self.space.network(np.array(chosen.point))
        found: dict[str, Any] = fitted(
            network, self.space, request.device, chosen.latency_s, document.device, request.clock_hz
        )
        return found

    def _network(self, role: str, choice: IntArray, task: Any, judged: Judged) -> RunNetwork:
        point = self.layers.points(choice)[0]
        network = self.space.network(point)
        loss, accuracy = task.judge(choice)
        return RunNetwork(
            role=role, options=choice.tolist(), point=point.tolist(), macs=network.macs, params=network.params,
            latency_s=float(self.priced.cost.of(choice)[0]), loss=loss, accuracy=accuracy,
            predicted=float(judged.predict(choice)[0]),
        )  # fmt: skip

    def _trained(self, document: RunDocument) -> RunDocument:
        import numpy as np
        from safetensors.numpy import save_file

        from cofront.network.pytorch import fold_batchnorm
        from cofront.task.scratch import ScratchTraining, accuracy_of

        assert document.chosen is not None
        point = np.array(document.networks[document.chosen].point)
        network = self.space.network(point)
        schedule = replace(self.preset.derived, seed=self.request.seed)
        if (epochs := self.request.train_epochs or self.train_epochs) is not None:
            schedule = replace(schedule, epochs=epochs)
        training = ScratchTraining(network, self.data, schedule, self._training_file(point, schedule))
        training.resume()
        training.run(
            lambda log: self._say(
                "training", f"epoch {log.epoch + 1} of {schedule.epochs}: validation {100 * log.accuracy:.2f} %"
            ),
            self._going("training", lambda: (training.position, training.steps)),
        )
        done = RunTraining(
            epochs=schedule.epochs, images=len(self.data.x_train), seconds=training.seconds,
            loss=[h.loss for h in training.history], validation=[h.accuracy for h in training.history],
        )  # fmt: skip
        if training.share < 1:
            return msgspec.structs.replace(document, training=done, interrupted=True)
        done = msgspec.structs.replace(
            done, test=accuracy_of(training.net, self.data.x_test, self.data.y_test), test_images=len(self.data.y_test)
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._training_file(point, schedule, "derived")
        part = path.with_name(path.name + ".part")
        save_file(fold_batchnorm(training.net), part, {"cofront": "weights", "network": network.name})
        move_into_place(part, path)
        files = {"weights": str(path)}
        onnx = path.with_suffix(".onnx")
        weights = fold_batchnorm(training.net)
        try:
            from cofront.network.onnx_io import to_onnx

            write_atomic(onnx, to_onnx(network, weights).SerializeToString())
            files["onnx"] = str(onnx)
        except (UnsupportedError, MissingDependencyError) as error:
            document = msgspec.structs.replace(document, notes=[*document.notes, f"no ONNX file: {error}"])
        return msgspec.structs.replace(document, training=done, files=files)

    def _training_file(self, point: Any, schedule: Any, name: str = "training") -> Path:
        """One for each network, schedule and images."""
        told = {"space": self.space.name, "point": point.tolist(), "images": self.data.fingerprint()}
        return self.folder / f"{name}-{digest({**told, **asdict(schedule)})[:8]}.safetensors"


def _front(judged: Judged, most: int = 60) -> list[RunPoint]:
    """The certified front, thinned evenly where it is long."""
    front = judged.front
    assert front is not None
    n = len(front)
    kept = sorted({round(i * (n - 1) / (most - 1)) for i in range(most)} if n > most else set(range(n)))
    return [
        RunPoint(
            kind="front", latency_s=float(front.latency_s[i]), predicted=1.0 - float(front.loss[i]),
            options=front.choice(i).tolist(),
        )
        for i in kept
    ]  # fmt: skip


def _images(data: Dataset) -> str:
    """A digest of all images and labels: of other test images an accuracy must not be repeated."""
    import hashlib

    found = hashlib.sha256(data.fingerprint().encode())
    for part in (data.x_val, data.y_val, data.x_test, data.y_test):
        found.update(part.tobytes())
    return found.hexdigest()[:16]


def _here(found: RunDocument, folder: Path) -> RunDocument:
    """A finished run, its files copied to `folder` where they lie elsewhere."""
    import shutil

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


def default_space(request: RunRequest) -> str:
    """The space of the preset."""
    from cofront.systems.differentiable import system

    return system(request.system).preset(request.preset).space
