"""The pointwise kernel against the integer model: any sizes, stalls on every stream, residuals, logits, cycles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from rtl_bench import examples
from rtl_kernels import kernel_cycles, simulate, simulate_runs
from rtl_reference import make_case

from cofront.hardware.subgraph.config import KernelConfig


def config(pi, po, dsp=1):
    return KernelConfig(pi, po, 1, dsp, 128, 1, 0, 24, 24)


@examples(10)
@given(
    pi=st.integers(1, 5),
    po=st.integers(1, 4),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    map_=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    residual=st.booleans(),
    stall=st.sampled_from([0.0, 0.3, 0.7]),
    half=st.sampled_from([0, 1]),
    seed=st.integers(0, 9999),
)
def test_bit_exact(pi, po, channels, map_, residual, stall, half, seed):
    rng = np.random.default_rng(seed)
    case = make_case(rng, "pw", config(pi, po), shape=(*map_, channels[0]), out_channels=channels[1], residual=residual)
    out, _ = simulate(case, stall, seed, half)
    assert np.array_equal(out, case.expected)


@pytest.mark.parametrize(("pi", "po", "cin", "stall"), [(2, 3, 5, 0.0), (8, 2, 8, 0.4), (8, 2, 8, 0.0)])
def test_logits(pi, po, cin, stall):
    case = make_case(np.random.default_rng(pi), "pw", config(pi, po), shape=(1, 2, cin), out_channels=7, logits=True)
    assert np.array_equal(simulate(case, stall)[0], case.expected)


@pytest.mark.parametrize(
    ("pi", "po", "cin", "cout"), [(2, 2, 6, 6), (4, 4, 4, 4), (1, 4, 5, 4), (4, 1, 8, 3), (4, 2, 9, 2)]
)
def test_cycles_are_those_of_the_model(pi, po, cin, cout):
    """Without stalls, `stream` of the cost model with the kernel's own latency, to the cycle."""
    case = make_case(np.random.default_rng(0), "pw", config(pi, po), shape=(3, 4, cin), out_channels=cout)
    out, cycles = simulate(case)
    assert np.array_equal(out, case.expected)
    assert (cycles, cycles) == kernel_cycles(case)


@pytest.mark.parametrize("engine", ["E88", "DUAL"])
def test_runs_leave_nothing_behind(engine):
    """A residual, none, logits, a residual: each run after the other on the same kernel."""
    rng, kernel = np.random.default_rng(5), config(2, 2)
    what = [{"residual": True}, {}, {"logits": True}, {"residual": True}]
    cases = [make_case(rng, "pw", kernel, engine, shape=(2, 2, 2), out_channels=5, **kw) for kw in what]
    for case, (out, _) in zip(cases, simulate_runs(cases, 0.2, 1), strict=True):
        assert np.array_equal(out, case.expected)
