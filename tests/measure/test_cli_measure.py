"""The verbs as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cofront.cli.main import run

MEASURE = ["measure", "--space", "nasbench_macro", "--seconds-per-model", "0.003", "--rounds", "3", "--networks", "6"]


def test_measure_then_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(tmp_path / "host.parquet")
    assert run([*MEASURE, "-o", table]) == 0
    text = capsys.readouterr().out
    assert "17 operators and 6 networks of nasbench_macro in float32" in text and f"--device {table}" in text
    assert run([*MEASURE, "-o", table, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["kind"] == "measurement" and again["reused"] and again["done"] == again["total"]
    assert again["machine"]["runtime"] == "onnxruntime" and again["overhead"]["networks"] == 6
    point = "nasbench_macro:" + ",".join("1" * 16)
    assert run(["predict", point, "mobilenetv2", "--device", table]) == 0
    text = capsys.readouterr().out
    assert "Latency on host" in text and "sum of 10 operators" in text and " ms" in text
    assert run(["predict", point, "--device", table, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "latency" and 1e-5 < found["networks"][0]["latency_s"] < 10


def test_interrupt_keeps_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cofront", *MEASURE, "--rounds", "20", "--networks", "0", "-o", "t.json"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    partial = tmp_path / "t.json.partial"
    for _ in range(600):
        if partial.exists() and partial.read_text().count('"visit"') > 20:
            break
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "visits are kept in t.json.partial; the same command goes on" in said
    kept = partial.read_text().splitlines()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not partial.exists()
    rows = json.loads((tmp_path / "t.json").read_text())
    assert rows["visits"][1:] == [20] * 17
    assert sum('"visit"' in line for line in kept) < 17 * 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--space", "nasbench_macro", "-o", "t.xls"], "a table's name ends in"),
        (["--space", "nasbnch_macro", "-o", "t.csv"], "nasbench_macro?"),
        (["--space", "nasbench_macro", "-o", "t.csv", "--device", "pi@board"], "'host' or ssh://user@board"),
        (["--space", "nasbench_macro", "-o", "t.csv", "--cores", "a"], "--cores expects"),
        (["--space", "nasbench_macro", "-o", "t.csv", "--cores", "0", "--threads", "2"], "1 processors for 2 threads"),
        (["--space", "nasbench_macro", "-o", "t.csv", "--adapt-from", "x.csv"], "give --samples too"),
        (["--space", "nasbench_macro", "-o", "t.csv", "--samples", "9", "--no-operators"], "leave --no-operators out"),
        (["--space", "nasbench_macro", "-o", "t.csv", "--runtime", "tvm"], "no runtime named 'tvm'"),
        (["--space", "nasbench201", "-o", "t.csv"], "--no-operators --networks"),
    ],
)
def test_usage_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["measure", *arguments]) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and not said.out
    assert not [p for p in tmp_path.iterdir() if p.is_file()]
