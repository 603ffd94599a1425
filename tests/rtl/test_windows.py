"""Convolutions and depthwise convolutions against the integer model: sizes, strides, padding, stalls, cycles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from rtl_bench import examples
from rtl_kernels import kernel_cycles, simulate
from rtl_reference import make_case, random_case

from cofront.errors import InputError
from cofront.hardware.subgraph.config import KernelConfig
from cofront.rtl.config import tap_table, turns


@examples(8)
@given(name=st.sampled_from(["conv", "dw"]), stall=st.sampled_from([0.0, 0.4, 0.7]), seed=st.integers(0, 10**6))
def test_bit_exact(name, stall, seed):
    case = random_case(np.random.default_rng(seed), name, "E88")
    out, _ = simulate(case, stall, seed, seed & 1)
    assert np.array_equal(out, case.expected)


@pytest.mark.parametrize(
    ("name", "taps", "rows", "size", "stride", "padding", "shape"),
    [
        ("dw", 1, 3, 3, 1, 1, (4, 5, 5)),
        ("dw", 3, 3, 3, 2, 1, (5, 6, 3)),
        ("conv", 3, 5, 5, 2, 2, (6, 7, 3)),
        ("conv", 1, 2, 1, 1, 0, (4, 1, 2)),
        ("dw", 9, 3, 3, 1, 1, (4, 6, 4)),
        ("dw", 9, 3, 3, 1, 1, (6, 9, 2)),  # an output a cycle
    ],
)
def test_cycles_are_those_of_the_recurrence(name, taps, rows, size, stride, padding, shape):
    """Without stalls a kernel keeps the pace of `recurrence.py` to the cycle, which the closed form never exceeds."""
    kernel = KernelConfig(1 if name == "dw" else 2, 2, taps, 1, 256, rows, 64, 16, 16)
    case = make_case(
        np.random.default_rng(1), name, kernel, shape=shape, out_channels=3, size=size, stride=stride, padding=padding
    )
    out, cycles = simulate(case)
    assert np.array_equal(out, case.expected)
    closed, exact = kernel_cycles(case)
    assert cycles == exact >= closed


@pytest.mark.parametrize(
    ("taps", "size", "stride", "padding", "shape"),
    [
        (9, 3, 2, (1, 1, 0, 0), (6, 3, 5)),  # a column of the row above is left over
        (25, 5, 2, 2, (6, 6, 3)),  # the window hangs over the right edge by one column of two
        (9, 5, 1, 2, (4, 2, 4)),  # a map narrower than half the window
        (9, 3, 2, 0, (6, 6, 3)),
    ],
)
def test_rows_of_windows_never_wait_for_each_other(taps, size, stride, padding, shape):
    kernel = KernelConfig(1, 2, taps, 1, 256, size, 64, 16, 16)
    case = make_case(np.random.default_rng(2), "dw", kernel, shape=shape, size=size, stride=stride, padding=padding)
    assert np.array_equal(simulate(case)[0], case.expected)


@pytest.mark.parametrize("seed", range(4))
def test_map_narrower_than_a_window_is_not_read_before_it_is_written(seed):
    """A lower row's first window hangs over the right edge, and its columns come late."""
    kernel = KernelConfig(1, 2, 9, 1, 256, 5, 64, 16, 16)
    case = make_case(np.random.default_rng(seed), "dw", kernel, shape=(4, 4, 6), size=5, padding=(2, 0, 1, 2))
    assert np.array_equal(simulate(case, 0.9, seed)[0], case.expected)


@pytest.mark.parametrize("left", [7, 8])
def test_padding_of_eight(left):
    """The widest window of nine rows: its padding has a bit more than that of smaller ones."""
    kernel = KernelConfig(2, 2, 9, 1, 256, 9, 64, 16, 16)
    shape, padding = (9, 4, 3), (0, left, 0, 0)
    case = make_case(np.random.default_rng(2), "conv", kernel, shape=shape, out_channels=2, size=9, padding=padding)
    assert np.array_equal(simulate(case)[0], case.expected)


@pytest.mark.parametrize("rows", [1, 3, 5, 7])
@pytest.mark.parametrize("taps", [1, 2, 3, 5, 9, 13, 25, 49])
def test_tap_table_has_every_position_once(rows, taps):
    if taps > rows**2:
        return
    for size in range(1, rows + 1):
        if taps > rows and (rows - size) % 2:
            with pytest.raises(InputError, match=f"{taps} taps and {rows} rows serves windows of .*not {size}"):
                tap_table(size, taps, rows)
            continue
        table = tap_table(size, taps, rows)
        places = [p for turn in table for p in turn if p]
        assert sorted(places) == [(y, x) for y in range(size) for x in range(size)]
        assert all(len(turn) == taps for turn in table)
        if taps <= rows:  # a memory per row: positions of one turn lie in different rows
            assert all(len({p[0] for p in turn if p}) == sum(p is not None for p in turn) for turn in table)
        if size >= taps or taps > rows:
            assert turns(size, taps, rows) == -(-(size**2) // taps)
