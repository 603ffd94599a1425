"""Both bit-serial families pass the suite that ships for everybody's accelerators."""

from __future__ import annotations

import pytest

from cofront.hardware.bit_serial import SPATIAL, TEMPORAL, Chip
from cofront.space.nasbench_macro import NasBenchMacro
from cofront.testing.accelerators import AcceleratorConformance


class TestTemporal(AcceleratorConformance):
    accelerator = TEMPORAL
    space = NasBenchMacro
    grid = "small"


class TestSpatial(AcceleratorConformance):
    accelerator = SPATIAL
    space = NasBenchMacro
    grid = "small"

    @pytest.fixture
    def part(self) -> Chip:
        return Chip()
