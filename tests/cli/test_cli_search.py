import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cofront.cli.leftovers import leave_nothing
from cofront.device.base import PARTS
from cofront.errors import StudyError
from cofront.figures import seconds
from cofront.study import Study

TINY = ("search", "--space", "tiny", "--grid", "tiny")


def search(table, *more):
    return (*TINY, "--accuracy-table", table, "--out", "out", *more)


def test_the_main_job_writes_everything_and_says_so(cofront, table):
    code, out, err = cofront(*search(table(), "--fps", "3000"))
    assert code == 0, err
    files = {p.name for p in Path("out").iterdir()}
    assert files == {
        "study.sqlite", "report.html", "design.json", "accelerator.json", "network.onnx", "network.qonnx.onnx",
    }  # fmt: skip
    assert "gap 0: exact over" in out and "next: cofront estimate out/design.json" in out
    assert "left out: trained weights: no supernet of space 'tiny' comes with cofront" in out
    for name in files:
        assert f"out/{name}" in out


def test_json_has_the_documented_keys_and_a_front_that_rises(as_json, table):
    found = as_json(*search(table(), "--accuracy", "0.75", "--cover", "1"))
    assert {"front", "gap", "designs", "solve_s", "schema", "kind", "study", "report"} <= set(found)
    assert (found["status"], found["gap"], found["schema"]) == ("optimal", 0.0, 1)
    front = found["front"]
    assert all(a["latency_s"] < b["latency_s"] and a["accuracy"] < b["accuracy"] for a, b in itertools.pairwise(front))
    for d in front:
        assert d["fps"] == pytest.approx(1 / d["latency_s"]) and d["macs"] > 0 and set(d["choices"]) == {
            "b1_width", "b1_bits", "b2_width", "b2_bits"
        }  # fmt: skip
        assert all(d["resources"][r] <= limit for r, limit in found["budget"].items())
    chosen = front[found["chosen"]]
    assert chosen["accuracy"] >= 0.75 and (found["chosen"] == 0 or front[found["chosen"] - 1]["accuracy"] < 0.75)
    assert found["cover"][-1]["max_loss"] <= 0.01


def test_a_finished_search_is_taken_from_the_study_and_another_design_chosen(cofront, table):
    command = search(table())
    first = cofront(*command)
    assert "finished before" not in first[2]
    code, out, err = cofront(*command)
    assert code == 0 and "finished before with the same inputs: taken from run 1 of out/study.sqlite" in err
    assert out == first[1]
    code, out, err = cofront(*command, "--accuracy", "0.72")
    assert "finished before" in err and "the fastest of 72 % or more" in out
    with Study("out/study.sqlite", write=False) as study:
        assert [r.status for r in study.runs()] == ["done"]
    # other accuracies under the same name are other inputs
    rows = [line.split(",") for line in Path("table.csv").read_text().splitlines()]
    rows[1][-1] = "0.71"
    Path("table.csv").write_text("\n".join(",".join(r) for r in rows))
    assert "finished before" not in cofront(*command)[2]


def shown(path="out/report.html"):
    html = Path(path).read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S).group(1))


def kept():
    with Study("out/study.sqlite", write=False) as study:
        return study.runs()[-1].result


