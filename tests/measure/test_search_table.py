"""`cofront search` on a table of operators."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cofront import space
from cofront.api.tabled import is_measured
from cofront.cli.main import run
from cofront.errors import CofrontError, InputError
from cofront.hardware.tables import read_additive, read_measured
from cofront.measure.estimate import KnownModel, Subject, load_model
from cofront.measure.known import known_devices
from cofront.measure.models import operators, sample
from cofront.measure.paths import linear_cost, not_negative
from cofront.predict.additive import Additive
from cofront.predict.devices import shipped
from cofront.predict.ridge import OneHotRidge
from cofront.predict.tables import read_table
from cofront.predict.transfer import Transfer
from cofront.search.walk import path_of
from cofront.study import Study
from cofront.study.report import report_data

MACRO = space.load("nasbench_macro")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of operators and one of accuracies."""
    monkeypatch.chdir(tmp_path)
    rows = {i.key: 0.02 + i.network.macs / 4e7 for i in operators(MACRO)}
    Path("box.json").write_text(json.dumps({"operator": list(rows), "latency_ms": list(rows.values())}))
    points = MACRO.sample(np.random.default_rng(0), 120)
    points[:, 8:] = 0
    table = {c.name: [MACRO.describe(p)[c.name] for p in points] for c in MACRO.choices[:8]}
    macs = np.array([MACRO.network(p).macs for p in points])
    Path("top.json").write_text(json.dumps({**table, "accuracy": list(0.6 + 0.05 * np.log(macs / 1e6))}))
    return tmp_path


SEARCH = ["search", "--device", "box.json", "--space", "nasbench_macro", "--accuracy-table", "top.json", "-o", "out"]


def test_the_front_is_exact_and_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SEARCH, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gap"] == 0 and found["status"] == "optimal" and found["designs"] == 3**8
    device, front = read_additive("box.json"), found["front"]
    points = np.array([d["point"] for d in front])
    latency = device.of_points(MACRO, points)
    assert np.allclose([d["latency_s"] for d in front], latency, atol=2e-8)
    # no whole network was measured: the interval is that of a guess, and said to be
    assert np.allclose([d["latency_high_s"] - d["latency_low_s"] for d in front], 2 * 1.96 * 0.1 * latency)
    assert "10 % is a guess" in found["latency_note"]
    every = np.stack(np.meshgrid(*[np.arange(3)] * 8, indexing="ij"), -1).reshape(-1, 8)
    every = np.concatenate([every, np.zeros_like(every)], axis=1)
    assert front[0]["latency_s"] == pytest.approx(device.of_points(MACRO, every).min(), abs=2e-8)
    assert (here / "out" / "report.html").stat().st_size > 1e5
    with Study("out/study.sqlite", write=False) as study:
        data = report_data(study)
    for design in data["designs"]:  # the operators that make up the time
        calls = [data["calls"][i] for i in design["calls"]]
        assert sum(c["cycles"] for c in calls) == pytest.approx(design["cycles"], abs=len(calls))
        assert {"stem", "head"} < {c["name"] for c in calls} and sum(c["macs"] for c in calls) == design["macs"]
    assert run([*SEARCH, "--fps", "200"]) == 0
    text = capsys.readouterr().out
    assert "gap 0: exact over 6,561 networks" in text and "\n* " in text and "the device runs float32" in text


