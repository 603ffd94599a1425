"""Meta-training of HELP [HELP21]: episodes of devices, second-order Meta-SGD, the best on the validation devices kept.

Resumable: a checkpoint holds parameters, optimiser and generators, and a run of the same seed goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.stats import rankdata

from cofront.errors import InputError
from cofront.predict import help_net
from cofront.predict.base import FloatArray
from cofront.predict.help import MetaWeights
from cofront.predict.help_net import Params, Shape
from cofront.predict.latency_harness import IntArray, trimmed
from cofront.predict.nets import one_thread


@dataclass(frozen=True)
class MetaRecipe:
    """Figures of the released code; `episodes` 2,000 for NAS-Bench-201, 4,000 for FBNet."""

    episodes: int = 2000
    tasks: int = 8
    support: int = 10
    query: int = 200
    steps: int = 2
    rate: float = 1e-4
    inner_rate: float = 1e-3
    divergence: float = 0.1
    judge_every: int = 50
    trim: float = 0.1
    seed: int = 3
    learnt_rates: bool = True
    modulated: bool = True


@dataclass(frozen=True)
class Devices:
    """Latencies (n,) by device name, for the same n rows; `pool` are the rows to learn from."""

    columns: FloatArray  # (n, f) one-hot
    latency: Mapping[str, FloatArray]
    train: Sequence[str]
    valid: Sequence[str]
    references: Sequence[int]
    pool: IntArray

    def embedding(self, device: str) -> FloatArray:
        """(10,) the reference networks' latencies from 0 to 1."""
        values = self.latency[device][list(self.references)]
        return np.asarray((values - values.min()) / max(np.ptp(values), 1e-30), float)


@dataclass
class MetaState:
    """Everything that the next episode depends on."""

    params: Params
    rates: Params
    modulator: Params
    adam: torch.optim.Adam
    episode: int
    best: float
    best_weights: dict[str, torch.Tensor]
    seconds: float

    def tensors(self) -> dict[str, torch.Tensor]:
        parts = {"params": self.params, "rates": self.rates, "modulator": self.modulator}
        return {f"{p}/{k}": v for p, d in parts.items() for k, v in d.items()}


@one_thread()
def meta_train(
    devices: Devices,
    shape: Shape,
    space: str,
    recipe: MetaRecipe | None = None,
    *,
    arcs: FloatArray | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[int, float, float], None] | None = None,
    until: Callable[[], bool] | None = None,
) -> MetaWeights:
    """Weights with the best mean rank correlation on the validation devices.

    `on_progress` hears (episode, loss, best so far); `until` ends the run early, its checkpoint kept.
    """
    recipe = recipe or MetaRecipe()
    if len(devices.train) < 2 or not devices.valid:
        raise InputError("HELP needs at least two training devices and one for validation")
    adjacency = None if arcs is None else help_net.adjacency_of(torch.from_numpy(np.asarray(arcs)))
    state = _start(shape, recipe)
    if checkpoint is not None and checkpoint.is_file():
        _resume(state, checkpoint, recipe, space)
    columns = torch.from_numpy(devices.columns[:, : shape.columns]).float()
    tasks = {d: _Task.of(devices, d, recipe.trim) for d in (*devices.train, *devices.valid)}
    started, spent = time.perf_counter(), state.seconds
    while state.episode < recipe.episodes and not (until and until()):
        loss = _episode(state, columns, tasks, list(devices.train), shape, adjacency, recipe)
        state.episode += 1
        state.seconds = spent + time.perf_counter() - started
        if state.episode % recipe.judge_every == 0 or state.episode == recipe.episodes:
            rank = _judge(state, columns, tasks, list(devices.valid), shape, adjacency, recipe)
            if rank > state.best:
                state.best = rank
                state.best_weights = {k: v.detach().clone() for k, v in state.tensors().items()}
            if checkpoint is not None:
                _save(state, checkpoint, recipe, space)
            if on_progress is not None:
                on_progress(state.episode, loss, state.best)
    kept = state.best_weights or {k: v.detach().clone() for k, v in state.tensors().items()}
    parts: dict[str, Params] = {"params": {}, "rates": {}, "modulator": {}}
    for key, value in kept.items():
        part, _, name = key.partition("/")
        parts[part][name] = value.double()
    note = f"{state.episode} episodes, seed {recipe.seed}, {state.seconds:.0f} s, validation Spearman {state.best:.4f}"
    return MetaWeights(
        space, shape, parts["params"], parts["rates"], parts["modulator"], devices.columns[list(devices.references)],
        None if adjacency is None else adjacency.double(), note, (*devices.train, *devices.valid),
    )  # fmt: skip


@dataclass(frozen=True)
class _Task:
    """One device: its trimmed pool, scaled latencies and embedding."""

    rows: torch.Tensor
    scaled: torch.Tensor  # of the rows
    embedding: torch.Tensor

    @classmethod
    def of(cls, devices: Devices, name: str, trim: float) -> _Task:
        y = devices.latency[name]
        rows = trimmed(devices.pool, y, trim)
        values = torch.from_numpy(y[rows]).float()
        low, high = float(values.min()), float(values.max())
        embedding = torch.from_numpy(devices.embedding(name)).float()
        return cls(torch.from_numpy(rows), help_net.scaled(values, low, high), embedding)


def _start(shape: Shape, recipe: MetaRecipe) -> MetaState:
    generator = torch.Generator().manual_seed(recipe.seed)
    params = help_net.init_params(shape, generator)
    modulator = help_net.init_modulator(generator)
    rates = {k: torch.full_like(v, recipe.inner_rate) for k, v in params.items()}
    learnt = [*params.values(), *(modulator.values() if recipe.modulated else ())]
    learnt += rates.values() if recipe.learnt_rates else ()
    for v in learnt:
        v.requires_grad_(True)
    adam = torch.optim.Adam(learnt, recipe.rate)
    return MetaState(params, rates, modulator, adam, 0, -1.0, {}, 0.0)


