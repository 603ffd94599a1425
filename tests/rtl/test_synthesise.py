"""Counting rules on cells as Yosys names them, and one small run of Yosys."""

from __future__ import annotations

import pytest

from cofront import device
from cofront.errors import UnsupportedError
from cofront.rtl.programs import ToolError
from cofront.rtl.synthesise import RULES, block_rams, count, family_of


def test_cells_are_counted_by_the_rules():
    cells = {
        "LUT1": 1, "LUT6": 10, "LUT3": 2, "INV": 5, "MUXF7": 3, "CARRY4": 9, "SRL16E": 4, "RAM32M": 2, "FDRE": 7,
        "FDSE": 1, "$lut": 20, "DSP48E2": 6, "RAMB36E2": 2, "RAMB18E2": 3, "BUFG": 1,
    }  # fmt: skip
    found = count(cells, 4, "xcup")
    assert found.resources() == {"lut": 1 + 10 + 2 + 20 + 4 + 2 * 4, "ff": 8, "dsp": 6, "bram36": 4}
    assert found.to_dict()["label"] == "Yosys estimate"
    assert {rule.resource for rule in RULES} == {"all", "lut", "ff", "dsp", "bram36"} and all(r.evidence for r in RULES)
    with pytest.raises(ToolError, match="RAM99X"):
        count({"RAM99X": 1}, 0, "xcup")


def test_block_rams_are_rounded_up_by_memory():
    assert block_rams([], []) == 0
    assert block_rams(["engine/a.memory.0.0", "engine/a.memory.0.1"], []) == 2
    # Fifteen halves of one memory are 8, three memories of a half each are 3.
    assert block_rams([], [f"engine/a.memory.{i}.0" for i in range(15)]) == 8
    assert block_rams([], ["engine/a.m.0.0", "engine/b.m.0.0", "engine/c.m.0.0"]) == 3


def test_families():
    assert (family_of(device.load("zu3eg")), family_of(device.load("xc7z020"))) == ("xcup", "xc7")
    with pytest.raises(UnsupportedError, match="only Xilinx parts"):
        family_of(device.load("gx1150"))
