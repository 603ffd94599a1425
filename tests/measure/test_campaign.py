"""From what was measured to tables, fronts and predictions, on a machine of our own making."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cofront import api, space
from cofront.errors import CofrontError, InputError, UsageError
from cofront.hardware.tables import operator_key, read_additive, read_measured
from cofront.measure import campaign
from cofront.measure.base import Item, Settings
from cofront.measure.campaign import Request, measure
from cofront.measure.journal import Journal
from cofront.measure.models import as_float, operators, sample
from cofront.measure.table import read_description
from cofront.measure.target import Target, parse_target
from cofront.measure.work import kind_of
from cofront.network import Network
from cofront.network.onnx_io.write import write_onnx
from cofront.network.split import split
from cofront.network.weights import random_weights
from cofront.search.additive import additive_front
from cofront.space.work import WORK, network_work
from cofront.study.documents import Design, DesignDocument, clean, to_json

MACRO = space.load("nasbench_macro")
BASE_S, FACTOR = 4e-4, 0.9


def alone(network: Network) -> float:
    """Seconds of an operator by itself."""
    return 2e-5 + network.macs / 4e10 + network.params / 2e9


def whole(network: Network) -> float:
    """Seconds of a network: not quite the sum of its operators."""
    return BASE_S + FACTOR * sum(alone(p) for p in split(network))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose latencies are known: 1 % of noise, one visit in fifty a bad one."""

    def run(target: Target, items: list[Item], settings: Settings, journal: Journal, **options: Any) -> bool:
        rng = np.random.default_rng(settings.seed)
        journal.add({"machine": {"cpu": "test", "cores_used": [0], "runtime": "none", "governor": "unknown"}})
        for number in range(settings.rounds):
            journal.add({"ref": number, "s": 1e-4})
            for item in items:
                seconds = alone(item.network) if item.point is None else whole(item.network)
                noise = np.exp(0.01 * rng.standard_normal()) * (3 if rng.random() < 0.02 else 1)
                line = {"visit": item.id, "round": number, "s": seconds * noise}
                journal.add({**line, "runs": 5, "interrupted": 0, "by": "wall"})
                if options["should_stop"]():
                    return False
        journal.add({"done": True, "stolen": 0.0})
        return True

    monkeypatch.setattr(campaign, "run", run)


def request(path: Path, **options: Any) -> Request:
    return Request(MACRO, parse_target("host"), path, Settings(), **options)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json"])