def _episode(
    state: MetaState, columns: torch.Tensor, tasks: Mapping[str, _Task], names: list[str], shape: Shape,
    adjacency: torch.Tensor | None, recipe: MetaRecipe,
) -> float:  # fmt: skip
    """One outer step. Draws depend on (seed, episode) alone, so that a resumed run is the same run."""
    rng = np.random.default_rng((recipe.seed, state.episode))
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + state.episode)
    chosen = [tasks[names[i]] for i in rng.choice(len(names), min(recipe.tasks, len(names)), replace=False)]
    total = recipe.support + recipe.query
    picks = [torch.from_numpy(rng.choice(len(t.rows), min(total, len(t.rows)), replace=False)) for t in chosen]
    n = min(len(p) for p in picks)
    x = torch.stack([columns[t.rows[p[:n]]] for t, p in zip(chosen, picks, strict=True)])
    y = torch.stack([t.scaled[p[:n]] for t, p in zip(chosen, picks, strict=True)])
    embedding = torch.stack([t.embedding for t in chosen])
    params, divergence = _modulated(state, embedding, generator, recipe)
    s = recipe.support
    adapted = help_net.adapt(
        params, state.rates, shape, adjacency, x[:, :s], y[:, :s], embedding, recipe.steps, second_order=True
    )
    error = ((help_net.forward(adapted, shape, adjacency, x[:, s:], embedding) - y[:, s:]) ** 2).mean()
    state.adam.zero_grad()
    (error + recipe.divergence * divergence.mean() / help_net.Z).backward()  # type: ignore[no-untyped-call]
    state.adam.step()
    return float(error.detach())


def _modulated(
    state: MetaState, embedding: torch.Tensor, generator: torch.Generator, recipe: MetaRecipe
) -> tuple[Params, torch.Tensor]:
    params = help_net.for_tasks(state.params, len(embedding))
    if not recipe.modulated:
        return params, embedding.new_zeros(len(embedding))
    noise = torch.randn(len(embedding), help_net.Z, generator=generator)
    return help_net.modulate(params, state.modulator, embedding, noise)


def _judge(
    state: MetaState, columns: torch.Tensor, tasks: Mapping[str, _Task], names: list[str], shape: Shape,
    adjacency: torch.Tensor | None, recipe: MetaRecipe,
) -> float:  # fmt: skip
    """Mean rank correlation on the rest of the validation devices' pools after adapting to a few of their rows."""
    rng, generator = np.random.default_rng(recipe.seed), torch.Generator().manual_seed(recipe.seed)
    ranks = []
    for name in names:
        task = tasks[name]
        order = torch.from_numpy(rng.permutation(len(task.rows)))
        support, rest = order[: recipe.support], order[recipe.support : recipe.support + 400]
        embedding = task.embedding[None]
        params, _ = _modulated(state, embedding, generator, recipe)
        params = {k: v.detach().clone().requires_grad_(True) for k, v in params.items()}
        rates = {k: v.detach() for k, v in state.rates.items()}
        x, y = columns[task.rows[support]][None], task.scaled[support][None]
        adapted = help_net.adapt(params, rates, shape, adjacency, x, y, embedding, recipe.steps)
        with torch.no_grad():
            found = help_net.forward(adapted, shape, adjacency, columns[task.rows[rest]][None], embedding)[0]
        ranks.append(np.corrcoef(rankdata(found.numpy()), rankdata(task.scaled[rest].numpy()))[0, 1])
    return float(np.nan_to_num(np.mean(ranks), nan=-1.0))


def _save(state: MetaState, path: Path, recipe: MetaRecipe, space: str) -> None:
    tensors = {f"now/{k}": v.detach().contiguous() for k, v in state.tensors().items()}
    tensors |= {f"best/{k}": v.contiguous() for k, v in state.best_weights.items()}
    for i, kept in state.adam.state_dict()["state"].items():
        tensors |= {f"adam/{i}/{k}": torch.as_tensor(v).contiguous() for k, v in kept.items()}
    meta = {
        "episode": state.episode, "best": state.best, "seconds": state.seconds, "recipe": _key(recipe), "space": space
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, {k: json.dumps(v) for k, v in meta.items()})
    part.replace(path)  # never half a checkpoint


def _key(recipe: MetaRecipe) -> str:
    """What a checkpoint must share with the run that resumes it: everything but how long it goes on."""
    return repr(recipe).replace(f"episodes={recipe.episodes}, ", "")


def _resume(state: MetaState, path: Path, recipe: MetaRecipe, space: str) -> None:
    with safe_open(path, "pt") as opened:
        meta = {k: json.loads(v) for k, v in (opened.metadata() or {}).items()}
        if meta.get("recipe") != _key(recipe) or meta.get("space") != space:
            raise InputError(f"{path}: a checkpoint of another space, seed or recipe; remove it or name another file")
        tensors = {k: opened.get_tensor(k) for k in opened.keys()}  # noqa: SIM118
    with torch.no_grad():
        for key, value in state.tensors().items():
            value.copy_(tensors[f"now/{key}"])
    state.best_weights = {k.removeprefix("best/"): v for k, v in tensors.items() if k.startswith("best/")}
    adam = state.adam.state_dict()
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam/"):
            _, number, name = key.split("/")
            moments.setdefault(int(number), {})[name] = value
    state.adam.load_state_dict({**adam, "state": moments})
    state.episode, state.best, state.seconds = int(meta["episode"]), float(meta["best"]), float(meta["seconds"])
