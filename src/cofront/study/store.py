"""The study: every run, evaluation, bound and front of a search in one SQLite file.

A study has one writer (`WriterLock`) and any number of readers. It is in WAL mode with full synchronisation: what a
method has returned from is on disk, whatever happens to the process afterwards.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from cofront.errors import StudyError
from cofront.study.documents import clean
from cofront.study.lock import WriterLock
from cofront.study.provenance import command_line, digest, versions

#: `PRAGMA application_id` ("cofr") and `PRAGMA user_version` of a study.
APPLICATION_ID = 0x636F6672
STUDY_VERSION = 1

_TABLES = """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, verb TEXT NOT NULL, command TEXT NOT NULL, inputs TEXT NOT NULL, inputs_hash TEXT NOT NULL,
  versions TEXT NOT NULL, seed INTEGER NOT NULL, started TEXT NOT NULL, finished TEXT,
  status TEXT NOT NULL CHECK (status IN ('running', 'interrupted', 'failed', 'done')), result TEXT
);
CREATE INDEX runs_by_inputs ON runs (inputs_hash, status);
CREATE TABLE evaluations (
  run INTEGER NOT NULL REFERENCES runs, key TEXT NOT NULL, inputs TEXT NOT NULL, result TEXT NOT NULL,
  at TEXT NOT NULL, PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX evaluations_by_key ON evaluations (key);
CREATE TABLE events (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, at TEXT NOT NULL, kind TEXT NOT NULL,
  data TEXT NOT NULL
);
CREATE INDEX events_by_run ON events (run, kind);
"""


@dataclass(frozen=True)
class RunRecord:
    """A run as stored: its command, inputs, versions and, when it has one, its result."""

    id: int
    verb: str
    command: str
    inputs: dict[str, Any]
    inputs_hash: str
    versions: dict[str, str]
    seed: int
    started: str
    finished: str | None
    status: str
    result: dict[str, Any] | None


class Run:
    """A run being written. Every method is one durable transaction."""

    def __init__(self, study: Study, run_id: int) -> None:
        self.study = study
        self.id = run_id

    def record(self, items: Iterable[tuple[dict[str, Any], dict[str, Any] | msgspec.Struct]]) -> None:
        """Stores (inputs, result) evaluations; the same inputs again replace the result."""
        at = _now()
        rows = [(self.id, digest(i), _dump(i), _dump(r), at) for i, r in items]
        self.study._write("INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?)", rows)

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Stores one step of the history: a bound, a gap, an incumbent."""
        self.study._write(
            "INSERT INTO events (run, at, kind, data) VALUES (?, ?, ?, ?)", [(self.id, _now(), kind, _dump(data))]
        )

    def save(self, result: dict[str, Any] | msgspec.Struct) -> None:
        """Stores the result so far; the run goes on."""
        self.study._write("UPDATE runs SET result = ? WHERE id = ?", [(_dump(result), self.id)])

    def finish(self, status: str, result: dict[str, Any] | msgspec.Struct | None = None) -> None:
        """Ends the run as 'done', 'interrupted' or 'failed'; keeps the saved result when none is given."""
        self.study._write(
            "UPDATE runs SET status = ?, finished = ?, result = coalesce(?, result) WHERE id = ?",
            [(status, _now(), None if result is None else _dump(result), self.id)],
        )


class Study:
    """An open study. Use as a context manager; `write=False` opens it for reading beside a writer."""

    def __init__(self, path: Path | str, *, write: bool = True) -> None:
        self.path = Path(path)
        self.writable = write
        self._lock: WriterLock | None = None
        self._ours = False  # a study we may write to: only then is the file touched on closing
        if not write and not self.path.is_file():
            raise StudyError(f"no study at '{self.path}'; `cofront search --study FILE` makes one")
        if self.path.is_dir():
            raise StudyError(
                f"'{self.path}' is a folder; a study is a file, for example '{self.path / 'study.sqlite'}'"
            )
        if write:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StudyError(f"cannot make the folder of study '{self.path}': {error.strerror or error}") from None
            self._lock = WriterLock(self.path, command_line())
        try:
            with _clear(self.path):
                self._db = self._connect(write)
                self._check()
        except BaseException:
            self.close()
            raise

    def _connect(self, write: bool) -> sqlite3.Connection:
        if write:
            return sqlite3.connect(self.path, isolation_level=None, timeout=30.0)
        uri = self.path.absolute().as_uri() + "?mode=ro"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # a WAL study in a folder we may not write to can be read only as a file that nobody changes
            db.close()
            db = sqlite3.connect(uri + "&immutable=1", uri=True, isolation_level=None)
        return db

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _is_empty(self) -> bool:
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return tables == 0 and self._pragma("application_id") == 0

    def _check(self) -> None:
        if self._is_empty():
            if not self.writable:
                raise StudyError(f"'{self.path}' is an empty file, not a study")
            self._create()
        if self._pragma("application_id") != APPLICATION_ID:
            raise StudyError(f"'{self.path}' is an SQLite file but not a cofront study; choose another --study")
        found = self._pragma("user_version")
        if found != STUDY_VERSION:
            raise StudyError(
                f"study '{self.path}' has version {found}, this cofront writes version {STUDY_VERSION}; "
                f"{'upgrade cofront' if found > STUDY_VERSION else 'use the cofront that wrote it'} "
                "or choose another --study"
            )
        problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StudyError(f"study '{self.path}' is corrupt ({str(problem).splitlines()[-1][:80]}); restore a copy")
        columns = {
            table: {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
            for table in ("runs", "evaluations", "events")
        }
        if not (columns["runs"] >= {"inputs_hash", "result"} and "key" in columns["evaluations"] and columns["events"]):
            raise StudyError(f"study '{self.path}' lacks tables of a cofront study; restore a copy")
        if self.writable:
            self._db.execute("PRAGMA journal_mode = WAL").fetchone()
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._ours = True

    def _create(self) -> None:
        script = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {STUDY_VERSION};"
        # one transaction, so that a process killed here leaves an empty file and not half a study
        self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} {script} COMMIT;")

    def _write(self, sql: str, rows: list[tuple[Any, ...]]) -> int:
        with _clear(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                cursor = self._db.cursor()
                if len(rows) == 1:
                    cursor.execute(sql, rows[0])
                else:
                    cursor.executemany(sql, rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            return int(cursor.lastrowid or 0)

    def start(self, verb: str, inputs: dict[str, Any], seed: int = 0) -> Run:
        """A new run; runs that a killed process left as 'running' become 'interrupted'."""
        self._write("UPDATE runs SET status = 'interrupted' WHERE status = 'running'", [()])
        run_id = self._write(
            "INSERT INTO runs (verb, command, inputs, inputs_hash, versions, seed, started, status) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 'running')",
            [(verb, command_line(), _dump(inputs), digest(inputs), _dump(versions()), seed, _now())],
        )
        return Run(self, run_id)

    def finished(self, inputs: dict[str, Any]) -> RunRecord | None:
        """The newest 'done' run of exactly these inputs, or None."""
        found = self._runs("WHERE inputs_hash = ? AND status = 'done' ORDER BY id DESC LIMIT 1", (digest(inputs),))
        return found[0] if found else None

    def evaluation(self, inputs: dict[str, Any]) -> dict[str, Any] | None:
        """The newest stored result of these inputs in any run, or None."""
        with _clear(self.path):
            row = self._db.execute(
                "SELECT result FROM evaluations WHERE key = ? ORDER BY run DESC LIMIT 1", (digest(inputs),)
            ).fetchone()
        return None if row is None else self._load(row[0])

    def evaluations(self, run_id: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """All (inputs, result) of one run."""
        with _clear(self.path):
            rows = self._db.execute("SELECT inputs, result FROM evaluations WHERE run = ?", (run_id,)).fetchall()
        return [(self._load(i), self._load(r)) for i, r in rows]

    def count(self, run_id: int) -> int:
        """How many evaluations a run has."""
        with _clear(self.path):
            found = self._db.execute("SELECT count(*) FROM evaluations WHERE run = ?", (run_id,)).fetchone()
        return int(found[0])

    def events(self, run_id: int, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """(time, data) of one run's events of a kind, in order."""
        with _clear(self.path):
            rows = self._db.execute(
                "SELECT at, data FROM events WHERE run = ? AND kind = ? ORDER BY id", (run_id, kind)
            ).fetchall()
        return [(at, self._load(data)) for at, data in rows]

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        return self._runs("ORDER BY id", ())

    def _runs(self, where: str, values: tuple[Any, ...]) -> list[RunRecord]:
        sql = "SELECT id, verb, command, inputs, inputs_hash, versions, seed, started, finished, status, result "
        with _clear(self.path):
            rows = self._db.execute(f"{sql} FROM runs {where}", values).fetchall()
        return [
            RunRecord(
                r[0], r[1], r[2], self._load(r[3]), r[4], self._load(r[5]), r[6], self._time(r[7]),
                None if r[8] is None else self._time(r[8]), r[9],
                None if r[10] is None else self._load(r[10]),
            )
            for r in rows
        ]  # fmt: skip

    def _load(self, text: object) -> dict[str, Any]:
        try:
            value = json.loads(text if isinstance(text, str | bytes) else "")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self._damaged()
        return value

    def _time(self, stamp: object) -> str:
        """A time as `_now` writes it."""
        try:
            if isinstance(stamp, str) and datetime.fromisoformat(stamp).tzinfo is not None:
                return stamp
        except ValueError:
            pass
        raise self._damaged()

    def _damaged(self) -> StudyError:
        return StudyError(f"study '{self.path}' holds a damaged record; restore a copy or choose another --study")

    def close(self) -> None:
        """Folds the log into the file and frees the lock. Safe to call twice."""
        db = getattr(self, "_db", None)
        if db is not None:
            if self._ours:
                # back to a single plain file, which can be copied and be read in a read-only folder; a reader that is
                # open at this moment only makes it stay in WAL mode
                with suppress(sqlite3.Error):
                    db.execute("PRAGMA busy_timeout = 0")
                    db.execute("PRAGMA journal_mode = DELETE").fetchone()
            db.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _clear(path: Path) -> Iterator[None]:
    """SQLite's own errors as one line that says what to do."""
    try:
        yield
    except UnicodeDecodeError:
        raise StudyError(f"study '{path}' is corrupt (text that is not UTF-8); restore a copy") from None
    except sqlite3.Error as error:
        text = " ".join(str(error).split())
        if "disk is full" in text:
            advice = "free some space; everything reported as done so far is kept"
        elif "readonly" in text or "unable to open" in text:
            advice = "check the file's and folder's permissions, or choose another --study"
        elif "not a database" in text or "malformed" in text:
            advice = "it is not a cofront study, or corrupt; restore a copy or choose another --study"
        elif "locked" in text or "busy" in text:
            advice = "another program holds it; close that, or choose another --study"
        else:
            advice = "check the disk; everything reported as done so far is kept"
        raise StudyError(f"study '{path}': {text}; {advice}") from None


def _dump(value: dict[str, Any] | msgspec.Struct) -> str:
    if isinstance(value, msgspec.Struct):
        return msgspec.json.encode(value).decode()  # numbers without end become null here too
    return json.dumps(clean(value), separators=(",", ":"), allow_nan=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
