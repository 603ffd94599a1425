"""The network that these tests accelerate."""

from cofront.network import Builder


def network(classes=4, last=None):
    """Stem, a unit with stride, a residual unit, a classifier; each a block."""
    b = Builder("net", (3, 12, 12))
    b.block = "stem"
    b.conv(8, 3, act="relu", name="stem")
    b.block = "a"
    b.conv(16, 3, 2, act="relu", name="a.conv")
    b.conv(12, 1, name="a.project")
    b.block = "b"
    x = b.last
    b.conv(24, 3, act="relu", name="b.conv")
    b.conv(12, 1, name="b.project")
    b.sum(b.last, x, name="b.add")
    if last:
        b.act(last, name="b.last")
    b.block = "head"
    b.classifier(classes, name="head")
    return b.build()
