"""One writer at a time: an advisory lock beside the study that the system frees when the process dies."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from cofront.errors import StudyError


def _try_lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class WriterLock:
    """Holds `<study>.lock` from construction to `release`; raises StudyError naming the other writer."""

    def __init__(self, study: Path, command: str) -> None:
        self.path = study.with_name(study.name + ".lock")
        self._handle = -1
        try:
            self._handle = self._acquire(study)
            holder = {"pid": os.getpid(), "host": platform.node(), "since": _now(), "command": command}
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(holder).encode(), 0)
        except OSError as error:
            if self._handle >= 0:
                self.release()
            raise StudyError(
                f"cannot lock study '{study}': {error.strerror or error}; choose another --study"
            ) from None

    def _acquire(self, study: Path) -> int:
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            if not _try_lock(handle):
                who = self._holder(handle)
                os.close(handle)
                raise StudyError(f"study '{study}' is being written by {who}; wait for it, or choose another --study")
            # the file we locked may have been removed by the writer before us: then try again on the new one
            try:
                same = os.path.samestat(os.fstat(handle), os.stat(self.path))
            except FileNotFoundError:
                same = False
            if same:
                return handle
            os.close(handle)

    def _holder(self, handle: int) -> str:
        try:
            holder = json.loads(os.pread(handle, 4096, 0))
            return f"process {int(holder['pid'])} on {holder['host']} (since {holder['since']}: {holder['command']})"
        except (ValueError, KeyError, TypeError):
            return "another process"

    def release(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._handle)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
