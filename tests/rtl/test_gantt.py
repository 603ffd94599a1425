"""Counts of what kernels did become shares, calls and a picture."""

from __future__ import annotations

import json
import re

import pytest

from cofront.rtl.gantt import activity_of, chart_data, draw
from cofront.rtl.program import JobInfo
from cofront.rtl.simulate import Run


def job(call: str, *layers: str) -> JobInfo:
    return JobInfo(call, layers or ("layer",), ("conv",), "t", (0, 4), (0, 4), 1, 1, 1)


COUNTS = {
    "conv": [[0, 10, 0, 0], [2, 5, 1, 2], [10, 0, 0, 0]],
    "dw": [],
    "pw": [[10, 0, 0, 0], [0, 0, 4, 6], [0, 10, 0, 0]],
    "memory": [10, 5, 0],
}


def test_counts_and_calls():
    activity = activity_of(Run(0, 30, (6, 12, 30), 10, 5, 10, COUNTS))
    assert set(activity.kernels) == {"conv", "pw"}
    assert activity.busy("conv") == pytest.approx(15 / 30) and activity.busy("pw") == pytest.approx(10 / 30)
    data = chart_data(activity, [job("a", "x"), job("a", "x", "y"), job("b", "z")], 2e8)
    assert data["calls"] == [["a", ["x", "y"], 0, 12], ["b", ["z"], 12, 30]]
    assert data["kernels"]["pw"] == [[0, 0, 10], [0, 4, 0], [0, 6, 0]] and data["memory"] == [10, 5, 0]
    for states in data["kernels"].values():
        assert all(sum(column) <= data["bucket"] for column in zip(*states, strict=True))


def test_page(tmp_path):
    activity = activity_of(Run(0, 30, (12, 30), 10, 5, 10, COUNTS))
    data = chart_data(activity, [job("a"), job("</script><b>")], 2e8)
    draw(data, "net & <part>", tmp_path / "g.html")
    text = (tmp_path / "g.html").read_text()
    assert "<title>net &amp; &lt;part&gt;</title>" in text and "{{" not in text.partition("<script>")[0]
    found = re.search(r'id="data">(.*?)</script>', text, re.S)
    assert found is not None and json.loads(found.group(1)) == data
    assert "function cofrontGantt" in text and "http" not in text.partition("<script>")[0]
