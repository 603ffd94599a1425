"""Cycles of a run whose memory is shared with the weights of the next one, against a step-by-step port."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from cofront.rtl.schedule import shared_port


def stepped(kernels: float, reads: float, writes: float, load: float, first: float) -> tuple[float, float]:
    """The same, cycle by cycle: each cycle the port is shared, the run asking for what its pace needs."""
    done, loaded, cycle = 0.0, 0.0, 0.0
    ends = arrived = None
    step = 0.25
    while ends is None or arrived is None:
        wants_load = cycle >= first and loaded < load
        running = done < 1
        speed = 0.0
        if running:
            # Fraction of the run per cycle: as the kernels can, as the port allows, reads giving way to equal reads.
            speed = 1 / max(kernels, reads + writes)
            if wants_load:
                speed = min(speed, 1 / (2 * reads + writes))
        if wants_load:
            loaded += step * (1 - speed * (reads + writes))
        done += step * speed
        cycle += step
        ends = cycle if ends is None and done >= 1 - 1e-9 else ends
        arrived = cycle if arrived is None and cycle >= first and loaded >= load - 1e-9 else arrived
    return ends, arrived


@given(
    st.floats(50, 400), st.floats(5, 300), st.floats(0, 300), st.floats(1, 400), st.floats(10, 120)
)  # fmt: skip
@example(100.0, 10.0, 10.0, 30.0, 200.0)
@example(100.0, 60.0, 60.0, 500.0, 10.0)
def test_the_port_is_shared_as_a_step_by_step_port_shares_it(kernels, reads, writes, load, first):
    found = shared_port(kernels, reads, writes, load, first)
    wanted = stepped(kernels, reads, writes, load, first)
    assert abs(found[0] - wanted[0]) <= 1
    assert abs(found[1] - wanted[1]) <= 1


def test_weights_alone_wait_for_nothing():
    assert shared_port(100, 10, 10, 0, 80) == (100, 80)


def test_a_run_that_leaves_memory_to_weights_is_not_slowed():
    ends, loaded = shared_port(1000, 100, 100, 200, 80)
    assert ends == 1000
    assert loaded == 80 + 200 / 0.8
