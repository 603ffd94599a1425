"""Checkpoints: tensors and what is told of them in one safetensors file; whole at any moment, refused elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofront.errors import InputError, UsageError
from cofront.rights import written_whole

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "cofront"


def write_checkpoint(file: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Writes beside and renames; InputError when that cannot be done. `meta` is JSON-ready."""
    from safetensors.torch import save_file

    try:
        with written_whole(file) as part:
            save_file({k: v.contiguous().clone() for k, v in tensors.items()}, part, {_KEY: json.dumps(meta)})
    except OSError as error:
        raise InputError(f"cannot write the checkpoint '{file}': {error.strerror or error}") from error


def read_checkpoint(file: Path, what: str, keys: Collection[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and meta of a checkpoint of `what` ("a training"), which tells all of `keys`; else an InputError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as f:
            meta = json.loads(f.metadata()[_KEY])
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        _ = [meta[key] for key in keys]
    except OSError as error:
        raise InputError(f"cannot read the checkpoint '{file}': {error.strerror or error}") from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{file}' is not a checkpoint of {what} ({error}); remove it to begin anew") from None
    return tensors, meta


def need_same(file: Path, found: Any, own: Any, what: str, differ: str) -> None:
    """UsageError unless what a checkpoint tells of itself is what its reader would: `differ` names what may not be."""
    if found != json.loads(json.dumps(own)):
        raise UsageError(f"checkpoint '{file}' is of another {what} ({differ} differ); remove it or name another")
