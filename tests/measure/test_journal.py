"""What is kept of a measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cofront.errors import InputError, UsageError
from cofront.measure.base import DeviceError
from cofront.measure.journal import Journal

HEADER = {"space": "s", "settings": {"threads": 1}, "items": "a"}
VISIT = {"visit": "op1", "round": 0, "s": 0.001, "runs": 3, "interrupted": 0, "by": "wall"}


def test_keeps_and_goes_on(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    with Journal(table, HEADER) as journal:
        journal.add({"hello": "3.8", "folder": "x"})
        journal.add(VISIT)
        assert journal.visited == {("op1", 0)}
    with journal.path.open("a") as file:
        file.write('{"visit": "op2", "rou')  # a crash in the middle of a line
    with Journal(table, HEADER) as journal:
        assert journal.lines == [VISIT]
        journal.add({**VISIT, "visit": "op2"})
    assert [json.loads(line).get("visit") for line in journal.path.read_text().splitlines()] == [None, "op1", "op2"]
    journal.finish()
    assert not [p for p in tmp_path.iterdir() if p.is_file()]


def test_nothing_measured_nothing_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "t.parquet", HEADER):
        pass
    assert not [p for p in tmp_path.iterdir() if p.is_file()]


def test_another_measurement_is_not_mixed_in(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    with Journal(table, HEADER) as journal:
        journal.add(VISIT)
    other = {**HEADER, "settings": {"threads": 2}, "items": "b"}
    with pytest.raises(UsageError, match=r"settings was \{'threads': 1\}, now \{'threads': 2\}, other models.*--fresh"):
        Journal(table, other)
    with Journal(table, other, fresh=True) as journal:
        assert journal.lines == []


def test_one_writer(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Journal(tmp_path / "t.parquet", HEADER), pytest.raises(DeviceError, match="being written by another"):
        Journal(tmp_path / "t.parquet", HEADER)


def test_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "t.parquet.partial").write_text("not ours\n")
    with pytest.raises(InputError, match="no journal of measurements"):
        Journal(tmp_path / "t.parquet", HEADER)
    with pytest.raises(InputError, match="cannot write"):
        Journal(tmp_path / "no" / "t.parquet", HEADER)
