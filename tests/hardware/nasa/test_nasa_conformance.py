"""NASA's chip passes the suite that ships for everybody's accelerators, on silicon in the place of an FPGA."""

from __future__ import annotations

import pytest

from cofront import registry
from cofront.hardware.nasa import Silicon
from cofront.hardware.nasa.tables import Grid
from cofront.network import AdderConv2d, Builder, Conv2d, Network, ShiftConv2d
from cofront.space.nasa import Nasa
from cofront.testing.accelerators import AcceleratorConformance, example_networks


class Short(Nasa):
    """The first four layers with few operators."""

    def __init__(self) -> None:
        super().__init__()
        self.places = self.places[:4]

    def operators(self, place):
        return ("conv_k3_e1", "shift_k5_e1", "adder_k3_e1", "skip")


def networks() -> list[Network]:
    b = Builder("hybrid", (3, 8, 8))
    for i, op in enumerate((Conv2d, ShiftConv2d, AdderConv2d)):
        b.block = f"b{i}"
        b.conv(8, 3, act="relu", op=op, name=f"b{i}.conv")
        b.depthwise(3, act="relu", op=op, name=f"b{i}.dw")
    b.block = "head"
    b.classifier(4, name="head")
    return [*example_networks(), b.build().uniform_bits(8, 8)]


class TestNasa(AcceleratorConformance):
    accelerator = registry.load("accelerator", "nasa")
    space = Short
    networks = staticmethod(networks)
    grid = Grid("tiny", (8, 48), (4096, 32768))

    @pytest.fixture
    def part(self) -> Silicon:
        return Silicon()
