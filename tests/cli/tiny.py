"""A space of 54 (network, precision) pairs and a grid of few accelerators, so that a search takes no time.

Not a test; also a program: `python tiny.py search ...` is the command line with both registered.
"""

from importlib.metadata import EntryPoint

import numpy as np

from cofront import registry
from cofront.hardware.subgraph.grid import GRIDS, Grid
from cofront.network import Builder
from cofront.space.base import PRECISIONS, Choice
from cofront.space.declare import TrellisSpace

NAMES = tuple(PRECISIONS)


class Tiny(TrellisSpace):
    name = "tiny"
    task = "invented"
    input_shape = (3, 16, 16)

    @property
    def choices(self):
        return tuple(
            Choice(f"b{b}_{what}", options)
            for b in (1, 2)
            for what, options in (("width", (8, 16, 24)), ("bits", NAMES))
        )

    def fragment(self, key):
        kind, cin, width, bits = key
        b = Builder(kind, (cin, 16, 16) if kind == "b1" else (cin, 8, 8))
        b.block = kind
        if kind == "head":
            b.classifier(10, name="head")
        else:
            b.conv(2 * cin, 1, act="relu", name=f"{kind}.expand")
            b.depthwise(3, 2 if kind == "b1" else 1, act="relu", name=f"{kind}.dw")
            b.conv(width, 1, name=f"{kind}.project")
        return b.build().uniform_bits(*PRECISIONS[bits])

    def declare(self, into):
        for w, width in enumerate((8, 16, 24)):
            for p, bits in enumerate(NAMES):
                own = (f"b1.width={width}", *((f"b1.bits={bits}",) if p else ()))
                into.edge("start", ("one", width), {"b1_width": w, "b1_bits": p}, own,
                          fragment=("b1", 3, width, bits), block="b1", precision=bits)  # fmt: skip
            for v, wide in enumerate((8, 16, 24)):
                for p, bits in enumerate(NAMES):
                    own = (f"b2.width={wide}", *((f"b2.bits={bits}",) if p else ()))
                    into.edge(("one", width), ("two", wide), {"b2_width": v, "b2_bits": p}, own,
                              fragment=("b2", width, wide, bits), block="b2", precision=bits)  # fmt: skip
        for wide in (8, 16, 24):
            into.edge(("two", wide), "end", {}, fragment=("head", wide, 0, "W8A8"), block="head")


def register():
    registry._table("space")["tiny"] = EntryPoint("tiny", "tiny:Tiny", "cofront.spaces")
    GRIDS["tiny"] = Grid("tiny", (2, 8), (4, 8, 16), (1,), (4, 8), (1, 9), (512,), (512,), (1.0,))


def rows(n=81, seed=0, precisions=NAMES):
    """A table as columns: every point, or `n` of them, with an invented accuracy."""
    rng = np.random.default_rng(seed)
    points = [(a, p, b, q) for a in range(3) for p in range(3) for b in range(3) for q in range(3)]
    points = [x for x in points if NAMES[x[1]] in precisions and NAMES[x[3]] in precisions]
    points = [points[i] for i in rng.permutation(len(points))[:n]]
    accuracy = [0.7 + 0.05 * a + 0.04 * b - 0.01 * p - 0.015 * q + 1e-3 * rng.normal() for a, p, b, q in points]
    width = (8, 16, 24)
    return {
        "b1_width": [width[x[0]] for x in points], "b1_bits": [NAMES[x[1]] for x in points],
        "b2_width": [width[x[2]] for x in points], "b2_bits": [NAMES[x[3]] for x in points], "accuracy": accuracy,
    }  # fmt: skip


if __name__ == "__main__":
    from cofront.cli import main

    register()
    main()