def test_an_operator_table_is_a_device(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"box{suffix}"
    found = measure(request(path, n_networks=20))
    assert found.finished and set(found.files) == {"operators", "networks"}
    assert found.overhead is not None and found.overhead.error is not None and found.overhead.error < 0.01
    assert found.overhead.plain_error is not None and found.overhead.plain_error > 0.03
    device = read_additive(path)
    assert device.in_float and device.base_s == pytest.approx(found.overhead.base_s)
    points = MACRO.sample(np.random.default_rng(5), 50)
    truth = np.array([whole(as_float(MACRO.network(p))) for p in points])
    assert np.abs(device.of_points(MACRO, points) / truth - 1).mean() < 0.01
    table = read_measured(tmp_path / f"box.networks{suffix}", MACRO, ["lat_ms_host"])
    again = np.array([whole(as_float(MACRO.network(p))) for p in table.points])
    assert len(table) == 20 and np.abs(table.column("lat_ms_host") / again - 1).max() < 0.02
    said = read_description(path)
    assert said["machine"]["cpu"] == "test" and said["precision"] == "float32" and said["space"] == "nasbench_macro"


def test_the_front_on_it_is_exact(tmp_path: Path) -> None:
    """Against all 6,561 networks."""
    measure(request(tmp_path / "box.parquet"))
    device = read_additive(tmp_path / "box.parquet")
    layered = MACRO.layered(("W8A8",))
    edges, base = device.edge_cost(MACRO, layered)
    gain = np.random.default_rng(3).uniform(0, 1, len(MACRO.feature_names()))
    score = layered.trellis.scores(gain)
    front = additive_front(layered.trellis, edges, score, lambda s: s / 1e6 / 20, constant=base, n_choices=16)
    assert front.gap == 0 and front.n_designs == 3**8 and len(front.designs) > 5
    every = np.stack(np.meshgrid(*[np.arange(3)] * 8, indexing="ij"), -1).reshape(-1, 8)
    every = np.concatenate([every, np.zeros_like(every)], axis=1)
    latency, value = device.of_points(MACRO, every), MACRO.features(every) @ gain
    order = np.lexsort((-value, latency))
    best = np.maximum.accumulate(value[order])
    kept = order[np.r_[True, best[1:] > best[:-1]]]
    for d in front.designs:
        at = np.searchsorted(latency[kept], d.latency_s + 2e-8) - 1
        assert d.accuracy == pytest.approx(value[kept[at]] / 20, abs=1e-4)


def test_the_same_again_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "box.parquet"
    measure(request(path))
    monkeypatch.setattr(campaign, "run", lambda *_, **__: pytest.fail("measured again"))
    again = measure(request(path))
    assert again.reused and again.finished and again.description["space"] == "nasbench_macro"
    with pytest.raises(UsageError, match="exists and is something else"):
        measure(replace(request(path), settings=Settings(threads=2)))
    assert not path.with_name("box.parquet.partial").exists()


def test_interrupted_and_taken_up(tmp_path: Path) -> None:
    path, seen = tmp_path / "box.parquet", [0]

    def stop() -> bool:
        seen[0] += 1
        return seen[0] > 30

    found = measure(request(path), should_stop=stop)
    assert not found.finished and 0 < found.done < found.total and not path.exists()
    assert path.with_name("box.parquet.partial").exists()
    assert measure(request(path)).finished and path.exists()


def test_ten_samples_adapt_what_is_known(tmp_path: Path) -> None:
    """No device ships for this space: totals of work are what is adapted; or the table of another device."""
    path = tmp_path / "few.parquet"
    found = measure(request(path, samples=10))
    assert not found.operators and len(found.networks) == 10 and found.adapted is not None
    assert found.adapted["source"].startswith("totals of work")
    measure(request(tmp_path / "old.parquet"))
    second = measure(request(tmp_path / "more.parquet", samples=10, adapt_from=str(tmp_path / "old.parquet")))
    assert second.adapted is not None and second.adapted["source"] == "the table 'old.parquet'"
    points = sample(MACRO, np.random.default_rng(9), 40)
    names = [f"nasbench_macro:{','.join(map(str, p))}" for p in points]
    truth = np.array([whole(as_float(MACRO.network(p))) for p in points])
    for table, most in ((path, 0.05), (tmp_path / "more.parquet", 0.03)):
        said = np.array([n.latency_s for n in api.predict(names, device=str(table)).networks])
        assert np.abs(said / truth - 1).mean() < most, table
    measured = f"nasbench_macro:{','.join(map(str, found.networks[0].point or ()))}"
    answer = api.predict([names[0], measured], device=str(path))
    assert "adapted from totals of work" in answer.networks[0].how and answer.networks[0].std_s is not None
    assert answer.networks[1].how == "measured"


def test_predictions_by_operators(tmp_path: Path) -> None:
    path = str(tmp_path / "box.parquet")
    measure(request(tmp_path / "box.parquet", n_networks=20))
    known, foreign = api.predict([f"nasbench_macro:{','.join(['1'] * 16)}", "mobilenetv2"], device=path).networks
    truth = whole(as_float(MACRO.network(np.ones(16, np.int64))))
    assert known.latency_s == pytest.approx(truth, rel=0.02) and known.how == "sum of 10 operators"
    assert known.low_s is not None and known.high_s is not None and known.low_s < truth < known.high_s
    assert "20 of them not in the table (" in foreign.how
    assert (foreign.std_s or 0) / foreign.latency_s > (known.std_s or 0) / known.latency_s


@pytest.mark.parametrize(
    ("networks", "options", "says"),
    [
        (["mobilenetv2"], {}, "say on which device"),
        (["mobilenetv2"], {"device": "pixel3"}, "'pixel3' is no table"),
        ([], {"device": "few.parquet"}, "name at least one network"),
        (["nasbench201:3,2,1,0,3,2"], {"device": "pixle3"}, "did you mean"),
        (["mobilenetv2"], {"device": "few.parquet"}, "known by whole networks of space 'nasbench_macro'"),
        (["nasbench_macro:1,2"], {"device": "few.parquet"}, "expected points of 16"),
        (["nasbench_macro:" + ",".join("9" * 16)], {"device": "few.parquet"}, "expected 0 to 2"),
        (["nasbench_macro:1,2"], {"device": "none.parquet"}, "none.parquet|expected points"),
        (["mobilenetv2"], {"device": "b", "table": "few.parquet"}, "device or column"),
        (["mobilenetv2"], {"device": "none.parquet"}, "^there is no file 'none.parquet'; expected a table, as .* or"),
        (["mobilenetv2"], {"device": "none.csv"}, "^there is no file 'none.csv'; expected a table"),
        (["mobilenetv2"], {"device": "b", "table": "none.parquet"}, "^there is no file 'none.parquet'; expected a"),
    ],
)
def test_requests_that_cannot_be_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: list[str], options: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    measure(request(tmp_path / "few.parquet", with_operators=False, n_networks=10))
    with pytest.raises(CofrontError, match=says) as error:
        api.predict(networks, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_designs_and_files_are_networks_too(tmp_path: Path) -> None:
    """A design file is its network, and its point where the device knows points alone."""
    point = np.array([1, 2, 0, 1, 2, 0, 1, 2] + [0] * 8)
    measure(request(tmp_path / "box.parquet"))
    measure(request(tmp_path / "few.parquet", samples=10))
    design = Design(
        accuracy=0.9, latency_s=1.0, fps=1.0, cycles=1, resources={}, config={}, point=point.tolist(),
        choices=clean(MACRO.describe(point)),
    )  # fmt: skip
    file = tmp_path / "design.json"
    file.write_text(to_json(DesignDocument(device="host", clock_hz=1e9, space="nasbench_macro", design=design)))
    model = tmp_path / "net.onnx"
    network = MACRO.network(point)
    write_onnx(network, random_weights(network, np.random.default_rng(0)), model)
    named = "nasbench_macro:" + ",".join(map(str, point))
    by_operators = api.predict([str(file), str(model), named], device=str(tmp_path / "box.parquet")).networks
    assert len({n.latency_s for n in by_operators}) == 1 and all("10 operators" in n.how for n in by_operators)
    assert not any("not in the table" in n.how for n in by_operators)
    adapted = api.predict([str(file), named], device=str(tmp_path / "few.parquet")).networks
    assert adapted[0].latency_s == adapted[1].latency_s


def test_a_foreign_table_in_the_wrong_unit_is_asked_about(tmp_path: Path) -> None:
    cells = space.load("nasbench201")
    points = sample(cells, np.random.default_rng(0), 12)
    rows = {c.name: points[:, j].tolist() for j, c in enumerate(cells.choices)}
    seconds = [5e-3 * (1 + 0.1 * i) for i in range(12)]
    (tmp_path / "t.json").write_text(json.dumps({**rows, "latency_ns_board": seconds}))
    with pytest.raises(InputError, match="less than the fastest known device"):
        api.predict(["nasbench201:3,2,1,0,3,2"], device=str(tmp_path / "t.json"), space="nasbench201")


def test_a_known_device_predicts_points() -> None:
    found = api.predict(["nasbench201:3,2,1,0,3,2", "nasbench201:1,1,1,1,1,1"], device="pixel3").networks
    assert found[0].latency_s > found[1].latency_s > 0 and found[0].std_s is None


def test_a_foreign_table_of_operators(tmp_path: Path) -> None:
    """Without columns of work an operator that lacks a row is an error; without networks the spread is a guess."""
    keys = [i.key for i in operators(MACRO)]
    (tmp_path / "t.json").write_text(json.dumps({"operator": keys, "latency_us": [100.0] * len(keys)}))
    point = f"nasbench_macro:{','.join(['1'] * 16)}"
    found = api.predict([point], device=str(tmp_path / "t.json")).networks[0]
    assert found.latency_s == pytest.approx(1e-3) and "a guess" in found.how
    with pytest.raises(InputError, match=r"no operator .* measure it or add its row"):
        api.predict(["resnet18"], device=str(tmp_path / "t.json"))


def test_how_far_work_is_off_is_measured_or_called_a_guess(tmp_path: Path) -> None:
    """A table of one kind of operators has none to leave out, one of many has."""
    items = operators(MACRO)
    for first, words in ((True, ", off by up to a factor of 4 as a guess: "), (False, " are left out in turn")):
        kept = [i for i in items if kind_of(i.key) == kind_of(items[0].key)] if first else items
        totals = np.array([network_work(i.network) for i in kept])
        table = {"operator": [i.key for i in kept], "latency_us": (10 + totals.sum(axis=1) * 1e-4).tolist()}
        table |= {name: totals[:, j].tolist() for j, name in enumerate(WORK)}
        (tmp_path / "t.json").write_text(json.dumps(table))
        how = api.predict(["resnet18"], device=str(tmp_path / "t.json")).networks[0].how
        assert words in how and ("guess: the table" in how) == first


@pytest.mark.parametrize("name", ["ofa_mobilenetv3", "fbnet", "mnasnet_accel", "nasbench_macro", "subgraph32"])
def test_every_network_is_made_of_the_operators(name: str) -> None:
    found = space.load(name)
    keys = {i.key for i in operators(found)}
    for p in sample(found, np.random.default_rng(0), 5):
        network = as_float(found.network(p))
        parts = split(network)
        assert {operator_key(part) for part in parts} <= keys
        assert sum(part.macs for part in parts) == network.macs


def test_requests_refused_before_anything_is_measured(tmp_path: Path) -> None:
    cells = space.load("nasbench201")
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: measure(replace(request(tmp_path / "a.parquet"), space=cells)), "measure whole networks"),
        (lambda: measure(request(tmp_path / "a.txt")), "a table's name ends in .parquet"),
        (lambda: measure(request(tmp_path / "no" / "a.csv")), "there is no folder"),
        (lambda: measure(request(tmp_path / "a.csv", samples=3)), "at least 8"),
        (lambda: measure(request(tmp_path / "a.csv", with_operators=False, n_networks=0)), "nothing to measure"),
        (lambda: Settings(runtime="onnx"), "did you mean onnxruntime"),
        (lambda: Settings(budget_s=float("nan")), "--seconds-per-model"),
    ]
    for do, says in cases:
        with pytest.raises(UsageError, match=says):
            do()
    assert not [p for p in tmp_path.iterdir() if p.is_file()]
