"""Fine-tuning of a setting through the rounding, on images and from the network in floating point; it can be stopped.

A checkpoint has everything that the next step depends on, the integers that training began with included: what goes on
from it ends bit for bit as without the stop, on one machine.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from cofront.checkpoint import need_same, read_checkpoint, write_checkpoint
from cofront.errors import UsageError
from cofront.network import Network
from cofront.task.augment import augment
from cofront.task.quantise.inputs import check_images, check_labels, check_weights, pixels_of
from cofront.task.quantise.learn import Learner
from cofront.task.quantise.observe import watched
from cofront.task.quantise.setting import LayerSetting, Setting

_SAVE_EVERY_S = 120.0
_ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Schedule:
    """How to fine-tune: passes over the images, rates (of weights, of steps' logarithms), images a step.

    `teacher` is the share of the divergence from the float network in the loss, the rest is the labels' cross-entropy;
    1 without labels. `mirrored`: images are shifted and mirrored at random.
    """

    epochs: float = 1.0
    rate: float = 5e-4
    step_rate: float = 5e-4
    batch: int = 64
    teacher: float = 0.5
    mirrored: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.epochs > 0 and self.rate > 0 and self.step_rate >= 0 and self.batch > 0):
            raise UsageError(f"epochs, rates and batch of a schedule must be positive, got {self}")
        if not 0 <= self.teacher <= 1:
            raise UsageError(f"the teacher's share is from 0 to 1, got {self.teacher}")


class FineTuning:
    """The state of one fine-tuning on uint8 images (n, h, w, c); `file` is where its checkpoints go, if anywhere.

    `network` and `weights` are the trained ones, which also teach.
    """

    def __init__(
        self,
        setting: Setting,
        network: Network,
        weights: Mapping[str, npt.NDArray[np.float32]],
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64] | None = None,
        schedule: Schedule | None = None,
        file: Path | None = None,
    ) -> None:
        self.network, self.schedule, self.file = network, schedule or Schedule(), file
        self.images, self.weights = check_images(network, images), check_weights(network, weights)
        self.labels = torch.from_numpy(check_labels(network, images, labels)) if labels is not None else None
        self.teacher = watched(network, self.weights)
        self.steps = max(1, math.ceil(self.schedule.epochs * len(self.images) / self.schedule.batch))
        self.begin(setting)

    def begin(self, setting: Setting) -> None:
        """Train these integers, from the first step on; of the same network and bits."""
        how = self.schedule
        self.student = s = Learner(setting, self.weights)
        steps = [*s.of_weights.parameters(), *s.of_reads.parameters(), *s.of_stored.parameters()]
        others = [*s.weights.parameters(), *s.biases.parameters()]
        self.rates = (how.rate, how.step_rate)
        self.adam = torch.optim.Adam([{"params": others, "lr": how.rate}, {"params": steps, "lr": how.step_rate}])
        self.generator = torch.Generator().manual_seed(how.seed)
        self.order = torch.empty(0, dtype=torch.long)
        self.position = 0

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.position >= self.steps

    def run(
        self,
        progress: Callable[[int, int, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        until_step: int | None = None,
    ) -> bool:
        """All steps, or until asked to stop, when it can be run on; whether it is finished.

        `progress` is told (steps done, all, loss). UsageError when the loss is no number any more.
        """
        last = self.steps if until_step is None else min(self.steps, until_step)
        saved = time.perf_counter()
        while self.position < last and not (should_stop is not None and should_stop()):
            loss = self._step()
            self.position += 1
            if progress is not None:
                progress(self.position, self.steps, loss)
            if time.perf_counter() - saved > _SAVE_EVERY_S:
                self.save()
                saved = time.perf_counter()
        self.save()
        return self.finished

    def learned(self) -> Setting:
        """The setting as it is now."""
        self._check()
        return self.student.learned()

    def _step(self) -> float:
        how, n = self.schedule, len(self.images)
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * self.position / self.steps))
        if len(self.order) < how.batch:
            self.order = torch.cat([self.order, torch.randperm(n, generator=self.generator)])
        some, self.order = self.order[: how.batch], self.order[how.batch :]
        loss = self._loss(some)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._broken(f"the loss is {value}")
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        return value

    def _loss(self, some: torch.Tensor) -> torch.Tensor:
        """Of the images of these numbers."""
        how, pixels = self.schedule, self.student.start.pixels
        x = _batch(self.images[some.numpy()], self.network, self.generator if how.mirrored else None)
        share = how.teacher if self.labels is not None else 1.0
        out: torch.Tensor = self.student(x).flatten(1)
        loss = out.new_zeros(())
        if share:
            with torch.no_grad():
                aim = self.teacher((x - pixels.zero) * pixels.scale).flatten(1).log_softmax(1)
            loss = loss + share * F.kl_div(out.log_softmax(1), aim, reduction="batchmean", log_target=True)
        if self.labels is not None and share < 1:
            loss = loss + (1 - share) * F.cross_entropy(out, self.labels[some])
        return loss

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.student.named_parameters() if p.requires_grad}

    def _check(self) -> None:
        """A step from a finite loss can still lead to what is no number, or no step size."""
        for name, p in self._trained().items():
            used = p.exp() if name.startswith("of_") else p
            if not bool(torch.isfinite(used).all()) or (used is not p and not bool((used > 0).all())):
                raise self._broken(f"'{name}' is out of range")

    def _broken(self, what: str) -> UsageError:
        kept = f"; the checkpoint '{self.file}' is kept" if self.file is not None and self.file.exists() else ""
        at = f"step {min(self.position + 1, self.steps)} of {self.steps}"
        rate, step_rate = self.rates
        return UsageError(
            f"fine-tuning '{self.network.name}': {what} in {at}, at rates {rate:g} of weights and {step_rate:g} of "
            f"steps{kept}; take fewer epochs, or `--refine rounding` in place of training; in Python, also lower rates"
        )

    # checkpoints

    @cached_property
    def _told(self) -> dict[str, Any]:
        data = hashlib.sha256(repr(self.images.shape).encode())
        for part in (self.images, *([self.labels.numpy()] if self.labels is not None else [])):
            data.update(np.ascontiguousarray(part).data)
        model = hashlib.sha256()
        for name, value in self.weights.items():
            model.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return {
            "nodes": [repr(n) for n in self.student.start.network.nodes], "weights": model.hexdigest(),
            "images": data.hexdigest(), "schedule": asdict(self.schedule),
        }  # fmt: skip

    def save(self) -> None:
        """Everything that the next step depends on, all or nothing."""
        self._check()
        if self.file is None:
            return
        tensors = {"generator": self.generator.get_state(), "order": self.order}
        for name, layer in self.student.start.layers.items():
            tensors |= {f"start.codes.{name}": layer.codes.to(torch.int8), f"start.scale.{name}": layer.scale,
                        f"start.bias.{name}": layer.bias}  # fmt: skip
        for name, p in self._trained().items():
            tensors[f"net.{name}"] = p.detach()
            tensors |= {f"adam.{k}.{name}": v for k, v in self.adam.state.get(p, {}).items()}
        write_checkpoint(self.file, tensors, {"told": self._told, "position": self.position})

    def resume(self) -> bool:
        """Goes on from the checkpoint if there is one; a UsageError when it is of another fine-tuning."""
        if self.file is None or not self.file.exists():
            return False
        tensors, meta = read_checkpoint(self.file, "a fine-tuning", ("told", "position"))
        need_same(self.file, meta["told"], self._told, "fine-tuning", "network, bits, weights, images or schedule")
        start = self.student.start
        layers = {
            name: LayerSetting(
                tensors[f"start.codes.{name}"].float(), tensors[f"start.scale.{name}"], tensors[f"start.bias.{name}"],
                layer.bits,
            )
            for name, layer in start.layers.items()
        }  # fmt: skip
        self.begin(replace(start, layers=layers))
        with torch.no_grad():
            for name, p in self._trained().items():
                p.copy_(tensors[f"net.{name}"])
                kept = {k: tensors[f"adam.{k}.{name}"] for k in _ADAM if f"adam.{k}.{name}" in tensors}
                if kept:
                    self.adam.state[p] = kept
        self.generator.set_state(tensors["generator"])
        self.order, self.position = tensors["order"], int(meta["position"])
        return True


def fine_tune(
    setting: Setting,
    network: Network,
    weights: Mapping[str, npt.NDArray[np.float32]],
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None = None,
    schedule: Schedule | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Setting:
    """The setting after training on uint8 images (n, h, w, c), as `FineTuning` has it.

    The same seed gives the same result on one machine.
    """
    tuning = FineTuning(setting, network, weights, images, labels, schedule)
    tuning.run(progress)
    return tuning.learned()


def _batch(images: npt.NDArray[np.uint8], network: Network, generator: torch.Generator | None) -> torch.Tensor:
    if generator is not None:
        pad = max(1, images.shape[1] // 8)
        moved = augment(torch.from_numpy(images), generator, pad, 0)
        images = moved.permute(0, 2, 3, 1).numpy()
    return pixels_of(images, network)