def test_the_study_and_its_report_remember_what_was_asked(cofront, as_json, table):
    path = table()
    first = as_json(*search(path, "--fps", "3000"))
    asked = shown()["asked"]
    assert (kept()["chosen"], kept()["required_fps"]) == (first["chosen"], 3000)
    assert (asked["wish"], asked["met"], asked["index"]) == ("3,000 fps or more", True, first["chosen"])
    cofront("report", "out", "--out", "again.html")
    assert {**shown("again.html"), "provenance": None} == {**shown(), "provenance": None}

    # the finished front is asked for something else: the newest wish counts, and the command that wished it is kept
    second = as_json(*search(path, "--accuracy", "0.72"))
    cofront("report", "out", "--out", "again.html")
    assert kept()["required_fps"] is None and kept()["chosen"] == second["chosen"] == shown("again.html")["chosen"]
    assert shown("again.html")["asked"]["text"].startswith(
        f"design {second['chosen'] + 1}, the fastest of 72 % or more: "
    )
    with Study("out/study.sqlite", write=False) as study:
        wishes = [data for _, data in study.events(1, "wish")]
    assert [(w["fps"], w["accuracy"], w["chosen"]) for w in wishes] == [
        (3000, None, first["chosen"]), (None, 0.72, second["chosen"])
    ]  # fmt: skip

    # a wish that nothing meets: which limit, by how much, and the nearest design first
    assert cofront(*search(path, "--fps", "1e9"))[0] == 1
    for file in ("out/report.html", "again.html"):
        cofront("report", "out", "--out", "again.html")
        asked, designs = shown(file)["asked"], shown(file)["designs"]
        assert not asked["met"] and shown(file)["chosen"] is None and asked["index"] == 0
        assert asked["text"].startswith("Asked for 1,000,000,000 fps or more: no design of the front meets that.")
        best = 1e6 * min(d["latency_s"] for d in designs)
        said = re.match(r"latency: at best (\S+) us, asked for 1 ns", asked["limits"][0])
        assert best * (1 - 1e-9) <= float(said[1]) <= best * (1 + 1e-5)
    assert kept()["chosen"] is None and kept()["infeasible"]
    assert cofront(*search(path, "--accuracy", "0.99"))[0] == 1
    assert shown()["asked"]["index"] == len(shown()["designs"]) - 1
    assert cofront(*search(path, "--accuracy", "0.72"))[0] == 0
    assert shown()["chosen"] == second["chosen"] and kept()["infeasible"] == [] and shown()["asked"]["limits"] == []


def test_precisions_that_were_not_measured_stay_out_unless_a_penalty_is_stated(as_json, refused, table):
    import tiny

    eight = tiny.rows(precisions=("W8A8",))
    path = table(**eight)
    found = as_json(*search(path))
    assert found["precisions"] == ["W8A8"] and found["designs"] > 0
    code, line = refused(*search(path, "--precision", "W4A4"))
    assert code == 2 and "accuracy of W4A4 was not measured; state what it costs with --penalty W4A4=POINTS" in line
    with_penalty = as_json(*search(path, "--penalty", "W4A4=2.0"))
    assert with_penalty["precisions"] == ["W8A8", "W4A4"]
    assert with_penalty["designs"] > found["designs"]
    assert "stated penalty (W4A4=2.0)" in with_penalty["accuracy_note"]


def test_nothing_meets_what_was_asked(cofront, table):
    path = table()
    code, out, err = cofront(*search(path, "--fps", "1e9"))
    assert code == 1 and "infeasible: no design of the front meets what was asked" in err
    assert "latency: " in err and "the fastest design reaches" in err and "Front: tiny on zu3eg" in out
    code, out, err = cofront(*search(path, "--accuracy", "0.99", "--json"))
    found = json.loads(out)
    assert code == 1 and found["chosen"] is None and found["infeasible"][0]["limit"] == "accuracy"
    code, out, err = cofront(*search(path, "--budget", "bram36=1"))
    assert code == 1 and "no design of tiny fits zu3eg" in err
    assert "bram36: " in err and "1 bram36 available; a budget of" in err
    assert "is enough with the other budgets as they are" in err
    enough = int(re.search(r"a budget of (\d+) bram36 is enough", err).group(1))
    assert cofront(*search(path, "--budget", f"bram36={enough}"))[0] == 0
    assert cofront(*search(path, "--budget", f"bram36={enough - 1}"))[0] == 1


