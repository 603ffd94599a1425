"""Cycles and resources of one kernel, on integers or integer arrays of any broadcastable shapes.

Cycle formulas follow the reconstruction of [HAO21] (output pixels x channel groups x taps), extended by reading,
filling and draining; resource forms follow synthesis fits. `scalar.py` writes the model a second time, independently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.hardware.subgraph.calls import PARAM_BITS
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.engines import EngineKind

Int = Any  # int or NDArray[np.int64], as NumPy's own functions take
IntArray = NDArray[np.int64]

#: BRAM36 in its widest shape.
BRAM_WORDS, BRAM_BITS = 512, 72
#: Memories of at most this many words are built from LUTs.
LUTRAM_WORDS = 64


def ceil_div(a: Int, b: Int) -> Int:
    return -(-a // b)


def stream(lead: Int, flush: Int, in_pixels: Int, out_pixels: Int, read: Int, work: Int, pipeline: int) -> Int:
    """Cycles from the first input word to the last output word of one kernel whose input never waits.

    `read` cycles per input pixel and `work` cycles per output pixel overlap: either the computing is slower (it starts
    after `lead` pixels), or the reading is (after it `flush` output pixels remain).
    """
    return np.maximum(lead * read + out_pixels * work, in_pixels * read + flush * work) + pipeline


def weight_bram(pi: Int, po: Int, taps: Int, depth: Int, bits: int) -> Int:
    return ceil_div(pi * po * taps * bits, BRAM_BITS) * ceil_div(depth, BRAM_WORDS)


def line_bram(lanes: Int, rows: Int, elements: Int, bits: int) -> Int:
    """`rows` rows side by side in one memory; a single row needs none."""
    need = ceil_div(rows * lanes * bits, BRAM_BITS) * ceil_div(ceil_div(elements, lanes), BRAM_WORDS)
    return np.where(np.asarray(rows) > 1, need, 0)


def pixel_bram(pi: Int, elements: Int, bits: int) -> Int:
    """Ping-pong buffer of one pixel's input channels."""
    return ceil_div(pi * bits, BRAM_BITS) * ceil_div(2 * ceil_div(elements, pi), BRAM_WORDS)


def param_memory(lanes: Int, elements: Int) -> tuple[Int, Int]:
    """(BRAM36, bits in LUT RAM) of the double-buffered requantisation constants."""
    depth = 2 * ceil_div(elements, lanes)
    bits = lanes * PARAM_BITS
    small = np.asarray(depth) <= LUTRAM_WORDS
    return np.where(small, 0, ceil_div(bits, BRAM_BITS) * ceil_div(depth, BRAM_WORDS)), np.where(small, bits, 0)


def n_log_n_milli(n: IntArray) -> IntArray:
    """1000 n log2(n), rounded: size of the adder tree that sums n products."""
    return np.asarray(np.rint(1000.0 * n * np.log2(n)), dtype=np.int64)


def kernel_resources(
    kernel: str, params: dict[str, IntArray], kind: EngineKind, dsp_kind: str, co: Coefficients
) -> IntArray:
    """(j, 4) DSP, LUT, FF, BRAM36 of configurations of one kernel; `params` maps names to (j,) with po >= 1."""
    pi, po, taps, rows = params["pi"], params["po"], params["taps"], params["rows"]
    on_dsp = params["dsp"] == 1
    n = pi * po * taps
    lanes = po * kind.w4a4_factor
    depthwise = kernel == "dw"
    packed = co.products(dsp_kind, kind.product, own=depthwise)

    # The output channels of one input channel and tap share its activation.
    spread = depthwise or co.ideal_packing
    multipliers = ceil_div(n, packed) if spread else pi * taps * ceil_div(po, packed)
    dsp = np.where(on_dsp, ceil_div(multipliers, co.multipliers(dsp_kind)), 0) + lanes * co.requant_dsp_per_lane

    bram_param, ram_bits = param_memory(lanes, params["out_elements"])
    bram = weight_bram(pi, po, taps, params["weight_depth"], kind.weight_bits) + bram_param
    window = po if depthwise else pi
    bram = bram + line_bram(window, rows, params["line_elements"], kind.act_bits)
    if not depthwise:
        bram = bram + pixel_bram(pi, params["in_elements"], kind.act_bits)

    turns = ceil_div(ceil_div(rows * rows, taps) - 1, 3)  # 4:1 selectors per bit of one tap taken in turns
    windowed = np.where(rows > 1, window, 0)
    on_dsp_milli = (co.lut_packed_milli if packed > 1 else 0) + (co.lut_dual_milli if kind.w4a4_factor > 1 else 0)
    per_product = np.where(on_dsp, on_dsp_milli, 1000 * co.lut_of_multiplier(kind.lut_product))
    lut_milli = (
        co.lut_kernel_milli
        + co.lut_const_milli
        + co.lut_lane_milli * lanes
        + per_product * n
        + co.lut_select_milli * kind.act_bits * windowed * taps * turns
        + co.lut_ram_bit_milli * ram_bits
    )
    lut = ceil_div(1000 * lut_milli + co.lut_tree_milli * lanes * n_log_n_milli(pi * taps), 1_000_000)

    product = co.ff_dw_product_milli if depthwise else co.ff_product_milli
    ff_milli = (
        co.ff_const_milli + co.ff_lane_milli * lanes + product * n + 1000 * kind.act_bits * windowed * rows * rows
    )
    return np.stack([dsp, lut, ceil_div(ff_milli, 1000), bram], axis=-1).astype(np.int64)
