"""HAO as published [HAO21]: a tree search proposes sub-networks, an integer program gives each its accelerator, a
Hessian-weighted allocation its bits, a support-vector regression its accuracy; the Pareto set is kept.

The abstract gives the device, the integer program, the predictor over (subgraph, quantisation) and the Pareto front;
tree search, SVR and the Hessian-weighted allocation are what is known of the full text at second hand. No constant of
the search is known (exploration weight, reward, proposals, latency caps, how many samples are trained), so the values
in `HaoSettings` are ours, and so are two details: a proposal's accelerator is solved once per uniform precision and its
bits are then allocated on that accelerator, and the reward is the predicted accuracy where the latency cap is met, a
penalty elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.front import Design, Front
from cofront.predict.svr import Svr
from cofront.problem import INFEASIBLE, CodesignProblem, IntArray
from cofront.search.budget import Budget, Stopwatch
from cofront.search.evaluator import Evaluator
from cofront.search.exact.fit import fit
from cofront.search.knapsack import allocate
from cofront.search.method import Accuracy, Job, Method
from cofront.search.networks import TrellisPoints
from cofront.search.tree import TreeSearch
from cofront.search.walk import Paths
from cofront.space.base import PRECISIONS, Points
from cofront.space.declare import TrellisSpace
from cofront.systems.hao_bits import edge_numbers, sensitivity


@dataclass(frozen=True)
class HaoSettings:
    """Ours: the paper prints none of them. `initial` random networks are measured before the search; in every round
    `per_round` of the most promising candidates are measured and the regression is fitted again."""

    proposals: int = 360
    batch: int = 12
    caps: int = 6
    initial: int = 60
    per_round: int = 2
    exploration: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """A proposed network with the accelerator and the bits it was given."""

    point: tuple[int, ...]
    cycles: int
    engine: int
    chosen: tuple[int, ...]


@dataclass
class HaoState:
    """What a run knows: measured points with accuracies, every candidate met, and how often the program was solved."""

    measured: dict[tuple[int, ...], float] = field(default_factory=dict)
    candidates: dict[tuple[int, ...], Candidate] = field(default_factory=dict)
    programs: int = 0

    def keep(self, new: Candidate) -> None:
        old = self.candidates.get(new.point)
        if old is None or new.cycles < old.cycles:
            self.candidates[new.point] = new


class Hao:
    """The published loop over a Space with precisions, on the arrays of a `CodesignProblem` built from all its edges.

    `measure` maps points (n, d) to accuracies (n,): the expensive truth. `sensitivity` (e,) is each trellis edge's
    Hessian trace per weight times squared weight error at the edge's precision (0 where nothing is quantised).
    """

    def __init__(
        self,
        space: TrellisSpace,
        problem: CodesignProblem,
        sensitivity: NDArray[np.float64],
        measure: Accuracy,
        settings: HaoSettings | None = None,
    ) -> None:
        if len(sensitivity) != problem.trellis.n_edges:
            raise UsageError(
                f"HAO needs one sensitivity per trellis edge: {problem.trellis.n_edges} edges, {len(sensitivity)} given"
            )
        self.space, self.problem, self.sensitivity, self.measure = space, problem, sensitivity, measure
        self.settings = settings or HaoSettings()
        self.rng = np.random.default_rng(self.settings.seed)
        names = [set(map(str, c.options)) for c in space.choices]
        self.bits = np.array([i for i, n in enumerate(names) if n <= set(PRECISIONS)], dtype=np.int64)
        self.free = _actions(space, set(self.bits.tolist()))
        self.state = HaoState()
        self.predictor = Svr(self.settings.seed)
        self._engines = {e.name: i for i, e in enumerate(problem.engines)}
        self._edge = edge_numbers(space, problem)

    def run(self, on_progress: Callable[[int, int], None] | None = None, budget: Budget | None = None) -> Front:
        """Initial samples, then one tree search per latency cap; the front of what was measured at the end.

        `on_progress` hears (proposals so far, of how many); `budget` ends the search early.
        """
        watch, s = Stopwatch(), self.settings
        self._learn(TrellisPoints(self.problem).sample(self.rng, s.initial))
        caps = self._caps()
        batch = min(s.batch, s.proposals)
        share = max(1, s.proposals // (batch * len(caps)))
        done = 0
        for cap in caps:
            tree = TreeSearch(self.space.sizes[self.free], self.rng, s.exploration)
            for _ in range(share):
                if watch.spent(budget or Budget(evaluations=1 << 62), done):
                    break
                proposals = tree.propose(batch)
                found = [list(self._design(p, caps)) for p in proposals]
                tree.update(proposals, self._rewards(found, cap))
                self._measure_best([c for group in found for c in group if c.cycles <= cap])
                done += batch
                if on_progress:
                    on_progress(done, share * batch * len(caps))
        self._measure_front()
        return self._front(watch.seconds, done)

    # one proposal: integer program, then bits

    def _design(self, arch: IntArray, caps: IntArray) -> Iterator[Candidate]:
        """The accelerator of each uniform precision, and on it the least sensitive bits within each cap."""
        point = np.zeros(len(self.space.sizes), dtype=np.int64)
        point[self.free] = arch
        uniform = np.repeat(point[None], int(self.space.sizes[self.bits].max()), axis=0)
        uniform[:, self.bits] = np.arange(len(uniform))[:, None].clip(max=self.space.sizes[self.bits] - 1)
        paths = self._paths(self.space.canonical(uniform))
        options = paths.T[(paths >= 0).any(axis=0)]  # (blocks, precisions): parallel edges of each block, -1: none
        if (options < 0).all(axis=1).any() or not len(options):
            return  # a block that the problem leaves out
        trellis = self.problem.trellis
        first = options[np.arange(len(options)), (options >= 0).argmax(axis=1)]
        for column in options.T:
            result = fit(self.problem.select(np.where(column >= 0, column, first)))
            self.state.programs += 1
            if result.status == "infeasible":
                continue
            engine = self._engines[result.engine]
            rows = self.problem.engines[engine].row_latency(result.chosen)
            per_edge = np.concatenate([[0], np.cumsum(rows[trellis.rows])])
            latency = per_edge[trellis.row_ptr[1:]] - per_edge[trellis.row_ptr[:-1]]
            cost = np.where(options >= 0, latency[options], INFEASIBLE)
            found = allocate(cost, self.sensitivity[options], INFEASIBLE)
            for cap in caps:
                i = found.within(int(cap))
                if i is not None:
                    chosen = self._point(point, options[np.arange(len(options)), found.options[i]])
                    yield Candidate(chosen, int(found.cost[i]), engine, result.chosen)

    def _paths(self, points: Points) -> IntArray:
        """Edges of the problem along the points' paths, (n, e'); -1 where it has none, and beyond the end."""
        path = self.space.declaration.walk(points)
        return np.asarray(np.where(path >= 0, self._edge[path], -1))

    def _point(self, base: IntArray, edges: IntArray) -> tuple[int, ...]:
        out = base.copy()
        for e in edges:
            for variable, value in self.problem.trellis.choices[e]:
                out[variable] = value
        return tuple(int(v) for v in self.space.canonical(out[None])[0])

    # accuracy: measured for few, regressed for the others

    def _learn(self, points: Points) -> None:
        new = np.array([p for p in points if tuple(p.tolist()) not in self.state.measured], dtype=np.int64)
        if len(new):
            for p, accuracy in zip(new, self.measure(new), strict=True):
                self.state.measured[tuple(p.tolist())] = float(accuracy)
        known = np.array(list(self.state.measured), dtype=np.int64)
        self.predictor.fit(Svr.encode(self.space, known), np.array(list(self.state.measured.values())))

    def _predict(self, candidates: list[Candidate]) -> NDArray[np.float64]:
        points = np.array([c.point for c in candidates], dtype=np.int64)
        return np.asarray(self.predictor.predict(Svr.encode(self.space, points)).mean)

    def _rewards(self, found: list[list[Candidate]], cap: int) -> NDArray[np.float64]:
        """Predicted accuracy within the cap, scaled to what has been measured; how far it was missed elsewhere."""
        low, high = min(self.state.measured.values()), max(self.state.measured.values())
        rewards = np.zeros(len(found))
        for i, group in enumerate(found):
            for c in group:
                self.state.keep(c)
            inside = [c for c in group if c.cycles <= cap]
            if inside:
                rewards[i] = (self._predict(inside).max() - low) / max(high - low, 1e-9)
            elif group:
                rewards[i] = -min(1.0, min(c.cycles for c in group) / cap - 1.0)
        return rewards

    def _measure_best(self, candidates: list[Candidate]) -> None:
        if not candidates:
            return
        order = np.argsort(-self._predict(candidates), kind="stable")[: self.settings.per_round]
        self._learn(np.array([candidates[i].point for i in order], dtype=np.int64))

    def _measure_front(self) -> None:
        """The last step: what the regression holds to be the front is measured."""
        pool = list(self.state.candidates.values())
        if not pool:
            return
        predicted = self._predict(pool)
        front, best = [], -np.inf
        for i in np.lexsort((-predicted, np.array([c.cycles for c in pool]))):
            if predicted[i] > best:
                front.append(pool[i].point)
                best = predicted[i]
        self._learn(np.array(front, dtype=np.int64))

    def _caps(self) -> IntArray:
        """Latency caps: a geometric ladder around what random proposals need."""
        cycles = []
        for p in TrellisPoints(self.problem).sample(self.rng, 8):
            cycles += [c.cycles for c in self._design(p[self.free], np.array([INFEASIBLE]))]
        if not cycles:
            raise UsageError("none of 8 random networks fits the device at any configuration; choose a larger device")
        s = self.settings
        count = max(1, min(s.caps, s.proposals // s.batch))  # few proposals: fewer caps, the loosest of all the last
        return np.geomspace(1.2 * max(cycles), 0.3 * min(cycles), count)[::-1].astype(np.int64)

    def _front(self, seconds: float, proposals: int) -> Front:
        """Measured candidates that no other one dominates; nothing is certified."""
        known = [(self.state.candidates[p], a) for p, a in self.state.measured.items() if p in self.state.candidates]
        known.sort(key=lambda item: (item[0].cycles, -item[1]))
        evaluator, paths = Evaluator(self.problem), Paths(self.problem.trellis)
        designs: list[Design] = []
        for c, accuracy in known:
            if not designs or accuracy > designs[-1].accuracy:
                found = evaluator.design(c.engine, c.chosen, paths(np.array(c.point)))
                designs.append(replace(found, accuracy=accuracy, point=c.point, space=self.space.name))
        stats = {
            "measured": float(len(self.state.measured)), "programs": float(self.state.programs),
            "proposals": float(proposals), "candidates": float(len(self.state.candidates)),
        }  # fmt: skip
        return Front(tuple(designs), 1.0, len(self.state.candidates), seconds, "heuristic", stats=stats, method="hao")


def _actions(space: TrellisSpace, bits: set[int]) -> IntArray:
    """The variables that the tree decides, in the order in which a network is built; the resolution comes last.

    Stage by stage is what is recalled of HAO's exploration; the exact order is ours.
    """
    declared = space.declaration
    first: dict[int, int] = {}
    for e in declared.edges:
        for v, _ in e.choices[: e.match]:
            first[v] = min(first.get(v, 1 << 62), declared.nodes[e.src])
    free = [v for v in range(len(space.sizes)) if v not in bits]
    last = {v for v, c in enumerate(space.choices) if c.name == "resolution"}
    return np.array(sorted(free, key=lambda v: (v in last, first.get(v, 0), v)), dtype=np.int64)


def _run(job: Job) -> Front:
    if not isinstance(job.space, TrellisSpace):
        raise UsageError(f"method hao needs a space declared as a trellis, '{job.space.name}' is not")
    known = sensitivity(job.space, job.problem)
    settings = HaoSettings(proposals=job.budget.evaluations or HaoSettings.proposals, seed=job.seed)

    def heard(done: int, of: int) -> None:
        job.heard(0, None, f"{done} of {of} proposals")

    front = Hao(job.space, job.problem, known.edges, job.accuracy, settings).run(heard, job.budget)
    return replace(front, notes=(f"bits weighed by {known.source}",))


METHOD = Method(
    "hao", _run, "HAO's loop: tree search, an exact fit for each proposal, Hessian-weighted bits, SVR",
    counts="proposals", evaluations=HaoSettings.proposals, additive=False,
)  # fmt: skip
