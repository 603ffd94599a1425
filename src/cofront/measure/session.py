"""One measurement from its first to its last line: starts the runner, keeps what it says, connects again when lost."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from cofront.measure.base import DeviceError, Item, Settings
from cofront.measure.journal import Journal
from cofront.measure.models import pack
from cofront.measure.target import SSH_FAILED, Target, explain_code, explain_ssh

#: Attempts that bring nothing new before giving up, and seconds between two.
ATTEMPTS, PAUSE_S = 4, 3.0
#: Seconds that a new runner waits for a lost one of the same session to leave the machine.
WAIT_S = 10.0


@dataclass(frozen=True)
class Step:
    """How far a measurement is: visits done and in all, the round (from 1), and the seconds that may be left."""

    done: int
    total: int
    round: int
    elapsed_s: float
    left_s: float | None


class _Lost(Exception):
    """The runner went away before it was done, or cannot be reached; `folder` is what it may have left behind."""

    def __init__(self, why: str, folder: str = "") -> None:
        super().__init__(why)
        self.folder = folder


def run(
    target: Target,
    items: Sequence[Item],
    settings: Settings,
    journal: Journal,
    *,
    on_step: Callable[[Step], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> bool:
    """Measures what the journal does not have yet; False when `should_stop` ended it early."""
    session, left, reached = uuid.uuid4().hex, ATTEMPTS, False
    wanted = {(i.id, r) for i in items for r in range(settings.rounds)}
    clock = _Clock(len(wanted))
    while missing := len(wanted - journal.visited):
        extra = {"session": session, "wait_s": WAIT_S if reached else 0, "done": sorted(journal.visited)}
        archive = pack(items, settings, extra)
        try:
            for line in _lines(target, archive, should_stop):
                if "error" in line:
                    raise DeviceError(explain_code(target, line["error"], line.get("detail", "")))
                journal.add(line)
                if "visit" in line:
                    on_step(clock.step(len(wanted & journal.visited), line["round"]))
            if should_stop():
                return wanted <= journal.visited  # all of it may be there by now
        except _Lost as lost:
            _clean_up(target, lost.folder)
            kept = len(wanted & journal.visited)
            left = ATTEMPTS if len(wanted) - kept < missing else left - 1
            reached = reached or bool(lost.folder)
            of = f"{kept} of {len(wanted)} measurements are kept"
            if left <= 0 or not target.remote or not reached:
                goes_on = f"; {of}: the same command goes on from there" if kept else ""
                raise DeviceError(f"{lost}{goes_on}") from None
            pause = PAUSE_S * 2 ** (ATTEMPTS - left)
            say(f"{lost}; {of}, trying again in {pause:.0f} s")
            until = time.monotonic() + pause
            while time.monotonic() < until and not should_stop():
                time.sleep(0.1)
            if should_stop():
                return False
    return True


class _Clock:
    """Time left by the pace of this attempt."""

    def __init__(self, total: int) -> None:
        self.total, self.started, self.first = total, time.monotonic(), -1

    def step(self, done: int, number: int) -> Step:
        if self.first < 0:
            self.first = done - 1
        elapsed = time.monotonic() - self.started
        new = done - self.first
        left = (self.total - done) * elapsed / new if new > 3 else None
        return Step(done, self.total, number + 1, elapsed, left)


def _lines(target: Target, archive: bytes, should_stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """The lines of one runner until it is done; _Lost when it goes away, a DeviceError when it cannot start."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                target.runner(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        except OSError as error:
            raise DeviceError(f"{target.name}: cannot run '{target.runner()[0]}': {error.strerror or error}") from None
        folder, finished = "", False
        try:
            assert process.stdin is not None and process.stdout is not None
            with suppress(BrokenPipeError):  # it went away: its output says why
                process.stdin.write(b"%d\n" % len(archive) + archive)
                process.stdin.flush()
            for line in _read(process.stdout, should_stop):
                folder = line.get("folder", folder)
                finished = finished or "done" in line or "error" in line
                yield line
            if should_stop() or finished:
                return
            status = process.wait()
            errors.seek(0)
            raise _gone(target, status, errors.read().decode("utf-8", "replace"), folder)
        finally:
            _end(process)


def _read(stream: IO[bytes], should_stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """JSON objects of a stream; other lines (a login's greeting) are passed over. Ends early when asked to stop."""
    lines: queue.Queue[bytes | None] = queue.Queue()

    def pump() -> None:
        with suppress(ValueError, OSError):
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    while not should_stop():
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            continue
        if line is None:
            return
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a runner: its standard input closes, so it removes its folder and goes."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    for then in (process.terminate, process.kill, process.poll):
        try:
            process.wait(timeout=5)
            break
        except subprocess.TimeoutExpired:
            then()
    if process.stdout is not None:
        process.stdout.close()


def _gone(target: Target, status: int, text: str, folder: str) -> Exception:
    """What a runner's end without a result means."""
    last = (text.strip().splitlines() or [""])[-1].strip()[:200]
    if not folder:  # it never said hello
        if target.remote and status == SSH_FAILED:
            return _Lost(explain_ssh(target, text))
        if status == 127 or "not found" in text or "No such file" in text:
            python = target.python or "python3"
            return DeviceError(
                f"{target.name}: no '{python}' there; install Python 3.8 or later, or name one with --python"
            )
        if "SyntaxError" in text or "annotations" in text:
            return DeviceError(f"{target.name}: its Python is too old: 3.8 or later is needed, see --python")
        return DeviceError(f"{target.name}: the runner did not start (status {status}): {last or 'it said nothing'}")
    if target.remote and status == SSH_FAILED:
        return _Lost(f"{target.name}: the connection was lost", folder)
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        hint = ": out of memory?" if number == 9 else ""
        return _Lost(f"{target.name}: the runner was killed by signal {number}{hint}", folder)
    return _Lost(f"{target.name}: the runner ended with status {status}: {last or 'it said nothing'}", folder)


def _clean_up(target: Target, folder: str) -> None:
    """Removes what a runner that was killed left behind, if it can be reached; a lost one removes it itself."""
    command = target.cleaner(folder)
    if command is not None:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=15, check=False)
