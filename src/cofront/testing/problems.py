"""Synthetic co-design problems: tiny ones for brute force, awkward ones, and OFA-like ones of any size.

Nothing here is a measurement or a hardware claim: the OFA-like cost model is our own stand-in with the structure of
the real one (ceilings, a memory bound, fill and drain, buffers that may be too small, precisions that some engines
lack), so that a search can be tested and timed without a space or a hardware model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cofront.problem import INFEASIBLE, CodesignProblem, Engine, IntArray, KernelTable, Trellis

Size = Literal["tiny", "small", "medium"]

#: size -> (stages, blocks per stage, options per block, configurations per kernel, engines): the largest drawn.
_SIZES: dict[str, tuple[int, int, int, int, int]] = {
    "tiny": (2, 2, 4, 5, 2),
    "small": (3, 3, 6, 12, 3),
    "medium": (4, 4, 9, 30, 4),
}


@dataclass
class _Edges:
    """Edges as lists, turned into a Trellis at the end."""

    start: list[int]
    end: list[int]
    rows: list[list[int]]
    features: list[list[int]]

    def add(self, start: int, end: int, rows: list[int], features: list[int]) -> None:
        self.start.append(start)
        self.end.append(end)
        self.rows.append(rows)
        self.features.append(features)

    def trellis(self, n_nodes: int, n_rows: int, n_features: int) -> Trellis:
        def pointers(lists: list[list[int]]) -> IntArray:
            return np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int64)

        def flat(lists: list[list[int]]) -> IntArray:
            return np.array([v for x in lists for v in x], dtype=np.int64)

        return Trellis(
            n_nodes,
            np.array(self.start, dtype=np.int64),
            np.array(self.end, dtype=np.int64),
            pointers(self.rows),
            flat(self.rows),
            pointers(self.features),
            flat(self.features),
            tuple(((i, 1),) for i in range(len(self.start))),
            n_rows,
            n_features,
        )


def random_trellis(rng: np.random.Generator, size: Size = "tiny") -> Trellis:
    """Stages of blocks with elastic depth, parallel options, a few skip edges and a width carried as a state."""
    stages, blocks, options, _, _ = _SIZES[size]
    stages, blocks = int(rng.integers(1, stages + 1)), int(rng.integers(1, blocks + 1))
    n_rows = int(rng.integers(2, 3 * options + 2))
    edges = _Edges([], [], [], [])
    widths = int(rng.integers(1, 3))
    layer, node, feature = [0], 1, 0

    def option() -> tuple[list[int], list[int]]:
        nonlocal feature
        feature += 1
        return [int(r) for r in rng.integers(0, n_rows, size=rng.integers(1, 4))], [feature - 1]

    for _ in range(stages):
        entry = list(range(node, node + widths))
        node += widths
        for a in layer:
            for b in entry:
                for _ in range(int(rng.integers(1, options + 1))):
                    edges.add(a, b, *option())
        exits = [[b] for b in entry]
        for w, b in enumerate(entry):
            last = b
            for _ in range(int(rng.integers(0, blocks))):
                for _ in range(int(rng.integers(1, options + 1))):
                    edges.add(last, node, *option())
                last, node = node, node + 1
                exits[w].append(last)
        layer = list(range(node, node + widths))
        node += widths
        for w in range(widths):
            for a in exits[w]:
                edges.add(a, layer[w], [], [])
    for a in layer:
        edges.add(a, node, *option())
    if node > 3 and rng.random() < 0.5:  # an edge that leaps over nodes
        a = int(rng.integers(0, node - 1))
        edges.add(a, int(rng.integers(a + 1, node + 1)), *option())
    return edges.trellis(node + 1, n_rows + int(rng.integers(0, 3)), feature)  # the last rows may be used by nothing


def random_problem(rng: np.random.Generator, size: Size = "tiny", *, regular: bool | None = None) -> CodesignProblem:
    """A random instance; with `regular` cycles fall as parallelism grows, without it they are arbitrary."""
    trellis = random_trellis(rng, size)
    _, _, _, n_configs, n_engines = _SIZES[size]
    if regular is None:
        regular = bool(rng.random() < 0.6)
    n_kernels = int(rng.integers(1, 4))
    engines = tuple(
        _random_engine(rng, f"engine{i}", n_kernels, n_configs, trellis.n_rows, regular)
        for i in range(int(rng.integers(1, n_engines + 1)))
    )
    base = np.max([e.base for e in engines], axis=0)
    worst = base + n_kernels * 40
    budget = np.array([int(rng.integers(base[i] + 14 * n_kernels, worst[i] + 2)) for i in range(4)], dtype=np.int64)
    coarse = int(rng.choice([1, 50, 1000]))  # coarse scores make ties
    coefficients = np.rint(rng.normal(0.0, 0.01, trellis.n_features) * 1e6 / coarse) * coarse / 1e6
    return CodesignProblem(
        trellis, trellis.scores(coefficients), engines, budget, clock_hz=2.5e8, static_power_w=float(rng.random())
    )


def _random_engine(
    rng: np.random.Generator, name: str, n_kernels: int, n_configs: int, n_rows: int, regular: bool
) -> Engine:
    work = rng.integers(0, 400, size=(n_kernels, n_rows)) * (rng.random((n_kernels, n_rows)) < 0.8)
    unsupported = rng.random(n_rows) < 0.1
    kernels = []
    for k in range(n_kernels):
        n = int(rng.integers(1, n_configs + 1))
        lanes = rng.integers(1, 12, size=n)
        resources = rng.integers(0, 12, size=(n, 4)) + (lanes[:, None] * 2 if regular else 0)
        cycles = _ceil(work[k][None, :], lanes[:, None]) if regular else rng.integers(0, 120, size=(n, n_rows))
        head = cycles // 5 + rng.integers(0, 4, size=(n, n_rows))
        tail = cycles // 7 + rng.integers(0, 4, size=(n, n_rows))
        solo = cycles + rng.integers(0, 40, size=(n, n_rows))
        too_small = rng.random((n, n_rows)) < 0.1  # fused impossible, split possible
        never = (rng.random((n, n_rows)) < 0.04) | unsupported
        cycles = np.where(too_small | never, INFEASIBLE, cycles)
        solo = np.where(never, INFEASIBLE, solo)
        kernels.append(
            KernelTable(
                f"k{k}",
                ("lanes", "index"),
                np.stack([lanes, np.arange(n)], axis=1).astype(np.int64),
                resources.astype(np.int64),
                cycles.astype(np.int64),
                head.astype(np.int64),
                tail.astype(np.int64),
                solo.astype(np.int64),
            )
        )
    memory = rng.integers(0, 100, size=n_rows)
    memory = np.where(rng.random(n_rows) < 0.03, INFEASIBLE, memory).astype(np.int64)
    return Engine(
        name,
        tuple(kernels),
        memory,
        rng.integers(0, 10, size=n_rows).astype(np.int64),
        rng.integers(0, 6, size=4).astype(np.int64),
        rng.integers(100, 10_000, size=n_rows).astype(np.int64),
    )


# ---------------------------------------------------------------------------------------------------------------------
# OFA-like: five stages of depth 2 to 4, nine (kernel, expansion) pairs times three precisions in every block
# ---------------------------------------------------------------------------------------------------------------------

_STAGES = ((16, 24, 2, 112), (24, 40, 2, 56), (40, 80, 2, 28), (80, 112, 1, 14), (112, 160, 2, 14))
_KE = tuple((k, e) for k in (3, 5, 7) for e in (3, 4, 6))
_BITS = ((8, 8), (4, 8), (4, 4))  # (weight, activation) bits


@dataclass(frozen=True)
class Grid:
    """Parallelism and buffer options per kernel of an OFA-like problem."""

    lanes: tuple[int, ...]
    taps: tuple[int, ...]
    depths: tuple[int, ...]  # words per weight bank
    lines: tuple[int, ...]  # line-buffer capacity, KiB

    @staticmethod
    def coarse() -> Grid:
        return Grid((1, 2, 4, 8, 12, 16, 24, 32, 48, 64), (1, 3, 5, 9), (512, 2048), (16, 64))

    @staticmethod
    def fine() -> Grid:
        lanes = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
        return Grid(lanes, (1, 3, 5, 7, 9, 25, 49), (512, 1024, 2048, 4096), (16, 32, 64))


@dataclass(frozen=True)
class _Rows:
    """Shapes of the rows of an OFA-like problem, each (r,)."""

    cin: IntArray
    cmid: IntArray
    cout: IntArray
    k: IntArray
    size_in: IntArray
    size_out: IntArray
    wbits: IntArray
    abits: IntArray


def _block_rows() -> tuple[_Rows, dict[tuple[int, int, int, int], int]]:
    """Row shapes and the index of (stage, first or later block, option, precision)."""
    fields: list[tuple[int, ...]] = []
    index: dict[tuple[int, int, int, int], int] = {}
    for s, (cin, cout, stride, size) in enumerate(_STAGES):
        for later in (0, 1):
            c, st, hw = (cout, 1, size // stride) if later else (cin, stride, size)
            for o, (k, e) in enumerate(_KE):
                for p, (wb, ab) in enumerate(_BITS):
                    index[s, later, o, p] = len(fields)
                    fields.append((c, c * e, cout, k, hw, hw // st, wb, ab))
    for p, (wb, ab) in enumerate(_BITS):  # stem with the fixed block, and the head
        index[-1, 0, 0, p] = len(fields)
        fields.append((27, 16, 16, 3, 112, 112, wb, ab))
        index[-2, 0, 0, p] = len(fields)
        fields.append((160, 960, 1280, 1, 7, 7, wb, ab))
    return _Rows(*(np.array(c, dtype=np.int64) for c in zip(*fields, strict=True))), index


def _ceil(a: IntArray, b: IntArray) -> IntArray:
    return -(-a // b)


_Mode = tuple[str, tuple[bool, bool, bool], int, int, bool]
#: engine: name, supported precisions, products per DSP, LUT per multiplier, whether W4A4 doubles the lanes
_ENGINES: tuple[_Mode, ...] = (
    ("E88", (True, True, True), 2, 70, False),
    ("E48", (False, True, True), 2, 40, False),
    ("E44", (False, False, True), 4, 20, False),
    ("DUAL", (True, True, True), 2, 85, True),
)


def _pointwise(rows: _Rows, grid: Grid, mode: _Mode, first: bool) -> KernelTable:
    _, _, per_dsp, lut_mul, dual = mode
    pi, po, depth, on_lut = (
        a.ravel().astype(np.int64) for a in np.meshgrid(grid.lanes, grid.lanes, grid.depths, (0, 1), indexing="ij")
    )
    cin, cout = (rows.cin, rows.cmid) if first else (rows.cmid, rows.cout)
    pixels = (rows.size_in if first else rows.size_out) ** 2
    twice = 1 + (dual & (rows.abits == 4))
    words = _ceil(cin[None, :], pi[:, None]) * _ceil(cout[None, :], po[:, None] * twice[None, :])
    cycles = words * pixels
    tiles = _ceil(2 * words, depth[:, None])
    head = np.where(first, 0, words * 2)
    tail = words * 2
    solo = np.maximum(cycles, tiles * (cin * pixels)[None, :] // 16) + 400
    cycles = np.where(tiles > 1, INFEASIBLE, cycles)
    n = pi * po
    resources = np.stack(
        [
            np.where(on_lut, 0, _ceil(n, np.full_like(n, per_dsp))),
            600 + 8 * n + 60 * (pi + po) + on_lut * lut_mul * n,
            500 + 30 * n,
            _ceil(n * 8, np.full_like(n, 72)) * (depth // 512),
        ],
        axis=1,
    )
    params = np.stack([pi, po, depth, on_lut], axis=1)
    return KernelTable(
        "pw1" if first else "pw2", ("pi", "po", "depth", "lut"), params, resources, cycles, head, tail, solo
    )


def _depthwise(rows: _Rows, grid: Grid, mode: _Mode) -> KernelTable:
    _, _, per_dsp, lut_mul, dual = mode
    pc, u, line, on_lut = (
        a.ravel().astype(np.int64) for a in np.meshgrid(grid.lanes, grid.taps, grid.lines, (0, 1), indexing="ij")
    )
    twice = 1 + (dual & (rows.abits == 4))
    groups = _ceil(rows.cmid[None, :], pc[:, None] * twice[None, :])
    cycles = np.maximum(
        groups * _ceil((rows.k**2)[None, :], u[:, None]) * (rows.size_out**2)[None, :],
        groups * (rows.size_in**2)[None, :],
    )
    buffer_bytes = (rows.k * rows.size_in * rows.cmid * rows.abits) // 8
    head = groups * (rows.k // 2 * rows.size_in)[None, :]
    tail = groups * _ceil((rows.k**2)[None, :], u[:, None])
    solo = np.maximum(cycles, (rows.cmid * rows.size_in**2)[None, :] // 16) + 400
    cycles = np.where(buffer_bytes[None, :] > line[:, None] * 1024, INFEASIBLE, cycles)
    n = pc * u
    resources = np.stack(
        [
            np.where(on_lut, 0, _ceil(n, np.full_like(n, per_dsp))),
            600 + 8 * n + 60 * pc + on_lut * lut_mul * n,
            500 + 30 * n,
            np.maximum(_ceil(line * 1024 * 8, np.full_like(line, 36864)), _ceil(pc * 8, np.full_like(pc, 72))),
        ],
        axis=1,
    )
    params = np.stack([pc, u, line, on_lut], axis=1)
    return KernelTable("dw", ("pc", "u", "line_kib", "lut"), params, resources, cycles, head, tail, solo)


def ofa_like_problem(rng: np.random.Generator, grid: Grid | None = None, *, noise: float = 0.0) -> CodesignProblem:
    """About 4.6e29 (network, precision) pairs times the grid's accelerators, on a part of ZU3EG's size.

    `noise` adds up to that fraction, pseudo-random, to every cycle count: nothing then is regular.
    """
    grid = grid or Grid.coarse()
    rows, index = _block_rows()
    edges = _Edges([], [], [], [])
    feature, node = 3, 1
    weights: list[float] = list(-rng.uniform(0.1, 0.6, 3))
    for p in range(3):
        edges.add(0, 1, [index[-1, 0, 0, p]], [p])
    for s in range(len(_STAGES)):
        exits: list[int] = []
        for b in range(4):
            value = rng.uniform(0.15, 0.5)
            for o, (k, e) in enumerate(_KE):
                for p in range(3):
                    gain = value * ((k - 3) / 8 + (e - 3) / 3) + (0.35 if b else 0.0)
                    loss = (0.0, 0.05, 0.2)[p] * rng.uniform(0.5, 1.5)
                    weights.append(gain - loss + rng.normal(0, 0.03))
                    edges.add(node, node + 1, [index[s, min(b, 1), o, p]], [feature])
                    feature += 1
            node += 1
            if b >= 1:
                exits.append(node)
        for end in exits[:-1]:  # the last block's node is the stage's end
            edges.add(end, node, [], [])
    for p in range(3):
        edges.add(node, node + 1, [index[-2, 0, 0, p]], [feature])
        weights.append(-float(rng.uniform(0.0, 0.2)) * p)
        feature += 1
    trellis = edges.trellis(node + 2, len(rows.cin), feature)
    engines = tuple(_ofa_engine(rng, rows, grid, mode, noise) for mode in _ENGINES)
    return CodesignProblem(
        trellis,
        trellis.scores(np.array(weights)),
        engines,
        np.array([360, int(0.7 * 70_560), int(0.7 * 141_120), 216], dtype=np.int64),
        clock_hz=2.5e8,
        micro=1e6,
        static_power_w=0.5,
        meta={"origin": "synthetic"},
    )


def _ofa_engine(rng: np.random.Generator, rows: _Rows, grid: Grid, mode: _Mode, noise: float) -> Engine:
    name, supported, _, _, _ = mode
    precision = np.array([_BITS.index((int(w), int(a))) for w, a in zip(rows.wbits, rows.abits, strict=True)])
    bad = ~np.array(supported)[precision]
    weights = (rows.cin * rows.cmid + rows.cmid * rows.k**2 + rows.cmid * rows.cout) * rows.wbits // 8
    moved = rows.cin * rows.size_in**2 + rows.cout * rows.size_out**2 + weights
    memory = np.where(bad, INFEASIBLE, (moved * 10) // 168).astype(np.int64)

    def shaken(table: KernelTable) -> KernelTable:
        def shake(a: IntArray) -> IntArray:
            extra = (a * rng.uniform(0, noise, a.shape)).astype(np.int64) if noise else 0
            return np.where(bad[None, :] | (a >= INFEASIBLE), INFEASIBLE, a + extra).astype(np.int64)

        return replace(table, cycles=shake(table.cycles), solo=shake(table.solo))

    kernels = (
        shaken(_pointwise(rows, grid, mode, True)),
        shaken(_depthwise(rows, grid, mode)),
        shaken(_pointwise(rows, grid, mode, False)),
    )
    macs: NDArray[np.int64] = rows.cmid * (
        rows.cin * rows.size_in**2 + rows.k**2 * rows.size_out**2 + rows.cout * rows.size_out**2
    )
    energy = (macs * rows.wbits * rows.abits) // 64 + moved * 100
    return Engine(
        name,
        kernels,
        memory,
        np.full(len(memory), 300, np.int64),
        np.array([0, 3000, 4000, 8]),
        energy.astype(np.int64),
    )
