import csv
import functools
import json
import sys
from pathlib import Path

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny

from cofront.cli.main import run as run_command
from cofront.study.documents import json_schemas


@functools.cache
def validator(kind):
    return jsonschema.Draft202012Validator(json_schemas()[kind])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cofront.cli.progress.EVERY_S", 1e9)  # of a slow machine, errors are one line, too
    tiny.register()


@pytest.fixture
def cofront(capfd):
    """Runs a command line in this process: (exit code, standard output, standard error)."""

    def call(*arguments):
        capfd.readouterr()
        code = run_command([str(a) for a in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err and "internal error" not in err, err
        return code, out, err

    return call


@pytest.fixture
def refused(cofront):
    """Runs a command line that must fail: (exit code, its one line)."""

    def call(*arguments):
        code, out, err = cofront(*arguments)
        assert code in (1, 2) and out == "", (code, out, err)
        assert err.count("\n") == 1 and err.startswith("cofront: "), err
        return code, err[len("cofront: ") : -1]

    return call


@pytest.fixture
def as_json(cofront):
    """Runs a command line with --json: the document, which follows its schema."""

    def call(*arguments, code=0):
        got, out, err = cofront(*arguments, "--json")
        assert got == code, (got, err)
        found = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        for document in found if isinstance(found, list) else [found]:
            validator(document["kind"]).validate(document)
        return found

    return call


@pytest.fixture
def table(tmp_path):
    """A file with invented accuracies of the tiny space."""

    def write(name="table.csv", **changes):
        columns = {**tiny.rows(), **changes}
        path = tmp_path / name
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return path

    return write