def test_heuristics_say_that_nothing_is_proven(as_json, cofront, table):
    path = table()
    found = as_json(*search(path, "--method", "random", "--evaluations", "300", "--seed", "3"))
    again = as_json(*search(path, "--method", "random", "--evaluations", "300", "--seed", "3", "--study", "other"))
    assert found["gap"] is None and found["front"] == again["front"]
    assert as_json(*search(path))["gap"] == 0.0  # the same study holds both; the report shows them together
    assert "random (run 1)" in Path("out/report.html").read_text()


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("nsga2", ("--evaluations", "400")),
        ("nsga2-fit", ("--evaluations", "60")),
        ("nsga2-fit", ("--evaluations", "60", "--predictor", "svr")),
        ("sequential", ()),
        ("sequential", ("--evaluations", "2")),
        ("hao", ("--evaluations", "12")),
        ("hao", ("--evaluations", "12", "--predictor", "svr")),
    ],
)
def test_every_heuristic_can_be_named_and_claims_nothing(as_json, table, method, more):
    path = table()
    exact = as_json(*search(path))
    found = as_json(*search(path, "--method", method, *more))
    again = as_json(*search(path, "--method", method, *more, "--study", "again"))
    assert (found["status"], found["gap"], found["bound"], found["method"]) == ("heuristic", None, [], method)
    assert found["front"] == again["front"] and found["front"] and 0 < found["designs"] < exact["designs"]
    for d in found["front"]:
        assert all(d["resources"][r] <= limit for r, limit in found["budget"].items())
        if "svr" not in more:  # on the same accuracies no heuristic is above the proven front
            assert any(e["latency_s"] <= d["latency_s"] and e["accuracy"] >= d["accuracy"] for e in exact["front"])
    if method == "hao":
        assert "own loss, not a Hessian: space 'tiny' comes without trained weights" in found["notes"][0]


def test_heuristics_print_that_nothing_is_proven(cofront, table):
    code, out, _ = cofront(*search(table(), "--method", "sequential"))
    assert code == 0 and "nothing is proven about the others" in out and "networks non-dominated in accuracy" in out


