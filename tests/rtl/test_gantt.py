"""Counts of what kernels did become shares, and a picture."""

from __future__ import annotations

import numpy as np
import pytest

from cofront.rtl.gantt import activity_of, draw
from cofront.rtl.program import JobInfo
from cofront.rtl.simulate import Run


def job(call: str) -> JobInfo:
    return JobInfo(call, ("layer",), ("conv",), "t", (0, 4), (0, 4), 1, 1, 1)


def test_shares_and_picture(tmp_path):
    counts = {
        "conv": [[0, 10, 0, 0], [2, 5, 1, 2], [10, 0, 0, 0]],
        "dw": [],
        "pw": [[10, 0, 0, 0], [0, 0, 4, 6], [0, 10, 0, 0]],
        "memory": [10, 5, 0],
    }
    activity = activity_of(Run(0, 30, (12, 30), 10, 5, 10, counts))
    assert set(activity.kernels) == {"conv", "pw"}
    assert activity.busy("conv") == pytest.approx(15 / 30) and activity.busy("pw") == pytest.approx(10 / 30)
    np.testing.assert_allclose(activity.kernels["pw"][:, 1], [0, 0, 0.4, 0.6])
    np.testing.assert_allclose(activity.memory, [1, 0.5, 0])
    draw(activity, [job("a"), job("b")], "net on part", tmp_path / "g.html")
    text = (tmp_path / "g.html").read_text()
    assert "net on part: 30 cycles" in text and "conv: busy 50 % of the time" in text and "waits for input" in text
