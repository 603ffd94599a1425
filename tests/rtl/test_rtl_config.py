"""What a kernel refuses: one line each, before any hardware runs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("amaranth")

from rtl_reference import make_case

from cofront.errors import InputError
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.config import KernelConfig
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.timing import pipeline_cycles
from cofront.hardware.subgraph.timing import turns as model_turns
from cofront.rtl.config import KernelDesign, check_run, turns, up
from cofront.rtl.kernel import latency

CONV = KernelConfig(2, 2, 1, 1, 256, 3, 64, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"stride": 3}, "has strides 1 and 2, not 3"),
        ({"turns": 8}, "takes 9 turns for a window of 3, not 8"),
        ({"size": 4}, "1 taps and 3 rows serves windows of 1, 2, 3, not 4"),
        ({"pad_left": 2}, "pads a window of 3 by at most 2 on left and right together, not"),
        ({"in_width": 400, "out_width": 400}, "holds 170 words of a row, not 800"),
        ({"residual_multiplier": 1 << 26}, "multiplies a residual by at most 27 signed bits, not by 67108864"),
        ({"shift": 39, "logits": 1}, None),
        ({"shift": 40, "logits": 1}, "shifts by at most 39, not by 40"),
        ({"shift": 46}, None),
        ({"shift": 47}, "shifts by at most 46, not by 47"),
    ],
)
def test_a_run_that_the_kernel_cannot_do(change, message):
    case = make_case(np.random.default_rng(0), "conv", CONV, shape=(4, 4, 3), size=3, padding=1)
    run = {**case.run(), **change}
    if "pad_left" in change:
        run["out_width"] += 1
    if message is None:
        check_run(case.design, run, "l")
        return
    with pytest.raises(InputError, match=message):
        check_run(case.design, run, "l")


@pytest.mark.parametrize(
    ("beats", "width", "message"),
    [
        (16, 4095, None),
        (16, 4096, "holds 65535 words of a row, not 65536"),
        (22000, 2, "counts 65535 words across a window, not 66000"),
    ],
)
def test_rows_are_counted_in_16_bits(beats, width, message):
    """However large a line buffer is."""
    kernel = KernelConfig(1, 2, 1, 1, 256, 3, 1 << 20, 1 << 16, 16)
    case = make_case(np.random.default_rng(0), "conv", kernel, shape=(3, 4, 1), size=3, padding=1)
    run = {**case.run(), "in_beats": beats, "in_width": width, "out_width": width}
    assert case.design.line_words > 1 << 17
    if message is None:
        check_run(case.design, run, "l")
        return
    with pytest.raises(InputError, match=message):
        check_run(case.design, run, "l")


def test_memories_hold_what_the_configuration_says():
    for taps in (1, 3, 9):
        for elements in (1, 100, 5000):
            kernel = KernelConfig(1, 4, taps, 1, 512, 3, elements, 0, 40)
            design = KernelDesign("dw", kernel, ENGINES["DUAL"])
            assert design.line_words >= max(up(elements, 4), up(40, 4))
            assert design.out_lanes == design.in_lanes == 8
            assert design.param_half == 5


@pytest.mark.parametrize(("name", "taps", "most"), [("conv", 9, 3), ("dw", 25, 9)])
def test_taps_that_the_rows_cannot_feed(name, taps, most):
    kernel = KernelConfig(1, 4, taps, 1, 512, 3, 64, 8, 8)
    with pytest.raises(InputError, match=f"kernel '{name}': 3 rows feed at most {most} taps, not {taps}"):
        KernelDesign(name, kernel, ENGINES["E88"])


@pytest.mark.parametrize("engine", ["E88", "DUAL"])
@pytest.mark.parametrize(
    ("name", "rows", "taps"), [("pw", 1, 1), ("conv", 3, 1), ("conv", 3, 3), ("dw", 5, 5), ("dw", 5, 9)]
)
def test_the_cost_model_counts_the_registers_of_a_kernel(engine, name, rows, taps):
    """Its pipeline and its turns, with multipliers on DSPs."""
    co, kind = coefficients.load(), ENGINES[engine]
    for pi in (1, 4, 5, 17):
        width = 1 if name == "dw" else pi
        k = KernelConfig(width, 4, taps, 1, 512, rows, 512, 64, 64)
        model = pipeline_cycles(np.array(taps * width), np.array(taps), np.array(rows), co, kind.w4a4_factor > 1)
        assert latency(KernelDesign(name, k, kind)) == int(model)
    for size in (s for s in (1, 3, 5) if s <= rows):
        assert int(model_turns(np.array(size * size), np.array(taps), np.array(rows))) == turns(size, taps, rows)
