"""What all stages of a run share: its request, space, device and images, how it tells of itself, and its files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cofront.api.files import is_table
from cofront.api.request import OnProgress, Progress
from cofront.errors import UsageError
from cofront.study.provenance import digest, file_hash

if TYPE_CHECKING:
    from cofront.api.differentiable import Priced
    from cofront.search.gradient.recipe import Recipe
    from cofront.space.base import Points
    from cofront.systems.presets import Preset, System
    from cofront.task.data import Dataset
    from cofront.task.scratch import Schedule

#: Seconds between two lines of progress within an epoch.
TELL_S = 5.0


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


def default_space(request: RunRequest) -> str:
    """The space of the preset."""
    from cofront.systems.presets import system

    return system(request.system).preset(request.preset).space


class Stopped(Exception):
    """Somebody asked to stop behind the search, whose result is kept."""


class Scene:
    """A request with all that it names, read and checked. `notes` are what the result must say besides."""

    data: Dataset

    def __init__(self, request: RunRequest, folder: Path, tell: OnProgress, stop: Callable[[], bool]) -> None:
        from cofront import space as spaces
        from cofront.api.differentiable import priced
        from cofront.systems.presets import check_request, system
        from cofront.systems.supernets import layers_of

        self.request, self.folder, self.tell, self.stop = request, folder, tell, stop
        self.system: System = system(request.system)
        preset = self.system.preset(request.preset)
        self.preset: Preset = preset if request.space is None else replace(preset, space=request.space)
        self.space = spaces.load(self.preset.space)
        self.layers, self.layered = layers_of(self.space)
        self.priced: Priced = priced(
            self.space, self.layers, self.layered, request.device, request.column, request.clock_hz
        )
        self.layers = getattr(self.priced.cost, "layers", self.layers)
        check_request(self.system, self.priced.cost, request.target_s)
        #: A network of the space: every layer's first option.
        self.first = self.space.network(self.layers.points(self.layers.mask.argmax(axis=1))[0])
        self.notes: list[str] = []
        self.train_epochs: int | None = None  # what the budget allows
        self.started = self.told = time.perf_counter()

    def read(self) -> Dataset:
        """The images, which must have as many classes as the space."""
        from cofront.task.data import load_dataset

        self.say("reading the images", "")
        self.data = load_dataset(self.request.task)
        classes, outputs = len(self.data.classes), self.first.shapes[self.first.output.name][0]
        if outputs != classes:
            raise UsageError(
                f"space '{self.space.name}' is for {outputs} classes, the images have {classes}: take a space that "
                f"matches (of --space, darts has any number: darts@classes={classes}), or other images with --task"
            )
        return self.data

    def going(self, stage: str, done: Callable[[], tuple[int, int]]) -> Callable[[], bool]:
        """Whether to stop; between two answers it tells how far a stage is, and how long it may take."""
        begun, at = time.perf_counter(), done()[0]

        def ask() -> bool:
            now = time.perf_counter()
            if now - self.told > TELL_S:
                self.told = now
                step, all_steps = done()
                left = (all_steps - step) * (now - begun) / max(step - at, 1)
                self.say(stage, f"step {step:,} of {all_steps:,}, about {left / 60:.1f} minutes left")
            return self.stop()

        return ask

    def say(self, stage: str, detail: str) -> None:
        self.tell(Progress(stage, time.perf_counter() - self.started, detail=detail))

    def search_key(self, recipe: Recipe, **more: object) -> str:
        """What a search is of, for the names of its files: another wish does not meet this one's."""
        r = self.request
        told = {
            "system": r.system, "space": self.space.name, "device": r.device, "column": r.column, "clock": r.clock_hz,
            "target": r.target_s if self.system.needs_target else None, "weight": r.weight, "preset": r.preset,
            "seed": r.seed, "images": self.data.fingerprint(), "recipe": recipe.to_dict(), **more,
            "table": file_hash(Path(r.device)) if is_table(r.device) else None,
        }  # fmt: skip
        return digest(told)[:8]

    def derived_file(self, kind: str, point: Points, schedule: Schedule, suffix: str = ".safetensors") -> Path:
        """A file of a derived network's training: one for each network, schedule and images."""
        told = {"space": self.space.name, "point": point.tolist(), "images": self.data.fingerprint()}
        return self.folder / f"{kind}-{digest({**told, **asdict(schedule)})[:8]}{suffix}"
