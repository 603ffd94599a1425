"""Our accelerator passes the suite that ships for everybody's."""

from cofront import registry
from cofront.hardware.subgraph import Grid
from cofront.space import load
from cofront.testing.accelerators import AcceleratorConformance


class TestSubgraph(AcceleratorConformance):
    accelerator = registry.load("accelerator", "subgraph")
    space = staticmethod(lambda: load("subgraph32"))
    grid = Grid("small", (4, 16), (8, 16), (1,), (8, 16), (3, 9), (512, 1024), (512,), (1.0, 0.5))