def test_accuracies_that_do_not_add_up_need_a_method_for_them(refused, table):
    code, line = refused(*search(table(), "--predictor", "svr"))
    assert code == 2 and "--predictor svr gives accuracies that do not add up: it goes with --method hao or " in line
    assert "got exact" in line
    code, line = refused(*search("table.csv", "--predictor", "svm"))
    assert code == 2 and "no predictor named 'svm'; did you mean svr" in line
    code, line = refused(*search("table.csv", "--accelerator", "subgraf"))
    assert code == 2 and "no accelerator named 'subgraf'; did you mean subgraph" in line


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--device", "zu3egg"), 2, "no device named 'zu3egg'; did you mean zu3eg"),
        (("--space", "tinny"), 2, "no space named 'tinny'; did you mean tiny"),
        (("--fps", "nan"), 2, "--fps must be a positive number, got nan"),
        (("--fps", "-3"), 2, "--fps must be a positive number, got -3"),
        (("--accuracy", "90"), 2, "--accuracy is a fraction above 0 and at most 1, got 90; write 0.9 for 90 %"),
        (("--accuracy", "1.5"), 2, "--accuracy is a fraction above 0 and at most 1, got 1.5, such as 0.8 for 80 %"),
        (("--accuracy", "79%"), 2, "--accuracy expects a number, got '79%'; write 0.79; see cofront search --help"),
        (("--cover", "3%"), 2, "--cover expects a number, got '3%'; see"),
        (("--fps", "1,000"), 2, "--fps expects a number, got '1,000'; write 1000; see"),
        (("--budget", "dsp=0"), 2, "--budget dsp must be a whole number of at least 1, got 0"),
        (("--budget", "dps=100"), 2, "no resource named 'dps'; did you mean dsp"),
        (("--budget", "dsp=100,dsp=200"), 2, "--budget gives 'dsp' twice: 100 and 200"),
        (
            ("--budget", "dsp=361"),
            2,
            "--budget dsp=361: zu3eg has 360 dsp; give at most 360, or take a larger part (zu7ev",
        ),
        (("--budget", "lut=70560"), 2, "zu3eg has 49,392 lut to use (70 % of its 70,560); give at most 49392, or take"),
        (("--budget", "bram36=99999"), 2, "give at most 216, or take a device file of your own (no part that comes"),
        (("--budget", "dsp"), 2, "--budget expects NAME=NUMBER such as dsp=200, got 'dsp'"),
        (("--clock", "250"), 2, "--clock 250 is in hertz; write 250MHz"),
        (("--clock", "9GHz"), 2, "clock must be above 0 and at most 645 MHz"),
        (("--method", "nsga3"), 2, "no method named 'nsga3'; did you mean nsga2"),
        (("--method", "enumerate"), 2, "no method named 'enumerate'; known: exact, hao, nsga2, nsga2-fit, random, seq"),
        (("--third", "power"), 2, "no third objective named 'power'"),
        (("--third", "energy", "--device", "xc7z020"), 2, "has no energy figures; choose another third objective"),
        (("--penalty", "W4A8"), 2, "precision penalty 'W4A8': expected e.g. W4A8=1.0"),
        (("--penalty", "W4A8=1.0"), 2, "W4A8 of block 'b1' was measured: it cannot have a penalty too"),
        (("--precision", "W3A3"), 2, "no precision named 'W3A3'"),
        (
            ("--precision", "W8A8 W4A8"),
            2,
            "--precision expects names separated by commas such as W8A8,W4A8, got 'W8A8 W",
        ),
        (("--precision", ""), 2, "--precision expects names separated by commas such as W8A8,W4A8, got ''"),
        (("--grid", "huge"), 2, "no grid named 'huge'"),
        (("--accuracy-column", "top1"), 2, "no accuracy column 'top1'"),
        (("--time-limit", "0"), 2, "--time-limit must be a positive number, got 0"),
        (("--evaluations", "100"), 2, "--evaluations limits heuristics; --method exact takes --time-limit"),
        (("--cover", "-1"), 2, "--cover is in accuracy points, 0 to 100, got -1"),
        (("--seed", "x"), 2, "--seed expects a whole number of at least 0, got 'x'; see cofront search --help"),
        (("--evaluations", "0"), 2, "--evaluations expects a whole number of at least 1, got 0; see"),
        (("--penalty", ""), 2, "--penalty expects accuracy points by precision such as W4A8=1.0,W4A4=4.0, got ''"),
        (("--predictor", "nnls"), 2, "--predictor nnls learns latencies of devices, not accuracies; choose additive"),
        (("--out", "table.csv"), 2, "--out table.csv is a file; expected a folder to write to"),
        (("--frames", "3"), 2, "No such option: --frames"),
    ],
)
def test_requests_that_cannot_be_are_refused_in_one_line(refused, table, more, code, message):
    got, line = refused(*search(table(), *more))
    assert got == code and message in line, line
    assert not Path("out").exists() or not (Path("out") / "design.json").exists()


def test_tables_that_cannot_be_are_refused_in_one_line(refused, table, tmp_path):
    import tiny

    good = tiny.rows()
    nan = list(good["accuracy"])
    nan[3] = float("nan")
    code, line = refused(*search(table(accuracy=nan)))
    assert code == 1 and "column 'accuracy', line 5: expected a number, got" in line
    code, line = refused(*search("missing.parquet"))
    assert code == 2 and "missing.parquet: no such file" in line
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really PAR1")
    code, line = refused(*search("bad.parquet"))
    assert code == 1 and "bad.parquet: cannot be read as parquet" in line
    code, line = refused("search", "--space", "tiny")
    assert code == 2 and "no measured accuracies for space 'tiny' come with cofront, only for subgraph32; give" in line
    code, line = refused("search", "--accuracy-column", "top1")
    assert code == 2 and "--accuracy-column top1 is a column of a table of yours; name it with --accuracy-table" in line


