"""Programs that cofront calls: run to their end, with the line that tells why one failed, and stopped all together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cofront.errors import CofrontError

Note = Callable[[str], None]
T = TypeVar("T")


class ToolError(CofrontError):
    """A program that cofront called (a synthesiser, simulator or compiler) failed."""


def silent(text: str) -> None:
    """A `Note` that nobody reads."""


class Processes:
    """Programs that are running, so that whoever waits for several of them can stop them all.

    A thread that waits for a program never gets the interruption: that reaches the main thread. Each program leads a
    process group of its own, which is what is killed: a compiler's own programs go with it.
    """

    def __init__(self) -> None:
        self._lock, self._stopped = threading.Lock(), False
        self._running: set[subprocess.Popen[str]] = set()

    def start(self, command: list[str], **how: Any) -> subprocess.Popen[str]:
        """`how` as for subprocess.Popen."""
        process = subprocess.Popen(command, text=True, errors="replace", start_new_session=True, **how)
        with self._lock:
            self._running.add(process)
            if self._stopped:
                kill(process)
        return process

    def remove(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """Kills those that run, and from now on whatever is started."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                kill(process)


@contextmanager
def beside(work: Callable[[Processes], T]) -> Iterator[Future[T]]:
    """`work` in a thread of its own beside the body, which asks for its result; stopped when the body fails."""
    processes, pool = Processes(), ThreadPoolExecutor(1)
    try:
        yield pool.submit(work, processes)
    except BaseException:
        processes.stop()
        raise
    finally:
        pool.shutdown()


def kill(process: subprocess.Popen[str]) -> None:
    """Kills a program with all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has ended
        process.kill()


def run_program(
    command: list[str],
    folder: Path,
    name: str,
    *,
    timeout_s: float | None = None,
    processes: Processes | None = None,
) -> str:
    """Runs a program to its end; what it printed. ToolError, with the last telling line, when it fails."""
    processes = processes or Processes()
    with processes.start(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            text, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            kill(process)
            raise ToolError(f"{name} was stopped after {timeout_s:g} s") from None
        except BaseException:  # interrupted: nothing is left running behind
            kill(process)
            raise
        finally:
            processes.remove(process)
    if process.returncode:
        raise ToolError(f"{name} {ending(process.returncode)}: {telling(text)}")
    return text


def ending(code: int) -> str:
    """How a program ended, from its return code."""
    if code in (-9, 137):
        return "was killed (signal 9; out of memory?)"
    return f"was killed (signal {-code})" if code < 0 else f"failed (exit code {code})"


def telling(text: str) -> str:
    """The line of a program's output that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it printed nothing"])[0 if errors else -1][:300]
