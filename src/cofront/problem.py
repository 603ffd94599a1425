"""The co-design problem as arrays: a Trellis of networks, Engines of accelerators, a budget.

Everything here is plain NumPy, so that a search needs to know neither what a layer is nor what hardware does.

Letters: e trellis edges, r rows (distinct accelerator calls at one precision), j configurations of one kernel,
R resources.

Latency model. A row is one call of an accelerator's pipeline of kernels k = 0, 1, 2 (absent kernels cost 0). With one
configuration chosen for each kernel,

    fused(r) = max( max_k( cycles_k[r] + sum_{i<k} head_i[r] + sum_{i>k} tail_i[r] ), memory[r] ) + overhead[r]
    split(r) = sum_k solo_k[r]
    T(r)     = min(fused(r), split(r))

`head_i` is how long kernel i delays the start of those behind it, `tail_i` how long it works on after those before it
have ended. `split` runs the kernels one after the other through external memory: slower, but needs less buffer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError

IntArray = NDArray[np.int64]

#: A cost that cannot be paid: the row does not fit or its precision is not supported. Sums of a few stay below 2**62.
INFEASIBLE = 1 << 40

RESOURCES = ("dsp", "lut", "ff", "bram36")


@dataclass(frozen=True)
class Trellis:
    """An acyclic graph whose source-to-sink paths are the (network, precision) pairs of a space.

    Nodes are numbered so that every edge goes from a smaller to a larger number; 0 is the source and `n_nodes - 1`
    the sink. Edge i executes rows `rows[row_ptr[i]:row_ptr[i + 1]]` (with repetition) and sets features
    `features[feature_ptr[i]:feature_ptr[i + 1]]` of an additive accuracy model. `choices[i]` holds
    (variable index, value) pairs: the coordinates of the space's point that taking the edge fixes.
    """

    n_nodes: int
    edge_from: IntArray  # (e,)
    edge_to: IntArray  # (e,)
    row_ptr: IntArray  # (e + 1,)
    rows: IntArray
    feature_ptr: IntArray  # (e + 1,)
    features: IntArray
    choices: tuple[tuple[tuple[int, int], ...], ...]
    n_rows: int
    n_features: int

    def __post_init__(self) -> None:
        if np.any(self.edge_from >= self.edge_to):
            raise InputError("trellis: every edge must go from a smaller to a larger node number")
        if len(self.choices) != self.n_edges or len(self.row_ptr) != self.n_edges + 1:
            raise InputError("trellis: arrays disagree on the number of edges")

    @property
    def n_edges(self) -> int:
        return len(self.edge_from)

    @classmethod
    def single(cls, rows: IntArray, n_rows: int) -> Trellis:
        """A single edge: one network that executes `rows`."""
        none, pointer = np.zeros(0, dtype=np.int64), np.array([0, 0])
        return cls(2, np.array([0]), np.array([1]), np.array([0, len(rows)]), rows, pointer, none, ((),), n_rows, 0)

    def select(self, edges: IntArray) -> Trellis:
        """The trellis of some edges only, nodes renumbered; rows and features keep their numbers."""
        keep = np.unique(np.asarray(edges, dtype=np.int64))
        used, ends = np.unique(np.concatenate([self.edge_from[keep], self.edge_to[keep]]), return_inverse=True)
        row_count, feature_count = np.diff(self.row_ptr)[keep], np.diff(self.feature_ptr)[keep]
        rows = [self.rows[self.row_ptr[i] : self.row_ptr[i + 1]] for i in keep]
        features = [self.features[self.feature_ptr[i] : self.feature_ptr[i + 1]] for i in keep]
        empty = np.zeros(0, dtype=np.int64)
        return Trellis(
            n_nodes=len(used),
            edge_from=ends[: len(keep)].astype(np.int64),
            edge_to=ends[len(keep) :].astype(np.int64),
            row_ptr=np.concatenate([[0], np.cumsum(row_count)]).astype(np.int64),
            rows=np.concatenate([empty, *rows]),
            feature_ptr=np.concatenate([[0], np.cumsum(feature_count)]).astype(np.int64),
            features=np.concatenate([empty, *features]),
            choices=tuple(self.choices[i] for i in keep),
            n_rows=self.n_rows,
            n_features=self.n_features,
        )

    def n_paths(self) -> int:
        """How many (network, precision) pairs there are: an exact Python integer."""
        count = [0] * self.n_nodes
        count[0] = 1
        for i in np.argsort(self.edge_from, kind="stable"):
            count[int(self.edge_to[i])] += count[int(self.edge_from[i])]
        return count[-1]

    def scores(self, coefficients: NDArray[np.float64], micro: float = 1e6) -> IntArray:
        """Integer score of every edge, (e,): the sum of its features' coefficients in units of 1 / micro."""
        values = np.concatenate([[0.0], np.cumsum(np.asarray(coefficients, float)[self.features])])
        per_edge = values[self.feature_ptr[1:]] - values[self.feature_ptr[:-1]]
        return np.asarray(np.rint(per_edge * micro), dtype=np.int64)


