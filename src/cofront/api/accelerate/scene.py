"""What all stages of `accelerate` share: the request, the model and images, what is learnt, scored and priced."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.api.accelerate.pricing import TEACHERS, OnPart, priced_operators
from cofront.api.accelerate.recipe import check_images, few_images, offered, recipe_for
from cofront.api.budgets import parse_budgets
from cofront.api.request import OnProgress, Progress
from cofront.api.trained import Normalisation, load_trained
from cofront.errors import InputError, UsageError
from cofront.study.provenance import digest, write_atomic

if TYPE_CHECKING:
    from cofront.api.trained import TrainedModel
    from cofront.systems.lana import Lana
    from cofront.systems.lana_prices import Prices
    from cofront.task.data import Dataset
    from cofront.task.distil.layerwise import Layerwise
    from cofront.task.distil.scores import Scores

TELL_S = 5.0


class Stopped(Exception):
    """Somebody asked to stop; every finished stage is kept in the folder."""


@dataclass(frozen=True)
class AccelerateRequest:
    """What to accelerate: `model` as `load_trained` takes it, `budget` such as "0.5x latency" or "2ms".

    `candidates` is "few", "some" or "all", or names of operators with commas between; `images` is how many training
    images the operators learn from. `epochs` of fine-tuning, 0 for none.
    """

    model: str
    device: str
    budget: str
    data: Path | None = None
    weights: Path | None = None
    input_shape: tuple[int, ...] | None = None
    normalised: Normalisation | None = None
    column: str | None = None
    candidates: str = "few"
    images: int = 2048
    epochs: int = 8
    seed: int = 0


class Acceleration:
    """A request with all that it names, read and checked, and the stages one after the other."""

    lana: Lana
    data: Dataset
    model: TrainedModel
    on_part: OnPart | None = None  # the accelerator that prices are of

    def __init__(self, request: AccelerateRequest, folder: Path, tell: OnProgress, stop: Callable[[], bool]) -> None:
        self.request, self.folder, self.tell, self.stop = request, folder, tell, stop
        self.started = self.told = time.perf_counter()
        self.notes: list[str] = []

    def say(self, stage: str, detail: str = "") -> None:
        self.tell(Progress(stage, time.perf_counter() - self.started, detail=detail))

    def step(self, stage: str, done: int, total: int) -> None:
        if time.perf_counter() - self.told > TELL_S:
            self.told = time.perf_counter()
            self.say(stage, f"{done:,} of {total:,}")

    def check(self) -> None:
        """Stopped when somebody asked to."""
        if self.stop():
            raise Stopped

    def read(self) -> None:
        from cofront.network.bits import without_bits
        from cofront.systems.lana import Lana
        from cofront.task.data import load_dataset

        r = self.request
        operators = offered(r.candidates)
        self.say("reading the model and the images")
        # an ONNX file is read before the images are, so that what is wrong with it is said at once
        read: list[Dataset] = []

        def images() -> Any:
            read.append(load_dataset(r.data))
            return read[-1].x_train

        self.model = load_trained(
            r.model, weights=r.weights, input_shape=r.input_shape, images=images, normalised=r.normalised
        )
        self.data = read[-1] if read else load_dataset(r.data)
        if self.model.has_bits:
            self.notes.append("the file's bit-widths are left out: operators learn in floating point")
        network = without_bits(self.model.network)
        check_images(self.data, r.epochs)
        recipe = recipe_for(operators, r.images, r.epochs, r.seed, len(self.data.x_train))
        self.notes += few_images(recipe)
        self.lana = Lana(network, self.model.weights, self.data, recipe)
        self.notes += self.model.notes

    def key(self, *more: object) -> str:
        """Of everything that what was learnt depends on, for names of files."""
        from hashlib import sha256

        weights = sha256()
        for name, value in sorted(self.model.weights.items()):
            weights.update(name.encode())
            weights.update(np.ascontiguousarray(value).data)
        r = self.lana.recipe
        told = {
            "nodes": [repr(n.op) for n in self.lana.network.nodes], "weights": weights.hexdigest(),
            "images": self.data.fingerprint(), "offered": r.offered, "lesson": asdict(r.lesson), "learn": r.learn,
            "score": r.score, "seed": r.seed, "more": [str(m) for m in more],
        }  # fmt: skip
        return digest(told)[:8]

    def learn(self) -> Layerwise:
        operators = sum(len(o) for o in self.lana.space.operators)

        def begun(count: int) -> None:
            self.check()
            self.step("beginning operators", count, operators)

        self.say("beginning operators")
        learnt = self.lana.distillation(self.folder / f"operators-{self.key()}.safetensors", begun)
        learnt.resume()
        count = len(learnt.modules)

        def told(step: int) -> None:
            self.step(f"{count} operators learning", step, learnt.steps)

        if not learnt.run(told, self.stop):
            raise Stopped
        return learnt

    def score(self, learnt: Layerwise) -> tuple[Scores, dict[tuple[int, str], float]]:
        """Scores and errors, kept in a file."""
        from cofront.task.distil.scores import Scores

        file = self.folder / f"scores-{self.key()}.json"
        if file.is_file():
            try:
                kept = json.loads(file.read_text(encoding="utf-8"))
                change = np.array([[np.nan if v is None else v for v in row] for row in kept["change"]], float)
                known = {(int(i), str(n)): float(v) for i, n, v in kept["errors"]}
                return Scores(change, float(kept["teacher"]), int(kept["images"])), known
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"'{file}' does not hold scores ({error}); remove it") from None
        units = len(self.lana.space.operators)
        self.say("scoring single swaps")
        errors = learnt.errors(should_stop=self.stop)
        if errors is None:
            raise Stopped
        found = self.lana.scores(learnt, lambda i: self.step("scoring single swaps, unit", i + 1, units), self.stop)
        if found is None:
            raise Stopped
        kept = {
            "change": [[None if np.isnan(v) else float(v) for v in row] for row in found.change],
            "teacher": found.teacher, "images": found.images, "errors": [[*k, v] for k, v in errors.items()],
        }  # fmt: skip
        write_atomic(file, json.dumps(kept))
        return found, errors

    def price(self) -> Prices:
        """The device's prices; a UsageError when the budget is below the fastest network."""
        self.check()
        self.say("pricing operators")
        prices, self.on_part = priced_operators(
            self.lana, self.request.device, self.request.column, self.folder / f"table-{self.key('table')}.parquet",
            on_step=lambda s: self.step("measuring operators, visit", s.done, s.total), should_stop=self.stop,
        )  # fmt: skip
        if prices is None:
            raise Stopped
        self.check()
        (budget,) = parse_budgets(self.request.budget, ("latency",))
        limit, least = budget.of(prices.teacher_s), prices.least_s
        if limit < least:
            raise UsageError(
                f"--budget {self.request.budget} is {_ms(limit)}; the fastest network of these operators takes "
                f"{_ms(least)} on {prices.device}: give at least {least / prices.teacher_s + 5e-4:.3f}x latency"
                + ("" if self.request.candidates == "all" else ", or offer more with --candidates all")
            )
        if self.on_part is not None:
            self.notes += [TEACHERS + n for n in self.on_part.notes()]
        return prices

    def limit(self, prices: Prices) -> float:
        (budget,) = parse_budgets(self.request.budget, ("latency",))
        return budget.of(prices.teacher_s)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.4g} ms"
