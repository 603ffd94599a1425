"""The loop: weights on one split, architecture on the other; it can be interrupted and goes on exactly where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cofront.problem import IntArray
from cofront.search.gradient import checkpoint
from cofront.search.gradient.cost import CostModel, need_cost
from cofront.search.gradient.objective import Objective
from cofront.search.gradient.recipe import Learned, OnProgress, Progress, Recipe
from cofront.search.gradient.relax import Relaxed, by_name, entropy, gumbel, one_hot
from cofront.search.gradient.task import Diverged, Split, Task


class GradientSearch:
    """One search. `cost` is a `CostModel` of the task's own layers; `file` is where checkpoints go, if anywhere."""

    def __init__(
        self,
        task: Task,
        cost: CostModel,
        objective: Objective,
        recipe: Recipe,
        file: Path | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.task, self.cost, self.objective, self.recipe = task, need_cost(cost), objective, recipe
        objective.check(self.cost)
        self.file, self.on_progress = file, on_progress
        self._relax = by_name(recipe.relaxation)
        # a device may rule out more than the task does
        mask = task.layers.mask & getattr(cost, "layers", task.layers).mask
        self.mask = torch.from_numpy(mask)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        start = recipe.init_std * torch.randn(mask.shape, generator=self.generator, dtype=torch.float64)
        self.logits = torch.nn.Parameter(start)
        self.adam = torch.optim.Adam(
            [self.logits], lr=recipe.arch_rate, betas=recipe.arch_betas, weight_decay=recipe.arch_decay
        )
        weights = list(task.parameters())
        self.sgd = (
            torch.optim.SGD(weights, recipe.weight_rate, recipe.momentum, weight_decay=recipe.weight_decay)
            if weights
            else None
        )
        self.position = 0  # steps done, of both kinds
        self.factor = 1.0  # on the rate of the architecture
        self.sums = [0.0, 0]  # loss and steps of this epoch
        self.history: list[Progress] = []
        self.cpu_s = self.wall_s = 0.0  # with what was spent before an interruption

    # what an interruption must not lose, besides the optimisers

    def resume(self) -> bool:
        """Goes on from the checkpoint if there is one; a UsageError when it is of another search."""
        if self.file is None or not self.file.exists():
            return False
        checkpoint.load(self, self.file)
        return True

    def save(self) -> None:
        if self.file is not None:
            checkpoint.save(self, self.file)

    # the loop

    @property
    def steps_per_epoch(self) -> int:
        return (self.task.batches("weights") if self.sgd else 0) + self.task.batches("architecture")

    @property
    def share(self) -> float:
        """Of all steps, what is done."""
        return self.position / (self.recipe.epochs * self.steps_per_epoch)

    def run(self, until_step: int | None = None, should_stop: Callable[[], bool] | None = None) -> Learned:
        """All epochs, or up to a number of steps, or until asked to stop; the search can then be run on."""
        before, saved, started = self.cpu_s, time.monotonic(), time.process_time()
        wall, begun = self.wall_s, saved
        per_epoch = self.steps_per_epoch
        of_weights = self.task.batches("weights") if self.sgd else 0
        end = self.recipe.epochs * per_epoch
        while self.position < min(end, until_step if until_step is not None else end):
            if should_stop is not None and should_stop():
                break
            epoch, number = divmod(self.position, per_epoch)
            if number < of_weights:
                self.train_weights(epoch, number)
            elif epoch >= self.recipe.freeze:
                self.train_architecture(epoch, number - of_weights)
            self.position += 1
            self.cpu_s = before + time.process_time() - started
            self.wall_s = wall + time.monotonic() - begun
            if self.position % per_epoch == 0:
                self._tell(epoch)
            if time.monotonic() - saved > self.recipe.save_every_s:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.result()

    def masked(self) -> Tensor:
        """Logits with -inf where an option does not exist."""
        return self.logits.masked_fill(~self.mask, -math.inf)

    def likely(self) -> IntArray:
        """(l,) the most likely network."""
        return self.task.layers.likely(np.asarray(self.masked().detach().numpy(), float))

    def train_weights(self, epoch: int, number: int) -> None:
        """One step of the operators' weights."""
        assert self.sgd is not None
        share = (epoch * self.task.batches("weights") + number) / (self.recipe.epochs * self.task.batches("weights"))
        for group in self.sgd.param_groups:
            group["lr"] = 0.5 * self.recipe.weight_rate * (1.0 + math.cos(math.pi * share))
        self.sgd.zero_grad()
        with torch.no_grad():
            draws = self._every_path() if self.recipe.warm_all and epoch < self.recipe.freeze else [self._draw(epoch)]
        for relaxed in draws:
            loss = self._checked(self.task.loss(relaxed, "weights", epoch, number), relaxed, "weights", epoch, number)
            loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.task.parameters(), self.recipe.clip)
        self.sgd.step()

    def train_architecture(self, epoch: int, number: int) -> None:
        """One step of the architecture's parameters."""
        relaxed = self._draw(epoch)
        loss = self._checked(
            self.task.loss(relaxed, "architecture", epoch, number), relaxed, "architecture", epoch, number
        )
        total = self.objective.join(loss, self.cost.expected(relaxed.encoding))
        self._checked(total, relaxed, "architecture", epoch, number)
        (self.logits.grad,) = torch.autograd.grad(total, [self.logits])
        halvings = (epoch - self.recipe.freeze) // self.recipe.arch_halve if self.recipe.arch_halve else 0
        self.adam.param_groups[0]["lr"] = self.recipe.arch_rate * 0.5**halvings * self.factor
        self.adam.step()
        self.sums[0] += float(loss.detach())
        self.sums[1] += 1
        likely_s = float(self.cost.of(self.likely())[0])
        self.factor = self.objective.after(likely_s, self.recipe.epochs - epoch)

    def _draw(self, epoch: int) -> Relaxed:
        return self._relax(self.masked(), self.recipe.temperature.at(epoch), self.generator)

    def _every_path(self) -> list[Relaxed]:
        """One-hot draws that together run every option: per layer in an order drawn by Gumbel top-k."""
        logits = self.masked()
        order = (logits + gumbel(logits, self.generator)).argsort(1, descending=True)
        counts = self.mask.sum(1)
        paths = order.gather(1, torch.arange(order.shape[1])[None] % counts[:, None])  # short layers start again
        return [one_hot(paths[:, j], (paths.shape[0], paths.shape[1])) for j in range(int(counts.max()))]

    def _checked(self, value: Tensor, relaxed: Relaxed, split: Split, epoch: int, number: int) -> Tensor:
        if bool(torch.isfinite(value)):
            return value
        with torch.no_grad():
            who = self.task.suspect(relaxed, split, epoch, number)
        blame = (
            f"the first operator whose output is not finite is {who}" if who else "every operator's output is finite"
        )
        kept = f"; the checkpoint '{self.file}' is kept" if self.file is not None and self.file.exists() else ""
        raise Diverged(
            f"the loss is {float(value.detach())} in epoch {epoch}, step {number} on the {split} split: {blame}{kept}; "
            "lower the rate of the weights or look at that operator"
        )

    def _tell(self, epoch: int) -> None:
        with torch.no_grad():
            expected = float(self.cost.expected(torch.softmax(self.masked(), 1)))
        now = Progress(
            epoch=epoch,
            loss=self.sums[0] / self.sums[1] if self.sums[1] else math.nan,
            expected_s=expected,
            likely_s=float(self.cost.of(self.likely())[0]),
            entropy=entropy(self.masked()),
            temperature=self.recipe.temperature.at(epoch),
            multiplier=self.objective.state.get("multiplier"),
            probabilities=tuple(tuple(row) for row in torch.softmax(self.masked().detach(), 1).tolist()),
        )
        self.sums = [0.0, 0]
        self.history.append(now)
        if self.on_progress is not None:
            self.on_progress(now)

    def result(self) -> Learned:
        """What has been learnt so far."""
        choice = self.likely()
        return Learned(
            logits=np.asarray(self.masked().detach().numpy().copy(), float),
            choice=choice,
            point=self.task.layers.points(choice)[0],
            latency_s=float(self.cost.of(choice)[0]),
            loss=self.task.evaluate(choice),
            history=tuple(replace(h) for h in self.history),
            steps=self.position,
            cpu_s=self.cpu_s,
            wall_s=self.wall_s,
            notes=(self.cost.note,) if self.cost.note else (),
        )
