"""Fronts: what holds a kernel's input and hands out operands (`PixelBuffer`, `LineBuffer`, `WindowBuffer`).

A front takes the input stream while `enable` is high and says with `ready` that everything for the next output pixel
is there. The kernel then names what it wants, cycle by cycle, and has it `latency` cycles later:

    beat, turn   which channels and which part of the window
    acts         taps x lanes activations, position by position
    next         with the last cycle of an output pixel; `next_row`: it was the last of its row
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import KERNEL_RUN


def front_ports(bits: int, acts: int) -> dict[str, Any]:
    """Ports of every front besides `input`."""
    return {
        "run": In(KERNEL_RUN),
        "start": In(1),
        "enable": In(1),
        "ready": Out(1),
        "beat": In(16),
        "turn": In(16),
        "step": In(1),
        "next": In(1),
        "next_row": In(1),
        "acts": Out(data.ArrayLayout(unsigned(bits), acts)),
    }
