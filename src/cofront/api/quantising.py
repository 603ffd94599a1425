"""`quantize`: bits for every layer of a trained network within a budget, and the integers of the network."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.api.bit_choosing import METHODS, Chosen, on_layers
from cofront.api.bit_costs import ENGINES, BitCosts, bit_costs, quantity_of
from cofront.api.bit_parts import check_budgets
from cofront.api.bit_sensing import MODELS, Sensed, input_layers, sense
from cofront.api.budgets import Budget, parse_budgets
from cofront.api.quantised_document import document_of
from cofront.api.quantised_files import write_files
from cofront.api.request import OnProgress, Progress
from cofront.api.trained import Normalisation, TrainedModel, load_trained
from cofront.api.training import load_data, need_torch
from cofront.errors import UnsupportedError, UsageError, unknown_name
from cofront.study.documents import QuantAccuracy, QuantisedDocument, read_document
from cofront.study.provenance import file_hash, source_hash

if TYPE_CHECKING:
    from cofront.network import Network
    from cofront.study import Study
    from cofront.task.data import Dataset
    from cofront.task.quantise.curvature import LossTables
    from cofront.task.quantise.setting import Setting
    from cofront.task.quantise.simulate import QuantModule

REFINEMENTS = ("none", "bias", "moments", "rounding", "train")
#: Validation images that accuracies of candidates are taken on.
VALIDATED = 1000
#: The most allocations of the front whose accuracy is measured, for the report.
MEASURED = 8


@dataclass(frozen=True)
class QuantizeRequest:
    """What `cofront quantize` is asked.

    `data`: images that calibrate, validate and test; CIFAR-10 where $COFRONT_DATA says if None. `device`: an FPGA part,
    a bit-serial accelerator, a `.npy` table (layers, 8, 8), or None, when only the size can be limited.
    """

    model: str
    budget: str
    data: Path | None = None
    device: str | None = None
    method: str = "exact"
    sensitivity: str = "divergence"
    images: int = 256
    weights: Path | None = None
    input_shape: tuple[int, ...] | None = None
    normalised: Normalisation | None = None
    weight_bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    act_bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    refine: str = "rounding"
    epochs: int = 3
    episodes: int = 300
    keep_float: bool = False
    clock_hz: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        parse_budgets(self.budget)
        for what, value, known in (
            ("method", self.method, METHODS), ("sensitivity", self.sensitivity, MODELS),
            ("refinement", self.refine, REFINEMENTS),
        ):  # fmt: skip
            if value not in known:
                raise unknown_name(what, value, known)
        for option, bits, least in (("--weight-bits", self.weight_bits, 1), ("--act-bits", self.act_bits, 2)):
            if not bits or min(bits) < least or max(bits) > 8:
                raise UsageError(
                    f"{option} expects widths from {least} to 8, got {', '.join(map(str, bits)) or 'none'}"
                )


class Scene:
    """A request with its model and images, read and checked, and how it tells of itself."""

    costs: BitCosts  # where layers add up

    def __init__(self, request: QuantizeRequest, folder: Path, tell: OnProgress, stop: Callable[[], bool]) -> None:
        from cofront.network.bits import without_bits
        from cofront.network.blocks import label_blocks
        from cofront.task.quantise.inputs import check_images
        from cofront.task.quantise.steps import without_integers

        self.request, self.folder, self.tell, self.stop = request, folder, tell, stop
        self.started, self.seconds = time.perf_counter(), dict[str, float]()
        self.budgets: tuple[Budget, ...] = parse_budgets(request.budget)
        self.say("reading", request.model)
        images: list[Dataset] = []

        def train_images() -> Any:
            images.append(load_data(request.data))
            return images[0].x_train

        shape = request.input_shape
        self.model: TrainedModel = load_trained(
            request.model,
            weights=request.weights,
            input_shape=shape,
            images=train_images,
            normalised=request.normalised,
        )
        self.network: Network = label_blocks(without_bits(self.model.network))
        self.notes = list(self.model.notes)
        if self.model.has_bits:
            self.notes.append("the file's own bit-widths are replaced")
        self.floating = without_integers(self.network)
        if self.floating and not request.keep_float:
            more = f" and {len(self.floating) - 8} more" if len(self.floating) > 8 else ""
            raise UnsupportedError(
                f"'{request.model}' has operators without integers: {', '.join(self.floating[:8])}{more}; --keep-float "
                "leaves them in floating point"
            )
        self.data: Dataset = images[0] if images else load_data(request.data)
        outputs, classes = self.network.shapes[self.network.output.name][0], len(self.data.classes)
        if outputs != classes:
            raise UsageError(
                f"'{request.model}' has {outputs} outputs, the images have {classes} classes; give its own"
            )
        rng = np.random.default_rng(request.seed)
        order = rng.permutation(len(self.data.x_train))[: request.images]
        self.calibration, self.labels = self.data.x_train[order], self.data.y_train[order]
        check_images(self.network, self.calibration)
        # images of a folder come class by class: some of them must be of all classes
        self._some = {"val": rng.permutation(len(self.data.x_val)), "test": rng.permutation(len(self.data.x_test))}
        self._check()

    def _check(self) -> None:
        """What the later stages would refuse, before anything is computed."""
        request = self.request
        if on_part(request):
            if request.method != "exact":
                raise UsageError(
                    f"--method {request.method} is for devices where layers add up; on an FPGA part it is exact"
                )
            check_part(str(request.device))
            check_budgets(self.budgets)
            return
        if request.clock_hz is not None:
            raise UsageError("--clock is for the subgraph accelerator on an FPGA part; leave it out here")
        self.costs = bit_costs(self.network, request.device, *self.widths(), self.wide())
        for budget in self.budgets:
            quantity_of(self.costs, budget.quantity)
        if request.method == "haq":
            from cofront.api.bit_haq import check_haq

            check_haq(request, self.budgets)

    def widths(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Weight and activation bits that are sensed. Where nothing depends on those of activations, they stay at 8."""
        request = self.request
        weight, act = tuple(sorted({*request.weight_bits, 8})), tuple(sorted({*request.act_bits, 8}))
        if on_part(request):
            return tuple(b for b in weight if b in (4, 8)), tuple(b for b in act if b in (4, 8))
        return weight, (8,) if request.device is None and request.method != "haq" else act

    def wide(self) -> tuple[str, ...]:
        """Layers that keep 8 bits: those that read the image, and the last."""
        return (*input_layers(self.network), self.network.layers[-1].name)

    def say(self, stage: str, detail: str = "") -> None:
        self.tell(Progress(stage, time.perf_counter() - self.started, detail=detail))

    def timed(self, stage: str, began: float) -> None:
        self.seconds[stage] = time.perf_counter() - began

    def float_accuracy(self, x: Any, y: Any) -> float:
        """The share of images (n, h, w, c) that the network in floating point classifies as their labels (n,)."""
        import torch

        from cofront.task.quantise.inputs import PIXELS, pixels_of
        from cofront.task.quantise.observe import watched

        net = watched(self.network, self.model.weights)
        right = 0
        with torch.inference_mode():
            for i in range(0, len(x), 100):
                real = (pixels_of(x[i : i + 100], self.network) - PIXELS.zero) * PIXELS.scale
                right += int((net(real).flatten(1).argmax(1).numpy() == y[i : i + 100]).sum())
        return right / len(x)

    def check(self, images: int | None = None) -> tuple[Any, Any]:
        """Validation images and labels, at most so many."""
        rows = np.sort(self._some["val"][: VALIDATED if images is None else images])
        return self.data.x_val[rows], self.data.y_val[rows]

    def tests(self, images: int) -> tuple[Any, Any]:
        """Test images and labels, at most so many."""
        rows = np.sort(self._some["test"][:images])
        return self.data.x_test[rows], self.data.y_test[rows]


