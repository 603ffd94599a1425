"""The search itself: seeds, branch and bound over accelerators, exact paths on the survivors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cofront.problem import CodesignProblem
from cofront.search.exact.joint.boxes import BoxEngine, Boxes
from cofront.search.exact.joint.certificate import Certificate, certify, whole_bound
from cofront.search.exact.joint.compact import CompactEngine, Cost, compact_engine
from cofront.search.exact.joint.incumbent import Candidate, Incumbent
from cofront.search.exact.joint.lagrange import CLOSED, NEG, Coarse, Fine
from cofront.search.exact.joint.paths import accelerator_costs, improving_paths, trace
from cofront.search.exact.joint.seeds import beam, supported_designs
from cofront.search.exact.joint.tangents import tangents
from cofront.search.exact.joint.vectors import NEVER
from cofront.search.exact.joint.windows import ENDLESS, Windows, first_windows, least_cost_window, windows_for

I64 = NDArray[np.int64]
CHUNKS = 24
#: Boxes handled between two looks at `should_stop`.
_PIECE = 1 << 16


@dataclass(frozen=True)
class Limits:
    """Costs above `max_cost` and scores below `min_score` are of no interest."""

    max_cost: int = ENDLESS
    min_score: int | None = None


@dataclass
class Counters:
    """What happened, for the certificate and the curious."""

    configs_raw: list[tuple[int, ...]] = field(default_factory=list)
    configs_kept: list[tuple[int, ...]] = field(default_factory=list)
    tangent_boxes: int = 0
    boxes: int = 0
    singles: int = 0
    accelerators: int = 0
    dps: int = 0
    peak_states: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Open boxes of one engine with the greatest bound of any of them in every chunk's window."""

    engine: BoxEngine
    boxes: Boxes
    greatest: I64


