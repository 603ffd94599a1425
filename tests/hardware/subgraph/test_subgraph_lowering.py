"""Networks to calls: matching, folding, fragments, what is not supported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from cofront.errors import UnsupportedError
from cofront.hardware.subgraph import Call, lower
from cofront.hardware.subgraph.calls import count
from cofront.hardware.subgraph.tables import layered_rows
from cofront.network import Builder, Conv2d, Input, Network, Node, Op, zoo
from cofront.space.base import Layered, Points, Space
from cofront.space.ofa_mobilenetv3 import OfaMobileNetV3
from cofront.space.subgraph32 import Subgraph32


def kernels(calls: tuple[Call, ...]) -> list[str]:
    return ["+".join(s.kernel for s in c.stages) or "move" for c in calls]


def build(channels: int, size: int, make: Callable[[Builder], object], *, labelled: bool = True) -> tuple[Call, ...]:
    b = Builder("net", (channels, size, size))
    b.block = "b" if labelled else None
    make(b)
    return lower(b.build().uniform_bits(8, 8))


def bottleneck(b: Builder) -> None:
    x = b.last
    b.conv(24, 1, act="relu6")
    b.depthwise(3, act="relu6")
    b.sum(x, b.conv(8, 1), name="add")


def test_inverted_residual_is_one_call_that_reads_the_shortcut() -> None:
    (call,) = build(8, 10, bottleneck)
    assert kernels((call,)) == ["conv+dw+pw"]
    assert call.layers[-1] == "add"
    assert call.extra_bytes == 8 * 100
    weights = 8 * 24 + 9 * 24 + 24 * 8 + 6 * (24 + 24 + 8)
    assert call.bytes == 2 * 8 * 100 + weights + 8 * 100
    assert call.macs == 100 * (8 * 24 + 9 * 24 + 24 * 8)


def test_window_counts() -> None:
    """Lead and flush of 3 x 3 windows: one row and a pixel at stride 1; at stride 2 nothing is left to flush."""
    (call,) = build(8, 10, lambda b: b.depthwise(3))
    dw = call.stages[0]
    assert (dw.lead, dw.flush, dw.rows, dw.overlap) == (10 + 2, 10 + 2, 3, 2)
    (call,) = build(8, 10, lambda b: b.depthwise(3, 2))
    dw = call.stages[0]
    assert (dw.lead, dw.flush, dw.out_pixels, dw.overlap) == (12, 1, 25, 1)


def test_blocks_are_not_crossed() -> None:
    def two(b: Builder) -> None:
        b.conv(16, 1)
        b.block = "c"
        b.depthwise(3)
        b.conv(8, 1)

    assert kernels(build(8, 6, two)) == ["pw", "dw+pw"]


def test_greedy_matching() -> None:
    def resnet(b: Builder) -> None:
        b.conv(4, 1)
        b.conv(4, 3)
        b.conv(16, 1)

    assert kernels(build(8, 6, resnet)) == ["pw", "conv+pw"]
    assert kernels(build(8, 6, resnet, labelled=False)) == ["pw", "conv+pw"]
    assert kernels(build(8, 6, lambda b: (b.depthwise(3), b.conv(8, 3)))) == ["dw", "conv"]
    assert kernels(build(8, 6, lambda b: (b.conv(8, 1), b.conv(8, 1)))) == ["conv+pw"]


def test_a_tensor_read_twice_is_written() -> None:
    def branch(b: Builder) -> None:
        x = b.conv(8, 1)
        b.sum(x, b.depthwise(3, src=x))

    calls = build(8, 6, branch)
    assert kernels(calls) == ["pw", "dw"]
    assert calls[1].extra_bytes == 8 * 36


def test_narrow_windows_need_a_window_too() -> None:
    def windows(b: Builder) -> None:
        for kernel, padding in (((1, 5), (0, 2, 0, 2)), ((5, 1), (2, 0, 2, 0)), ((3, 5), (1, 2, 1, 2))):
            b.add(Conv2d(8, kernel, padding=padding))

    assert [s.rows for c in build(8, 9, windows) for s in c.stages] == [5, 5, 5]
    assert [s.taps for c in build(8, 9, windows) for s in c.stages] == [5, 5, 15]


def test_pooling_is_folded() -> None:
    calls = build(8, 6, lambda b: (b.conv(16, 3), b.pool("max", 2, 2), b.conv(8, 1)))
    assert kernels(calls) == ["conv", "pw"]
    assert calls[0].stages[-1].out_bytes == 16 * 9


def test_squeeze_excite_and_linear_are_their_own_calls() -> None:
    def block(b: Builder) -> None:
        b.conv(16, 1)
        b.depthwise(3)
        b.squeeze_excite(4)
        b.conv(8, 1)
        b.classifier(10)

    calls = build(8, 6, block)
    assert kernels(calls) == ["conv+dw", "pw", "pw", "move", "pw", "pw"]
    assert calls[0].extra_bytes == 16  # the pooled copy for the gate
    assert calls[4].stages[0].out_bytes == 8  # pooled on the way out
    assert (calls[5].stages[0].in_channels, calls[5].stages[0].out_channels) == (8, 10)


def test_images_are_unfolded_by_the_host() -> None:
    (call,) = build(3, 32, lambda b: b.conv(16, 3, 2))
    (stage,) = call.stages
    assert (stage.kernel, stage.in_channels, stage.in_pixels, stage.rows) == ("pw", 27, 256, 1)
    assert stage.in_bytes == 27 * 256
    assert call.macs == 27 * 16 * 256


def test_grouped_convolution_runs_on_conv() -> None:
    (call,) = build(12, 6, lambda b: b.conv(24, 1, groups=3))
    assert call.stages[0].kernel == "conv"
    assert not call.is_pointwise
    assert call.macs == 36 * 24 * 4


def test_stored_widths() -> None:
    b = Builder("net", (8, 6, 6))
    b.block = "b"
    b.conv(16, 1)
    b.depthwise(3)
    (call,) = lower(b.build().uniform_bits(4, 4))
    assert call.stages[0].in_bytes == 8 * 36
    assert call.stages[0].out_bytes == 16 * 36  # elements of four bits, too, take a byte
    assert call.stages[0].weight_bytes == 8 * 16 // 2 + 6 * 16
    (wide,) = lower(b.build().uniform_bits(4, 4), word_bytes=16)
    assert wide.stages[0].in_bytes == 16 * 36  # a pixel's channels fill whole words


def test_weights_of_the_image_layer_hide_behind_nothing() -> None:
    b = Builder("net", (3, 8, 8))
    b.block = "stem"
    b.conv(16, 3, 2)
    b.block = "b"
    b.conv(16, 1)
    stem, later = lower(b.build().uniform_bits(8, 8))
    assert stem.exposed_bytes == stem.stages[0].weight_bytes == 27 * 16 + 6 * 16
    assert later.exposed_bytes == 0


def test_rows_that_are_waited_for() -> None:
    def stalls(stride: int, kernel: int) -> int:
        b = Builder("net", (8, 10, 10))
        b.block = "b"
        b.depthwise(kernel, stride)
        return lower(b.build().uniform_bits(8, 8))[0].stages[0].stalls

    assert stalls(1, 5) == 0
    assert stalls(2, 3) == (5 - 1) * (3 - 1)
    # Of five rows, the first row of outputs needs but three; nothing comes behind the last row of the input.
    assert stalls(2, 5) == (3 - 1) * (5 - 2)


def test_a_window_wider_than_tall_holds_rows_enough() -> None:
    b = Builder("net", (8, 10, 10))
    b.block = "b"
    b.add(Conv2d(8, (3, 5), (2, 2), (1, 2, 1, 2)))
    (stage,) = lower(b.build().uniform_bits(8, 8))[0].stages
    assert (stage.rows, stage.stalls) == (5, 0)


@pytest.mark.parametrize("name", zoo.names())
def test_zoo_networks_lower_with_all_their_macs(name: str) -> None:
    net = zoo.load(name).uniform_bits(8, 8)
    calls = lower(net)
    assert sum(c.macs for c in calls) == net.macs
    assert sum(count(calls).values()) == len(calls) >= len(set(calls))
    named = [layer for c in calls for layer in c.layers]
    assert len(named) == len(set(named))
    assert {n.name for n in net.layers} <= set(named)


@dataclass(frozen=True, slots=True)
class Strange(Op):
    def out_shape(self, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        return inputs[0]


def test_everything_unsupported_is_named_at_once() -> None:
    b = Builder("net", (8, 6, 6))
    b.conv(8, 3, name="first")
    b.add(Strange(), name="odd")
    b.conv(8, 3, name="wide")
    net = b.build()
    with pytest.raises(UnsupportedError, match=r"cannot run 'first' \(no bit-widths.*'odd' \(Strange\), 'wide'"):
        lower(net)
    with pytest.raises(UnsupportedError, match=r"'first' \(W16A8: at most 8 bits\), 'odd' \(Strange\)"):
        lower(net.uniform_bits(16, 8))


def test_a_network_that_only_moves_data() -> None:
    net = Network("id", (Node("input", Input((4, 2, 2))),))
    assert lower(net) == ()


def paths(layered: Layered, space: Space, point: Points) -> list[list[int]]:
    """The trellis paths, as lists of edges, whose choices agree with the point."""
    t = layered.trellis
    found: list[list[int]] = []

    def walk(node: int, edges: list[int]) -> None:
        if node == t.n_nodes - 1:
            found.append(edges)
            return
        for e in np.flatnonzero(t.edge_from == node):
            if all(point[v] == value for v, value in t.choices[e]):
                walk(int(t.edge_to[e]), [*edges, int(e)])

    walk(0, [])
    return found


@pytest.mark.parametrize("make", [OfaMobileNetV3, Subgraph32])
def test_calls_of_a_network_are_those_of_its_fragments(make: Callable[[], Space]) -> None:
    space = make()
    layered = space.layered()
    trellis, rows = layered_rows(layered)
    assert trellis.n_rows == len(rows) == len(set(rows))
    for point in space.sample(np.random.default_rng(5), 8):
        (edges,) = paths(layered, space, point)
        along = [rows[r] for e in edges for r in trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]]]
        assert along == list(lower(space.network(point)))
