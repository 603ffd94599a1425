"""Cycles of every configuration of one kernel on every row: the arrays of a KernelTable.

Letters: j configurations, r rows. Broadcasting is (j, 1) against (r,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cofront.hardware.subgraph.calls import Call, KernelName
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.formulas import Int, IntArray, ceil_div, stream
from cofront.problem import INFEASIBLE

_FIELDS = (
    "in_channels",
    "out_channels",
    "groups",
    "taps",
    "rows",
    "in_width",
    "in_pixels",
    "out_pixels",
    "lead",
    "flush",
    "overlap",
    "in_bytes",
    "out_bytes",
    "weight_bytes",
    "fed",
    "next_lead",
    "stride",
    "apart",
    "stalls",
    "logits",
)


@dataclass(frozen=True)
class StageRows:
    """What one kernel has to do in each row: (r,) columns by name, 1 or 0 where the kernel is not used.

    `present`: the row uses the kernel; `alone`: it is the call's only stage; `extra_bytes`: moved with the stage when
    it runs by itself; `factor`: how many times as many outputs the engine computes at once; the rest as in `Stage`.
    """

    columns: dict[str, IntArray]

    def __getitem__(self, name: str) -> IntArray:
        return self.columns[name]

    @property
    def windowed(self) -> IntArray:
        """(r,) as `Stage.windowed`."""
        return np.asarray((self["rows"] > 1) | (self["stride"] > 1))

    def distinct(self) -> tuple[StageRows, IntArray]:
        """The different rows (u,), and for each row which of them it is, (r,)."""
        table = np.stack(list(self.columns.values()), axis=1)
        rows, back = np.unique(table, axis=0, return_inverse=True)
        return StageRows({name: rows[:, i] for i, name in enumerate(self.columns)}), back.reshape(-1)


def stage_rows(kernel: KernelName, calls: Sequence[Call], w4a4_factor: int = 1) -> StageRows:
    """The rows of one kernel. A call that is a single 1 x 1 layer is a row of both conv and pw."""
    names = ("present", "alone", "extra_bytes", "factor", *_FIELDS)
    table = np.ones((len(calls), len(names)), dtype=np.int64)
    table[:, :3] = 0
    for i, call in enumerate(calls):
        stage = call.stages[0] if call.is_pointwise and kernel != "dw" else call.stage(kernel)
        if stage is not None:
            extra = call.extra_bytes if stage is call.stages[-1] else 0
            factor = w4a4_factor if stage.weight_bits <= 4 and stage.act_bits <= 4 else 1
            table[i] = (1, len(call.stages) == 1, extra, factor, *(getattr(stage, f) for f in _FIELDS))
    return StageRows({name: table[:, i] for i, name in enumerate(names)})


@dataclass(frozen=True)
class KernelTimes:
    """All (j, r). `cycles`, `head`, `tail` in a fused call; `alone` the kernel by itself, without overhead."""

    cycles: IntArray
    head: IntArray
    tail: IntArray
    alone: IntArray


def kernel_times(
    kernel: KernelName,
    params: dict[str, IntArray],
    rows: StageRows,
    co: Coefficients,
    bytes_per_kilocycle: int,
    dual: bool = False,
) -> KernelTimes:
    """Cycles of each configuration (columns (j,)) on each row; INFEASIBLE where present and impossible, 0 if absent.

    `dual`: of an engine that computes twice the outputs of narrow calls.
    """
    p = {name: column[:, None] for name, column in params.items()}
    depthwise = kernel == "dw"
    fill = int(co.fill)
    lead, flush = rows["lead"] * fill, rows["flush"] * fill
    exists = p["po"] > 0
    pi, taps = np.maximum(p["pi"], 1), np.maximum(p["taps"], 1)
    po = np.maximum(p["po"], 1) * rows["factor"]
    channels, groups = rows["in_channels"], rows["groups"]

    # Work: `units` independent groups of output channels, `step` cycles each per output pixel.
    units = ceil_div(channels, po) if depthwise else groups * ceil_div(rows["out_channels"] // groups, po)
    words = _words(depthwise, rows, pi, taps, p["rows"])
    step = _step(words, depthwise, rows, taps, p["rows"], co)
    pipeline = pipeline_cycles(taps * (1 if depthwise else pi), taps, p["rows"], co, dual)
    read = units if depthwise else groups * ceil_div(channels // groups, pi)
    work = units * step

    # With more taps than rows the window's middle is that of the rows.
    centred = (taps <= p["rows"]) | ((p["rows"] - rows["rows"]) % 2 == 0)
    windowed = rows.windowed
    window_ok = (rows["rows"] <= p["rows"]) & centred & (~windowed | (p["rows"] > 1))
    channel_ok = rows["out_channels"] <= p["out_elements"]
    if not depthwise:
        channel_ok = channel_ok & (channels <= p["in_elements"])
    usable = exists & window_ok & channel_ok
    line = p["line_elements"] * rows["factor"]
    half = p["weight_depth"] // 2
    # Where the kernel holds just the rows of the window, and for how many pixels it then waits between rows.
    stalls = rows["stalls"] * (p["rows"] == rows["rows"]) * fill

    fits = (units * words <= half) & (~windowed | (rows["in_width"] * channels <= line))
    # Behind another kernel, only the last of the `lead` pixels is left to read: that kernel's head has the rest.
    fed = rows["fed"] * np.maximum(lead - 1, 0)
    fused = stream(lead - fed + stalls, flush, rows["in_pixels"] - fed, rows["out_pixels"], read, work, pipeline)
    head = ((lead - fed) * read + rows["next_lead"] * work + pipeline) * fill
    tail = (flush * work + pipeline) * fill

    alone, possible = _by_itself(
        kernel,
        rows,
        units,
        step,
        words,
        read,
        line,
        half,
        lead + stalls,
        flush,
        po,
        pipeline,
        co,
        bytes_per_kilocycle,
        dual,
    )
    alone = np.where(usable & possible, alone, INFEASIBLE)
    cycles = np.where(rows["alone"] > 0, alone, np.where(usable & fits, fused, INFEASIBLE))
    present = rows["present"] > 0
    zero = np.zeros((), dtype=np.int64)
    joined = present & (rows["alone"] == 0)
    return KernelTimes(
        cycles=np.where(present, cycles, zero),
        head=np.where(joined & usable, head, zero),
        tail=np.where(joined & usable, tail, zero),
        alone=np.where(present, alone, zero),
    )


def _words(depthwise: bool, rows: StageRows, pi: Int, taps: Int, window: Int) -> Int:
    """Words of weights (j, r) of one unit: input beats x turns."""
    return (1 if depthwise else ceil_div(rows["in_channels"] // rows["groups"], pi)) * turns(rows["taps"], taps, window)


def _step(words: Int, depthwise: bool, rows: StageRows, taps: Int, window: Int, co: Coefficients) -> Int:
    """Cycles (j, r) of one unit of one output pixel."""
    if not co.fill:
        return words
    if depthwise:  # a window of more taps than rows takes a cycle for every column that the stride adds
        words = words + (taps > window) * (rows["stride"] - 1)
    return np.maximum(words, rows["apart"])


def turns(positions: Int, taps: Int, window: Int) -> Int:
    """Turns in which `taps` multipliers take the positions of a window.

    A kernel of no more taps than rows takes them column by column, each in a column at once; otherwise in one sequence.
    """
    side = np.asarray(np.rint(np.sqrt(positions)), dtype=np.int64)
    columns = (side * side == positions) & (taps <= window)
    return np.where(columns, ceil_div(side * np.maximum(side, taps), taps), ceil_div(positions, taps))


def pipeline_cycles(terms: Int, taps: Int, window: Int, co: Coefficients, dual: bool) -> Int:
    """Cycles from a kernel's input to its output: its front, its multipliers, a level of the adder tree for every four.

    Multipliers count as DSPs; those of LUTs are three cycles shorter.
    """
    if not co.fill:
        return np.zeros_like(terms)
    front = np.where(window == 1, 1, np.where(taps <= window, 3, 4))
    levels = sum((terms > 4**i).astype(np.int64) for i in range(12))
    return front + levels + co.pipeline_cycles + int(dual)


def _by_itself(
    kernel: KernelName,
    rows: StageRows,
    units: Int,
    step: Int,
    stored: Int,
    read: Int,
    line: Int,
    half: Int,
    lead: Int,
    flush: Int,
    po: Int,
    pipeline: Int,
    co: Coefficients,
    bytes_per_kilocycle: int,
    dual: bool,
) -> tuple[Int, Int]:
    """Cycles (j, r) of one kernel between reads and writes of external memory, and whether it can run at all.

    Weights that exceed half the weight memory are taken in tiles of whole units; each tile reads the input again,
    but for depthwise tiles and groups, which read their own channels. A k x k convolution whose rows exceed the line
    buffer works in vertical stripes that re-read `overlap` columns. Every tile and stripe is a run, whose overhead but
    one is added here.
    """
    windowed = rows.windowed
    width, channels = rows["in_width"], rows["in_channels"]
    cap = half // stored
    # Every tile of logits but the last has whole groups of what the lanes of a DUAL engine are at W4A4.
    cap = np.where((rows["logits"] > 0) & (rows["factor"] == 1) & dual & (cap < units), cap // 2 * 2, cap)
    in_pixels, in_bytes = rows["in_pixels"], rows["in_bytes"]
    if kernel == "dw":
        cap = np.where(windowed, np.minimum(cap, (line // width) // po), cap)
        possible, stripes = cap >= 1, np.ones_like(width)
    else:
        stripe = np.where(windowed, line // channels, width)
        overlap = np.where(windowed, rows["overlap"], 0)
        split = stripe < width
        stripes = np.where(split, ceil_div(width - overlap, np.maximum(stripe - overlap, 1)), 1)
        columns = (stripes - 1) * overlap
        in_pixels = in_pixels + in_pixels // width * columns
        in_bytes = in_bytes + ceil_div(in_bytes * columns, width)
        possible = (cap >= 1) & (~split | (stripe > overlap))
    cap = np.maximum(np.minimum(cap, units), 1)
    tiles = ceil_div(units, cap)
    again = (tiles * stripes - 1) * co.overhead_cycles

    def tile(count: Int) -> Int:
        words = count if kernel == "dw" else read
        return stream(lead, flush, in_pixels, rows["out_pixels"], words, count * step, pipeline)

    busy = (tiles - 1) * tile(cap) + tile(units - (tiles - 1) * cap)
    passes = 1 if kernel == "dw" else ceil_div(tiles, rows["groups"])
    moved = in_bytes * passes + rows["out_bytes"] + rows["weight_bytes"] + rows["extra_bytes"]
    return np.maximum(busy, ceil_div(1000 * moved, bytes_per_kilocycle)) + again, possible
