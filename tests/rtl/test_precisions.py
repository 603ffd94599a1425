"""Kernels of the narrow engines and of DUAL, with multipliers on DSPs and on LUTs, against the integer model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from rtl_bench import examples
from rtl_kernels import simulate
from rtl_reference import make_case, random_case

from cofront.hardware.subgraph.config import KernelConfig


@examples(8)
@given(
    name=st.sampled_from(["pw", "conv", "dw"]),
    engine=st.sampled_from(["E48", "E44", "DUAL", "DUAL"]),
    stall=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 10**6),
)
def test_bit_exact(name, engine, stall, seed):
    case = random_case(np.random.default_rng(seed), name, engine)
    out, _ = simulate(case, stall, seed, seed & 1)
    assert np.array_equal(out, case.expected)


@pytest.mark.parametrize("precision", [(8, 8), (4, 4)])
def test_dual_halves_the_work_of_narrow_runs(precision):
    """Four times four outputs: a single run of po = 2 takes 8 beats a pixel, a double run 4; odd counts fill up."""
    kernel = KernelConfig(2, 2, 1, 1, 64, 1, 0, 16, 16)
    case = make_case(
        np.random.default_rng(3), "pw", kernel, "DUAL", precision, (2, 3, 6), 13, residual=True, out_bits=8
    )
    assert case.run()["out_beats"] == (4 if precision == (4, 4) else 7)
    out, cycles = simulate(case)
    assert np.array_equal(out, case.expected)
    assert cycles <= 6 * 3 * case.run()["out_beats"] + 3 + 20


def test_dual_logits():
    case = make_case(
        np.random.default_rng(4),
        "pw",
        KernelConfig(2, 2, 1, 1, 64, 1, 0, 8, 8),
        "DUAL",
        (8, 8),
        (1, 1, 5),
        7,
        logits=True,
    )
    assert np.array_equal(simulate(case, 0.3)[0], case.expected)
