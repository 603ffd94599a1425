"""Random networks of the template's blocks, and random accelerators, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cofront.hardware.subgraph import Grid
from cofront.network import Builder, Network
from cofront.space.base import PRECISIONS


@st.composite
def networks(draw: st.DrawFn, max_blocks: int = 4) -> Network:
    size = draw(st.sampled_from([4, 7, 8, 12, 17]))
    b = Builder("random", (draw(st.sampled_from([1, 3, 5, 8])), size, size + draw(st.integers(0, 2))))
    width = st.integers(1, 40)
    for i in range(draw(st.integers(1, max_blocks))):
        b.block = f"b{i}"
        kind = draw(st.sampled_from(["mb", "conv", "pw", "dwpw", "se", "group", "resid", "pool", "kk"]))
        k = draw(st.sampled_from([3, 5]))
        s = draw(st.sampled_from([1, 2]))
        if kind == "mb":
            b.conv(draw(width), 1, act="relu")
            b.depthwise(k, s, act="relu")
            b.conv(draw(width), 1)
        elif kind == "conv":
            b.conv(draw(width), k, s, act="relu")
            b.conv(draw(width), 1)
        elif kind == "pw":
            b.conv(draw(width), 1, s)
        elif kind == "dwpw":
            b.depthwise(k, s) if b.shape()[0] > 1 else b.conv(2, 1)
            b.conv(draw(width), 1)
        elif kind == "se":
            b.conv(2 * draw(st.integers(1, 12)), 1)
            b.depthwise(k, s)
            b.squeeze_excite(draw(st.integers(1, 6)))
            b.conv(draw(width), 1)
        elif kind == "group":
            b.conv(6, 1)
            b.conv(9, draw(st.sampled_from([1, 3])), s, groups=3)
        elif kind == "resid":
            x = b.last
            c = b.shape()[0]
            b.conv(draw(width), 1, act="relu")
            b.depthwise(k) if b.shape()[0] > 1 else None
            b.sum(x, b.conv(c, 1))
        elif kind == "pool":
            b.conv(draw(width), 3, act="relu")
            b.pool("max", 2, 1, padding=1)
        else:
            b.conv(draw(width), k, s)
    b.block = "head"
    b.classifier(draw(st.integers(1, 30)))
    net = b.build()
    bits = {f"b{i}": PRECISIONS[draw(st.sampled_from(sorted(PRECISIONS)))] for i in range(max_blocks)}
    bits["head"] = PRECISIONS[draw(st.sampled_from(sorted(PRECISIONS)))]
    return net.with_bits(lambda node: bits[str(node.block)])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    def some(*values: int, n: int = 2) -> tuple[int, ...]:
        return tuple(sorted(draw(st.sets(st.sampled_from(values), min_size=1, max_size=n))))

    return Grid(
        "random",
        pi=some(1, 2, 3, 5, 8, 16),
        po=some(1, 2, 3, 4, 7, 16),
        conv_taps=some(1, 3, 9),
        channels=some(1, 2, 5, 8, 16),
        dw_taps=some(1, 2, 3, 9, 25),
        weight_depth=some(8, 64, 300, 4096),
        dw_weight_depth=some(8, 40, 512),
        line_shares=tuple(draw(st.sets(st.sampled_from([1.0, 0.5, 0.2, 0.05]), min_size=1, max_size=2))),
    )


def toy(channels: int = 32, expanded: int = 192, size: int = 56) -> Network:
    """The golden toy of the HAO reconstruction: pointwise, 3 x 3 depthwise, pointwise, on 56 x 56."""
    b: Any = Builder("toy", (channels, size, size))
    b.block = "toy"
    b.conv(expanded, 1)
    b.depthwise(3)
    b.conv(channels, 1)
    return b.build().uniform_bits(8, 8)
