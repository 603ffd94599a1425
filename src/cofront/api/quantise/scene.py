"""What all stages of `quantize` share: its request, model and images, read and checked, and how it tells of itself."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.api.budgets import Budget, parse_budgets
from cofront.api.quantise.buildable import refused
from cofront.api.quantise.choosing import METHODS, Chosen, hopeless
from cofront.api.quantise.costs import ENGINES, BitCosts, Pair, bit_costs, quantity_of
from cofront.api.quantise.models import explained
from cofront.api.quantise.parts import check_budgets
from cofront.api.quantise.sensing import AUTO, MODELS, input_layers, model_for
from cofront.api.recorded import asked_of
from cofront.api.request import OnProgress, Progress
from cofront.api.trained import Normalisation, TrainedModel, load_trained
from cofront.api.training import load_data
from cofront.errors import UnsupportedError, UsageError, unknown_name

if TYPE_CHECKING:
    from cofront.api.quantise.buildable import Outlook
    from cofront.network import Network
    from cofront.task.data import Dataset, Images

REFINEMENTS = ("none", "bias", "moments", "rounding", "train")
#: Widths to choose from where none are named: anywhere else, and on an FPGA part, which has no others.
ALL_BITS, PART_BITS = (2, 3, 4, 5, 6, 7, 8), (4, 8)
#: Validation images that accuracies of candidates are taken on.
VALIDATED = 1000


@dataclass(frozen=True)
class QuantizeRequest:
    """What `cofront quantize` is asked.

    `data`: images that calibrate, validate and test; CIFAR-10 where $COFRONT_DATA says if None. `device`: an FPGA part,
    a bit-serial accelerator, a `.npy` table (layers, 8, 8), or None, when only the size can be limited. `fix`: bits of
    layers that are not chosen, "name=W4A8", where * stands for any letters; later ones win. `weight_bits`, `act_bits`:
    widths to choose from besides 8; None: all from 2, on an FPGA part all that it has.
    """

    model: str
    budget: str
    data: Path | None = None
    device: str | None = None
    method: str = "exact"
    sensitivity: str = AUTO
    images: int = 256
    weights: Path | None = None
    input_shape: tuple[int, ...] | None = None
    normalised: Normalisation | None = None
    weight_bits: tuple[int, ...] | None = None
    act_bits: tuple[int, ...] | None = None
    refine: str = "rounding"
    epochs: int = 3
    episodes: int = 300
    fix: tuple[str, ...] = ()
    keep_float: bool = False
    clock_hz: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        parse_budgets(self.budget)
        for what, value, known in (
            ("method", self.method, METHODS), ("sensitivity", self.sensitivity, (AUTO, *MODELS)),
            ("refinement", self.refine, REFINEMENTS),
        ):  # fmt: skip
            if value not in known:
                raise unknown_name(what, value, known)
        for option, bits, least in (("--weight-bits", self.weight_bits, 1), ("--act-bits", self.act_bits, 2)):
            if bits is not None and (not bits or min(bits) < least or max(bits) > 8):
                raise UsageError(
                    f"{option} expects widths from {least} to 8, got {', '.join(map(str, bits)) or 'none'}"
                )
            if bits is not None and on_part(self) and (bad := [str(b) for b in bits if b not in PART_BITS]):
                raise UsageError(
                    f"{option} {','.join(bad)}: an FPGA part has 4 and 8 bits alone, of which 8 is always there; give "
                    "4 or 8, or leave it out"
                )


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


def haq_range(request: QuantizeRequest, budgets: tuple[Budget, ...]) -> tuple[int, int]:
    """Fewest and most bits, the same for weights and activations; UsageError for what the agent cannot be asked."""
    if len(budgets) != 1:
        raise UsageError("--method haq takes one budget; exact takes several")
    weight, act = request.weight_bits or ALL_BITS, request.act_bits or ALL_BITS
    wanted = tuple(range(min(weight), max(weight) + 1))
    if weight != act or weight != wanted or wanted[-1] != 8:
        raise UsageError("--method haq chooses from all widths up to 8, the same for weights and activations: 2-8, 4-8")
    return wanted[0], 8


class Scene:
    """A request with its model and images, read and checked, and how it tells of itself."""

    costs: BitCosts  # where layers add up
    hopeless: Chosen | None = None  # where costs alone say that nothing is within the budget
    outlook: Outlook | None = None  # of the design on an FPGA part, once it is written

    def __init__(
        self,
        request: QuantizeRequest,
        folder: Path,
        tell: OnProgress = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        remark: Callable[[str], None] = lambda _: None,
    ) -> None:
        from cofront.network.bits import without_bits
        from cofront.network.blocks import label_blocks
        from cofront.task.quantise.inputs import check_images
        from cofront.task.quantise.steps import without_integers

        self.request, self.folder, self.tell, self.stop, self.remark = request, folder, tell, stop, remark
        self.started, self.seconds = time.perf_counter(), dict[str, float]()
        self.budgets: tuple[Budget, ...] = parse_budgets(request.budget)
        self.say("reading", request.model)
        images: list[Dataset] = []

        def train_images() -> Any:
            images.append(load_data(request.data))
            return images[0].x_train

        shape = request.input_shape
        with explained(request.model):
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
        self.note(_resized(self.network, self.calibration))
        # images of a folder come class by class: some of them must be of all classes
        self._some = {"val": rng.permutation(len(self.data.x_val)), "test": rng.permutation(len(self.data.x_test))}
        self._check()
        self.sensitivity = request.sensitivity
        if self.sensitivity == AUTO:
            self.sensitivity = model_for(self.network, len(self.calibration), self.widths())

    def _check(self) -> None:
        """What the later stages would refuse, before anything is computed."""
        request = self.request
        if on_part(request):
            check_part(str(request.device))  # a name that nothing has is no FPGA part
            if request.method != "exact":
                raise UsageError(
                    f"--method {request.method} is for devices where layers add up; on an FPGA part it is exact"
                )
            check_budgets(self.budgets)
            self.held()
            self.note(refused(self.network))
            return
        if request.clock_hz is not None:
            raise UsageError("--clock is for the subgraph accelerator on an FPGA part; leave it out here")
        self.costs = bit_costs(self.network, request.device, *self.widths(), self.held())
        for budget in self.budgets:
            quantity_of(self.costs, budget.quantity)
        if request.method == "haq":
            haq_range(request, self.budgets)
        self.hopeless = hopeless(self.costs, self.budgets)

    def widths(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Weight and activation bits that are sensed. Where nothing depends on those of activations, they stay at 8."""
        request = self.request
        known = PART_BITS if on_part(request) else ALL_BITS
        weight, act = (tuple(sorted({*(b or known), 8})) for b in (request.weight_bits, request.act_bits))
        if on_part(request):
            return weight, act
        return weight, (8,) if request.device is None and request.method != "haq" else act

    def held(self) -> dict[str, Pair]:
        """Bits of layers that are not chosen: 8 and 8 where the image is read and of the last, and what `fix` says.

        A pattern leaves those out that have 8 anyway; their own names take them. UsageError for a name that no layer
        has and for bits that the layer cannot have.
        """
        readers, names = input_layers(self.network), [n.name for n in self.network.layers]
        ends: dict[str, Pair] = dict.fromkeys((*readers, names[-1]), (8, 8))
        out = dict(ends)
        offered = self.widths()
        for asked in self.request.fix:
            pattern, _, bits = asked.rpartition("=")
            found = re.fullmatch(r"[Ww](\d)[Aa](\d)", bits)
            layers = [pattern] if pattern in names else [n for n in fnmatch.filter(names, pattern) if n not in ends]
            if not found:
                raise UsageError(f"--fix expects LAYER=W4A8, got '{asked}'")
            if not layers:
                raise UsageError(f"--fix {asked}: no layer is called '{pattern}'; there are {', '.join(names)}")
            pair = int(found[1]), int(found[2])
            if pair[0] not in offered[0] or pair[1] not in offered[1]:
                raise UsageError(
                    f"--fix {asked}: here weights have {', '.join(map(str, offered[0]))} bits and activations "
                    f"{', '.join(map(str, offered[1]))}"
                )
            if pair[1] != 8 and (same := [n for n in layers if n in readers]):
                raise UsageError(f"--fix {asked}: layer '{same[0]}' reads pixels, which have 8 bits")
            if pair != (8, 8) and (on_part(self.request) or self.request.method == "haq"):
                where = "on an FPGA part" if on_part(self.request) else "with --method haq"
                raise UsageError(f"--fix {asked}: {where} layers can only be held at W8A8")
            out |= dict.fromkeys(layers, pair)
        return out

    def note(self, notes: Iterable[str]) -> None:
        """Noted, and said at once: before what takes long."""
        for text in notes:
            self.notes.append(text)
            self.remark(text)

    def say(self, stage: str, detail: str = "") -> None:
        self.tell(Progress(stage, time.perf_counter() - self.started, detail=detail))

    def timed(self, stage: str, began: float) -> None:
        self.seconds[stage] = time.perf_counter() - began

    def check(self, images: int | None = None) -> tuple[Any, Any]:
        """Validation images and labels, at most so many."""
        rows = np.sort(self._some["val"][: VALIDATED if images is None else images])
        return self.data.x_val[rows], self.data.y_val[rows]

    def tests(self, images: int) -> tuple[Any, Any]:
        """Test images and labels, at most so many."""
        rows = np.sort(self._some["test"][:images])
        return self.data.x_test[rows], self.data.y_test[rows]


def _resized(network: Network, images: Images) -> tuple[str, ...]:
    """A note where images (n, h, w, c) have another size than the network reads."""
    given, wanted = images.shape[1:3], network.shapes[network.input.name][1:]
    if given == wanted:
        return ()
    return (f"images of {given[0]}x{given[1]} are resized to {wanted[0]}x{wanted[1]}, which the network reads",)


def inputs_of(scene: Scene) -> dict[str, Any]:
    """Everything that the result depends on."""
    return asked_of(scene.request, scene.data.digest(), model_key(scene))


def model_key(scene: Scene) -> str:
    """A digest of the graph and the weights."""
    found = hashlib.sha256(repr(scene.network.nodes).encode())
    for name, value in scene.model.weights.items():
        found.update(f"{name} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]
