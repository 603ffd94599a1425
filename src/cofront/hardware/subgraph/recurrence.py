"""A fused call simulated pixel by pixel: what the closed form of `timing.py` approximates.

Each kernel reads pixels in order and computes output pixels in order; a pixel is computed when the last input pixel
of its window has been read. Links between kernels never block. Our own reference, not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.hardware.subgraph.late import late_rows


@dataclass(frozen=True)
class PixelKernel:
    """A kernel on a map of `height` x `width`, `read` cycles per input and `work` cycles per output pixel, through a
    pipeline of so many cycles. `held`: rows of the input that it holds, 0 for as many as it likes.
    """

    height: int
    width: int
    kernel: int
    stride: int
    padding: int
    read: int
    work: int
    pipeline: int
    held: int = 0

    @property
    def out_height(self) -> int:
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    def last_input(self) -> NDArray[np.int64]:
        """(q,) index of the last input pixel that each output pixel needs."""
        rows = self.out_height
        cols = (self.width + 2 * self.padding - self.kernel) // self.stride + 1
        row = np.minimum(np.arange(rows) * self.stride - self.padding + self.kernel - 1, self.height - 1)
        col = np.minimum(np.arange(cols) * self.stride - self.padding + self.kernel - 1, self.width - 1)
        return (np.maximum(row, 0)[:, None] * self.width + np.maximum(col, 0)[None, :]).reshape(-1)


def serve(arrival: NDArray[np.int64], cycles: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """When a server that takes `cycles` per item is done with each: done[i] = max(done[i - 1], arrival[i]) + cycles[i].

    `arrival` (q,); `cycles` of all items or of each (q,).
    """
    spent = np.cumsum(np.broadcast_to(cycles, arrival.shape))
    return np.asarray(np.maximum.accumulate(arrival - spent + cycles) + spent, dtype=np.int64)


def work_by_pixel(work: int, columns: int, late: Sequence[bool], wait: int) -> NDArray[np.int64]:
    """(rows * columns,) cycles of every output pixel: `work`, and `wait` more where a `late` row begins."""
    out = np.full((len(late), columns), work, dtype=np.int64)
    out[np.asarray(late), 0] += wait
    return out.reshape(-1)


def fused_cycles(kernels: Sequence[PixelKernel]) -> int:
    """Cycles until the last output pixel has left the last kernel; the first input pixel is there at 0."""
    ready = np.zeros(kernels[0].height * kernels[0].width, dtype=np.int64)
    pace = 0
    for k in kernels:
        read = serve(ready, k.read)
        pace = max(pace, k.read)
        last = k.last_input()
        late = late_rows(k.out_height, k.height, k.kernel, k.stride, k.padding, k.held or k.height)
        work = work_by_pixel(k.work, len(last) // len(late), late, (k.kernel - k.padding) * pace)
        ready = serve(read[last], work) + k.pipeline
        pace = max(pace, k.work)
    return int(ready[-1])
