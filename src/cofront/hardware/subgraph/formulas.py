"""Cycles and resources of one kernel, on integers or integer arrays of any broadcastable shapes.

Cycle formulas follow the reconstruction of [HAO21] (output pixels x channel groups x taps), extended by reading,
filling and draining; resources follow the generated engine (`area.py`). `scalar.py` writes cycles a second time,
independently; LUTs, flip-flops and memories both take from `area.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.hardware.subgraph import area
from cofront.hardware.subgraph.area import LUTRAM_WORDS as LUTRAM_WORDS
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.engines import EngineKind

Int = Any  # int or NDArray[np.int64], as NumPy's own functions take
IntArray = NDArray[np.int64]


def ceil_div(a: Int, b: Int) -> Int:
    return -(-a // b)


def stream(lead: Int, flush: Int, in_pixels: Int, out_pixels: Int, read: Int, work: Int, pipeline: int) -> Int:
    """Cycles from the first input word to the last output word of one kernel whose input never waits.

    `read` cycles per input pixel and `work` cycles per output pixel overlap: either the computing is slower (it starts
    after `lead` pixels), or the reading is (after it `flush` output pixels remain).
    """
    return np.maximum(lead * read + out_pixels * work, in_pixels * read + flush * work) + pipeline


def kernel_resources(
    kernel: str, params: dict[str, IntArray], kind: EngineKind, dsp_kind: str, co: Coefficients, bus_bits: int
) -> IntArray:
    """(j, 4) DSP, LUT, FF, BRAM36 of configurations of one kernel; `params` maps names to (j,) with po >= 1."""
    pi, po, taps = params["pi"], params["po"], params["taps"]
    n = pi * po * taps
    depthwise = kernel == "dw"
    packed = co.products(dsp_kind, kind.product, own=depthwise)

    # The output channels of one input channel and tap share its activation.
    spread = depthwise or co.ideal_packing
    multipliers = ceil_div(n, packed) if spread else pi * taps * ceil_div(po, packed)
    on_dsp = np.where(params["dsp"] == 1, ceil_div(multipliers, co.multipliers(dsp_kind)), 0)
    dsp = on_dsp + po * kind.w4a4_factor * co.requant_dsp_per_lane
    lut, ff = co.weighed(area.features(kernel, params, kind, bus_bits))
    return np.stack([dsp, lut, ff, area.memories(kernel, params, kind)], axis=-1).astype(np.int64)
