"""Counts of what kernels did become shares, calls and a picture."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cofront import device
from cofront.api.building import _other_run
from cofront.rtl import gantt
from cofront.rtl.compare import Comparison
from cofront.rtl.gantt import activity_of, chart_data, draw
from cofront.rtl.manifest import Built
from cofront.rtl.program import JobInfo
from cofront.rtl.simulate import MemoryModel, Run
from cofront.rtl.verify import Simulated


def job(call: str, *layers: str) -> JobInfo:
    return JobInfo(call, layers or ("layer",), ("conv",), "t", (0, 4), (0, 4), 1, 1, 1)


COUNTS = {
    "conv": [[0, 10, 0, 0, 0], [2, 5, 1, 2, 0], [10, 0, 0, 0, 0]],
    "dw": [],
    "pw": [[7, 0, 0, 0, 3], [0, 0, 4, 6, 0], [0, 10, 0, 0, 0]],
    "memory": [10, 5, 0],
}


def test_counts_and_calls():
    activity = activity_of(Run(0, 30, (6, 12, 30), 10, 5, 10, COUNTS))
    assert set(activity.kernels) == {"conv", "pw"}
    assert activity.busy("conv") == pytest.approx(15 / 30) and activity.busy("pw") == pytest.approx(10 / 30)
    data = chart_data(activity, [job("a", "x"), job("a", "x", "y"), job("b", "z")], 2e8)
    assert data["calls"] == [["a", ["x", "y"], 0, 12], ["b", ["z"], 12, 30]]
    assert data["kernels"]["pw"] == [[0, 0, 10], [0, 4, 0], [0, 6, 0], [3, 0, 0]] and data["memory"] == [10, 5, 0]
    for states in data["kernels"].values():
        assert all(sum(column) <= data["bucket"] for column in zip(*states, strict=True))


def test_the_run_is_the_verified_one(monkeypatch):
    """Same simulator, memory and slices as the build that was verified; its result is compared, too."""
    memory, seen = MemoryModel(7, 800, 100, 3), {}

    def probed(config, bus_bits, *, dsp, note):
        seen.update(config=config, bus_bits=bus_bits, dsp=dsp)
        return "text", ["clk"]

    def compiled(sources, ports, bus_bits, *, tool, note):
        seen.update(sources=sources, tool=tool)
        return "simulator"

    def simulated(simulator, program, images, *, memory, bucket):
        seen.update(memory=memory, images=len(images), bucket=bucket)
        return [Run(0, 30, (6, 12, 30), 10, 5, 10, COUNTS)], ["memory of the first"]

    monkeypatch.setattr(gantt, "probed_verilog", probed)
    monkeypatch.setattr(gantt, "compile_simulator", compiled)
    monkeypatch.setattr(gantt, "simulate", simulated)
    monkeypatch.setattr(gantt, "compare", lambda *_: Comparison(7, 3, 1, None))
    part = replace(device.load("zu3eg"), dsp_kind="DSP48E1")
    manifest = {"memory": {"latency": 32, "bytes_per_kilocycle": 9}, "expected": {"cycles": 48000}, "bus_bits": 64}
    built = Built(Path(), manifest, None, part, None, None)
    activity = gantt.measure(built, np.zeros((2, 4, 4, 5), np.uint8), tool="cxxrtl", memory=memory)
    assert activity.differing == 3 and activity.cycles == 30
    assert seen == {"config": None, "bus_bits": 64, "dsp": "DSP48E1", "sources": {"engine.v": "text"},
                    "tool": "cxxrtl", "memory": memory, "images": 1, "bucket": 4}  # fmt: skip
    gantt.measure(built, np.zeros((2, 4, 4, 5), np.uint8))
    assert seen["memory"] == MemoryModel(32, 9)


@pytest.mark.parametrize(
    ("differing", "cycles", "verified", "note"),
    [
        (0, 30, (0, 30), ""),
        (3, 30, (4, 30), ""),
        (3, 30, (0, 30), "its results differ"),
        (0, 30, (4, 30), "its results are right"),
        (0, 31, (0, 30), "it takes 31 cycles"),
    ],
)
def test_a_chart_of_another_engine_says_so(differing, cycles, verified, note):
    """A folder of an older version: the engine with probes is written now."""
    activity = replace(activity_of(Run(0, cycles, (6, 12, 30), 10, 5, 10, COUNTS)), differing=differing)
    run = Run(0, verified[1], (), 1, 1)
    done = Simulated("verilator", Comparison(7, verified[0], 1, None), (run,), (), 30, 1.0)
    said = _other_run(activity, done)
    assert said.endswith(note) and bool(said) == bool(note)


def test_page(tmp_path):
    activity = activity_of(Run(0, 30, (12, 30), 10, 5, 10, COUNTS))
    data = chart_data(activity, [job("a"), job("</script><b>")], 2e8)
    draw(data, "net & <part>", tmp_path / "g.html")
    text = (tmp_path / "g.html").read_text()
    assert "<title>net &amp; &lt;part&gt;</title>" in text and "{{" not in text.partition("<script>")[0]
    found = re.search(r'id="data">(.*?)</script>', text, re.S)
    assert found is not None and json.loads(found.group(1)) == data
    pytest.importorskip("amaranth")
    from cofront.rtl.probes import STATES

    assert all(f'["{state}", ' in text for state in STATES[1:])  # each has a colour
    assert "function cofrontGantt" in text and "http" not in text.partition("<script>")[0]
