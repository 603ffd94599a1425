"""Grids of kernel configurations: which parallelisms, buffer depths and multiplier places are tried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from cofront.errors import unknown_name
from cofront.hardware.subgraph.calls import Call, KernelName, Stage
from cofront.hardware.subgraph.config import PARAMS

if TYPE_CHECKING:
    from cofront.hardware.subgraph.formulas import IntArray


@dataclass(frozen=True)
class Grid:
    """Candidates per parameter. `line_shares`: line buffers as shares of the largest row any call needs."""

    name: str
    pi: tuple[int, ...]
    po: tuple[int, ...]
    conv_taps: tuple[int, ...]
    channels: tuple[int, ...]
    dw_taps: tuple[int, ...]
    weight_depth: tuple[int, ...]
    dw_weight_depth: tuple[int, ...]
    line_shares: tuple[float, ...]
    dsp: tuple[int, ...] = (1, 0)


_COARSE = (2, 4, 8, 12, 16, 24, 32, 48, 64, 96)
_FINE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 128)

GRIDS: dict[str, Grid] = {
    "coarse": Grid("coarse", _COARSE, _COARSE, (1,), _COARSE, (1, 3, 9, 25), (512, 1024, 2048), (512,), (1.0, 0.5)),
    "fine": Grid(
        "fine",
        _FINE,
        _FINE,
        (1, 3),
        _FINE,
        (1, 2, 3, 5, 9, 13, 25, 49),
        (512, 1024, 2048, 4096),
        (512, 1024),
        (1.0, 0.5, 0.25),
    ),
}


def grid(which: str | Grid) -> Grid:
    if isinstance(which, Grid):
        return which
    if which not in GRIDS:
        raise unknown_name("grid", which, GRIDS)
    return GRIDS[which]


def _stages(kernel: KernelName, calls: Sequence[Call]) -> list[Stage]:
    """Stages that can run on the kernel: its own, and lone 1 x 1 layers on both conv and pw."""
    own = [c.stage(kernel) for c in calls if not c.is_pointwise]
    lone = [c.stages[0] for c in calls if c.is_pointwise] if kernel != "dw" else []
    return [s for s in own if s is not None] + lone


def _taps(wanted: Iterable[int], most: int) -> tuple[int, ...]:
    """Candidates that are not more than the window has positions; all of it if none is."""
    return tuple(t for t in wanted if t <= most) or (most,)


def capacities(kernel: KernelName, calls: Sequence[Call]) -> tuple[int, int, int, int]:
    """(rows, line elements, input channels, output channels) that hold every call's stages on the kernel."""
    stages = _stages(kernel, calls)
    if not stages:
        return 0, 0, 0, 0
    return (
        max(max(s.rows, 2) if s.windowed else 1 for s in stages),
        max((s.in_width * s.in_channels for s in stages if s.windowed), default=0),
        max(s.in_channels for s in stages),
        max(s.out_channels for s in stages),
    )


def configurations(kernel: KernelName, calls: Sequence[Call], g: Grid) -> IntArray:
    """(j, p) parameters in the order of PARAMS. A kernel that no call needs has the single configuration "absent"."""
    import numpy as np

    stages = _stages(kernel, calls)
    absent = np.zeros((1, len(PARAMS)), dtype=np.int64)
    if not stages:
        return absent
    rows, line, ins, outs = capacities(kernel, calls)
    lines = tuple(sorted({max(int(line * share), 1) for share in g.line_shares}, reverse=True)) if line else (0,)
    most = max(s.taps for s in stages)
    axes: tuple[tuple[int, ...], ...]
    if kernel == "dw":
        axes = ((1,), g.channels, _taps(g.dw_taps, most), g.dsp, g.dw_weight_depth, (rows,), lines, (0,), (outs,))
    else:
        taps = _taps(g.conv_taps, most) if kernel == "conv" else (1,)
        axes = (g.pi, g.po, taps, g.dsp, g.weight_depth, (rows,), lines, (ins,), (outs,))
    table = np.array(list(product(*axes)), dtype=np.int64)
    needed = any(c.stage(kernel) for c in calls if not c.is_pointwise)
    return table if needed else np.concatenate([absent, table])