def test_the_chosen_network_is_exported_and_what_comes_next_works(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SEARCH, "--fps", "200"]) == 0
    text = capsys.readouterr().out
    assert {p.name for p in Path("out").iterdir()} == {
        "design.json", "network.onnx", "network.qonnx.onnx", "report.html", "study.sqlite"
    }  # fmt: skip
    design = json.loads(Path("out/design.json").read_text())
    assert design["accelerator"] == "table" and Path(design["device_file"]) == here / "box.json"
    command = text.partition("next: cofront ")[2].splitlines()[0].split()
    assert run([*command, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["networks"]
    assert said["latency_s"] == pytest.approx(design["design"]["latency_s"], abs=2e-8)
    assert said["low_s"] == pytest.approx(design["design"]["latency_low_s"])
    assert run(["export", "out/design.json", "--out", "again", "--format", "onnx,accelerator"]) == 0
    assert "'box' is known by a table, which says of no accelerator" in capsys.readouterr().out
    assert run(["estimate", "out/design.json"]) == 2
    assert "known by a table: `cofront predict` says what it takes there" in capsys.readouterr().err
    assert run(["estimate", "out/design.json", "--device", "zu3eg"]) == 0
    capsys.readouterr()
    assert run([*SEARCH, "--fps", str(1.01 * design["design"]["fps"])]) == 0
    assert "out/design.json held the design of --fps 200: replaced" in capsys.readouterr().err


def whole_networks(n: int) -> np.ndarray:
    """A table of n measured networks, which add up but for noise; every network's point."""
    points = sample(MACRO, np.random.default_rng(1), n)
    noise = 1 + 0.01 * np.random.default_rng(2).standard_normal(n)
    latency_ms = (3 + (points[:, :8] * np.linspace(0.3, 1.0, 8)).sum(axis=1)) * noise
    table = {c.name: [MACRO.describe(p)[c.name] for p in points] for c in MACRO.choices[:8]}
    Path("few.json").write_text(json.dumps({**table, "lat_ms_a": list(latency_ms), "lat_ms_b": list(2 * latency_ms)}))
    return np.stack(np.meshgrid(*[np.arange(3)] * 8, indexing="ij"), -1).reshape(-1, 8)


def _accuracy(points: np.ndarray) -> np.ndarray:
    """What the additive model of top.json says of points (n, d)."""
    table = read_table(Path("top.json"), MACRO)
    fitted = Additive.for_space(MACRO).fit(Additive.encode(MACRO, table.points), table.accuracy)
    return fitted.predict(Additive.encode(MACRO, points)).mean


@pytest.mark.parametrize(("n", "how"), [(12, "transfer, adapted from totals"), (210, "ridge, learnt from 210")])
def test_measured_networks_are_a_device_by_what_is_predicted(
    here: Path, capsys: pytest.CaptureFixture[str], n: int, how: str
) -> None:
    every = whole_networks(n)
    asked = [*SEARCH, "--device", "few.json", "--latency-column", "lat_ms_a"]
    assert run([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "a" and found["latency_note"].startswith(how) and found["designs"] == 3**8
    table = read_measured("few.json", MACRO, ["lat_ms_a"])
    kind = OneHotRidge() if n > 200 else Transfer.with_devices(MACRO, known_devices(MACRO, None)[0])
    fitted = kind.fit(kind.encode(MACRO, table.points), table.column("lat_ms_a"))
    points = np.concatenate([every, np.zeros_like(every)], axis=1)
    said = fitted.predict(kind.encode(MACRO, points)).mean
    for design in found["front"]:
        assert design["latency_s"] == pytest.approx(said[(points == design["point"]).all(axis=1)][0], rel=1e-6)
        assert design["latency_low_s"] < design["latency_s"] < design["latency_high_s"]
    scores = _accuracy(points)
    for design in found["front"]:  # no network at least as fast is more accurate
        assert scores[said <= design["latency_s"]].max() <= design["accuracy"] + 1e-6
    assert run(asked) == 0
    text = capsys.readouterr().out
    command = text.partition("next: cofront ")[2].splitlines()[0].split()
    assert "--table few.json --device lat_ms_a" in " ".join(command) and run(command) == 0


def test_which_column_of_several_must_be_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole_networks(12)
    assert run([*SEARCH, "--device", "few.json"]) == 2
    assert "2 columns of latency (lat_ms_a, lat_ms_b); say which: `search` with --latency" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fbnet", "nasbench_macro", "ofa_mobilenetv3", "light_nas", "nasa"])
@pytest.mark.parametrize("few", [True, False])
def test_paths_cost_what_is_predicted_of_their_networks(name: str, few: bool) -> None:
    found = space.load(name)
    points = sample(found, np.random.default_rng(0), 40 if few else 120)
    work = found.work(points)
    latency_s = 1e-3 * (1 + (work / work.mean(axis=0)).sum(axis=1) + np.random.default_rng(1).random(len(points)))
    kind = Transfer.with_devices(found, known_devices(found, None)[0]) if few else OneHotRidge()
    fitted = kind.fit(kind.encode(found, points), latency_s)
    linear = fitted.linear()
    assert linear is not None
    layered = found.layered({b: ps[:1] for b, ps in found.precisions_of(points).items()})
    edges, constant = linear_cost(found, layered, *linear)
    assert edges.min() >= 0
    others = sample(found, np.random.default_rng(2), 20)
    paths = [edges[path_of(layered.trellis, p)].sum() + constant for p in others]
    assert np.allclose(np.array(paths) * 1e-9, fitted.predict(kind.encode(found, others)).mean, rtol=1e-5)


def test_a_known_device_costs_what_is_predicted() -> None:
    fbnet = space.load("fbnet@cifar100")
    model = KnownModel(fbnet, shipped("fbnet"), "pixel3")
    layered = fbnet.layered(("W8A8",))
    edges, constant = model.edge_cost(fbnet, layered)
    for point in sample(fbnet, np.random.default_rng(0), 5):
        said = model.estimate(Subject("x", fbnet.network(point), fbnet, point)).latency_s
        assert edges[path_of(layered.trellis, point)].sum() + constant == pytest.approx(1e9 * said, abs=50)
    assert is_measured("pixel3", "fbnet") and not is_measured("pixel3", "subgraph32")
    assert not is_measured("zu3eg", "fbnet") and is_measured("ssh://pi@board", "subgraph32")


def test_a_model_by_which_networks_take_no_time_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = space.load("nasbench201")
    points = sample(cells, np.random.default_rng(0), 60)
    arch = {c.name: [str(cells.describe(p)[c.name]) for p in points] for c in cells.choices}
    Path("nb.json").write_text(json.dumps({**arch, "accuracy": list(0.5 + 0.01 * (points == 3).sum(axis=1))}))
    asked = ["search", "--device", "pixel3", "--space", "nasbench201", "--accuracy-table", "nb.json", "-o", "new"]
    assert run(asked) == 1 and not (here / "new").exists()
    assert "pixel3: by it the fastest networks take no time at all (linear model of" in capsys.readouterr().err


def test_costs_below_zero_are_moved_to_the_constant() -> None:
    trellis = MACRO.layered(("W8A8",)).trellis
    cost = np.random.default_rng(0).integers(-100, 100, trellis.n_edges)
    moved, constant = not_negative(trellis, cost, 7)
    assert moved.min() == 0
    for point in sample(MACRO, np.random.default_rng(0), 30):
        path = path_of(trellis, point)
        assert moved[path].sum() + constant == cost[path].sum() + 7


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--accuracy", "0.99"], 1, "no network of the front meets what was asked"),
        (["--third", "dsp"], 2, "--third: not for a device known by a table"),
        (["--budget", "dsp=9", "--clock", "1GHz"], 2, "--budget, --clock: not for"),
        (["--method", "nsga2"], 2, "--method: not for"),
        (["--grid", "fine", "--time-limit", "9"], 2, "--grid, --time-limit: not for"),
        (["--data", "."], 2, "space 'nasbench_macro' has none here, leave --data out"),
        (
            ["--latency-column", "lat_ms_x", "--device", "zu3eg"],
            2,
            "--latency-column is of a table of measured networks",
        ),
        (["--accuracy-table", "none.json"], 2, "there is no file 'none.json'; expected a table of accuracies"),
        (["-o", "top.json"], 2, "--out top.json is a file; expected a folder"),
        (["--device", "none.csv"], 2, "there is no file 'none.csv'; expected a table, as `cofront measure` writes it"),
        (["--device", "top.json"], 2, "has 0 columns of latency"),
        (["--precision", "W4A4"], 1, "the accuracy of W4A4 was not measured"),
    ],
)
def test_what_cannot_be(here: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, says: str) -> None:
    assert run([*SEARCH, *more]) == code
    assert says in capsys.readouterr().err
    if code == 2:
        assert not (here / "out").exists(), "nothing is left behind"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--third", "dsp"], "--third: not for"),
        (["--accuracy-table", "none.json"], "there is no file 'none.json'"),
    ],
)
def test_nothing_is_measured_for_a_request_that_cannot_be(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, more: list[str], says: str
) -> None:
    monkeypatch.setattr("cofront.cli.measured.measure", lambda *_, **__: pytest.fail("measured"))
    assert run([*SEARCH, "--device", "host", *more]) == 2
    assert says in capsys.readouterr().err and not (here / "out").exists()