@dataclass
class Search:
    """State of one search; `run` may stop between any two steps and `bounds` stays valid."""

    problem: CodesignProblem
    cost: Cost = field(default_factory=Cost)
    limits: Limits = field(default_factory=Limits)
    dominance: bool = True
    bounding: bool = True
    should_stop: Callable[[], bool] = lambda: False
    engines: list[BoxEngine] = field(default_factory=list)
    front: Incumbent = field(default_factory=Incumbent)
    counters: Counters = field(default_factory=Counters)
    on_progress: Callable[[str, int, int, int | None], None] | None = None
    prefix: str = ""  # of the stages that progress tells
    windows: Windows | None = None
    open: list[Block] = field(default_factory=list)
    singles: list[Block] = field(default_factory=list)
    known: dict[int, I64] = field(default_factory=dict)  # good accelerators per engine
    complete: bool = False
    max_score: int = field(init=False)

    def __post_init__(self) -> None:
        low, self.max_score = score_range(self.problem)
        self.score_limit = max(abs(low), abs(self.max_score), 1) + 1
        self.score_range = self.max_score - low

    # -- preparation ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        t = time.perf_counter()
        self.report("comparing configurations", proven=False)
        compacts: list[CompactEngine] = []
        for i in range(len(self.problem.engines)):
            compact = compact_engine(self.problem, i, self.cost, dominance=self.dominance)
            if compact is not None:
                compacts.append(compact)
                self.counters.configs_raw.append(tuple(len(k.params) for k in self.problem.engines[i].kernels))
                self.counters.configs_kept.append(tuple(len(c) for c in compact.configs))
        t = self._lap("prune", t)
        self.engines = [BoxEngine(c) for c in compacts]
        self.cost_limit = max((c.cost_limit for c in compacts), default=1)
        self._lap("clusters", t)

    def _lap(self, name: str, since: float) -> float:
        now = time.perf_counter()
        self.counters.seconds[name] = self.counters.seconds.get(name, 0.0) + now - since
        return now

    def steps(self) -> tuple[I64, I64]:
        """The step function that candidates must beat: the front, raised to just below the minimal score."""
        score = self.front.score
        if self.limits.min_score is not None:
            score = np.maximum(score, self.limits.min_score - 1)
        return self.front.cost, score

    def designs(self) -> list[Candidate]:
        """The front within the limits."""
        low = self.limits.min_score
        return [d for d in self.front.designs if d.cost <= self.limits.max_cost and (low is None or d.score >= low)]

    # -- seeds ------------------------------------------------------------------------------------------------------

    def seed(self) -> None:
        """A first front from a beam, then the fronts of the accelerators that are best at one multiplier each."""
        start = time.perf_counter()
        self.report("first designs", proven=False)
        if len(self.front.cost) == 0:
            windows = self._first_windows()
            coarse = windows.coarse(*self.steps())
            for e in self.engines:
                self._add(supported_designs(e, beam(e, coarse, 4), windows.alpha, windows.lam))
        start = self._lap("beam", start)
        if len(self.front.cost) == 0:
            return
        windows = self._fit_windows()
        found = tangents(self.engines, windows.coarse(*self.steps()), self.score_range, self.should_stop, self.known)
        self.counters.tangent_boxes += found.boxes
        start = self._lap("tangents", start)
        best = found.best()
        self.known = {i: np.array([x for j, x in best if j == i]) for i in sorted({j for j, _ in best})}
        for i, entry in best:
            self._add(supported_designs(self.engines[i], entry[None, :], windows.alpha, windows.lam))
        for i, entry in best:
            if self.should_stop():
                return
            self._dp(self.engines[i], entry, windows)
        self._lap("seeds", start)

    def _first_windows(self) -> Windows:
        """Multipliers before any design is known, around the best case of the costliest class."""
        least = ENDLESS
        for e in self.engines:
            cost = accelerator_costs(e.tables, e.compact.classes, e.forest.roots)
            least = min(least, int(cost[cost < NEVER].max(initial=1)))
        return first_windows(least, self.cost_limit, self.score_limit, self.score_range, CHUNKS)

    def _fit_windows(self) -> Windows:
        return windows_for(
            self.front.cost, self.front.score, self.cost_limit, self.score_limit, self.limits.max_cost, CHUNKS
        )

    def _add(self, found: list[Candidate]) -> None:
        cost = np.array([d.cost for d in found], dtype=np.int64)
        score = np.array([d.score for d in found], dtype=np.int64)
        self.front.add([found[i] for i in self.front.improving(cost, score)])

    # -- exact paths ------------------------------------------------------------------------------------------------

    def _dp(self, engine: BoxEngine, entry: I64, windows: Windows) -> None:
        """Everything this accelerator adds to the front."""
        costs = accelerator_costs(engine.tables, engine.compact.classes, entry)
        need = windows.fine(*self.steps()).threshold.ravel()
        if not self.bounding:
            need[:] = NEG
        alpha, lam = windows.fine_alpha.ravel(), windows.fine_lam.ravel()
        capacity = 1 << 14
        while True:
            c, s, parent, edge, a, b, peak = improving_paths(
                engine.compact.graph, costs, alpha, lam, need, self.limits.max_cost, capacity
            )
            if peak >= 0:
                break
            capacity *= 4
        self.counters.dps += 1
        self.counters.peak_states = max(self.counters.peak_states, peak)
        if a == b:
            return
        cost, score = c[a:b], s[a:b]
        better = self.front.improving(cost, score)
        configs = engine.configs(entry)
        graph = engine.compact.graph
        self.front.add(
            [
                Candidate(
                    int(cost[i]),
                    int(score[i]),
                    engine.compact.index,
                    configs,
                    tuple(trace(graph, parent, edge, a + int(i)).tolist()),
                )
                for i in better
            ]
        )

    # -- branch and bound -------------------------------------------------------------------------------------------

    def branch(self) -> None:
        """Split boxes level by level until only single accelerators are left that may improve the front."""
        start = time.perf_counter()
        self._open_windows()
        assert self.windows is not None
        coarse, fine = self._multipliers()
        while self.open:
            self.report("accelerators")
            parents, self.open = self.open, []
            while parents:
                if self.should_stop():
                    self.open += parents
                    return
                block = parents.pop()
                children = block.engine.children(block.boxes)
                self.counters.boxes += len(children)
                children, greatest, _ = block.engine.bound(children, coarse, fine)
                self._file(block.engine, children[children.alive != 0], greatest)
            self.open = _pieces(self.open)
        self.counters.singles += sum(len(b.boxes) for b in self.singles)
        self._lap("branch", start)

    def _open_windows(self) -> None:
        """Fix the windows for the rest of the search, and open the roots."""
        if len(self.front.cost):
            self.windows = self._fit_windows()
        else:
            self.windows = least_cost_window(self.limits.max_cost, CHUNKS)
        coarse, fine = self._multipliers()
        for e in self.engines:
            root, greatest, _ = e.bound(e.root(), coarse, fine)
            self._file(e, root[root.alive != 0], greatest)

    def _multipliers(self) -> tuple[Coarse, Fine]:
        """Both sets of multipliers with thresholds for the front as it is; thresholds that all reach for tests."""
        assert self.windows is not None
        coarse, fine = self.windows.coarse(*self.steps()), self.windows.fine(*self.steps())
        if not self.bounding:
            for need in (coarse.threshold, fine.threshold):
                need[need != CLOSED] = NEG + 1
        return coarse, fine

    def _file(self, engine: BoxEngine, boxes: Boxes, greatest: I64) -> None:
        """Sort surviving boxes into open ones and single accelerators."""
        single = engine.singles(boxes)
        for target, pick in ((self.singles, single), (self.open, ~single)):
            if pick.any():
                target.append(Block(engine, boxes[pick], greatest))

    # -- the accelerators that are left -----------------------------------------------------------------------------

    def finish(self) -> None:
        """Fine bounds of the surviving accelerators, then the dynamic programme for each that may still improve."""
        start = time.perf_counter()
        self._late_seeds()
        assert self.windows is not None
        _, fine = self._multipliers()
        queue: list[tuple[float, BoxEngine, I64]] = []
        if self.bounding:
            self.singles = [Block(b.engine, b.engine.maximal(b.boxes), b.greatest) for b in _joined(self.singles)]
        for block in self.singles:
            potential, _ = block.engine.margins(block.boxes, fine)
            for p, entry in zip(potential.tolist(), block.boxes.entries, strict=True):
                if p >= 0:
                    queue.append((p, block.engine, entry))
        queue.sort(key=lambda x: -x[0])
        self.counters.accelerators += len(queue)
        start = self._lap("fine", start)
        for i, (_, engine, entry) in enumerate(queue):
            if self.should_stop():
                rest: dict[int, list[I64]] = {}
                for _, e, x in queue[i:]:
                    rest.setdefault(self.engines.index(e), []).append(x)
                self.singles = [self._block(self.engines[k], np.array(v)) for k, v in sorted(rest.items())]
                return
            self._dp(engine, entry, self.windows)
            if i % 64 == 0 and self.on_progress is not None:
                self.on_progress(f"{self.prefix}paths", len(self.front.cost), len(queue) - i, int(queue[i][0]) + 1)
        self.singles = []
        self.complete = True
        self._lap("paths", start)

    def _late_seeds(self) -> None:
        """If nothing was known when the boxes were split (hard budgets), learn from some of what was left."""
        if len(self.front.cost) or not self.singles:
            return
        first = self._first_windows()
        for block in self.singles:
            pick = np.unique(np.linspace(0, len(block.boxes) - 1, 32).astype(np.int64))
            self._add(supported_designs(block.engine, block.boxes.entries[pick], first.alpha, first.lam))
        if len(self.front.cost):
            self.windows = self._fit_windows()
            # What is known of the boxes belongs to the old windows.
            self.singles = [Block(b.engine, Boxes.whole(b.boxes.entries), b.greatest) for b in self.singles]

    def _block(self, engine: BoxEngine, entries: I64) -> Block:
        return Block(engine, Boxes.whole(entries), np.full(CHUNKS, NEG))

    # -- what is known at any time ----------------------------------------------------------------------------------

    def certificate(self) -> Certificate:
        """The proven bound of this moment."""
        if self.windows is None and self.engines and len(self.front.cost):
            self._open_windows()
        w = self.windows
        low = self.limits.min_score
        if self.complete or w is None:
            return whole_bound(self.designs(), self.complete, self.max_score, self.score_range)
        cost, score = self.front.cost, self.front.score
        if self.open:
            greatest = np.max([b.greatest for b in self.open + self.singles], axis=0)
            ranges = (w.alpha, w.lam, w.low, w.high, greatest)
        else:
            fine = self._multipliers()[1]
            tops = [b.engine.margins(b.boxes, fine)[1] for b in self.singles]
            greatest = np.max(tops, axis=0) if tops else np.full(w.fine_low.shape, NEG)
            ranges = (w.fine_alpha, w.fine_lam, w.fine_low, w.fine_high, greatest)
        if not self.designs():
            return whole_bound([], False, self.max_score, self.score_range)
        return certify(cost, score, ranges, self.max_score, low, self.limits.max_cost)

    def report(self, stage: str, *, proven: bool = True) -> None:
        if self.on_progress is not None:
            n_open = sum(len(b.boxes) for b in self.open + self.singles)
            gap = self.certificate().gap if proven else None
            self.on_progress(self.prefix + stage, len(self.front.cost), n_open, gap)

    def run(self) -> None:
        if not self.should_stop():
            self.prepare()
        self.search()

    def search(self) -> None:
        """Everything that the engines, within their present room, add to the front."""
        self.complete, self.windows, self.open, self.singles = False, None, [], []
        for step in (self.seed, self.branch, self.finish):
            if self.should_stop():
                return
            step()

    def climb(self, resource: int, budgets: Sequence[int]) -> Iterator[tuple[int, list[Candidate]]]:
        """For one budget of a resource after the other, rising: the designs that it adds to the front.

        The front of what needs less is known by then and prunes like any other; so all of them together are exact. An
        interrupted search ends the list early and leaves everything of the widest budget open.
        """
        for budget in budgets:
            for e in self.engines:
                e.limit(resource, budget)
            before = list(self.front.designs)  # kept alive, so that no new design takes the identity of a dropped one
            known = {id(d) for d in before}
            self.search()
            yield budget, [d for d in self.designs() if id(d) not in known]
            if not self.complete:
                for e in self.engines:
                    e.limit(resource, budgets[-1])
                self.windows, self.open, self.singles = None, [], []
                return


