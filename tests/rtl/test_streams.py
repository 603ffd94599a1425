"""Queue and gearbox keep every element, in order, under any stalls, and lose no cycle without need."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from rtl_bench import Bench, examples, from_beats, to_beats

from cofront.rtl.config import beats
from cofront.rtl.streams import Gearbox, Queue


@examples(12)
@given(
    lanes_in=st.integers(1, 8),
    lanes_out=st.integers(1, 8),
    channels=st.integers(1, 20),
    pixels=st.integers(1, 5),
    stall=st.sampled_from([0.0, 0.3, 0.7]),
    seed=st.integers(0, 99),
)
def test_gearbox_regroups_pixels(lanes_in, lanes_out, channels, pixels, stall, seed):
    rng = random.Random(seed)
    data = [[rng.randrange(256) for _ in range(channels)] for _ in range(pixels)]
    box, got = Gearbox(8, lanes_in, lanes_out), []
    bench = Bench(box, seed, stall)
    bench.set(channels=channels)
    bench.send(box.input, to_beats(data, lanes_in))
    bench.take(box.output, pixels * -(-channels // lanes_out), got)
    bench.run()
    assert from_beats(got, channels, lanes_out) == data


@pytest.mark.parametrize(
    ("lanes_in", "lanes_out", "channels"), [(8, 4, 16), (4, 8, 16), (6, 4, 12), (4, 6, 12), (5, 5, 9)]
)
def test_gearbox_runs_at_the_rate_of_its_narrower_side(lanes_in, lanes_out, channels):
    pixels = 6
    data = [[(p + c) % 256 for c in range(channels)] for p in range(pixels)]
    box, got = Gearbox(8, lanes_in, lanes_out), []
    bench = Bench(box)
    bench.set(channels=channels)
    bench.send(box.input, to_beats(data, lanes_in))
    bench.take(box.output, pixels * -(-channels // lanes_out), got)
    bench.run()
    assert from_beats(got, channels, lanes_out) == data
    slower = pixels * -(-channels // min(lanes_in, lanes_out))
    assert bench.stamps[id(got)][-1] <= slower + 3


@examples(6)
@given(depth=st.integers(1, 5), stall=st.sampled_from([0.0, 0.5]), seed=st.integers(0, 99))
def test_queue_keeps_order(depth, stall, seed):
    rng = random.Random(seed)
    data = [[rng.randrange(256) for _ in range(3)] for _ in range(15)]
    queue, got = Queue(beats(8, 3)._payload_shape, depth), []
    bench = Bench(queue, seed, stall)
    bench.send(queue.input, data)
    bench.take(queue.output, len(data), got)
    bench.run()
    assert got == data
