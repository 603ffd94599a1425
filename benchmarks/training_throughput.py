"""How fast, and in how much memory, a search step of a single-path supernet runs beside the sampled network alone.

    OMP_NUM_THREADS=1 python benchmarks/training_throughput.py --rounds 40

One round is a step of the weights and a step of the architecture of `fbnet@cifar10-small`, 128 CIFAR-10 images each,
reading and augmentation included; then, on the same images in memory, a training step of each of the two sampled
networks alone: plainly in PyTorch (float32, channels last), and with the same fast kernels. All in one process, in
turn, in processor seconds: other work on the machine changes those least. Memory is what a step allocates at its peak,
by PyTorch's own count: activations and gradients; parameters and their momentum are counted apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import record
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from cofront.measure.statistics import interval
from cofront.network.pytorch import to_torch
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Weighted
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.supernet import MixedSupernet, SupernetTask
from cofront.space import load
from cofront.task.batches import ImageBatches
from cofront.task.data import load_dataset
from cofront.task.speed import input_dtype, speed_up

SPACE, BATCH, SEED = "fbnet@cifar10-small", 128, 0
IMAGES = 12_000  # half for the weights, half for the architecture
OUT = Path(__file__).with_suffix(".json")


class Search(GradientSearch):
    """Keeps its last draw, so that the same network can be trained alone."""

    drawn: Relaxed

    def _draw(self, epoch: int) -> Relaxed:
        self.drawn = super()._draw(epoch)
        return self.drawn

    def step(self, split: str, number: int) -> None:
        (self.train_weights if split == "weights" else self.train_architecture)(0, number)

    def warm(self) -> None:
        """Every option once, so that no kernel and no momentum is made in a measured step."""
        assert self.sgd is not None
        for relaxed in self._every_path():
            self.task.loss(relaxed, "weights", 0, 0).backward()  # type: ignore[no-untyped-call]
        self.sgd.param_groups[0]["lr"] = 0.0
        self.sgd.step()
        self.sgd.zero_grad()


class Alone:
    """One network's training."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net.train()
        self.sgd = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4)

    def step(self, x: Tensor, y: Tensor) -> None:
        self.sgd.zero_grad()
        loss = F.cross_entropy(self.net(x).float(), y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.sgd.step()


def make() -> tuple[Layers, Search, dict[str, ImageBatches]]:
    data = load_dataset()
    space = load(SPACE)
    layered = space.layered(("W8A8",))
    layers = Layers.of_trellis(space, layered.trellis)
    half, dtype = IMAGES // 2, input_dtype()
    batches = {
        split: ImageBatches(data.x_train[part], data.y_train[part], BATCH, seed=SEED, dtype=dtype)
        for split, part in (("weights", slice(0, half)), ("architecture", slice(half, IMAGES)))
    }
    task = SupernetTask(layers, speed_up(MixedSupernet(layers, layered, SEED)), *batches.values())
    cost = AdditiveCost(layers, np.where(layers.mask, 1e-3, 0.0), 0.0, "the same for all")
    recipe = Recipe(epochs=1, freeze=0, relaxation="single-path", seed=SEED)
    return layers, Search(task, cost, Weighted(0.1, 1e-3), recipe), batches


def seconds(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


def peak(step: Callable[[], object]) -> int:
    """Bytes that a step allocates above what is held before it, at most."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as p:
        step()
    assert p.profiler is not None
    events = [e for e in p.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return int(np.cumsum(sizes).max())


def one_round(layers: Layers, search: Search, batches: dict[str, ImageBatches], number: int) -> dict[str, float]:
    """Processor seconds of both steps, by what ran them."""
    total = dict.fromkeys(("search", "plain", "fast"), 0.0)
    for split in ("weights", "architecture"):
        total["search"] += seconds(lambda split=split: search.step(split, number))  # type: ignore[misc]
        network = layers.space.network(layers.points(drawn(search))[0])
        x, y = batches[split](0, number)
        whole = x.float().contiguous(memory_format=torch.channels_last)
        plain = Alone(to_torch(network).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        fast = Alone(speed_up(to_torch(network)))
        for name, alone, images in (("plain", plain, whole), ("fast", fast, x)):
            alone.step(images, y)  # makes kernels and momentum
            total[name] += seconds(lambda alone=alone, images=images, y=y: alone.step(images, y))  # type: ignore[misc]
    return total


def drawn(search: Search) -> np.ndarray:
    paths = search.drawn.paths
    assert paths is not None
    return paths[:, 0].numpy()


def memory(layers: Layers, search: Search, batches: dict[str, ImageBatches], number: int) -> dict[str, float]:
    """Peaks in bytes of a step of each kind, and of the same network alone with the same kernels."""
    assert search.sgd is not None
    out: dict[str, float] = {}
    for split in ("weights", "architecture"):
        search.sgd.zero_grad()
        out[f"{split}_supernet"] = peak(lambda split=split: search.step(split, number))  # type: ignore[misc]
        network = layers.space.network(layers.points(drawn(search))[0])
        alone = Alone(speed_up(to_torch(network)))
        alone.step(*batches[split](0, number))
        alone.sgd.zero_grad()
        out[f"{split}_alone"] = peak(lambda alone=alone, split=split: alone.step(*batches[split](0, number)))  # type: ignore[misc]
        out[f"{split}_sampled"] = bytes_of(alone.net)
    return out


def bytes_of(net: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in net.parameters())


def middle(values: np.ndarray) -> dict[str, float]:
    low, high = interval(values)
    return {"median": round(float(np.median(values)), 3), "low": round(low, 3), "high": round(high, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    layers, search, batches = make()
    search.warm()
    steps = len(batches["weights"])
    times: list[dict[str, float]] = []
    for i in range(rounds):
        times.append(one_round(layers, search, batches, i % steps))
        record.say(f"round {i + 1}: " + ", ".join(f"{k} {2 * BATCH / v:.0f} images/s" for k, v in times[-1].items()))
    by = {k: np.array([t[k] for t in times]) for k in times[0]}
    peaks = [memory(layers, search, batches, i) for i in range(min(10, steps))]
    of = {k: np.array([p[k] for p in peaks]) for k in peaks[0]}
    held = bytes_of(search.task.net)  # type: ignore[attr-defined]
    ratios = {k: of[f"{k}_supernet"] / of[f"{k}_alone"] for k in ("weights", "architecture")}
    # a parameter and its momentum, of all options here and of the sampled ones there
    whole = (of["weights_supernet"] + 2 * held) / (of["weights_alone"] + 2 * of["weights_sampled"])
    found = {
        **record.made(
            "torch", "numpy", space=SPACE, batch=BATCH, seed=SEED, rounds=rounds, threads=torch.get_num_threads(),
            images_as=str(input_dtype()), clock="processor seconds of one thread, the allocator keeping its memory",
        ),
        "images_per_s": {k: middle(2 * BATCH / v) for k, v in by.items()},
        "ratio_to_plain_pytorch": middle(by["plain"] / by["search"]),
        "ratio_to_the_same_kernels": middle(by["fast"] / by["search"]),
        "claim": {"at_least": 0.9, "holds": bool(interval(by["plain"] / by["search"])[0] >= 0.9)},
        "memory": {
            "steps_of_each_kind": len(peaks),
            "peak_bytes": {k: round(float(np.median(v))) for k, v in of.items() if not k.endswith("sampled")},
            **{f"{k}_ratio": {**middle(v), "largest": round(float(v.max()), 3)} for k, v in ratios.items()},
            "parameter_bytes": {"supernet": held, "sampled": round(float(np.median(of["weights_sampled"])))},
            "weights_ratio_with_parameters_and_momentum": middle(whole),
            "claim": {"at_most": 1.1, "holds": {k: bool(v.max() <= 1.1) for k, v in ratios.items()}},
        },
    }  # fmt: skip
    record.write(OUT, found)
    print(OUT.read_text())


if __name__ == "__main__":
    main()