def _joined(blocks: list[Block]) -> list[Block]:
    """One block per engine."""
    by_engine: dict[int, list[Block]] = {}
    for b in blocks:
        by_engine.setdefault(b.engine.compact.index, []).append(b)
    return [
        Block(parts[0].engine, Boxes.join([p.boxes for p in parts]), np.max([p.greatest for p in parts], axis=0))
        for parts in by_engine.values()
    ]


def _pieces(blocks: list[Block]) -> list[Block]:
    """Blocks of one engine joined and cut to pieces that are worth a thread but still let a stop through."""
    return [
        Block(b.engine, b.boxes[slice(i, i + _PIECE)], b.greatest)
        for b in _joined(blocks)
        for i in range(0, len(b.boxes), _PIECE)
    ]


def score_range(problem: CodesignProblem) -> tuple[int, int]:
    """Least and greatest score of any prefix or path, whatever it runs on."""
    t = problem.trellis
    low, high = [0] * t.n_nodes, [0] * t.n_nodes
    for i in np.argsort(t.edge_from, kind="stable"):
        a, b, s = int(t.edge_from[i]), int(t.edge_to[i]), int(problem.edge_score[i])
        low[b], high[b] = min(low[b], low[a] + s), max(high[b], high[a] + s)
    return min(low), max(high)
