"""Training of one network from the start: any Network, on any images, the same recipe for all that are compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cofront.checkpoint import need_same, read_checkpoint, write_checkpoint
from cofront.errors import CofrontError, UsageError
from cofront.network import Network
from cofront.network.pytorch import NetworkModule, to_torch
from cofront.task.batches import ImageBatches, compute_device
from cofront.task.data import Dataset, Images, Labels
from cofront.task.speed import input_dtype, speed_up

#: The largest gradient of all parameters together: longer ones are cut to it.
CLIP = 5.0
_SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class Schedule:
    """SGD with Nesterov momentum, rate from 0 to `rate` over the share `warm`, then down a cosine to 0.

    Weight decay is on weights of convolutions and linear layers alone.
    """

    epochs: int = 10
    batch: int = 128
    rate: float = 0.1
    warm: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    smoothing: float = 0.1
    cutout: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise UsageError(f"training: expected at least 1 epoch and batches of 2, got {self.epochs}, {self.batch}")

    def rate_at(self, share: float) -> float:
        """The rate when that share of all steps is done."""
        if share < self.warm:
            return self.rate * share / self.warm
        return 0.5 * self.rate * (1.0 + math.cos(math.pi * (share - self.warm) / (1.0 - self.warm)))


@dataclass(frozen=True)
class EpochLog:
    """The mean loss of an epoch, and accuracy on the validation images behind it."""

    epoch: int
    loss: float
    accuracy: float


@dataclass
class ScratchTraining:
    """The state of one training; `file` is where its checkpoints go, if anywhere."""

    network: Network
    data: Dataset
    schedule: Schedule = field(default_factory=Schedule)
    file: Path | None = None

    def __post_init__(self) -> None:
        shapes = self.network.shapes
        classes, last = len(self.data.classes), shapes[self.network.output.name][0]
        channels, side, _ = shapes[self.network.input.name]
        if last != classes:
            raise UsageError(
                f"network '{self.network.name}' has {last} outputs, the images have {classes} classes; "
                "take a network or images that match"
            )
        if channels != 3:
            raise UsageError(f"network '{self.network.name}' takes {channels} channels; images have 3")
        self.device = compute_device()
        rng = np.random.default_rng(self.schedule.seed)
        self.net: NetworkModule = to_torch(self.network, rng=rng)
        speed_up(self.net).to(self.device)
        dtype = input_dtype(self.device)
        self.batches = ImageBatches(
            self.data.x_train, self.data.y_train, self.schedule.batch, seed=self.schedule.seed,
            side=side, cutout=self.schedule.cutout, dtype=dtype, device=self.device,
        )  # fmt: skip
        decay = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        self.sgd = torch.optim.SGD(
            [{"params": decay, "weight_decay": self.schedule.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=0.1, momentum=self.schedule.momentum, nesterov=True,
        )  # fmt: skip
        self.position = 0
        self.sums = [0.0, 0]
        self.history: list[EpochLog] = []
        self.seconds = 0.0

    @property
    def steps(self) -> int:
        return self.schedule.epochs * len(self.batches)

    @property
    def share(self) -> float:
        """Of all steps, what is done."""
        return self.position / self.steps

    def run(
        self,
        on_epoch: Callable[[EpochLog], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        until_step: int | None = None,
    ) -> None:
        """All epochs, or until asked to stop; it can then be run on."""
        before, started = self.seconds, time.perf_counter()
        saved = started
        while self.position < min(self.steps, until_step if until_step is not None else self.steps):
            if should_stop is not None and should_stop():
                break
            epoch, number = divmod(self.position, len(self.batches))
            self._step(epoch, number)
            self.position += 1
            self.seconds = before + time.perf_counter() - started
            if self.position % len(self.batches) == 0:
                accuracy = accuracy_of(self.net, self.data.x_val, self.data.y_val)
                self.history.append(EpochLog(epoch, self.sums[0] / self.sums[1], accuracy))
                self.sums = [0.0, 0]
                if on_epoch is not None:
                    on_epoch(self.history[-1])
            if time.perf_counter() - saved > _SAVE_EVERY_S:
                self.save()
                saved = time.perf_counter()
        self.save()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Of a batch of images (n, c, h, w) and their labels (n,)."""
        return F.cross_entropy(self.net(x).float(), y, label_smoothing=self.schedule.smoothing)

    def _step(self, epoch: int, number: int) -> None:
        for group in self.sgd.param_groups:
            group["lr"] = self.schedule.rate_at((self.position + 1) / (self.steps + 1))
        x, y = self.batches(epoch, number)
        self.net.train()
        self.sgd.zero_grad(set_to_none=True)
        loss = self.loss(x, y)
        value = float(loss.detach())
        if not math.isfinite(value):
            kept = f"; the checkpoint '{self.file}' is kept" if self.file is not None and self.file.exists() else ""
            raise CofrontError(
                f"training '{self.network.name}': the loss is {value} in epoch {epoch}, step {number}{kept}; "
                "lower the rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.sgd.step()
        self.sums = [self.sums[0] + value, self.sums[1] + 1]

    # checkpoints

    def _told(self) -> dict[str, Any]:
        return {
            "network": self.network.name, "nodes": [repr(n.op) for n in self.network.nodes],
            "schedule": asdict(self.schedule), "images": self.data.fingerprint(),
        }  # fmt: skip

    def save(self) -> None:
        """Everything the next step depends on, all or nothing."""
        if self.file is None:
            return
        tensors = {f"net.{k}": v.detach().cpu() for k, v in self.net.state_dict().items()}
        for name, p in self.net.named_parameters():
            momentum = self.sgd.state.get(p, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum.cpu()
        meta = {
            "told": self._told(), "position": self.position, "sums": self.sums, "seconds": self.seconds,
            "history": [asdict(h) for h in self.history],
        }  # fmt: skip
        write_checkpoint(self.file, tensors, meta)

    def resume(self) -> bool:
        """Goes on from the checkpoint if there is one; a UsageError when it is of another training."""
        if self.file is None or not self.file.exists():
            return False
        tensors, meta = read_checkpoint(self.file, "a training", ("told", "position", "history"))
        need_same(self.file, meta["told"], self._told(), "training", "network, images or schedule")
        self.net.load_state_dict({k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")})
        for name, p in self.net.named_parameters():
            if f"momentum.{name}" in tensors:
                self.sgd.state[p]["momentum_buffer"] = tensors[f"momentum.{name}"].to(p.device)
        self.position, self.sums, self.seconds = int(meta["position"]), list(meta["sums"]), float(meta["seconds"])
        self.history = [EpochLog(**h) for h in meta["history"]]
        return True


@torch.no_grad()
def accuracy_of(net: NetworkModule, x: Images, y: Labels, batch: int = 500) -> float:
    """Share of images (n, h, w, 3) that are classified right, in float32 with the running statistics."""
    return float((predictions(net, x, batch).argmax(1).numpy() == y).mean())


@torch.no_grad()
def predictions(net: NetworkModule, x: Images, batch: int = 500) -> Tensor:
    """(n, classes) logits of images (n, h, w, 3), in float32 with the running statistics."""
    net.eval()
    device = str(next(net.parameters()).device)
    side = net.network.shapes[net.network.input.name][1]
    plain = ImageBatches(x, np.zeros(len(x), np.int64), 2, side=side, device=device)
    found = [net(plain.plain(i, i + batch)[0]).float().cpu() for i in range(0, len(x), batch)]
    return torch.cat(found)
