import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cofront.errors import StudyError
from cofront.study import Study
from cofront.study.store import APPLICATION_ID


def test_what_was_recorded_is_there_after_reopening(tmp_path):
    path = tmp_path / "deep" / "s.sqlite"
    with Study(path) as study:
        run = study.start("search", {"device": "zu3eg"}, seed=7)
        run.record([({"point": [1, 2]}, {"latency_s": 0.5}), ({"point": [3]}, {"latency_s": 0.25})])
        run.event("progress", {"gap": 0.1})
        run.event("progress", {"gap": 0.0})
        run.finish("done", {"front": []})
    with Study(path, write=False) as study:
        (record,) = study.runs()
        assert (record.verb, record.seed, record.status, record.result) == ("search", 7, "done", {"front": []})
        assert record.versions["cofront"] and record.finished is not None
        assert study.evaluation({"point": [3]}) == {"latency_s": 0.25}
        assert study.evaluation({"point": [4]}) is None
        assert study.count(record.id) == 2 and len(study.evaluations(record.id)) == 2
        assert [d["gap"] for _, d in study.events(record.id, "progress")] == [0.1, 0.0]
    assert sorted(p.name for p in path.parent.iterdir()) == ["s.sqlite"]  # no lock, no log left behind


def test_only_equal_inputs_of_a_finished_run_are_reused(tmp_path):
    with Study(tmp_path / "s") as study:
        run = study.start("search", {"a": 1, "b": [1.0, 2.0]})
        assert study.finished({"a": 1, "b": [1.0, 2.0]}) is None  # still running
        run.finish("done", {"n": 1})
        found = study.finished({"b": [1.0, 2.0], "a": 1})  # the order of keys does not matter
        assert found is not None and found.result == {"n": 1}
        assert study.finished({"a": 1, "b": [1.0, 2.5]}) is None


def test_nan_is_stored_as_null(tmp_path):
    with Study(tmp_path / "s") as study:
        study.start("search", {}).record([({"x": 1}, {"a": float("nan"), "b": float("inf")})])
        assert study.evaluation({"x": 1}) == {"a": None, "b": None}


def test_a_second_writer_is_told_who_is_first_and_a_reader_is_welcome(tmp_path):
    with Study(tmp_path / "s") as study:
        study.start("search", {}).record([({"x": 1}, {"y": 2})])
        with pytest.raises(StudyError, match=rf"is being written by process {os.getpid()} .*choose another --study"):
            Study(tmp_path / "s")
        with Study(tmp_path / "s", write=False) as reader:
            assert reader.evaluation({"x": 1}) == {"y": 2}
    Study(tmp_path / "s").close()


WRITER = """
import sys
from cofront.study import Study
study = Study(sys.argv[1])
run = study.start("search", {"job": 1})
for i in range(10**9):
    run.record([({"i": i}, {"latency_s": i / 7})])
    run.event("progress", {"i": i})
    print(i, flush=True)
"""


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.21])
def test_a_killed_process_loses_nothing_it_printed(tmp_path, wait_s):
    path = tmp_path / "s.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "0\n"
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        last = ([0] + [int(line) for line in process.stdout.read().split()])[-1]
    with Study(path) as study:  # the lock went with the process
        (record,) = study.runs()
        for i in range(last + 1):
            assert study.evaluation({"i": i}) == {"latency_s": i / 7}
        assert len(study.events(record.id, "progress")) >= last + 1
        study.start("search", {"job": 2})
        assert [r.status for r in study.runs()] == ["interrupted", "running"]


def test_a_process_killed_while_it_creates_the_study_does_no_harm(tmp_path):
    path = tmp_path / "s.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")  # a header and no tables
    db.close()
    with Study(path) as study:
        assert study.runs() == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(b"hello, I am no study" * 99), "file is not a database.*not a cofront study"),
        (lambda p: sqlite3.connect(p).executescript("CREATE TABLE t(x);"), "not a cofront study"),
        (lambda p: p.mkdir(), "is a folder"),
    ],
)
def test_foreign_files_are_refused_in_one_line(tmp_path, make, message):
    path = tmp_path / "s.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StudyError, match=message) as caught:
        Study(path)
    assert "\n" not in str(caught.value)
    assert before is None or path.read_bytes() == before  # and not touched


