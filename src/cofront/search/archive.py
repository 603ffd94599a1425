"""Non-dominated designs met so far, and the Front that a heuristic returns."""

from __future__ import annotations

import numpy as np

from cofront.front import Design, Front
from cofront.problem import IntArray
from cofront.search.dominance import non_dominated
from cofront.search.evaluator import Evaluated, Evaluator


class Archive:
    """Keeps what is feasible and non-dominated; `front` tells the same story as an exact search would."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.kept: Evaluated | None = None
        self.evaluations = 0

    def add(self, met: Evaluated) -> None:
        self.evaluations += len(met.cycles)
        fits = met.take(np.flatnonzero(met.violation <= 0))
        if self.kept is not None:
            fits = _join(self.kept, fits)
        self.kept = fits.take(non_dominated(fits.cycles, fits.score))

    def __len__(self) -> int:
        return 0 if self.kept is None else len(self.kept.cycles)

    def rows(self) -> IntArray:
        """The designs kept as integers (a, 1 + k + s): engine, configurations, path."""
        if self.kept is None:
            return np.zeros((0, 0), dtype=np.int64)
        return np.concatenate([self.kept.engine[:, None], self.kept.chosen, self.kept.paths], axis=1)

    def restore(self, rows: IntArray, evaluations: int) -> None:
        """The inverse of `rows`, after so many evaluations."""
        kernels = max(len(e.kernels) for e in self.evaluator.problem.engines)
        if len(rows):
            self.add(self.evaluator(rows[:, 0], rows[:, 1 : 1 + kernels], rows[:, 1 + kernels :]))
        self.evaluations = evaluations

    def front(self, method: str, solve_s: float, stats: dict[str, float] | None = None) -> Front:
        """The designs kept. A heuristic certifies nothing: its gap is 1, accuracy being a fraction."""
        designs: list[Design] = []
        if self.kept is not None:
            kernels = [len(e.kernels) for e in self.evaluator.problem.engines]
            for e, j, path in zip(self.kept.engine, self.kept.chosen, self.kept.paths, strict=True):
                design = self.evaluator.design(int(e), tuple(int(c) for c in j[: kernels[e]]), path)
                if not designs or design.accuracy > designs[-1].accuracy:  # scores beyond a clip share one accuracy
                    designs.append(design)
        return Front(
            designs=tuple(designs),
            gap=1.0,
            n_designs=self.evaluations,
            solve_s=solve_s,
            status="heuristic",
            stats={"evaluations": float(self.evaluations), **(stats or {})},
            method=method,
        )


def _join(a: Evaluated, b: Evaluated) -> Evaluated:
    """Both, one after the other; paths and configurations of different lengths are padded with -1."""

    def stacked(name: str) -> IntArray:
        parts = [getattr(a, name), getattr(b, name)]
        if parts[0].ndim == 2:
            width = max(p.shape[1] for p in parts)
            parts = [np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in parts]
        return np.concatenate(parts)

    return Evaluated(*(stacked(f) for f in a.__dataclass_fields__))  # type: ignore[arg-type]