def test_studies_that_cannot_be_are_refused_in_one_line(refused, table, tmp_path):
    (tmp_path / "note.txt").write_text("no study at all, only some text " * 40)
    code, line = refused(*search(table(), "--study", "note.txt"))
    assert code == 1 and "not a database" in line and "choose another --study" in line
    with Study("held.sqlite"):
        code, line = refused(*search("table.csv", "--study", "held.sqlite"))
    assert code == 1 and f"is being written by process {os.getpid()}" in line
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "network.onnx").mkdir()
    code, line = refused(*search("table.csv", "--study", "ok.sqlite"))
    assert code == 2 and "out/network.onnx would be replaced and was not written by cofront" in line


def process(*arguments, **kw):
    program = [sys.executable, str(Path(__file__).parent / "tiny.py"), *map(str, arguments)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)


#: A search that goes on until it is stopped.
ENDLESS = ("--method", "random", "--evaluations", "1000000000")


def wait_for_progress(path, seconds=240):
    """Until a running search has stored that it found something; a reader beside the writer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.2)
        with contextlib.suppress(StudyError), Study(path, write=False) as study:
            if any(study.events(r.id, "progress") for r in study.runs()):
                return
    raise AssertionError(f"nothing was stored in {path}")


def test_killed_and_started_again(table, cofront):
    """SIGKILL leaves a study that the next command takes over."""
    path = table()
    with process(*search(path, *ENDLESS)) as running:
        wait_for_progress("out/study.sqlite")
        running.kill()
    code, _, err = cofront(*search(path))
    assert code == 0, err
    with Study("out/study.sqlite", write=False) as study:
        assert [r.status for r in study.runs()][-1] == "done"
        assert all(r.status in ("interrupted", "done") for r in study.runs())


def test_ctrl_c_is_one_line_and_exit_code_130(table):
    with process(*search(table(), *ENDLESS)) as running:
        wait_for_progress("out/study.sqlite")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    assert running.returncode == 130 and "Traceback" not in err, err
    assert "cofront: stopping; what was found is being kept" in err
    assert "cofront: interrupted: " in err and "designs kept in out/study.sqlite, nothing certified" in err
    with Study("out/study.sqlite", write=False) as study:
        (run,) = study.runs()
        assert run.status == "interrupted" and run.result["front"]
    design = json.loads(Path("out/design.json").read_text())  # the design that is named is written, too
    assert design["design"]["cycles"] in [d["cycles"] for d in run.result["front"]] and "next: cofront estimate" in out


def test_an_exact_search_stopped_early_certifies_a_gap_that_holds(table, as_json):
    from cofront.api import SearchRequest
    from cofront.api import search as api_search

    request = SearchRequest(space="tiny", grid="tiny", accuracy_table=table())
    exact = api_search(request).document
    for patience in (0, 1, 2, 4):
        asked = itertools.count()
        stopped = api_search(request, should_stop=lambda asked=asked, patience=patience: next(asked) >= patience)
        found = stopped.document
        assert stopped.interrupted and found.status == "feasible" and 0 < found.gap <= 1
        for d in exact.front:  # no design exceeds what was found at its latency by more than the gap
            best = max((f.accuracy for f in found.front if f.latency_s <= d.latency_s), default=None)
            assert best is None or d.accuracy <= best + found.gap + 1e-12


def test_preparing_counts_towards_the_time_limit(table, monkeypatch):
    from cofront.api import SearchRequest, searching

    given = []

    def solve(request, *_):
        given.append(request.time_limit_s)
        raise StudyError("far enough")

    monkeypatch.setattr(searching, "solve", solve)
    request = SearchRequest(space="tiny", grid="tiny", accuracy_table=table(), time_limit_s=1000.0)
    for ago in (0.0, 400.0, 5000.0):
        with contextlib.suppress(StudyError):
            searching.search(request, started=time.perf_counter() - ago)
    assert 400 < given[0] < 1000 and given[0] - 800 < given[1] < given[0] - 200 and given[2] == searching.LEAST_S


def test_there_is_one_figure_of_how_long_was_searched(cofront, as_json, table):
    path = table()
    found = as_json(*search(path))
    with Study("out/study.sqlite", write=False) as study:
        last = [data for _, data in study.events(1, "progress")][-1]
    assert (last["elapsed_s"], last["gap"]) == (found["solve_s"], 0.0) == (shown()["history"][-1][0], 0.0)
    assert found["stats"]["prepare_s"] > 0
    words = f"searched for {seconds(found['solve_s'])}"
    assert words in cofront(*search(path))[1]
    assert ["searched for", seconds(found["solve_s"])] in [row[:2] for row in shown()["provenance"]]


def test_a_time_limit_ends_an_exact_search_with_a_certificate(cofront, table):
    code, out, err = cofront(*search(table(), "--time-limit", "1e-6"))
    assert code in (0, 1) and "cofront: the time limit was reached: " in err and "certified" in err
    assert "gap 0" not in out and (code == 0 or "nothing was found yet; allow more time" in err)


def test_a_third_objective_answers_exactly_at_every_budget_of_its_ladder(as_json, cofront, table):
    path = table()
    found = as_json(*search(path, "--third", "dsp", "--fps", "5000", "--accuracy", "0.75"))
    assert found["status"] == "optimal" and found["gap"] == 0 and len(found["third_levels"]) == 12
    front = found["front"]
    for a, b in itertools.permutations(front, 2):  # no design is beaten in all three
        worse = b["latency_s"] >= a["latency_s"] and b["accuracy"] <= a["accuracy"]
        assert not (worse and b["resources"]["dsp"] >= a["resources"]["dsp"])
    for level in found["third_levels"][8:9]:
        alone = as_json(*search(path, "--budget", f"dsp={level:.0f}", "--study", "alone"))
        for d in alone["front"]:
            assert any(
                f["latency_s"] <= d["latency_s"] and f["accuracy"] >= d["accuracy"] and f["resources"]["dsp"] <= level
                for f in front
            )
    chosen = front[found["chosen"]]
    meets = [d for d in front if d["fps"] >= 5000 and d["accuracy"] >= 0.75]
    assert chosen in meets and chosen["resources"]["dsp"] == min(d["resources"]["dsp"] for d in meets)
    energy = as_json(*search(path, "--third", "energy"))
    assert min(d["energy_j"] for d in energy["front"]) <= min(d["energy_j"] for d in front)
    assert "energy and accuracy" in Path("out/report.html").read_text()


def test_a_failed_search_leaves_nothing_behind(refused, cofront, table):
    path = table()
    for wrong in (("--device", "zu99"), ("--penalty", "W4A8=1.0"), ("--grid", "huge"), ("--budget", "dsp=99999")):
        refused(*TINY, "--accuracy-table", path, *wrong, "--out", "runs/a/b", "--study", "studies/new/s.sqlite")
        assert sorted(p.name for p in Path().iterdir()) == ["table.csv"], wrong
    Path("runs").mkdir()
    refused(*TINY, "--accuracy-table", path, "--grid", "huge", "--out", "runs/a")
    assert list(Path("runs").iterdir()) == []
    # what was found before an error stays
    assert cofront(*search(path))[0] == 0
    before = sorted(p.name for p in Path("out").iterdir())
    refused(*search(path, "--penalty", "W4A8=1.0"))
    assert sorted(p.name for p in Path("out").iterdir()) == before
    with Study("out/study.sqlite", write=False) as study:
        assert [r.status for r in study.runs()] == ["done", "failed"]


def test_a_failed_search_does_not_remove_the_study_of_another_that_runs(tmp_path):
    path = tmp_path / "o/study.sqlite"

    def meanwhile():
        with Study(path) as other:
            other.start("search", {})
            Study(path)

    with pytest.raises(StudyError, match="is being written by"), leave_nothing(path, tmp_path / "o"):
        meanwhile()
    with Study(path, write=False) as study:
        assert [r.status for r in study.runs()] == ["running"]


def test_report_takes_the_newest_study_that_has_a_front(cofront, refused, table):
    path = table()
    command = (*TINY, "--accuracy-table", path, "--out")
    assert refused("report") == (2, "no study under runs/; name one, or make one with `cofront search`")
    Path("runs/empty").mkdir(parents=True)
    with Study("runs/empty/study.sqlite") as study:
        study.start("search", {})
    code, line = refused("report")
    assert code == 2 and "a differentiable run or a quantised network (newest: runs/empty/study.sqlite)" in line
    for name in ("old", "new"):
        assert cofront(*command, f"runs/{name}")[0] == 0
    Path("runs/broken").mkdir()
    Path("runs/broken/study.sqlite").write_text("no database " * 100)
    now = time.time()
    for age, name in enumerate(("empty", "broken", "new", "old")):
        os.utime(f"runs/{name}/study.sqlite", (now - age, now - age))
    code, out, err = cofront("report")
    assert code == 0 and out.startswith("runs/new/report.html: ")
    assert "passed over: study 'runs/broken/study.sqlite'" in err
    assert err.endswith("cofront: the newest study with a search is runs/new/study.sqlite\n")
    assert cofront("report", "runs/old")[1].startswith("runs/old/report.html: ")


def test_the_least_of_frame_rates_is_met_by_all(as_json, table):
    assert as_json(*search(table(), "--fps", "1e-300"))["chosen"] is not None
    assert as_json("fit", "fbnet-a", "--fps", "1e-300")["status"] == "optimal"


def test_a_run_without_a_front_is_not_reported(cofront, refused, table):
    assert cofront(*search(table()))[0] == 0
    code, line = refused("report", "out", "--run", "9")
    assert code == 2 and line == "run 9 of study 'out/study.sqlite' holds no front; those that do: 1"


def test_another_wish_says_what_becomes_of_the_files_of_the_one_before(cofront, table):
    path = table()
    held = "cofront: out/design.json "
    assert held not in cofront(*search(path, "--accuracy", "0.75"))[2]
    assert held not in cofront(*search(path, "--accuracy", "0.75"))[2]  # the same design
    before = Path("out/design.json").read_bytes()
    assert json.loads(before)["provenance"]["wish"] == {"accuracy": 0.75}
    code, _, err = cofront(*search(path, "--fps", "1e9", "--accuracy", "0.9"))
    assert code == 1 and err.endswith(f"{held}still holds the design of --accuracy 0.75\n")
    assert Path("out/design.json").read_bytes() == before
    code, _, err = cofront(*search(path, "--budget", "bram36=1"))
    assert code == 1 and f"{held}still holds the design of --accuracy 0.75" in err
    fastest = json.loads(cofront(*search(path, "--json"))[1])["front"][0]["fps"]
    code, _, err = cofront(*search(path, "--fps", str(0.99 * fastest)))
    assert code == 0 and err.endswith(f"{held}held the design of the knee: replaced\n")
    Path("out/design.json").write_text("something else")
    code, _, err = cofront(*search(path))  # not a file of ours: it stays
    assert code == 2 and "out/design.json would be replaced and was not written by cofront" in err
    assert Path("out/design.json").read_text() == "something else"


def test_an_interrupt_while_designs_are_checked_still_writes_the_design_named(table, monkeypatch):
    """Ctrl-C once the search is done, when no design of its front has been costed again."""
    import cofront.api.checking as checking
    from cofront.api.request import SearchRequest
    from cofront.cli.searching import run_search

    request = SearchRequest(space="tiny", grid="tiny", accuracy_table=table())
    seen = []
    whole = checking.Blocks.__init__

    def stop(self, *arguments):
        seen.append(os.kill(os.getpid(), signal.SIGINT))
        whole(self, *arguments)

    monkeypatch.setattr(checking.Blocks, "__init__", stop)
    assert run_search(request, Path("out"), None, False) == 130 and len(seen) == 1
    assert json.loads(Path("out/design.json").read_text())["device"] == "zu3eg"
    assert Path("out/accelerator.json").is_file()


def test_a_device_has_one_folder_however_it_is_spelt(cofront, refused, table):
    command = (*TINY, "--accuracy-table", table())
    assert cofront(*command, "-d", "ZU3EG", "--fps", "1234567")[0] == 1
    code, out, err = cofront(*command, "-d", "zu3eg", "--fps", "1000.5")
    assert code == 0 and "finished before" in err and "the most accurate of 1,000.5 fps or more" in out
    text = (PARTS / "zu3eg.toml").read_text().replace('name = "zu3eg"', 'name = "my/board 2"')
    Path("own").mkdir()
    Path("own/board.toml").write_text(text)
    assert cofront(*command, "-d", "own/board.toml")[0] == 0
    for verb in (("estimate",), ("export", "--format", "accelerator", "--out", "e")):  # reads the device's file again
        assert cofront(*verb, "runs/tiny-my_board_2/design.json")[0] == 0
    assert cofront("fit", "fbnet-a", "-d", "own/board.toml", "--save", "fit.json")[0] == 0
    assert cofront("fit", "fit.json", "--save", "again.json")[0] == 0 == cofront("estimate", "again.json")[0]
    assert sorted(p.name for p in Path("runs").iterdir()) == ["tiny-my_board_2", "tiny-zu3eg"]


def test_a_study_finds_its_device_file_from_another_folder(cofront, table, monkeypatch):
    from cofront.api.smallest import smallest_design

    board = Path("board.toml")
    board.write_text((PARTS / "zu3eg.toml").read_text().replace('name = "zu3eg"', 'name = "mine"'))
    command = (*TINY, "--accuracy-table", table())
    assert cofront(*command, "-d", "board.toml", "--out", "out")[0] == 0
    assert "finished before" in cofront(*command, "-d", board.resolve(), "--out", "out")[2]
    expected, study = str(board.resolve()), Path("out").resolve()
    Path("elsewhere").mkdir()
    Path("elsewhere/board.toml").write_text("another board of that name")
    monkeypatch.chdir("elsewhere")
    assert smallest_design(study).device_file == expected


@pytest.mark.parametrize("method", ["random", "nsga2", "hao"])
def test_a_heuristic_that_found_nothing_is_not_finished(cofront, table, monkeypatch, method):
    """Preparing used the time limit up: the same command again, on a machine that is warm, searches."""
    import cofront.api.searching as searching

    real = searching.solve

    def empty(*arguments):
        found, levels = real(*arguments)
        return replace(found, designs=()), levels

    command = search(table(), "--method", method, "--evaluations", "12")
    with monkeypatch.context() as patched:
        patched.setattr(searching, "solve", empty)
        code, out, err = cofront(*command)
    assert code == 1 and out == "" and err.count("\n") == 1, err
    assert "nothing was found yet; allow more time or --evaluations (preparing took" in err
    with Study("out/study.sqlite", write=False) as study:
        assert [r.status for r in study.runs()] == ["interrupted"]
    code, out, err = cofront(*command)
    assert code == 0 and "finished before" not in err and "designs tried" in out


def test_a_search_that_had_little_time_left_says_so(as_json, table, monkeypatch):
    monkeypatch.setattr("cofront.api.searching.LEAST_S", 60.0)  # enough for these evaluations on a busy machine, too
    few = as_json(*search(table(), "--method", "random", "--evaluations", "20", "--time-limit", "1e-6"))
    assert any(n.startswith("preparing took") and "of the time limit of 1 us" in n for n in few["notes"]), few
    enough = as_json(*search(table(), "--method", "random", "--evaluations", "20", "--time-limit", "10000"))
    assert not any("preparing took" in n for n in enough["notes"])
