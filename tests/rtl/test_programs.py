"""Programs that are called: what is told of one that fails, and that none outlives whoever waits for it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from cofront.rtl.programs import ToolError, beside, run_program

#: Starts a program of its own, writes that one's number and waits.
PARENT = """
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("child.part").write_text(str(child.pid))
pathlib.Path("child.part").rename("child")
child.wait()
"""


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(true, seconds=20.0):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_what_a_program_printed_and_why_it_failed(tmp_path):
    assert run_program([sys.executable, "-c", "print(6 * 7)"], tmp_path, "python") == "42\n"
    script = "import sys; print('first'); print('x.v:3: ERROR: no such wire', file=sys.stderr); print('more'); exit(3)"
    with pytest.raises(ToolError, match=r"^tool failed \(exit code 3\): x.v:3: ERROR: no such wire$"):
        run_program([sys.executable, "-c", script], tmp_path, "tool")
    with pytest.raises(ToolError, match=r"^tool was killed \(signal 9"):
        run_program([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], tmp_path, "tool")


def test_a_program_that_takes_too_long_is_stopped_with_those_it_started(tmp_path):
    with pytest.raises(ToolError, match="tool was stopped after 3 s"):
        run_program([sys.executable, "-c", PARENT], tmp_path, "tool", timeout_s=3)
    wait_until(lambda: ended(int((tmp_path / "child").read_text())))


def test_work_beside_a_body_that_fails_is_stopped(tmp_path):
    begun = time.monotonic()

    def work(processes):
        return run_program([sys.executable, "-c", PARENT], tmp_path, "tool", processes=processes)

    def interrupted():
        with beside(work):
            wait_until(lambda: (tmp_path / "child").exists())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begun < 40
    wait_until(lambda: ended(int((tmp_path / "child").read_text())))


def test_work_beside_a_body_gives_its_result_or_its_error(tmp_path):
    threads = []

    def work(_):
        threads.append(os.getpid())
        return "done"

    with beside(work) as result:
        assert result.result() == "done" and threads == [os.getpid()]
    with beside(lambda own: run_program(["false"], tmp_path, "tool", processes=own)) as failed:
        assert isinstance(failed.exception(), ToolError) and "exit code 1" in str(failed.exception())
