"""How benchmarks keep their results: what is there stays, and the file says how it was made."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def record(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import record

    yield record
    del sys.modules["record"]


def test_parts_are_added_to_a_file_of_results(record, tmp_path, monkeypatch):
    path = tmp_path / "some.json"
    assert record.read(path) == {}
    monkeypatch.setattr(sys, "argv", ["/anywhere/some.py", "part", "--seed", "3"])
    record.write(path, {"first": 1})
    record.write(path, {**record.read(path), "second": {**record.made("numpy", seed=3), "rows": []}}, indent=2)
    found = record.read(path)
    assert found["first"] == 1 and [p.name for p in tmp_path.iterdir()] == ["some.json"]
    assert list(found["second"]) == ["command", "date", "seed", "python", "versions", "rows"]
    assert found["second"]["command"] == "python benchmarks/some.py part --seed 3"
    assert found["second"]["versions"] == {"numpy": np.__version__}


def test_results_that_cannot_be_written_leave_the_old_ones(record, tmp_path):
    path = tmp_path / "some.json"
    record.write(path, [1.5], indent=None)
    assert path.read_text() == "[1.5]\n"
    with pytest.raises(TypeError):
        record.write(path, np.zeros(1))
    assert record.read(path) == [1.5]
    record.write(path, np.zeros(1), default=lambda v: v.tolist())
    assert json.loads(path.read_text()) == [0.0]