def test_other_versions_are_refused_with_the_way_out(tmp_path):
    path = tmp_path / "s"
    Study(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(StudyError, match=r"has version 2, this cofront writes version 1; upgrade cofront"):
        Study(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 0")
    with pytest.raises(StudyError, match=r"has version 0.*use the cofront that wrote it"):
        Study(path, write=False)


def test_missing_study_folder_file_and_rights(tmp_path):
    with pytest.raises(StudyError, match=r"no study at .*makes one"):
        Study(tmp_path / "none", write=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot make the folder of study"):
        Study(tmp_path / "file" / "s")


def as_an_ordinary_user(work):
    """The text `work()` returns, computed in a forked child; root gives up its rights first."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            os.write(send, work().encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def test_a_folder_without_write_permission():
    folder = Path(tempfile.mkdtemp(prefix="cofront-test-"))

    def refused_then_read():
        with pytest.raises(StudyError) as caught:
            Study(folder / "s")
        with Study(folder / "s", write=False) as study:
            return f"{caught.value}\n{len(study.runs())}"

    try:
        with Study(folder / "s") as study:
            study.start("search", {})
        (folder / "s").chmod(0o444)
        folder.chmod(0o555)
        message, count = as_an_ordinary_user(refused_then_read).splitlines()
        assert message.startswith("cannot lock study") and "Permission denied; choose another --study" in message
        assert count == "1"
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_full_disk_is_one_line_and_keeps_what_was_recorded(tmp_path):
    with Study(tmp_path / "s") as study:
        run = study.start("search", {})
        run.record([({"x": 1}, {"y": 1})])
        pages = study._db.execute("PRAGMA page_count").fetchone()[0]
        study._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StudyError, match="disk is full; free some space; everything reported as done so far"):
            run.record([({"x": 2}, {"y": "z" * 100_000})])
        assert study.evaluation({"x": 1}) == {"y": 1} and study.evaluation({"x": 2}) is None
        study._db.execute("PRAGMA max_page_count = 100000")
        run.record([({"x": 2}, {"y": 2})])  # and goes on when there is space again
    with Study(tmp_path / "s", write=False) as study:
        assert study.evaluation({"x": 2}) == {"y": 2}


LIMITED = """
import resource, signal, sys
from cofront.errors import StudyError
from cofront.study import Study
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
study = Study(sys.argv[1])
run = study.start("search", {})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
done = 0
try:
    for i in range(10_000):
        run.record([({"i": i}, {"v": "x" * 500})])
        done = i
except StudyError as error:
    print(done)
    print(error)
"""


def test_a_write_that_the_system_refuses_is_one_line(tmp_path):
    assert resource.RLIMIT_FSIZE  # the limit stands in for a full disk
    out = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path / "s")], capture_output=True, text=True)
    done, message = out.stdout.splitlines()
    assert "everything reported as done so far is kept" in message and out.returncode == 0
    with Study(tmp_path / "s") as study:
        for i in range(int(done) + 1):
            assert study.evaluation({"i": i}) is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_study_never_gives_anything_but_a_study_error(tmp_path, data):
    path = tmp_path / "good"
    if not path.exists():
        with Study(path) as study:
            run = study.start("search", {"a": 1})
            run.record([({"i": i}, {"v": i}) for i in range(200)])
            run.finish("done", {"front": [1, 2]})
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(raw) - 1))
        chunk = data.draw(st.binary(min_size=1, max_size=200))
        raw[start : start + len(chunk)] = chunk
    bad = tmp_path / "bad"
    bad.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw))
    for write in (False, True):
        try:
            with Study(bad, write=write) as study:
                for record in study.runs():
                    json.dumps(record.result)
                    study.evaluations(record.id)
                    study.events(record.id, "progress")
                study.finished({"a": 1})
        except StudyError as caught:
            message = str(caught)
        else:
            message = ""
        assert "\n" not in message


def test_the_file_says_what_it_is(tmp_path):
    with Study(tmp_path / "s"), sqlite3.connect(tmp_path / "s") as db:
        assert db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize("program", ["/x/lib/cofront/__main__.py", "/x/bin/cofront", ""])
def test_the_command_is_kept_as_it_can_be_typed(monkeypatch, program):
    from cofront.study.provenance import command_line

    monkeypatch.setattr("sys.argv", [program, "search", "--out", "a b"])
    assert command_line() == "cofront search --out 'a b'"


@pytest.mark.parametrize("name", ["search/front.py", "device/parts/zu3eg.toml", "hardware/subgraph/area.json"])
def test_the_hash_of_the_sources_covers_every_file_that_gives_figures(tmp_path, name):
    from cofront.study import provenance

    root = Path(provenance.__file__).parents[1]
    assert provenance.source_hash() == provenance.hash_of_sources(root) != provenance.hash_of_sources(tmp_path)
    assert (root / "hardware/subgraph/area.json").is_file()
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("1")
    one = provenance.hash_of_sources(tmp_path)
    path.write_text("2")
    assert provenance.hash_of_sources(tmp_path) != one
