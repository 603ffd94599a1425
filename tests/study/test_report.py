import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import synthetic
from browser import drawn, embedded, needs_chromium
from pages import page_of, said, with_script

from cofront.errors import StudyError
from cofront.study import Study
from cofront.study.documents import Call, PredictorDocument, PredictorScore, clean
from cofront.study.report import report_data, write_report
from cofront.study.report.build import front_note, scientific, statement


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    synthetic.fill(folder / "s.sqlite", 40)
    with Study(folder / "s.sqlite", write=False) as study:
        write_report(study, folder / "r.html")
    return folder / "r.html"


def test_the_report_is_one_file_that_asks_nothing_of_a_network(report):
    html = report.read_text(encoding="utf-8")
    own = html.replace(re.search(r"<script>(/\*\*.*?)</script>", html, re.S).group(1), "")  # without plotly's own text
    assert len(own) < len(html) and "plotly" in html
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", own) and "@import" not in own and "url(" not in own
    assert html.count("<script") == 3 and "fetch(" not in own and "{{" not in own


def test_the_data_says_all_that_the_page_shows(report):
    data = embedded(report.read_text(encoding="utf-8"))
    found = synthetic.document(40)
    assert len(data["designs"]) == 40 and data["search"]["gap"] == 0 and data["search"]["designs"] == str(5 * 10**36)
    for shown, design in zip(data["designs"], found.front, strict=True):
        assert shown["accuracy"] == design.accuracy and shown["resources"] == design.resources
        assert data["configs"][shown["config"]] == design.config
        assert dict(zip(data["choices"], shown["choices"], strict=True)) == design.choices
        assert data["calls"][shown["calls"][0]]["name"] == "stem" and shown["roof"]["peak_macs_per_s"] == 180e9
    assert data["kernels"] == ["conv", "dw", "pw"] and data["budget"]["dsp"] == 360
    words = dict(row[:2] for row in data["provenance"])
    assert words["hash of table"] == "0" * 64 and words["seed"] == "0" and "cofront" in words["versions"]
    assert len(data["history"]) == 12 and len(data["cover"]) == 3


def test_what_users_name_cannot_break_out_of_the_page(tmp_path):
    evil = '</script><script>alert(1)</script><!-- "quoted" & <b>'
    with Study(tmp_path / "s") as study:
        document = msgspec.structs.replace(synthetic.document(3), space=evil, accuracy_note=evil)
        run = study.start("search", {"evil": evil})
        run.finish("done", clean(msgspec.to_builtins(document)))
        write_report(study, tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script>alert" not in html and html.count("</script>") == 3
    assert evil in embedded(html)["front_note"]


@pytest.mark.parametrize("damage", ["x", "", "2026-01-01T00:00:00", "0000-13-01", 7, b"12"])
def test_damaged_times_are_named(tmp_path, damage):
    synthetic.fill(tmp_path / "s", 3)
    with closing(sqlite3.connect(tmp_path / "s")) as database, database:
        database.execute("UPDATE runs SET finished = ?", (damage,))
    with Study(tmp_path / "s", write=False) as study, pytest.raises(StudyError, match=r"damaged"):
        write_report(study, tmp_path / "r.html")
    with closing(sqlite3.connect(tmp_path / "s")) as database, database:
        database.execute("UPDATE runs SET finished = NULL, started = ?", (damage,))
    with Study(tmp_path / "s", write=False) as study, pytest.raises(StudyError, match=r"damaged"):
        study.runs()


def verified_study(path):
    """A study with a front and a verification whose kernels did something."""
    from cofront.study.documents import VerifyDocument

    synthetic.fill(path, 40)
    found = VerifyDocument(
        folder="built", title="net on zu3eg", passed=True, simulator="verilator", images=3, image_source="3 images",
        tensors=1, elements=30, differing=0, cycles=400, predicted_cycles=396, cycles_error=-0.01, model_cycles=380,
        model_error=-0.05, seconds=1.0, calls=[],
    )  # fmt: skip
    activity = {
        "bucket": 10, "cycles": 400, "clock_hz": 2e8, "memory": [10] * 40,
        "calls": [["a", ["x"], 0, 300], ["b", [], 300, 400]],
        "kernels": {"conv": [[5] * 40, [3] * 40, [2] * 40], "pw": [[0] * 40, [0] * 40, [10] * 40]},
    }  # fmt: skip
    with Study(path) as study:
        run = study.start("verify", {"folder": "built"})
        run.event("activity", activity)
        run.finish("done", found)
        study.start("verify", {"folder": "other"}).finish("failed")
    return activity


def test_a_verification_is_part_of_the_report(tmp_path):
    activity = verified_study(tmp_path / "s")
    with Study(tmp_path / "s", write=False) as study:
        data = report_data(study)
    assert data["verified"]["activity"] == activity
    assert data["verified"]["note"].startswith(
        "net on zu3eg: 30 results of 3 images (3 images) are equal to the integer network in every bit; 400 cycles "
        "simulated, 396 predicted"
    )


def test_statements_do_not_say_more_than_was_proven():
    exact, loose = synthetic.document(5), synthetic.document(5, gap=0.004)
    assert statement(exact).startswith("Proven exact: of the 5.0 × 10³⁶ designs of this space, none")
    assert "by more than 0.400 points" in statement(loose) and "Proven exact" not in statement(loose)
    heuristic = msgspec.structs.replace(exact, gap=None, method="nsga2")
    assert "nothing is proven" in statement(heuristic) and "shaded" not in front_note(heuristic)
    assert scientific(999) == "999" and scientific(10**7) == "1.0 × 10⁷"


def test_other_searches_of_the_study_are_shown_beside_the_certified_one(tmp_path):
    with Study(tmp_path / "s") as study:
        for method, gap in (("exact", 0.0), ("nsga2", None)):
            document = msgspec.structs.replace(synthetic.document(4, method=method), gap=gap)
            study.start("search", {"m": method}).finish("done", clean(msgspec.to_builtins(document)))
        data = report_data(study)
        assert data["search"]["method"] == "exact"
        assert [(o["label"], len(o["points"])) for o in data["others"]] == [("nsga2 (run 2)", 4)]
        assert report_data(study, 2)["search"]["gap"] is None


def test_the_certified_front_says_what_a_heuristic_of_the_same_problem_lost(tmp_path):
    exact = synthetic.document(6)
    half = msgspec.structs.replace(exact, method="random", status="heuristic", gap=None, front=exact.front[1::2])
    worst = max(100 * (exact.front[i].accuracy - exact.front[i - 1].accuracy) for i in (2, 4))
    for more, whole in (({}, True), ({"grid": "fine"}, False)):
        with Study(tmp_path / str(whole)) as study:
            study.start("search", {"method": "exact", "grid": "coarse"}).finish(
                "done", clean(msgspec.to_builtins(exact))
            )
            inputs = {"method": "random", "seed": 3, "grid": "coarse", **more}
            study.start("search", inputs).finish("done", clean(msgspec.to_builtins(half)))
            (other,) = report_data(study)["others"]
        expected = f": loses at most {worst:.2f} points, 1 faster designs missed" if whole else ""
        assert other["label"] == f"random (run 2){expected}"


def scored_study(path):
    """Two predictors on a device, one of them on another too, and an older protocol."""
    with Study(path) as study:
        for target, samples, methods in (("a", 9, ["ridge"]), ("a", 10, ["transfer", "nnls"]), ("b", 10, ["transfer"])):
            scores = [
                PredictorScore(
                    predictor=m, spearman=0.9 - 0.1 * i, kendall=0.7, mape=0.05, mae=1e-3, within_5=0.5, within_10=0.9,
                    coverage=0.95, fit_s=0.01, predict_s=0.001,
                )
                for i, m in enumerate(methods)
            ]  # fmt: skip
            document = PredictorDocument(
                space="fbnet", table="t.csv", target=f"lat_ms_{target}", quantity="latency", rows=500, left_out=0,
                samples=samples, n_test=490, draws=1, seed=0, trim=0.0, score=scores[0], baselines=scores[1:],
            )  # fmt: skip
            run = study.start("evaluate-predictor", {"samples": samples, "rows": {"pool": None, "test": [0, 9]}})
            for m in methods:
                rows = {"measured": [1e-3, 2e-3, 4e-3], "mean": [1.1e-3, 2e-3, 3e-3], "std": [1e-4, 1e-4, 1e-4]}
                run.event("predictions", {"predictor": m, "device": target, "of": 490, **rows})
            run.finish("done", document)


def test_scores_of_one_protocol_stand_together(tmp_path):
    scored_study(tmp_path / "s")
    with Study(tmp_path / "s", write=False) as study:
        new, old = report_data(study)["predictors"]
        assert write_report(study, tmp_path / "r.html").scores == 4
    assert old["methods"] == ["ridge"] and (new["methods"], new["targets"]) == (["transfer", "nnls"], ["a", "b"])
    assert new["spearman"] == [[0.9, 0.9], [0.8, None]] and "test rows 0:9" in new["note"]


def test_scores_are_shown_beside_a_front(tmp_path):
    synthetic.fill(tmp_path / "s", 5)
    scored_study(tmp_path / "s")
    with Study(tmp_path / "s", write=False) as study:
        data = report_data(study)
    assert len(data["designs"]) == 5 and len(data["predictors"]) == 2


def test_studies_without_a_front_are_refused_in_one_line(tmp_path):
    with Study(tmp_path / "s") as study:
        with pytest.raises(StudyError, match="has no search with a front yet; run `cofront search --study"):
            write_report(study, tmp_path / "r.html")
        study.start("search", {}).finish("done", {"front": [1], "kind": "search", "schema": 1})
        with pytest.raises(Exception, match="run 1 of study") as caught:
            write_report(study, tmp_path / "r.html")
        assert "\n" not in str(caught.value)
        (tmp_path / "folder").mkdir()
        synthetic.fill(tmp_path / "good")
    with Study(tmp_path / "good") as study, pytest.raises(StudyError, match=r"cannot write '.*folder'"):
        write_report(study, tmp_path / "folder")


@needs_chromium
def test_the_page_draws_what_kernels_did(tmp_path):
    verified_study(tmp_path / "s")
    with Study(tmp_path / "s", write=False) as study:
        write_report(study, tmp_path / "r.html")
    dom = drawn(tmp_path / "r.html", "?call=1")
    section = re.search(r'<section [^>]*id="verified-card".*?</section>', dom, re.S).group(0)
    assert 'id="verified-card" hidden' not in section and "js-plotly-plot" in section
    assert "b: 100 cycles, 500 ns at 200 MHz" in section.replace("0.500 µs", "500 ns")
    assert "conv multiplies 50 % of the time, pw multiplies 0 % of the time" in section


@needs_chromium
def test_the_page_draws_predictors_and_intervals(tmp_path):
    known = synthetic.document(8)
    front = [
        msgspec.structs.replace(d, latency_low_s=0.9 * d.latency_s, latency_high_s=1.2 * d.latency_s)
        for d in known.front
    ]
    with Study(tmp_path / "s") as study:
        study.start("search", {}).finish("done", msgspec.structs.replace(known, front=front, latency_note="ten rows"))
    scored_study(tmp_path / "s")
    with Study(tmp_path / "s", write=False) as study:
        write_report(study, tmp_path / "r.html")
    dom = drawn(tmp_path / "r.html", "#design-3")
    section = re.search(r'<section [^>]*id="predictors-card".*?</section>', dom, re.S).group(0)
    assert len(re.findall('class="[^"]*js-plotly-plot"', section)) == 2
    assert "inside the 95 % interval (2)" in section and "outside it (1)" in section
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<script.*?</script>", "", dom, flags=re.S))
    assert "95 % of new measurements" in words and "Latency: ten rows." in words and "NaN" not in words


@needs_chromium
def test_a_window_of_1100_pixels_shows_every_column(report, tmp_path):
    measure = """<script>addEventListener("load", () => {
      for (const id of ["accelerator", "calls", "kernels"]) {
        const box = document.getElementById(id);
        document.body.append(`${id} ${box.scrollWidth} in ${box.clientWidth};`);
      } });</script></body>"""
    page = tmp_path / "r.html"
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", measure), encoding="utf-8")
    dom = drawn(page, "#design-7", 1100)
    boxes = {name: (int(a), int(b)) for name, a, b in re.findall(r"(accelerator|calls|kernels) (\d+) in (\d+);", dom)}
    assert len(boxes) == 3 and all(0 < needed <= there for needed, there in boxes.values()), boxes
    accelerator = re.search(r'<div id="accelerator".*?</table>', dom, re.S).group(0)
    assert "></th>" not in accelerator and ">value</th>" in accelerator


@needs_chromium
def test_the_roofline_of_a_design_has_all_its_calls_and_is_drawn_where_it_is_seen(tmp_path):
    """The first design has no roof, so that its picture is hidden; the second has a call that only moves bytes."""
    found, rng = synthetic.document(2), np.random.default_rng(0)
    first, second = (synthetic.cost(d, rng) for d in found.front)
    idle = Call(name="sum", layers=["sum"], precision="", cycles=10**5, mode="memory", macs=0, bound_by="memory",
                dram_bytes=4 * sum(c.dram_bytes for c in second.calls))  # fmt: skip
    second = msgspec.structs.replace(second, calls=[*second.calls, idle])
    costs = msgspec.structs.replace(first, roof=None), second
    with Study(tmp_path / "s") as study:
        run = study.start("search", {})
        run.record([({"point": d.point, "config": d.config}, clean(msgspec.to_builtins(c)))
                    for d, c in zip(found.front, costs, strict=True)])  # fmt: skip
        run.finish("done", found)
    page = with_script(
        page_of(tmp_path / "s", tmp_path / "r.html"),
        """
      const roof = document.getElementById("roof"), react = Plotly.react;
      say(roof.hidden);
      Plotly.react = (node, ...more) => { if (node === roof) say(roof.clientWidth > 0); return react(node, ...more); };
      document.getElementById("next").click();
      const star = roof.data.find((t) => t.name === "whole network");
      say(`${star.x[0]} ${star.y[0]} ${Math.log10(star.x[0]) > roof.layout.xaxis.range[0]}`); say(roof.hidden);""",
    )
    hidden, seen, star, hidden_then = said(drawn(page, "#design-1"))[:4]
    assert (hidden, seen, hidden_then) == ("true", "true", "false")
    x, y, inside = star.split()
    macs, moved, cycles = (sum(getattr(c, k) for c in second.calls) for k in ("macs", "dram_bytes", "cycles"))
    assert float(x) == pytest.approx(macs / moved) and inside == "true"
    assert float(y) == pytest.approx(macs / (cycles / found.clock_hz) / 1e9)


@needs_chromium
def test_the_page_draws_itself_without_errors(report):
    dom = drawn(report, "?theme=dark#design-7")
    assert (
        "Design 7 of 40" in dom
        and len(re.findall('class="[^"]*js-plotly-plot"', dom)) == 4
        and 'data-theme="dark"' in dom
    )
    assert dom.count('id="row-') == 40
    calls = re.search(r'<div id="calls".*?</table>', dom, re.S).group(0)
    assert calls.count("<tr>") == 1 + len(embedded(dom)["designs"][6]["calls"]) and ">expand, dw, project<" in calls
    kernels = re.search(r'<div id="kernels".*?</table>', dom, re.S).group(0)
    assert all(f">{name}</td>" in kernels for name in ("conv", "dw", "pw", "memory"))
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<script.*?</script>", "", dom, flags=re.S))
    assert "The host unfolds the image for stem (im2col): that work is not costed." in words
    assert "NaN" not in words and "undefined" not in words