@dataclass(frozen=True)
class KernelTable:
    """All configurations of one kernel of one engine; cycles are int64 with INFEASIBLE where a row cannot run.

    `params` is (j, p) with column names `param_names`; `resources` is (j, R).
    """

    name: str
    param_names: tuple[str, ...]
    params: IntArray  # (j, p)
    resources: IntArray  # (j, R)
    cycles: IntArray  # (j, r)
    head: IntArray  # (j, r)
    tail: IntArray  # (j, r)
    solo: IntArray  # (j, r)


@dataclass(frozen=True)
class Engine:
    """One family of accelerators: any combination of one configuration per kernel that fits the budget.

    `memory` and `overhead` are (r,); `base` (R,) is what the engine costs besides its kernels.
    `energy` (r,), if given, is the dynamic energy of a row in picojoules (integer).
    """

    name: str
    kernels: tuple[KernelTable, ...]
    memory: IntArray
    overhead: IntArray
    base: IntArray
    energy: IntArray | None = None

    @property
    def n_configs(self) -> int:
        n = 1
        for k in self.kernels:
            n *= len(k.params)
        return n

    def row_latency(self, chosen: tuple[int, ...]) -> IntArray:
        """Cycles (r,) of every row with configuration `chosen[k]` of kernel k: the scalar reference path."""
        n = len(self.kernels)
        cycles = [k.cycles[j] for k, j in zip(self.kernels, chosen, strict=True)]
        head = [k.head[j] for k, j in zip(self.kernels, chosen, strict=True)]
        tail = [k.tail[j] for k, j in zip(self.kernels, chosen, strict=True)]
        fused = self.memory.copy()
        for k in range(n):
            path = cycles[k].copy()
            for i in range(n):
                if i != k:
                    path = path + (head[i] if i < k else tail[i])
            fused = np.maximum(fused, path)
        split = np.sum([k.solo[j] for k, j in zip(self.kernels, chosen, strict=True)], axis=0)
        return np.asarray(np.minimum(np.minimum(fused + self.overhead, split), INFEASIBLE), dtype=np.int64)

    def config(self, chosen: tuple[int, ...]) -> dict[str, object]:
        """One configuration for people and JSON: the engine's name, then the parameters of each kernel by name."""
        out: dict[str, object] = {"engine": self.name}
        for k, j in zip(self.kernels, chosen, strict=True):
            out[k.name] = {n: int(v) for n, v in zip(k.param_names, k.params[j], strict=True)}
        return out

    def resources(self, chosen: tuple[int, ...]) -> IntArray:
        """Resources (R,) of one configuration."""
        used = np.sum([k.resources[j] for k, j in zip(self.kernels, chosen, strict=True)], axis=0)
        return np.asarray(self.base + used, dtype=np.int64)


def link_value(
    x: NDArray[np.float64], link: tuple[float, ...], score_range: tuple[float, float] = (-np.inf, np.inf)
) -> NDArray[np.float64]:
    """The monotone link at x, any shape: a polynomial (constant first) on `score_range`, straight lines outside."""
    inside = np.clip(x, *score_range)
    polynomial = np.polynomial.Polynomial(link)
    return np.asarray(polynomial(inside) + polynomial.deriv()(inside) * (x - inside), float)


@dataclass(frozen=True)
class CodesignProblem:
    """Which path of `trellis` on which configuration of which engine, under `budget` (R,).

    Maximise the path's integer score, minimise its cycles at `clock_hz`. Predicted accuracy is a monotone function of
    x = (`score_offset` + score) / `micro`: see `link_value`, clipped to `accuracy_range`. The order of designs, and so
    the front, does not depend on it, but designs beyond a clip share one accuracy.
    """

    trellis: Trellis
    edge_score: IntArray  # (e,)
    engines: tuple[Engine, ...]
    budget: IntArray  # (R,)
    clock_hz: float
    resource_names: tuple[str, ...] = RESOURCES
    score_offset: int = 0
    micro: float = 1e6
    link: tuple[float, ...] = (0.0, 1.0)
    accuracy_range: tuple[float, float] = (0.0, 1.0)
    score_range: tuple[float, float] = (-np.inf, np.inf)
    static_power_w: float = 0.0
    meta: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.edge_score) != self.trellis.n_edges:
            raise UsageError(
                f"edge_score has {len(self.edge_score)} entries, the space's trellis {self.trellis.n_edges} edges"
            )

    def select(self, edges: IntArray) -> CodesignProblem:
        """The same problem with only some edges of the trellis, e.g. the path of one network."""
        keep = np.unique(np.asarray(edges, dtype=np.int64))
        return replace(self, trellis=self.trellis.select(keep), edge_score=self.edge_score[keep])

    def accuracy(self, score: IntArray) -> NDArray[np.float64]:
        """Predicted accuracy (fraction) of integer path scores, any shape."""
        x = (np.asarray(score, float) + self.score_offset) / self.micro
        return np.clip(link_value(x, self.link, self.score_range), *self.accuracy_range)

    def n_accelerators(self) -> int:
        """Configurations before any pruning or feasibility test: an exact Python integer."""
        return sum(e.n_configs for e in self.engines)

    def n_designs(self) -> int:
        """(network, precision, accelerator) triples covered."""
        return self.trellis.n_paths() * self.n_accelerators()