def inputs_of(scene: Scene) -> dict[str, Any]:
    """Everything that the result depends on."""
    asked = asdict(scene.request)
    for name in ("data", "weights"):
        asked[name] = "" if asked[name] is None else str(asked[name])
    for name in ("model", "weights", "device"):
        if asked[name] and Path(asked[name]).is_file():
            asked[f"{name}_hash"] = file_hash(Path(asked[name]))
    return {**asked, "images_hash": scene.data.digest(), "model_key": model_key(scene), "source": source_hash()}


def model_key(scene: Scene) -> str:
    """A digest of the graph and the weights."""
    found = hashlib.sha256(repr(scene.network.nodes).encode())
    for name, value in scene.model.weights.items():
        found.update(f"{name} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]


def _still_there(found: QuantisedDocument, folder: Path) -> bool:
    """Whether the files of a finished run lie in the folder as they were written: another budget's replace them."""
    return all(
        Path(p).resolve().parent == folder.resolve() and Path(p).is_file() and file_hash(Path(p)) == found.hashes.get(n)
        for n, p in found.files.items()
    )


def quantize(
    request: QuantizeRequest,
    folder: Path,
    *,
    study: Study | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> QuantisedDocument:
    """Calibrate, sense, choose, refine, test, write; sensitivities stay in `folder` for the next budget."""
    need_torch("quantising a network")
    scene = Scene(request, folder, on_progress or (lambda _: None), should_stop or (lambda: False))
    inputs = inputs_of(scene)
    if study is not None and (known := study.finished(inputs)) is not None and known.result is not None:
        found = read_document(known.result, QuantisedDocument, f"run {known.id} of study '{study.path}'")
        if _still_there(found, folder):
            return found
    record = study.start("quantize", inputs, request.seed) if study is not None else None
    try:
        document = _quantize(scene)
    except BaseException as error:
        if record is not None:
            record.finish("interrupted" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed")
        raise
    if record is not None:
        record.finish("done", document)
    return document


def _quantize(scene: Scene) -> QuantisedDocument:
    from cofront.task.quantise.observe import observe
    from cofront.task.quantise.simulate import QuantModule

    request, began = scene.request, time.perf_counter()
    scene.say("calibrating", f"{len(scene.calibration)} images")
    ranges = observe(scene.network, scene.model.weights, scene.calibration)
    module = QuantModule(scene.network, scene.model.weights, ranges)
    scene.timed("calibration", began)
    began = time.perf_counter()
    widths = scene.widths()
    key = {"model": model_key(scene), "images": scene.data.fingerprint(), "source": source_hash()}
    sensed = Sensed(module, scene.model.weights, scene.calibration, scene.labels, widths, key)
    scene.say("sensing", MODELS[request.sensitivity])
    tables = sense(
        sensed, request.sensitivity, scene.folder, request.seed, lambda d: scene.say("sensing", d), scene.stop
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
    setting, said = refined(scene, module, chosen)
    accuracies += said
    scene.timed("refinement", began)
    began = time.perf_counter()
    files, tested = write_files(scene, setting, chosen)
    scene.timed("integers", began)
    return document_of(scene, chosen, tables, accuracies + tested, by_point, files)


def on_part(request: QuantizeRequest) -> bool:
    """Whether the device is an FPGA part, whose accelerator is found with the bits."""
    return request.device is not None and Path(request.device).suffix != ".npy" and request.device not in ENGINES


def check_part(name: str) -> None:
    """UsageError, with what else a device may be, unless it is an FPGA part."""
    from cofront.api.parts import load_device

    try:
        load_device(name)
    except UsageError as error:
        raise UsageError(f"{error}; bit-serial accelerators: {', '.join(ENGINES)}") from None


def choose(scene: Scene, module: QuantModule, tables: LossTables) -> Chosen:
    """The bits, by the request's method."""
    request, network = scene.request, scene.network
    if on_part(request):
        from cofront.api import bit_parts
        from cofront.api.parts import load_device
        from cofront.network.bits import PRECISIONS

        offered = tuple(n for n, (w, a) in PRECISIONS.items() if w in tables.weight_bits and a in tables.act_bits)
        return bit_parts.on_part(
            network, load_device(str(request.device)), tables, scene.budgets, wide=scene.wide(), offered=offered,
            clock_hz=request.clock_hz, should_stop=scene.stop,
        )  # fmt: skip
    if request.method == "haq":
        from cofront.api.bit_haq import by_policy

        return by_policy(scene, module, scene.costs, tables)
    return on_layers(scene.costs, tables, scene.budgets, request.method, request.seed)


def measured(scene: Scene, module: QuantModule, chosen: Chosen) -> tuple[list[QuantAccuracy], dict[int | str, float]]:
    """Validation accuracies: floating point, uniform bits, some of the front (by number), and what was chosen."""
    x, y = scene.check()
    out = [QuantAccuracy(what="floating point", part="validation", accuracy=scene.float_accuracy(x, y), images=len(y))]
    by_point: dict[int | str, float] = {}

    def of(bits: Any) -> float:
        if scene.stop():
            raise KeyboardInterrupt
        module.set_bits(dict(bits))
        return module.accuracy(x, y)

    for name, point in chosen.uniform.items():
        scene.say("validating", name)
        by_point[name] = of(point.bits)
        out.append(QuantAccuracy(what=name, part="validation", accuracy=by_point[name], images=len(y)))
    for i in np.unique(np.linspace(0, len(chosen.front) - 1, min(MEASURED, len(chosen.front))).astype(int)):
        scene.say("validating", f"design {int(i) + 1} of {len(chosen.front)} of the front")
        by_point[int(i)] = of(chosen.front[int(i)].bits)
    assert chosen.point is not None
    by_point["chosen"] = of(chosen.point.bits)
    out.append(QuantAccuracy(what="chosen", part="validation", accuracy=by_point["chosen"], images=len(y)))
    return out, by_point


def refined(scene: Scene, module: QuantModule, chosen: Chosen) -> tuple[Setting, list[QuantAccuracy]]:
    """The chosen bits with their integers refined, where that does not lower validation accuracy."""
    assert chosen.point is not None
    plain = module.set_bits(dict(chosen.point.bits))
    request, (x, y) = scene.request, scene.check()
    if request.refine == "none":
        return plain, []
    before = module.accuracy(x, y)
    if request.refine == "train":
        from cofront.api.bit_training import tuned

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
    after = module.accuracy(x, y)
    said = [QuantAccuracy(what=f"chosen, {request.refine}", part="validation", accuracy=after, images=len(y))]
    if after < before:
        scene.notes.append(f"refinement '{request.refine}' lowered validation accuracy, and was left out")
        return plain, said
    return better, said
