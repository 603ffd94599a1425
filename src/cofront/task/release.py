"""The supernet's weights as they ship: float16 in one safetensors file, with what made them in its header."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cofront.errors import InputError
from cofront.rights import move_into_place
from cofront.task.supernet import Supernet

NAME = "subgraph32_supernet.safetensors"


def default_weights() -> Path:
    """Where the package keeps the weights."""
    return Path(str(files("cofront"))) / "data_tables" / NAME


def save_supernet(net: Supernet, path: Path, meta: dict[str, Any]) -> None:
    """Write all weights in float16; all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_suffix(".tmp")
    save_file(
        {k: v.detach().half().contiguous() for k, v in net.state_dict().items()}, tmp, {"cofront": json.dumps(meta)}
    )
    move_into_place(tmp, path)


def load_supernet(path: str | Path | None = None) -> tuple[Supernet, dict[str, Any]]:
    """Weights (as float32) and what made them, from the package or a file of the same layout."""
    source = Path(path) if path is not None else default_weights()
    if not source.is_file():
        raise InputError(f"no supernet weights at {source}: train them with `python -m cofront.task.pipeline`")
    net = Supernet()
    try:
        with safe_open(source, "pt") as f:
            meta: dict[str, Any] = json.loads((f.metadata() or {}).get("cofront", "{}"))
            tensors = {k: f.get_tensor(k).float() for k in f.keys()}  # noqa: SIM118
        averaged = any(k.startswith("mean.") for k in tensors)  # a checkpoint's result, if it averages
        prefix, others = ("mean.", "net.") if averaged else ("net.", "mean.")
        left = ("momentum.", "generator", others)
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if not k.startswith(left)}
        net.load_state_dict(tensors)
    except Exception as e:
        line = (str(e).splitlines() or [""])[0]
        raise InputError(f"{source} does not hold the weights of this supernet: {line[:160]}") from None
    if any(not bool(torch.isfinite(v).all()) for v in tensors.values()):
        raise InputError(f"{source} holds weights that are not finite")
    return net.eval().requires_grad_(False), meta


def digest(path: Path) -> str:
    """SHA-256 of a file, to tell which weights a result belongs to."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as e:
        raise InputError(f"no supernet weights at {path}: {e.strerror}") from None
