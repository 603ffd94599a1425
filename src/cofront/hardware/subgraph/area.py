"""What a kernel of the generated engine is made of, as numbers that its LUTs and flip-flops are proportional to.

The features follow the RTL (`cofront.rtl`): widths of adders, selectors, registers and memories in LUTs. They work on
integers and on integer arrays alike, so that the search and a single estimate compute the same.

Notation: up(x) rounded up; L output lanes (po, twice that for DUAL), T products summed per lane, N multipliers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cofront.hardware.subgraph.calls import PARAM_BITS
from cofront.hardware.subgraph.engines import EngineKind

Int = Any  # int or NDArray[np.int64]

#: Levels of a tree of fan-in 4 over as many products as anyone sums, and bits of their number.
_LEVELS, _BITS = 7, 14
#: Features of gearboxes, as `gearbox` gives them.
GEAR = ("gear", "gear_buffer", "gear_select", "gear_single")
#: Memories of at most this many words are built from LUTs.
LUTRAM_WORDS = 64


def up(a: Int, b: Int) -> Int:
    """a / b rounded up."""
    return -(-a // b)


def choose(condition: Any, yes: Int, no: Int = 0) -> Int:
    """`yes` where the condition holds, else `no`."""
    one = condition * 1
    return one * yes + (1 - one) * no


def bits_of(n: Int) -> Int:
    """ceil(log2(n)) of n >= 1."""
    return sum((n > (1 << i)) * 1 for i in range(_BITS))


def gcd(a: Int, b: Int) -> Int:
    if isinstance(a, int) and isinstance(b, int):
        return math.gcd(a, b)
    import numpy as np

    return np.gcd(a, b)


def tree(bits: int | Int, terms: Int) -> tuple[Int, Int]:
    """(LUTs of adders, bits of registers) of the tree of fan-in 4 over terms of `bits`.

    Per bit, two terms take one LUT, three take two, and four four: carries are saved first.
    """
    adders, registers, left, count = 0, 0, terms, 1
    for _ in range(_LEVELS):
        width = bits + bits_of(choose(terms < count, terms, count))
        count *= 4
        after, more, rest = up(left, 4), left > 1, left % 4
        adders = adders + (left // 4 * 4 + choose(rest == 2, 1) + choose(rest == 3, 2)) * width
        registers = registers + choose(more, after * (bits + bits_of(choose(terms < count, terms, count))))
        left = after
    return adders, registers


def gearbox(a: Int, b: Int) -> tuple[Int, Int, Int, Int]:
    """GEAR of a gearbox of bytes, a lanes to b: is one, bits of its buffer, selected, of the buffer where b = 1."""
    common = gcd(a, b)
    one = (a != b) * 1
    buffer = one * 8 * (a + b - common)
    return one, buffer, one * (8 * a * b // common), choose(b == 1, buffer)


def lut_ram(bits: Int, depth: Int) -> Int:
    """LUTs of a memory of two ports in LUTs: 14 bits in 8 LUTs of 32 words, 7 of 64."""
    return choose(depth <= 32, 8 * up(bits, 14), 8 * up(bits, 7) * up(depth, 64))


def features(name: str, p: Mapping[str, Int], kind: EngineKind, bus_bits: int) -> dict[str, Int]:
    """The features of one kernel (conv, dw or pw) with parameters `p` (`KernelConfig`), po >= 1."""
    depthwise, dual = name == "dw", kind.w4a4_factor > 1
    pi, po, taps = p["pi"], p["po"], p["taps"]
    lanes, terms = po * kind.w4a4_factor, taps * (1 if depthwise else pi)
    takes = lanes if depthwise else pi  # lanes of the input stream
    sort = "dw" if depthwise else "full"
    out: dict[str, Int] = {
        f"kernel_{sort}": 1 + 0 * po,
        f"lane_{sort}": lanes,
        "queue": lut_ram(8 * lanes, 32) * (1 if depthwise else 2),
        **_multipliers(p, kind, depthwise, terms),
        **_front(p, kind.act_bits * (po if depthwise else pi), depthwise),
        **_loaders(p, kind, bus_bits, lanes),
    }
    if dual:
        out[f"dual_{sort}"] = po
    words = bus_bits // 8
    boxes = [gearbox(words, takes), gearbox(lanes, words)] + ([] if depthwise else [gearbox(words, lanes)])
    for i, key in enumerate(GEAR):
        out[key] = sum(box[i] for box in boxes)
    # To the kernels behind: what two kernels have between them is no sum over kernels; this is the nearest that is.
    out[f"from_{name}"] = lanes
    out[f"to_{name}"] = takes
    out[f"pool_{name}"] = lut_ram(3 * bus_bits, up(p["out_elements"], words))
    out[f"is_{name}"] = 1 + 0 * po
    return out


def _multipliers(p: Mapping[str, Int], kind: EngineKind, depthwise: bool, terms: Int) -> dict[str, Int]:
    """Products and the trees behind them."""
    po, dsp = p["po"], p["dsp"] == 1
    products, bits = po * terms, kind.weight_bits + kind.act_bits
    narrow = kind.product == "44" or kind.w4a4_factor > 1
    each = 4 // kind.w4a4_factor  # outputs of a slice, of which narrow fields borrow from each other
    borrows = terms * (
        po // each * 5 + choose(po % each > 1, 2 * (po % each) - 3, (po % each) * (kind.w4a4_factor - 1))
    )
    borrowed = {} if depthwise or not narrow else {"borrows": choose(dsp, borrows)}
    own, dual = "own" if depthwise else "shared", kind.w4a4_factor > 1
    if not dual:
        adders, registers = tree(bits, terms)
        return {
            **borrowed,
            f"{own}_{kind.product}": choose(dsp, products),
            f"lut_{kind.lut_product}": choose(dsp, 0, products),
            "product_bits": choose(dsp, 0, products * bits),
            "adders": po * adders,
            "sums": po * registers,
        }
    one = 8 + bits_of(terms)  # two sums side by side
    adders, registers = tree(2 * one, terms)
    return {
        **borrowed,
        f"{own}_dual": choose(dsp, products),
        "lut_dual": choose(dsp, 0, products),
        "product_bits": choose(dsp, 0, products * bits),
        "dual_terms": products * one * 2,
        "adders": po * adders,
        "sums": po * registers,
        "dual_sums": po * one * 2,
    }


def _front(p: Mapping[str, Int], word: Int, depthwise: bool) -> dict[str, Int]:
    """What holds the input: `word` bits of all lanes."""
    taps, rows = p["taps"], p["rows"]
    pixel, window = rows == 1, taps > rows
    line = (rows > 1) & (taps <= rows)
    out = {
        "pixel": pixel * 1,
        "line": line * 1,
        "line_taps": choose(line, taps),
        "line_select": choose(line & (taps > 1), taps * word * rows),
        "line_single": choose(line & (taps == 1), word),
        "line_acts": choose(line, taps * word),
    }
    if not depthwise:
        return out
    places = rows * (rows + 1) * (rows + 2) // 6  # of windows of `rows` and of every second size below
    depth = up(p["out_elements"], p["po"])
    store = (rows - 1) * rows * word
    return out | {
        "window": window * 1,
        "window_rows": choose(window, rows),
        "window_ring": choose(window, rows * rows * word),
        "window_column": choose(window, rows * word),
        "window_pick": choose(window, (places - taps) * word),
        "window_acts": choose(window, taps * word),
        # A memory of one port: 16 bits in 8 LUTs of 32 words, one in a LUT of 64, in 2, 4, 8 of 128, 256, 512.
        "window_store": choose(window, choose(depth <= 32, 8 * up(store, 16), store * _luts_of_bit(depth))),
    }


def _luts_of_bit(depth: Int) -> Int:
    return choose(depth <= 64, 1, choose(depth <= 128, 2, choose(depth <= 256, 4, 8 * up(depth, 512))))


def _loaders(p: Mapping[str, Int], kind: EngineKind, bus: int, lanes: Int) -> dict[str, Int]:
    """Loaders of weights and of the constants of requantisation: words gathered from, or cut out of, bus words."""
    bits = p["pi"] * p["po"] * p["taps"] * kind.weight_bits
    wide, parts = bits > bus, up(bits, bus)
    key = f"{kind.weight_bits}"
    params = lanes * PARAM_BITS
    depth = 2 * up(p["out_elements"], lanes)
    small = depth <= LUTRAM_WORDS
    return {
        f"gather_{key}": wide * 1,
        f"gather_parts_{key}": choose(wide, bus * (parts - 1)),
        f"gather_even_{key}": choose(wide & (parts % 2 == 0), bus + 0 * parts),
        f"gather_bus_{key}": choose(wide, bus + 0 * parts),
        f"cut_{key}": choose(wide, 0, 1 + 0 * parts),
        f"cut_bits_{key}": choose(wide, 0, bits),
        f"cut_bus_{key}": choose(wide, 0, bus + 0 * parts),
        "param_wide": (params > bus) * 1,
        "param_narrow": (params <= bus) * 1,
        "param_gather": choose(params > bus, bus * (up(params, bus) - 1)),
        "param_cut": choose(params > bus, 0, params),
        "param_ram": choose(small, lut_ram(params, depth)),
        "param_read": choose(small, params),
    }


#: Width of a RAMB18 with two ports by depth: 512 words and every double; width and depth of a RAMB36. What Yosys
#: reckons for either; a bit that is selected among memories costs it a half.
_SHAPES = (36, 18, 9, 4, 2, 1)
_WIDE = ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384))
_HALF, _WHOLE = 129, 257


def bram36(bits: Int, words: Int) -> Int:
    """RAMB36 that a memory of `words` words in block RAM takes, halves rounded up: the shape that is cheapest."""
    best: Int = None
    blocks: Int = 0
    for i, width in enumerate(_SHAPES):
        for whole, wide, deep in ((1, *_WIDE[i]), (0, width, 512 << i)):
            chosen = up(words, deep)
            cells = up(bits, wide) * chosen
            cost = 2 * cells * (_WHOLE if whole else _HALF) + bits * (chosen - 1)
            taken = cells if whole else up(cells, 2)
            better = best is None or cost < best
            blocks, best = choose(better, taken, blocks), cost if best is None else choose(better, cost, best)
    return blocks


def memories(name: str, p: Mapping[str, Int], kind: EngineKind) -> Int:
    """RAMB36 of a kernel: weights, rows or pixels, constants of requantisation."""
    depthwise = name == "dw"
    pi, po, taps, rows = p["pi"], p["po"], p["taps"], p["rows"]
    lanes = po * kind.w4a4_factor
    total = bram36(pi * po * taps * kind.weight_bits, 2 * (p["weight_depth"] // 2))
    depth = 2 * up(p["out_elements"], lanes)
    total = total + choose(depth <= LUTRAM_WORDS, 0, bram36(lanes * PARAM_BITS, depth))
    taken = po if depthwise else pi
    word = taken * kind.act_bits
    pixel = up(p["out_elements"], po) if depthwise else up(p["in_elements"], pi)
    row = up(p["line_elements"], taken)
    row = choose(row > pixel, row, pixel)
    shared = up(rows * row, 512) * 512 // (rows + (rows == 0)) * rows  # with one tap all rows are in one memory
    each = up(row, 512) * 512
    held = choose(taps == 1, bram36(word, shared), rows * bram36(word, each))
    return total + choose(rows == 1, bram36(word, 2 * pixel), held)