def test_a_measurement_that_fails_leaves_no_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InputError("no such board")

    monkeypatch.setattr("cofront.cli.measured.measure", fail)
    assert run([*SEARCH, "--device", "host"]) == 1 and not (here / "out").exists()


def test_a_search_that_is_interrupted_is_so_in_the_study_and_runs_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cofront.api import tabled

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tabled, "_solve", stopped)
        assert run(SEARCH) == 130
    assert run(SEARCH) == 0
    with Study("out/study.sqlite", write=False) as study:
        assert [r.status for r in study.runs()] == ["interrupted", "done"]


def test_a_column_of_a_table_of_operators_is_found_by_name_or_refused(here: Path) -> None:
    rows = json.loads(Path("box.json").read_text())
    slow = [2 * v for v in rows["latency_ms"]]
    table = {"operator": rows["operator"], "latency_ms_fast": rows["latency_ms"], "latency_ms_slow": slow}
    Path("two.json").write_text(json.dumps(table))
    path, layered = Path("two.json"), MACRO.layered(("W8A8",))
    fast, slower = (load_model(path, column=c).edge_cost(MACRO, layered) for c in ("latency_ms_fast", "slow"))
    assert np.allclose(2 * fast[0], slower[0], atol=2) and fast[0].sum() > 0
    with pytest.raises(CofrontError, match="latency_ms_slow"):
        load_model(path, column="lat_ms_pixel9")
    with pytest.raises(InputError, match="one column of latency"):
        load_model(path)


def test_a_table_made_for_another_space_says_so(here: Path) -> None:
    Path("box.json.description.json").write_text(json.dumps({"space": "nasbench_macro", "device": "box"}))
    other = space.load("fbnet@cifar10-small")
    with pytest.raises(
        InputError, match=r"'box' was measured for space 'nasbench_macro'.*cofront measure --space fbnet"
    ):
        load_model(Path("box.json")).edge_cost(other, other.layered(("W8A8",)))
