"""Verbs that work in a folder: what is left when the report alone fails."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "study"))

import swapped

from cofront.cli.accelerate import show
from cofront.cli.in_folder import in_folder
from cofront.errors import UsageError
from cofront.study import Study

FOUND = swapped.document()


def work(study, progress, stop):
    study.start("accelerate", {"model": FOUND.model}).finish("done", FOUND)
    return FOUND


def test_a_report_that_fails_is_a_note_and_the_document_is_there(capsys):
    with Study(Path("shared.sqlite")) as study:
        study.start("run", {"of": "another"}).finish("done", {"kind": "run", "schema": 1, "history": [1], "layers": 3})
    found = in_folder(work, Path("out"), Path("shared.sqlite"), ["accelerate.json"], [])
    assert (found.solutions, found.study, found.report) == (FOUND.solutions, "shared.sqlite", None)
    note = capsys.readouterr().err
    assert "cofront: note: no report: " in note and "run 1 of study" in note and note.count("\n") == 1
    with Study(Path("shared.sqlite"), write=False) as study:
        assert [r.status for r in study.runs()] == ["done", "done"]
    show(found, Path("out"))
    assert "accelerate.json" in (said := capsys.readouterr().out) and "None" not in said


def test_a_report_that_succeeds_is_named(capsys):
    found = in_folder(work, Path("out"), None, ["accelerate.json"], [])
    assert (found.study, found.report) == ("out/study.sqlite", "out/report.html")
    assert capsys.readouterr().err == "" and Path("out/report.html").stat().st_size > 1000
    show(found, Path("out"))
    assert "out/report.html" in capsys.readouterr().out


def test_a_failure_of_the_work_itself_is_an_error():
    def fails(study, progress, stop):
        raise UsageError("nothing can be done")

    with pytest.raises(UsageError, match="nothing can be done"):
        in_folder(fails, Path("out"), None, [], [])
    assert not Path("out").exists()
