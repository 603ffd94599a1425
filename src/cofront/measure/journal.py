"""The measurements so far, on disk line by line: what is in it is never measured again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cofront.errors import InputError, UsageError
from cofront.measure.base import DeviceError

#: Lines of the runner that are worth keeping.
KEPT = ("machine", "ref", "visit", "done")


class Journal:
    """`<table>.partial`, held by one process at a time. `header` says what is measured; another one is refused."""

    def __init__(self, table: Path, header: dict[str, Any], *, fresh: bool = False) -> None:
        self.path = table.with_name(table.name + ".partial")
        self.lines: list[dict[str, Any]] = []
        try:
            self._file: IO[str] = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write '{self.path}': {error.strerror or error}") from None
        try:
            self._lock()
            if fresh:
                self._file.truncate(0)
            self._load(json.loads(json.dumps(header)))
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: the runner holds the machine all the same
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeviceError(f"'{self.path}' is being written by another cofront measure; wait for it") from None

    def _load(self, header: dict[str, Any]) -> None:
        self._file.seek(0)
        text = self._file.read()
        whole, _, rest = text.rpartition("\n")
        if rest:  # a line cut short by a crash
            self._file.truncate(len(whole.encode()) + bool(whole))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except ValueError:
            raise InputError(f"'{self.path}' is no journal of measurements; move it away, or use --fresh") from None
        if not lines:
            self._write({"header": header})
            return
        known = lines[0].get("header", {})
        differing = [k for k in {**header, **known} if known.get(k) != header.get(k)]
        if differing:
            what = ", ".join(
                f"{k} was {known.get(k)!r:.40}, now {header.get(k)!r:.40}" if k != "items" else "other models"
                for k in differing
            )
            raise UsageError(f"'{self.path}' holds an unfinished measurement of something else ({what}); finish it, "
                             "choose another -o, or use --fresh")  # fmt: skip
        self.lines = lines[1:]

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def add(self, line: dict[str, Any]) -> None:
        """Keeps a line of the runner."""
        if any(kind in line for kind in KEPT):
            self._write(line)
            self.lines.append(line)

    @property
    def visited(self) -> set[tuple[str, int]]:
        """(item, round) of what is measured."""
        return {(line["visit"], line["round"]) for line in self.lines if "visit" in line}

    @property
    def machines(self) -> list[dict[str, Any]]:
        """The machine as each attempt described it."""
        return [line["machine"] for line in self.lines if "machine" in line]

    def finish(self) -> None:
        """Removes the file: everything is in the table."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
        if self.path.exists() and not self.lines:  # nothing was measured: nothing to keep
            self.path.unlink(missing_ok=True)
