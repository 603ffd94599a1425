"""Training of the supernet in a time box: the largest network alone, then one sub-network a step, at last quantised.

The schedule is a function of the share of the time box that is used, so the learning rate reaches its end on time
whatever the speed of the machine. A checkpoint holds all that the next step depends on.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from cofront.errors import InputError, UsageError
from cofront.rights import move_into_place
from cofront.task import subnet
from cofront.task.augment import augment, cutmix, network_input
from cofront.task.data import Dataset
from cofront.task.subnet import Subnet, decode
from cofront.task.supernet import Stats, Supernet

#: What of a recipe may change when a training goes on: how long it is, and on how many threads.
FREE = ("minutes", "threads")
AVERAGE_EVERY = 20  # steps between two weights that are averaged
LONGEST_STEP_S = 30.0  # a process that was suspended has not used its time


@dataclass(frozen=True)
class Recipe:
    """What the training does. Shares are of the time box; `lr` and `sides` are (share, value) breakpoints.

    With a `point` only that sub-network is trained, with its quantisers: fine-tuning. `cutmix` is the share of its
    batches that are mixed; from share `average_from` on, what is kept in the end is the mean of the weights (stochastic
    weight averaging: Izmailov et al., UAI 2018).
    """

    minutes: float = 80.0
    batch: int = 256
    warm: float = 0.34
    quantised_from: float = 0.50
    path_batch: int = 128  # once warm, when each step trains one sub-network
    every: int = 6  # of these steps, one in so many trains the largest network, half as many the smallest
    teach_from: float = 0.9  # from this share on, sub-networks learn from the largest one's logits, not from labels
    lr: tuple[tuple[float, float], ...] = ((0.0, 0.01), (0.04, 0.2), (0.34, 0.04), (0.38, 0.1), (0.75, 0.1), (1.0, 0.0))
    sides: tuple[tuple[float, int], ...] = ((0.12, 24), (0.22, 28), (1.0, 32))  # of the largest network, until share
    momentum: float = 0.9
    weight_decay: float = 5e-4
    smoothing: float = 0.1
    cutmix: float = 0.0
    average_from: float = 1.0
    seed: int = 0
    threads: int = 2
    point: tuple[int, ...] | None = None

    def lr_at(self, share: float) -> float:
        return float(np.interp(share, [s for s, _ in self.lr], [v for _, v in self.lr]))

    def side_at(self, share: float) -> int:
        return next((side for until, side in self.sides if share < until), self.sides[-1][1])


def prepare_cpu(threads: int) -> None:
    """Threads, and an allocator that keeps large blocks: fresh pages cost as much as the arithmetic on them."""
    torch.set_num_threads(threads)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            libc.mallopt(option, value)


def images(x: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    """uint8 images (n, h, w, 3) as a tensor (n, 3, h, w)."""
    return torch.from_numpy(x).permute(0, 3, 1, 2)


@torch.inference_mode()
def float_accuracy(net: Supernet, sub: Subnet, data: Dataset, quantised: bool, batch: int = 500) -> float:
    """Validation accuracy with batch-norm statistics of 1,000 training images; 8-bit quantisers left out."""
    stats: Stats = {}
    net(network_input(images(data.x_train[:1000]), sub.resolution, torch.bfloat16), sub, quantised, stats, True)
    right = 0
    for i in range(0, len(data.x_val), batch):
        x = network_input(images(data.x_val[i : i + batch]), sub.resolution, torch.bfloat16)
        right += int((net(x, sub, quantised, stats).argmax(1).numpy() == data.y_val[i : i + batch]).sum())
    return right / len(data.x_val)


class Trainer:
    """The state of a run and its loop. `folder` gets `checkpoint.safetensors` and `log.txt`.

    `start` tells which weights it began with: the digest of their file, "" for those that the seed draws.
    """

    def __init__(self, data: Dataset, recipe: Recipe, folder: Path, start: str = "") -> None:
        self.data, self.recipe, self.folder = data, recipe, folder
        self.start: str | None = start  # None: the checkpoint that it goes on from does not say
        folder.mkdir(parents=True, exist_ok=True)
        self.net = Supernet(torch.Generator().manual_seed(recipe.seed))
        decay = [*self.net.weights.values(), self.net.linear]
        plain = [*self.net.gammas.values(), *self.net.betas.values(), self.net.bias]
        self.optimiser = torch.optim.SGD(
            [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=0.1,
            momentum=recipe.momentum,
            nesterov=True,
        )
        self.generator = torch.Generator().manual_seed(recipe.seed + 1)
        self.rng = np.random.default_rng(recipe.seed)
        self.elapsed, self.epoch, self.position, self.step = 0.0, 0, 0, 0
        self.seen = 0  # images of the last step
        self.mean: dict[str, torch.Tensor] = {}  # of the weights at `averaged` steps
        self.averaged = 0
        self.history: list[dict[str, Any]] = []  # under which recipe it was continued, and when
        self.x, self.y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
        self.order = self._order()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @cached_property
    def images(self) -> str | None:
        """Which images it trains on; None when the checkpoint that it goes on from does not say."""
        return self.data.fingerprint()

    @property
    def share(self) -> float:
        return self.elapsed / (60 * self.recipe.minutes)

    def _order(self) -> torch.Tensor:
        g = torch.Generator().manual_seed(1_000_003 * (self.recipe.seed + 1) + self.epoch)
        return torch.randperm(len(self.y), generator=g)

    def summary(self) -> dict[str, Any]:
        """What was done, for the record."""
        done = {"hours": round(self.elapsed / 3600, 3), "epochs": self.epoch, "steps": self.step}
        return {"recipe": asdict(self.recipe), "torch": torch.__version__, "threads": self.recipe.threads, **done} | (
            {"before": self.history} if self.history else {}
        )

    def save(self) -> None:
        """Write everything the next step depends on, all or nothing."""
        tensors = {f"net.{k}": v.detach() for k, v in self.net.state_dict().items()}
        for name, p in self.net.named_parameters():
            momentum = self.optimiser.state.get(p, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        tensors |= {f"mean.{k}": v for k, v in self.mean.items()}
        tensors["generator"] = self.generator.get_state()
        state = {k: getattr(self, k) for k in ("elapsed", "epoch", "position", "step", "averaged")}
        meta = {
            "recipe": asdict(self.recipe),
            "state": state,
            "rng": self.rng.bit_generator.state,
            "history": self.history,
            "start": self.start,
            "images": self.images,
        }
        tmp = self.checkpoint.with_suffix(".tmp")
        save_file(tensors, tmp, {"cofront": json.dumps(meta)})
        move_into_place(tmp, self.checkpoint)

    def load(self) -> None:
        """Continue from the folder's checkpoint; a UsageError when it is of another training than this one."""
        try:
            with safe_open(self.checkpoint, "pt") as f:
                meta = json.loads(f.metadata()["cofront"])
                self._same(meta)
                tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
            self.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
        except UsageError:
            raise
        except Exception as e:
            raise InputError(f"{self.checkpoint} is not a checkpoint of this supernet: {e}") from None
        for name, p in self.net.named_parameters():
            if f"momentum.{name}" in tensors:
                self.optimiser.state[p]["momentum_buffer"] = tensors[f"momentum.{name}"]
        self.mean = {k.removeprefix("mean."): v for k, v in tensors.items() if k.startswith("mean.")}
        self.generator.set_state(tensors["generator"])
        self.rng.bit_generator.state = meta["rng"]
        for k, v in meta["state"].items():
            setattr(self, k, v)
        self.order = self._order()
        self.history = meta.get("history", [])
        if meta["recipe"] != json.loads(json.dumps(asdict(self.recipe))):
            self.history = [*self.history, {"until": meta["state"], "recipe": meta["recipe"]}]

    def _same(self, meta: dict[str, Any]) -> None:
        """Raises a UsageError unless this training is the one that a checkpoint's metadata tell of."""
        defaults, now = (json.loads(json.dumps(asdict(r))) for r in (Recipe(), self.recipe))
        before = {**defaults, **meta["recipe"]}  # an older version did not write all
        other = [k for k in sorted({*before, *now} - {*FREE}) if before.get(k) != now.get(k)]
        for name, value in (("start", self.start), ("images", self.images)):
            if meta.get(name) is None:  # of a version that did not write it
                setattr(self, name, None)
            elif meta[name] != value:
                other.append({"start": "weights to start from", "images": "training images"}[name])
        if other:
            told = "; ".join(
                f"{k} {before[k]}, not {now[k]}" if k in before and k in now else f"other {k}" for k in other
            )
            raise UsageError(
                f"{self.checkpoint} is of another training ({told}): name another folder, or remove this one"
            )

    def log(self, line: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        with (self.folder / "log.txt").open("a") as f:
            f.write(f"{stamp} {line}\n")
        print(stamp, line, flush=True)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next augmented batch: (n, 3, h, w) uint8 and labels (n,)."""
        r = self.recipe
        n = r.batch if r.point is not None or self.share < r.warm else r.path_batch
        if self.position + n > len(self.y):
            self.epoch, self.position = self.epoch + 1, 0
            self.order = self._order()
        index = self.order[self.position : self.position + n]
        self.position += n
        return augment(self.x[index], self.generator), self.y[index]

    def train_step(self) -> dict[str, float]:
        """One update; returns the losses."""
        r, share = self.recipe, self.share
        for group in self.optimiser.param_groups:
            group["lr"] = r.lr_at(share)
        x, y = self.batch()
        self.seen = len(y)
        self.optimiser.zero_grad(set_to_none=True)
        losses = self._shared(x, y) if r.point is None else self._single(x, y, r.point)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        return losses

    def _single(self, x: torch.Tensor, y: torch.Tensor, point: tuple[int, ...]) -> dict[str, float]:
        """Gradients of one sub-network under its quantisers."""
        sub, others, share = decode(point), y, 1.0
        if self.recipe.cutmix and float(torch.rand(1, generator=self.generator)) < self.recipe.cutmix:
            x, y, others, share = cutmix(x, y, self.generator)
        out = self.net(network_input(x, sub.resolution, torch.bfloat16), sub, quantised=True)
        loss = share * F.cross_entropy(out, y, label_smoothing=self.recipe.smoothing)
        if share < 1:
            loss = loss + (1 - share) * F.cross_entropy(out, others, label_smoothing=self.recipe.smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": loss.item()}

    def average(self) -> None:
        """Take the present weights into their mean."""
        self.averaged += 1
        for name, value in self.net.state_dict().items():
            if name in self.mean:
                self.mean[name].lerp_(value, 1 / self.averaged)
            else:
                self.mean[name] = value.detach().clone()

    def settle(self) -> None:
        """At the end: the mean of the weights in their place, where one was taken."""
        if self.mean:
            self.net.load_state_dict(self.mean)

    def _shared(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
        """Gradients of one sub-network: the largest while warming up, then mostly random ones.

        One update for each sub-network, rather than one for several at once, made far more of the same time.
        """
        r, share = self.recipe, self.share
        turn = self.step % (2 * r.every)
        if share < r.warm or turn % r.every == 0:
            name, p, side = "largest", subnet.largest(), r.side_at(share)
        elif turn == r.every // 2:
            name, p, side = "smallest", subnet.smallest(int(self.rng.integers(3))), 0
        else:
            name, p, side = "random", subnet.sample(self.rng), 0
        sub = decode(p)
        out = self.net(
            network_input(x, side or sub.resolution, torch.bfloat16), sub, quantised=share >= r.quantised_from
        )
        if name == "largest" or share < r.teach_from:
            loss = F.cross_entropy(out, y, label_smoothing=r.smoothing)
        else:
            with torch.no_grad():
                big = decode(subnet.largest())
                teacher = F.softmax(self.net(network_input(x, big.resolution, torch.bfloat16), big), 1)
            loss = F.cross_entropy(out, teacher)
        loss.backward()  # type: ignore[no-untyped-call]
        return {name: loss.item()}

    def validate(self) -> None:
        """Log the accuracy of three networks, in 8 bits and (once trained for) in W4A4, or of the one trained."""
        words = []
        if self.recipe.point is not None:
            acc = float_accuracy(self.net, decode(self.recipe.point), self.data, quantised=True)
            self.log(f"validation at {100 * self.share:.1f}%: {100 * acc:.2f}%")
            return
        for name, make in (("largest", subnet.largest), ("middle", subnet.middle), ("smallest", subnet.smallest)):
            for precision in (0, 2) if self.share >= self.recipe.quantised_from else (0,):
                acc = float_accuracy(self.net, decode(make(precision)), self.data, quantised=True)
                words.append(f"{name}{'' if precision == 0 else '-w4a4'} {100 * acc:.2f}%")
        self.log(f"validation at {100 * self.share:.1f}%: " + ", ".join(words))

    def run(self, log_s: float = 60, save_s: float = 150, validate_s: float = 420) -> None:
        """Train until the time box is used; interruption saves a checkpoint first."""
        prepare_cpu(self.recipe.threads)

        stopped: list[int] = []
        for sig in (signal.SIGTERM, signal.SIGINT):  # finish the step, save, then stop
            signal.signal(sig, lambda number, _: stopped.append(number))
        if self.share < self.recipe.average_from:  # in a longer time box: what was averaged is not of its end
            self.mean, self.averaged = {}, 0
        marks = {"log": self.elapsed, "save": self.elapsed, "validate": self.elapsed}
        sums: dict[str, list[float]] = {}
        seen = 0
        while self.share < 1 and not stopped:
            start = time.perf_counter()
            for k, v in self.train_step().items():
                sums.setdefault(k, []).append(v)
            if self.share >= self.recipe.average_from and self.step % AVERAGE_EVERY == 0:
                self.average()
            seen += self.seen
            self.elapsed += min(time.perf_counter() - start, LONGEST_STEP_S)
            if self.elapsed - marks["log"] >= log_s:
                losses = ", ".join(f"{k} {np.mean(v):.3f}" for k, v in sums.items())
                speed = seen / (self.elapsed - marks["log"])
                lr = self.recipe.lr_at(self.share)
                self.log(
                    f"{100 * self.share:.1f}% epoch {self.epoch} step {self.step} lr {lr:.4f} "
                    f"{speed:.0f} images/s: {losses}"
                )
                sums, seen, marks["log"] = {}, 0, self.elapsed
            if self.elapsed - marks["save"] >= save_s:
                self.save()
                marks["save"] = self.elapsed
            if self.elapsed - marks["validate"] >= validate_s:
                self.validate()
                marks["validate"] = self.elapsed
        self.save()
        if stopped:
            raise SystemExit(130)
        self.settle()
        self.validate()


def train_supernet(data: Dataset, folder: Path, recipe: Recipe | None = None) -> Supernet:
    """Train the supernet within the recipe's time box; goes on from `folder`'s checkpoint if it has one."""
    trainer = Trainer(data, recipe or Recipe(), folder)
    if trainer.checkpoint.exists():
        trainer.load()
    if trainer.share < 1:
        trainer.run()
    return trainer.net
