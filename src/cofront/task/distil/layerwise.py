"""All operators of all units learn at once, each to give what the teacher's unit gives for the teacher's own input
[LANA21].

A batch goes through the teacher once; every operator then takes one step of its own. None sees another, so that what
one learns does not depend on which others there are. Before the first step and behind the last one the last convolution
of each is solved for (`least_squares`, ours). The loss is the mean square error over the variance of the unit's
output (about the mean of each channel), so that 1 is what the best constant has, and 0 the teacher.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cofront.checkpoint import need_same, read_checkpoint, write_checkpoint
from cofront.errors import CofrontError, UsageError
from cofront.network import Network
from cofront.network.pytorch import NetworkModule
from cofront.task.batches import ImageBatches
from cofront.task.data import Images
from cofront.task.distil.least_squares import before_activation, solve_last
from cofront.task.distil.start import begin, settle
from cofront.task.distil.units import Teacher, inputs_of
from cofront.task.speed import input_dtype, speed_up

Key = tuple[int, str]
_SAVE_EVERY_S = 120.0
_TINY = 1e-12


@dataclass(frozen=True)
class Lesson:
    """Adam with its rate down a cosine from `rate` to 0 over `epochs` of the images; `solve` images for solving.

    `inherit`: operators begin with the teacher's own weights where they have a place for them (ours).
    """

    epochs: int = 1
    batch: int = 64
    rate: float = 2e-3
    solve: int = 512
    seed: int = 0
    inherit: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or not self.rate > 0:
            raise UsageError(
                f"distillation: expected at least 1 epoch, batches of 2 and a rate above 0, got {self.epochs}, "
                f"{self.batch}, {self.rate:g}"
            )


@dataclass
class Layerwise:
    """The state of the distillation. `operators` (l) of name -> layers; None (an identity) and "teacher" learn nothing.

    `x` (n, h, w, 3) are training images, `held` (m, h, w, 3) others on which errors are measured; `file` is where
    checkpoints go, if anywhere. `on_begin` is called before each operator is begun, with how many there are already;
    what it raises ends the making.
    """

    teacher: Teacher
    operators: Sequence[Mapping[str, Network | None]]
    x: Images
    held: Images
    lesson: Lesson = field(default_factory=Lesson)
    file: Path | None = None
    on_begin: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        network = self.teacher.network
        self.batches = ImageBatches(
            self.x, np.zeros(len(self.x), np.int64), self.lesson.batch, seed=self.lesson.seed,
            side=network.shapes[network.input.name][1],
        )  # fmt: skip
        self.held_inputs = inputs_of(network, self.held)
        features = self.teacher.features(inputs_of(network, self.x[: 4 * self.lesson.batch]))
        self.scale = [_variance(f) for f in features[1:]]
        self.modules: dict[Key, NetworkModule] = {}
        for i, operators in enumerate(self.operators):
            for name, operator in operators.items():
                if operator is None or operator == self.teacher.parts[i]:
                    continue
                if self.on_begin is not None:
                    self.on_begin(len(self.modules))
                begun = begin(self.teacher.modules[i], operator, name, self.lesson.seed, i, self.lesson.inherit)
                settle(begun, features[i], features[i + 1])
                self.modules[i, name] = speed_up(begun.module)
        parameters = [p for m in self.modules.values() for p in m.parameters()]
        self.adam = torch.optim.Adam(parameters, lr=self.lesson.rate) if parameters else None
        self.dtype = input_dtype()
        self.position, self.seconds, self.solved = 0, 0.0, False
        #: Relative errors on the held-out images before any learning; also of what learns nothing.
        self.before: dict[Key, float] = {}

    @property
    def steps(self) -> int:
        return self.lesson.epochs * len(self.batches)

    def run(self, on_step: Callable[[int], None] | None = None, should_stop: Callable[[], bool] | None = None) -> bool:
        """All steps, or until asked to stop (False); it can then be run on."""
        if not self.before:
            found = self.errors(should_stop=should_stop)
            if found is None or not self._solve(should_stop):
                return False
            self.before = found
        started, before = time.perf_counter(), self.seconds
        saved = started
        while self.position < self.steps and self.adam is not None:
            if should_stop is not None and should_stop():
                break
            self._step()
            self.position += 1
            self.seconds = before + time.perf_counter() - started
            if on_step is not None:
                on_step(self.position)
            if time.perf_counter() - saved > _SAVE_EVERY_S:
                self.save()
                saved = time.perf_counter()
        self.save()
        if self.position < self.steps and self.adam is not None:
            return False
        if not self.solved:
            if not self._solve(should_stop):  # what is kept is as it was before
                return False
            self.solved = True
            self.save()
        return True

    def _solve(self, should_stop: Callable[[], bool] | None = None) -> bool:
        """The last convolutions of all operators, on the first training images; False when asked to stop before all
        are solved. Solving once more gives the same."""
        x = torch.split(inputs_of(self.teacher.network, self.x[: self.lesson.solve]), 128)
        features = [self.teacher.features(part) for part in x]
        for i, module in enumerate(self.teacher.modules):
            plain, own = before_activation(module), [f[i] for f in features]
            for (j, _), operator in self.modules.items():
                if i != j:
                    continue
                if should_stop is not None and should_stop():
                    return False
                solve_last(operator, plain, own)
        return True

    def _step(self) -> None:
        assert self.adam is not None
        epoch, number = divmod(self.position, len(self.batches))
        for group in self.adam.param_groups:
            group["lr"] = 0.5 * self.lesson.rate * (1 + math.cos(math.pi * self.position / self.steps))
        features = self.teacher.features(self.batches(epoch, number)[0])
        narrow = [f.to(self.dtype) for f in features[:-1]]
        self.adam.zero_grad(set_to_none=True)
        for (i, name), module in self.modules.items():
            loss = F.mse_loss(module.train()(narrow[i]).float(), features[i + 1]) / self.scale[i]
            value = float(loss.detach())
            if not math.isfinite(value):
                raise CofrontError(f"operator '{name}' of unit {i}: its error is {value} in step {self.position}")
            loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step()

    @overload
    def errors(self, batch: int = 250) -> dict[Key, float]: ...

    @overload
    def errors(self, batch: int = 250, *, should_stop: Callable[[], bool] | None) -> dict[Key, float] | None: ...

    @torch.no_grad()
    def errors(self, batch: int = 250, *, should_stop: Callable[[], bool] | None = None) -> dict[Key, float] | None:
        """Relative error of every operator on the held-out images, the teacher's own (0) and identities included; None
        when asked to stop."""
        total: dict[Key, float] = {}
        for first in range(0, len(self.held_inputs), batch):
            x = self.held_inputs[first : first + batch]
            features = self.teacher.features(x)
            for i, operators in enumerate(self.operators):
                for name in operators:
                    if should_stop is not None and should_stop():
                        return None
                    given = self.output(i, name, features[i])
                    error = float(F.mse_loss(given, features[i + 1])) / self.scale[i]
                    total[i, name] = total.get((i, name), 0.0) + error * len(x) / len(self.held_inputs)
        return total

    def module(self, i: int, name: str) -> NetworkModule | None:
        """The operator as it is now, the teacher's own included; None for an identity."""
        if self.operators[i][name] is None:
            return None
        return self.modules.get((i, name), self.teacher.modules[i])

    @torch.no_grad()
    def output(self, i: int, name: str, h: Tensor) -> Tensor:
        """What an operator gives for h (n, c, h, w) in eval mode."""
        module = self.module(i, name)
        if module is None:
            return h
        out: Tensor = module.eval()(h)
        return out

    def _told(self) -> dict[str, object]:
        names = [[n for n in operators] for operators in self.operators]
        nodes = [[repr(n.op) for n in part.nodes] for part in self.teacher.parts]
        return {"lesson": asdict(self.lesson), "operators": names, "teacher": nodes, "images": len(self.x)}

    def save(self) -> None:
        """Everything that the next step depends on, all or nothing."""
        if self.file is None:
            return
        tensors = {f"{i}/{n}/{k}": v for (i, n), m in self.modules.items() for k, v in m.state_dict().items()}
        for (i, n), m in self.modules.items():
            for k, p in m.named_parameters():
                for what, v in (self.adam.state.get(p, {}) if self.adam is not None else {}).items():
                    tensors[f"adam.{what}/{i}/{n}/{k}"] = v
        meta = {
            "told": self._told(), "position": self.position, "seconds": self.seconds,
            "before": [[*key, value] for key, value in self.before.items()], "solved": self.solved,
        }  # fmt: skip
        write_checkpoint(self.file, tensors, meta)

    def resume(self) -> bool:
        """Goes on from the checkpoint if there is one; a UsageError when it is of another distillation."""
        if self.file is None or not self.file.exists():
            return False
        tensors, meta = read_checkpoint(self.file, "a distillation", ("told", "before", "position"))
        need_same(self.file, meta["told"], self._told(), "distillation", "network, operators, images or lesson")
        for (i, n), m in self.modules.items():
            start = f"{i}/{n}/"
            m.load_state_dict({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
            for k, p in m.named_parameters():
                kept = {w: tensors[f"adam.{w}/{start}{k}"] for w in ("step", "exp_avg", "exp_avg_sq")
                        if f"adam.{w}/{start}{k}" in tensors}  # fmt: skip
                if kept and self.adam is not None:
                    self.adam.state[p] = kept
        self.position, self.seconds = int(meta["position"]), float(meta["seconds"])
        self.solved = bool(meta["solved"])
        self.before = {(int(i), str(n)): float(v) for i, n, v in meta["before"]}
        return True


def _variance(f: Tensor) -> float:
    """Mean square about the mean of each channel."""
    flat = f.float()
    dims = [d for d in range(flat.ndim) if d != 1]
    return max(float((flat - flat.mean(dims, keepdim=True)).square().mean()), _TINY)
