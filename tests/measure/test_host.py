"""Measuring on this machine: the same runner, started directly."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measuring_helpers import QUICK, attempt, script, visits

from cofront import space
from cofront.errors import UsageError
from cofront.measure import runner, session
from cofront.measure.base import DeviceError, Item, Settings
from cofront.measure.journal import Journal
from cofront.measure.models import networks, pack, sample
from cofront.measure.target import BOOTSTRAP, parse_target

HOST = parse_target("host")


def test_runner_is_python_3_8_and_stands_alone() -> None:
    tree = ast.parse(Path(runner.__file__).read_text(), feature_version=(3, 8))
    names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert not [n for n in names if n.startswith("cofront")]
    ast.parse(BOOTSTRAP, feature_version=(3, 8))
    assert "'" not in BOOTSTRAP and "\n" not in BOOTSTRAP


def test_every_model_is_visited_once_a_round_by_turns(few: list[Item], tmp_path: Path, temporary: Path) -> None:
    lines = attempt(HOST, few, tmp_path / "t.parquet")
    order = visits(lines)
    assert [r for _, r in order] == sorted(r for _, r in order), "rounds follow each other"
    assert {frozenset(i for i, r in order if r == k) for k in range(3)} == {frozenset(i.id for i in few)}
    assert all(0 < line["s"] < 1 and line["runs"] >= 2 for line in lines if "visit" in line)
    assert sum("ref" in line for line in lines) >= 3, "the reference kernel is timed between rounds"
    assert not [p for p in temporary.iterdir() if p.is_dir()], "its folder is gone"
    again = visits(attempt(HOST, few, tmp_path / "again.parquet"))
    assert order == again, "the same order for the same seed"
    other = visits(attempt(HOST, few, tmp_path / "other.parquet", replace(QUICK, seed=1)))
    assert sorted(order) == sorted(other) and order != other


def test_a_stop_after_the_last_visit_is_none(few: list[Item], tmp_path: Path) -> None:
    seen: list[int] = []
    with Journal(tmp_path / "t.parquet", {}) as journal:
        assert session.run(
            HOST, few[:1], QUICK, journal, on_step=lambda s: seen.append(s.done), should_stop=lambda: seen[-1:] == [3]
        )
    with Journal(tmp_path / "u.parquet", {}) as journal:
        assert not session.run(HOST, few[:1], QUICK, journal, should_stop=lambda: True)


def test_a_killed_runner_keeps_what_it_measured(few: list[Item], tmp_path: Path, temporary: Path) -> None:
    def kill(step: session.Step) -> None:
        if step.done == 5:
            os.kill(int((temporary / runner.LOCK).read_text().split()[0]), signal.SIGKILL)

    path, many = tmp_path / "t.parquet", replace(QUICK, rounds=40)
    with pytest.raises(DeviceError, match=r"host: the runner was killed by signal 9: out of memory\?; \d+ of 160 meas"):
        attempt(HOST, few, path, many, on_step=kill)
    before = path.with_name("t.parquet.partial").read_text().splitlines()
    assert sum('"visit"' in line for line in before) >= 5
    assert not [p for p in temporary.iterdir() if p.is_dir()], "what it left behind is removed"
    found = visits(attempt(HOST, few, path, many))
    assert len(found) == len(set(found)) == 160
    after = path.with_name("t.parquet.partial").read_text().splitlines()
    assert after[: len(before)] == before


def test_pytorch_runs_the_same_plan(few: list[Item], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    lines = attempt(HOST, few[:1], tmp_path / "t.parquet", replace(QUICK, runtime="pytorch"))
    assert len(visits(lines)) == 3
    assert next(line["machine"] for line in lines if "machine" in line)["runtime"] == "pytorch"


def test_whole_networks_and_batches(tmp_path: Path) -> None:
    macro = space.load("nasbench_macro")
    points = sample(macro, np.random.default_rng(0), 3)
    assert len({tuple(p) for p in points}) == 3 and not points[:, 8:].any(), "precisions are no difference in float32"
    items = networks(macro, points[:1])
    one, four = (attempt(HOST, items, tmp_path / f"{b}.parquet", replace(QUICK, batch=b)) for b in (1, 4))
    least = [min(line["s"] for line in lines if "visit" in line) for lines in (one, four)]
    assert least[1] > 1.5 * least[0]


def test_models_travel_without_weights(few: list[Item]) -> None:
    whole = networks(space.load("ofa_mobilenetv3"), sample(space.load("ofa_mobilenetv3"), np.random.default_rng(0), 1))
    assert sum(4 * whole[0].network.params for _ in whole) > 1e7
    assert len(pack(whole, QUICK, {})) < 60_000


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(threads=4096, rounds=1), "4096 threads asked for"),
        (Settings(cores=(9999,), rounds=1), "cannot run on processors"),
        (Settings(provider="cuda", rounds=1), "CUDA was asked for"),
    ],
)
def test_what_the_machine_cannot_do(few: list[Item], tmp_path: Path, settings: Settings, says: str) -> None:
    if settings.provider == "cuda":
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match=f"host: .*{says}") as error:
        attempt(HOST, few, tmp_path / "t.parquet", settings)
    assert "\n" not in str(error.value)


def test_pythons_that_do_not_serve(few: list[Item], tmp_path: Path, python_without: Callable[[str], str]) -> None:
    old = script(tmp_path / "old", "echo 'SyntaxError: future feature annotations is not defined' >&2; exit 1\n")
    broken = script(tmp_path / "broken", "echo 'Bad CPU type' >&2; exit 9\n")
    cases = [
        (python_without("onnxruntime"), "no onnxruntime .*pip install onnxruntime"),
        ("/no/such/python", "cannot run '/no/such/python': No such file"),
        (old, "Python is too old: 3.8 or later"),
        (broken, r"did not start \(status 9\): Bad CPU type"),
    ]
    for python, says in cases:
        with pytest.raises(DeviceError, match=says):
            attempt(parse_target("host", python=python), few, tmp_path / "t.parquet")


def test_one_measurement_at_a_time(few: list[Item], tmp_path: Path, temporary: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (temporary / runner.LOCK).open("w") as lock:
        lock.write("123 abc since 10:00:00")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DeviceError, match=r"another measurement is running there \(process 123, since 10:00:00\)"):
            attempt(HOST, few, tmp_path / "t.parquet")
    assert len(visits(attempt(HOST, few, tmp_path / "t.parquet"))) == 12


def test_a_runner_whose_caller_is_gone_ends_and_cleans_up(few: list[Item], temporary: Path) -> None:
    archive = pack(few, replace(QUICK, rounds=10_000), {"session": "x", "done": []})
    process = subprocess.Popen([sys.executable, "-c", BOOTSTRAP], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"%d\n" % len(archive) + archive)
    process.stdin.flush()
    while b'"visit"' not in process.stdout.readline():
        pass
    process.stdin.close()
    assert process.wait(20) == 4
    process.stdout.close()
    assert not [p for p in temporary.iterdir() if p.is_dir()]


@pytest.mark.parametrize(
    "device", ["ssh://", "ssh://a b", "ssh://-oProxyCommand=x", "ssh://x@-y;z", "ssh://h:99999", "board", "ssh://h:0"]
)
def test_devices_that_are_none(device: str) -> None:
    with pytest.raises(UsageError):
        parse_target(device)


def test_addresses() -> None:
    found = parse_target("ssh://me@[::1]:2222")
    assert (found.destination, found.port) == ("me@::1", 2222)
    assert parse_target("ssh://board.local").command(["true"])[-3:] == ["--", "board.local", "true"]
    assert parse_target("ssh://b").cleaner("/scratch/cofront-ab_1") is not None
    for folder in ("/", "", "/scratch", "/scratch/cofront-a/../../etc", "/scratch/x; rm -rf /", "cofront-a"):
        assert parse_target("ssh://b").cleaner(folder) is None, folder
