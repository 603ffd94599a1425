"""The state of an evolutionary search on disk: one npz file, written atomically, never pickled."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError
from cofront.problem import CodesignProblem, IntArray

_VERSION = 2


@dataclass(frozen=True)
class Population:
    """n survivors with what selection needs, the front so far as the caller codes it (a, x), and the counters."""

    genomes: IntArray  # (n, g)
    objectives: NDArray[np.float64]  # (n, m)
    violations: NDArray[np.float64]  # (n,)
    rank: NDArray[np.float64]  # (n,)
    crowding: NDArray[np.float64]  # (n,)
    archive: IntArray
    generation: int
    evaluations: int
    seconds: float  # of wall clock
    cpu_s: float


def problem_key(problem: CodesignProblem) -> str:
    """A digest of everything that an evaluation depends on."""
    digest = hashlib.sha256()
    t = problem.trellis
    arrays = [t.edge_from, t.edge_to, t.row_ptr, t.rows, problem.edge_score, problem.budget]
    for e in problem.engines:
        arrays += [e.memory, e.overhead, e.base]
        for k in e.kernels:
            arrays += [k.params, k.resources, k.cycles, k.head, k.tail, k.solo]
    for a in arrays:
        digest.update(str(a.shape).encode())
        digest.update(np.ascontiguousarray(a, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


def save_population(path: Path, key: str, state: Population) -> None:
    """Writes beside the file and renames, so that an interruption leaves the old or the new state."""
    fields = {name: np.asarray(getattr(state, name)) for name in state.__dataclass_fields__}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, version=np.array(_VERSION), key=np.array(key), **fields)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write the checkpoint '{path}': {error.strerror or error}") from error


def load_population(path: Path, key: str) -> Population | None:
    """The state saved for the same problem, population and seed; None when there is no file."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            if int(data["version"]) != _VERSION:
                raise UsageError(f"checkpoint '{path}' is of version {int(data['version'])}, expected {_VERSION}")
            if str(data["key"]) != key:
                raise UsageError(
                    f"checkpoint '{path}' belongs to another problem, population or seed; remove it or name another"
                )
            arrays = {n: np.array(data[n]) for n in Population.__dataclass_fields__}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' is not a checkpoint of cofront: {error}") from error
    n = len(arrays["genomes"])
    if any(len(arrays[f]) != n for f in ("objectives", "violations", "rank", "crowding")):
        raise InputError(f"'{path}' is not a checkpoint of cofront: its arrays disagree on the population")
    for name in ("generation", "evaluations"):
        arrays[name] = int(arrays[name])  # type: ignore[assignment]
    for name in ("seconds", "cpu_s"):
        arrays[name] = float(arrays[name])  # type: ignore[assignment]
    return Population(**arrays)  # type: ignore[arg-type]
