"""The state of a gradient search on disk: safetensors, written beside and renamed; it tells which search it is of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cofront.checkpoint import need_same, read_checkpoint, write_checkpoint
from cofront.errors import UsageError
from cofront.search.gradient.recipe import Progress

if TYPE_CHECKING:
    from cofront.search.gradient.engine import GradientSearch

_VERSION = 3


def key(search: GradientSearch) -> str:
    """A digest of the search's space, device, objective and recipe, and of what the task says that it learns from."""
    objective = {k: v for k, v in vars(search.objective).items() if k != "state"}
    told: list[Any] = [
        search.task.layers.space.name,
        [[o.name for o in layer] for layer in search.task.layers.layers],
        search.mask.tolist(),
        search.cost.name,
        search.cost.of(search.task.layers.sample(np.random.default_rng(0), 64)).tolist(),
        type(search.objective).__name__,
        objective,
        search.recipe.to_dict(),
        [search.task.batches("weights"), search.task.batches("architecture")],
        search.task.told,
    ]
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]


def save(search: GradientSearch, file: Path) -> None:
    """Everything the next step depends on, all or nothing."""
    tensors = {"logits": search.logits.detach(), "generator": search.generator.get_state()}
    for name, value in search.adam.state.get(search.logits, {}).items():
        tensors[f"adam.{name}"] = torch.as_tensor(value)
    if search.sgd is not None:
        for i, p in enumerate(search.task.parameters()):
            momentum = search.sgd.state.get(p, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"sgd.{i}"] = momentum
    tensors |= {f"task.{k}": v.detach() for k, v in search.task.state().items()}
    meta = {
        "version": _VERSION,
        "key": key(search),
        "position": search.position,
        "factor": search.factor,
        "sums": search.sums,
        "cpu_s": search.cpu_s,
        "wall_s": search.wall_s,
        "objective": search.objective.state,
        "history": [asdict(h) for h in search.history],
    }
    write_checkpoint(file, tensors, meta)


def load(search: GradientSearch, file: Path) -> None:
    """The state of the same search; a UsageError when it is another's."""
    tensors, meta = read_checkpoint(file, "a gradient search", ("version", "key", "position"))
    if meta["version"] != _VERSION:
        raise UsageError(f"checkpoint '{file}' is of version {meta['version']}, expected {_VERSION}")
    need_same(file, meta["key"], key(search), "search", "space, device, objective, recipe or images")
    with torch.no_grad():
        search.logits.copy_(tensors["logits"])
    search.generator.set_state(tensors["generator"])
    adam = {k.removeprefix("adam."): v for k, v in tensors.items() if k.startswith("adam.")}
    if adam:
        search.adam.state[search.logits] = adam
    if search.sgd is not None:
        for i, p in enumerate(search.task.parameters()):
            if f"sgd.{i}" in tensors:
                search.sgd.state[p]["momentum_buffer"] = tensors[f"sgd.{i}"].to(p.device)
    search.task.restore({k.removeprefix("task."): v for k, v in tensors.items() if k.startswith("task.")})
    search.position, search.factor = int(meta["position"]), float(meta["factor"])
    search.sums, search.cpu_s, search.wall_s = list(meta["sums"]), float(meta["cpu_s"]), float(meta["wall_s"])
    search.objective.state.update(meta["objective"])
    search.history = [_progress(h) for h in meta["history"]]


def _progress(kept: dict[str, Any]) -> Progress:
    return Progress(**{**kept, "probabilities": tuple(tuple(row) for row in kept["probabilities"])})
