"""Measuring over a real ssh to a real sshd."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from measuring_helpers import QUICK, Board, attempt, visits

from cofront.measure import session
from cofront.measure.base import DeviceError, Item
from cofront.measure.target import Target, parse_target


def reach(board: Board, **options: object) -> Target:
    return parse_target(board.url, ssh_config=board.config, **{"python": sys.executable, **options})  # type: ignore[arg-type]


def nothing_left(board: Board) -> None:
    """The remote folder is gone, perhaps a moment later."""
    for _ in range(100):
        left = [p for p in board.temporary.iterdir() if p.name.startswith("cofront-") and p.is_dir()]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"left behind: {left}")


def test_measures_and_cleans_up(board: Board, few: list[Item], tmp_path: Path) -> None:
    lines = attempt(reach(board), few, tmp_path / "t.parquet")
    assert sorted(visits(lines)) == sorted((i.id, r) for i in few for r in range(QUICK.rounds))
    machine = next(line["machine"] for line in lines if "machine" in line)
    assert machine["cores"] >= 1 and machine["runtime"] == "onnxruntime" and machine["memory_bytes"] > 1e6
    nothing_left(board)


def test_a_lost_connection_is_made_again_and_nothing_measured_twice(
    board: Board, few: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAUSE_S", 0.1)
    cut, said = [], []

    def on_step(step: session.Step) -> None:
        if step.done == 4 and not cut:
            cut.extend(board.sessions())
            for pid in cut:
                os.kill(pid, signal.SIGKILL)

    lines = attempt(
        reach(board), few, tmp_path / "t.parquet", replace(QUICK, rounds=30), on_step=on_step, say=said.append
    )
    assert cut and len(said) == 1 and "connection was lost" in said[0] and "of 120 measurements are kept" in said[0]
    found = visits(lines)
    assert len(found) == len(set(found)) == 120
    assert sum("machine" in line for line in lines) == 2
    nothing_left(board)


def test_a_killed_runner_is_started_again(
    board: Board, few: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAUSE_S", 0.1)
    killed = []

    def on_step(step: session.Step) -> None:
        if step.done == 3 and not killed:
            killed.append(int((board.temporary / "cofront-measure.lock").read_text().split()[0]))
            os.kill(killed[0], signal.SIGKILL)

    lines = attempt(reach(board), few, tmp_path / "t.parquet", replace(QUICK, rounds=20), on_step=on_step)
    assert killed and len(set(visits(lines))) == len(visits(lines)) == 80
    nothing_left(board)


def test_a_board_that_vanishes_for_good_keeps_what_is_measured(
    board: Board, few: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAUSE_S", 0.02)

    def on_step(step: session.Step) -> None:
        if step.done == 4:
            sessions = board.sessions()
            board.process.kill()
            for pid in sessions:
                os.kill(pid, signal.SIGKILL)

    path = tmp_path / "t.parquet"
    with pytest.raises(DeviceError, match=r"nothing answers.*measurements are kept: the same command goes on") as error:
        attempt(reach(board), few, path, replace(QUICK, rounds=30), on_step=on_step)
    assert "\n" not in str(error.value)
    assert path.with_name("t.parquet.partial").read_text().count('"visit"') >= 4
    nothing_left(board)


def test_stopping_ends_the_runner(board: Board, few: list[Item], tmp_path: Path) -> None:
    seen: list[int] = []
    lines = attempt(
        reach(board), few, tmp_path / "t.parquet", replace(QUICK, rounds=200),
        on_step=lambda s: seen.append(s.done), should_stop=lambda: len(seen) > 5,
    )  # fmt: skip
    assert 5 < len(visits(lines)) < 800
    nothing_left(board)


def test_two_at_once(board: Board, few: list[Item], tmp_path: Path) -> None:
    refused: list[str] = []

    def on_step(step: session.Step) -> None:
        if step.done == 3 and not refused:
            with pytest.raises(DeviceError) as error:
                attempt(reach(board), few, tmp_path / "other.parquet")
            refused.append(str(error.value))

    many = replace(QUICK, rounds=2000)
    attempt(reach(board), few, tmp_path / "t.parquet", many, on_step=on_step, should_stop=lambda: bool(refused))
    assert "another measurement is running there (process " in refused[0] and "wait for it" in refused[0]
    assert not (tmp_path / "other.parquet.partial").exists()


def test_refusals_are_one_clear_line(
    board: Board, few: list[Item], tmp_path: Path, python_without: Callable[[str], str]
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    stranger = tmp_path / "stranger"
    stranger.write_text(board.config.read_text().replace("UserKnownHostsFile", f"UserKnownHostsFile {empty} #"))
    locked_out = tmp_path / "locked-out"
    locked_out.write_text(board.config.read_text().replace("IdentityFile", f"IdentityFile {empty} #"))
    cases = [
        (parse_target("ssh://127.0.0.1:1", ssh_config=board.config), "nothing answers on that port"),
        (parse_target("ssh://nobody.invalid", ssh_config=board.config), "no machine of that name"),
        (
            parse_target(board.url, ssh_config=stranger),
            "host key is not known or has changed; connect .* ssh -p",
        ),
        (parse_target(board.url, ssh_config=locked_out), "refuses the login.*ssh-copy-id 127.0.0.1"),
        (reach(board, python="no-such-python"), "no 'no-such-python' there; install Python 3.8"),
        (reach(board, python=python_without("onnxruntime")), "no onnxruntime .*pip install onnxruntime"),
        (reach(board, python=python_without("numpy")), "no numpy"),
    ]
    for number, (target, says) in enumerate(cases):
        with pytest.raises(DeviceError, match=says) as error:
            attempt(target, few, tmp_path / f"{number}.parquet")
        assert "\n" not in str(error.value) and str(error.value).startswith("ssh://")
        assert not (tmp_path / f"{number}.parquet.partial").exists(), "nothing was measured, nothing is to be kept"
    nothing_left(board)
