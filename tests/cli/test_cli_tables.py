"""`evaluate-predictor` and `pareto` on a small table of NAS-Bench-Macro."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from cofront.search.dominance import non_dominated
from cofront.search.table import TABLE_SEARCHES, Table, evolution, hypervolume, run
from cofront.space.nasbench_macro import NasBenchMacro
from cofront.study import Study
from cofront.study.report import report_data


@pytest.fixture(scope="module")
def macro(tmp_path_factory):
    """400 networks with an additive latency, a noisy one and an accuracy; two rows without a measurement."""
    rng = np.random.default_rng(0)
    space = NasBenchMacro()
    points = np.unique(space.canonical(np.c_[rng.integers(0, 3, (450, 8)), np.zeros((450, 8), int)]), axis=0)[:400]
    cost = (1.0 + points[:, :8] * np.linspace(0.3, 1.0, 8)).sum(axis=1)
    columns = {
        "arch": ["".join(map(str, p[:8])) for p in points.tolist()],
        "lat_ms_board": [None if i in (3, 5) else float(c) for i, c in enumerate(cost)],
        "lat_ms_other": (cost * (1 + 0.01 * rng.standard_normal(len(cost)))).tolist(),
        "lat_ms_bad": [-1.0, *cost[1:].tolist()],
        "throughput": (1e3 / cost).tolist(),
        "accuracy": (90 + 0.1 * points[:, :8].sum(axis=1) + 0.05 * rng.standard_normal(len(cost))).tolist(),
    }
    path = tmp_path_factory.mktemp("macro") / "macro.json"
    path.write_text(json.dumps(columns))
    return path


def test_a_predictor_is_scored(as_json, macro):
    found = as_json(
        "evaluate-predictor", "ridge", "--space", "nasbench_macro", "--table", str(macro),
        "--target-column", "lat_ms_board", "--samples", "60", "--seed", "1", "--draws", "2",
    )  # fmt: skip
    assert found["kind"] == "predictor" and found["quantity"] == "latency"
    assert (found["rows"], found["left_out"], found["samples"], found["n_test"]) == (398, 2, 60, 338)
    assert found["score"]["spearman"] > 0.99 and found["score"]["mape"] < 0.02
    assert found["notes"] == ["2 rows without a measurement are left out"]
    again = as_json(
        "evaluate-predictor", "ridge", "--space", "nasbench_macro", "--table", str(macro),
        "--target-column", "lat_ms_board", "--samples", "60", "--seed", "1", "--draws", "2",
    )  # fmt: skip
    assert again["score"]["spearman"] == found["score"]["spearman"]


def test_known_devices_from_columns(as_json, macro):
    found = as_json(
        "evaluate-predictor", "transfer", "--space", "nasbench_macro", "--table", str(macro),
        "--target-column", "lat_ms_board", "--known", "other", "--pool", "0:200", "--test", "200:400", "--trim", "0.1",
    )  # fmt: skip
    assert found["known"] == ["other"] and found["n_test"] == 160
    assert found["score"]["spearman"] > 0.98
    assert [b["predictor"] for b in found["baselines"]] == ["nnls", "ridge"]
    assert found["baselines"][1]["spearman"] < found["score"]["spearman"]


def test_scores_and_predictions_go_into_a_study(as_json, macro, tmp_path):
    common = ("--space", "nasbench_macro", "--table", str(macro), "--samples", "40", "--study", str(tmp_path / "s"))
    first = as_json("evaluate-predictor", "ridge", "--target-column", "lat_ms_board", *common)
    second = as_json("evaluate-predictor", "ridge", "--target-column", "lat_ms_other", *common)
    third = as_json("evaluate-predictor", "quadratic", "--target-column", "lat_ms_other", "--no-baselines", *common)
    assert (tmp_path / "report.html").stat().st_size > 1e5
    with Study(tmp_path / "s", write=False) as study:
        data = report_data(study)
    (group,) = data["predictors"]
    assert data["search"] is None and group["targets"] == ["board", "other"]
    found = {(m, t): v for m, row in zip(group["methods"], group["spearman"], strict=True)
             for t, v in zip(group["targets"], row, strict=True)}  # fmt: skip
    assert found == {
        ("ridge", "board"): first["score"]["spearman"], ("ridge", "other"): second["score"]["spearman"],
        ("quadratic", "board"): None, ("quadratic", "other"): third["score"]["spearman"],
    }  # fmt: skip
    one = next(e for e in group["entries"] if (e["method"], e["target"]) == ("ridge", "board"))
    assert len(one["measured"]) == len(one["mean"]) == len(one["std"]) == one["of"] == first["n_test"]
    assert np.mean(np.abs(np.array(one["mean"]) / one["measured"] - 1)) == pytest.approx(
        first["score"]["mape"], abs=1e-3
    )


def test_a_score_that_fails_leaves_no_study(refused, macro, tmp_path):
    code, _ = refused(
        "evaluate-predictor", "nnls", "--space", "nasbench_macro", "--table", str(macro), "--target-column",
        "lat_ms_board", "--study", str(tmp_path / "new" / "s"),
    )  # fmt: skip
    assert code == 2 and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("rigde",), 2, "no predictor named 'rigde'; did you mean ridge"),
        (("ridge", "--target-column", "lat_ms_bord"), 2, "no column named 'lat_ms_bord'; did you mean"),
        (("ridge", "--target-column", "accuracy"), 2, "its name says no unit"),
        (("ridge", "--target-column", "lat_ms_bad"), 1, "row 0 (from 0): -1 is negative"),
        (("ridge", "--samples", "4000"), 2, "cannot draw 4000 samples from 398 measured rows"),
        (("ridge", "--samples", "3"), 1, "3 measurements are too few"),
        (("ridge", "--pool", "9-3"), 2, "--pool expects rows such as 0:900, got '9-3'"),
        (("ridge", "--pool", "900:999"), 2, "--pool 900:999: the table has no measured row there, it has 400"),
        (("ridge", "--trim", "0.6"), 2, "trim a share of 0 to below 0.5"),
        (("nnls",), 2, "no known devices come with space 'nasbench_macro': name columns of the table with --known"),
        (("nnls", "--known", "othr"), 2, "no known device or column named 'othr'"),
        (("nnls", "--known", "board"), 2, "--known names no device but the target itself"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(refused, macro, arguments, code, message):
    rest = [] if "--target-column" in arguments else ["--target-column", "lat_ms_board"]
    got, line = refused(
        "evaluate-predictor", *arguments, *rest, "--space", "nasbench_macro", "--table", str(macro)
    )  # fmt: skip
    assert got == code and message in line, line


def test_how_alike_devices_are(as_json, refused, macro, tmp_path):
    from scipy.stats import spearmanr

    columns = json.loads(macro.read_text())
    columns["lat_ms_bad"][0] = None
    columns["lat_ms_twin"] = [2 * v for v in columns["lat_ms_other"]]
    table, picture = tmp_path / "t.json", tmp_path / "alike.svg"
    table.write_text(json.dumps(columns))
    asked = ("devices", "--known", "--space", "nasbench_macro", "--table", str(table), "--picture", str(picture))
    found = as_json(*asked)
    rho = dict(zip(found["devices"], found["spearman"], strict=True))
    at = {name: i for i, name in enumerate(found["devices"])}
    kept = [i for i, v in enumerate(columns["lat_ms_board"]) if v is not None]
    expected = spearmanr(*(np.array(columns[n])[kept] for n in ("lat_ms_board", "lat_ms_other"))).statistic
    assert rho["board"][at["other"]] == pytest.approx(expected) and rho["other"][at["twin"]] == pytest.approx(1)
    assert abs(at["other"] - at["twin"]) == 1, "those alike are neighbours"
    drawn = ElementTree.fromstring(picture.read_text())
    assert sum(e.tag.endswith("}rect") for e in drawn.iter()) == 1 + 4 * 4
    # inside a page, an element of HTML ends a picture
    assert {e.tag.rpartition("}")[2] for e in drawn.iter()} == {"svg", "title", "rect", "text", "g"}
    as_json(*asked)  # over a picture of our own
    picture.write_text("<svg/>")
    code, line = refused(*asked)
    assert code == 2 and "--picture" in line and "was not written by cofront" in line
    assert "choose FILE.svg" in refused(*asked[:-1], "a.png")[1]
    assert "give --known and --space" in refused("devices", "--space", "fbnet")[1]


def test_known_devices_are_compared_by_random_networks(as_json, cofront):
    found = as_json("devices", "--known", "--space", "nasbench201")
    assert found["networks"] == 2000 and len(found["devices"]) == len(found["spearman"]) >= 10
    assert all(found["spearman"][i][i] == 1 for i in range(len(found["devices"])))
    assert "rank correlation" in cofront("devices", "--known", "--space", "nasbench201")[1]


def test_a_front_is_exact(as_json, macro):
    found = as_json(
        "pareto", "--space", "nasbench_macro", "--accuracy", "accuracy", "--cost", "lat_ms_other", "--table",
        str(macro), "--search", "random", "--evaluations", "400", "--runs", "1",
    )  # fmt: skip
    columns = json.loads(macro.read_text())
    cost, accuracy = np.array(columns["lat_ms_other"]), np.array(columns["accuracy"])
    best = [
        i for i in range(len(cost))
        if not any((cost <= cost[i]) & (accuracy >= accuracy[i]) & ((cost < cost[i]) | (accuracy > accuracy[i])))
    ]  # fmt: skip
    assert sorted(p["row"] for p in found["front"]) == best
    (times,) = found["searches"][0]["found_after"]
    assert times == sorted(times) and len(times) == len(best) and times[-1] == found["searches"][0]["to_all"]
    assert found["searches"][0]["share"] == 1.0 and found["searches"][0]["hypervolume"] == pytest.approx(1.0)
    turned = as_json(
        "pareto", "--space", "nasbench_macro", "--accuracy", "accuracy", "--cost", "throughput", "--table", str(macro)
    )
    assert turned["cost_better"] == "high"
    assert [p["cost"] for p in turned["front"]] == sorted((p["cost"] for p in turned["front"]), reverse=True)


def test_fronts_that_cannot_be(refused, macro):
    common = ("--space", "nasbench_macro", "--table", str(macro))
    code, line = refused("pareto", "--accuracy", "acc", "--cost", "lat_ms_board", *common)
    assert code == 2 and "no column named 'acc'; did you mean accuracy" in line
    code, line = refused("pareto", "--accuracy", "accuracy", "--cost", "lat_ms_board", "--search", "evolutoin", *common)
    assert code == 2 and "no search of a table named 'evolutoin'; did you mean evolution" in line


# searches of a table


def tiny_table(seed: int = 0, n: int = 200) -> Table:
    rng = np.random.default_rng(seed)
    points = np.unique(rng.integers(0, 4, (n, 5)), axis=0)
    columns = np.concatenate([(points[:, [j]] == np.arange(4)).astype(float) for j in range(5)], axis=1)
    cost = np.exp(columns @ rng.normal(size=20))
    return Table(points, cost, columns @ rng.normal(size=20), columns)


@pytest.mark.parametrize("name", TABLE_SEARCHES)
def test_searches_look_up_rows_once_and_repeat(name):
    table = tiny_table()
    found = run(TABLE_SEARCHES[name], table, 80, 3)
    assert len(found.rows) == len(set(found.rows.tolist())) == 80
    assert np.array_equal(found.rows, run(TABLE_SEARCHES[name], table, 80, 3).rows)
    whole = run(TABLE_SEARCHES[name], table, len(table.cost), 3)
    assert whole.share == 1.0 and whole.to_all is not None


def test_guided_searches_beat_chance_on_an_easy_table():
    shares = {n: np.mean([run(s, tiny_table(k), 70, k).volume for k in range(3)]) for n, s in TABLE_SEARCHES.items()}
    assert shares["surrogate"] > shares["random"] and shares["surrogate"] > 0.99


def test_fronts_and_areas_of_known_points():
    cost, accuracy = np.array([1.0, 2, 2, 3, 1]), np.array([1.0, 2, 3, 3, 1])
    assert non_dominated(cost, accuracy).tolist() == [0, 2]
    assert hypervolume(cost, accuracy, (4.0, 0.0)) == pytest.approx(3 * 1 + 2 * 2)
    lone = Table(np.zeros((1, 1), int), np.ones(1), np.ones(1), np.ones((1, 1)))
    assert evolution(lone, 1, np.random.default_rng(0)).tolist() == [0]
