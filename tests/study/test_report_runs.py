"""Differentiable runs in the report: what the data says, and that the page draws it."""

import re
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import learned
import synthetic
from browser import drawn, embedded, needs_chromium
from pages import (
    card_of,
    check_nothing_yet,
    check_width,
    check_words,
    data_of,
    page_of,
    said,
    store,
    study_of,
    with_script,
    words_of,
)

from cofront.study import Study
from cofront.study.documents import RunDocument, RunLayer
from cofront.study.report import has_search, report_data, write_report
from cofront.study.report.runs import cells_of, operator_of, options_of


def hidden(dom, name):
    """Whether the page's section of that name is hidden."""
    (attributes,) = re.findall(rf'<section ([^>]*id="{name}"[^>]*)>', dom)
    return " hidden" in attributes


@pytest.fixture(scope="module")
def light():
    return learned.document(system="light_nas")


@pytest.fixture(scope="module")
def cut():
    return learned.document(system="light_nas", epochs=15, interrupted=True)


@pytest.fixture(scope="module")
def darts():
    return learned.document("darts", "eh_dnas", epochs=8)


def test_a_run_alone_is_a_page(tmp_path, light):
    study_of(tmp_path / "s", light)
    data = data_of(tmp_path / "s")
    assert data["search"] is None and data["title"] == "light_nas on fbnet@cifar10-small, zu3eg"
    assert "interrupted" not in data["statement"] and "asked" in data["statement"]
    (entry,) = data["differentiable"]["entries"]
    likely = light.networks[0]
    assert entry["latency_s"] == likely.latency_s and entry["accuracy"] == likely.accuracy
    assert entry["target_error"] == pytest.approx(likely.latency_s / light.target_s - 1)
    assert entry["history"]["loss"][:4] == [None] * 4 and len(entry["history"]["multiplier"]) == 30
    shares = np.array(entry["probabilities"])
    assert shares.shape == (30, 8, 9) and np.all(np.abs(shares.sum(axis=2) - 1000) <= 5)
    labels = [entry["palette"][entry["layers"][i]["options"][o]]["label"] for i, o in enumerate(likely.options)]
    assert labels == [layer.options[o].replace("_", " ") for layer, o in zip(light.layers, likely.options, strict=True)]
    assert len(entry["points"]["random"]) == 60 and entry["cells"] is None
    rows = {row[0]: row[1] for row in entry["provenance"]}
    assert rows["tested on"] == "2,000 images, once" and "hash of the inputs" in rows and "versions" in rows


def test_stand_in_regret_is_the_distance_to_the_front(light):
    likely = light.networks[0]
    front = [p for p in light.points if p.kind == "front"]
    best = max(p.predicted for p in front if p.latency_s <= likely.latency_s + 1e-12)
    assert light.regret == pytest.approx(best - likely.predicted, abs=1e-4) and light.regret >= 0


def test_the_newest_run_stands_first_and_another_can_be_asked_for(tmp_path, light, cut):
    first, second = study_of(tmp_path / "s", light, cut)
    shown = data_of(tmp_path / "s")["differentiable"]
    assert [e["id"] for e in shown["entries"]] == [second, first] and shown["selected"] == 0
    asked = data_of(tmp_path / "s", first)
    assert asked["differentiable"]["selected"] == 1 and asked["search"] is None
    assert "interrupted" in data_of(tmp_path / "s")["statement"] and "interrupted" not in asked["statement"]


def test_a_search_stays_the_subject_of_its_page(tmp_path, light):
    synthetic.fill(tmp_path / "s", 5)
    (number,) = study_of(tmp_path / "s", light)
    data = data_of(tmp_path / "s")
    assert len(data["designs"]) == 5 and len(data["differentiable"]["entries"]) == 1
    assert data_of(tmp_path / "s", number)["search"] is None
    with Study(tmp_path / "s", write=False) as study:
        document = write_report(study, tmp_path / "r.html")
    assert (document.designs, document.differentiable) == (5, 1)


def test_what_has_shown_nothing_yet_is_no_report(tmp_path, light):
    with Study(tmp_path / "s") as study:
        study.start("run", {}).finish("failed")
        study.start("run", {}).save(msgspec.structs.replace(light, history=[]))
        assert not has_search(study)
        store(study, light)
        assert has_search(study) and len(report_data(study)["differentiable"]["entries"]) == 1


def test_an_interrupted_run_shows_the_most_likely_options_so_far(tmp_path, cut):
    study_of(tmp_path / "s", cut)
    (entry,) = data_of(tmp_path / "s")["differentiable"]["entries"]
    (network,) = entry["networks"]
    assert network["role"] == "most likely so far" and network["accuracy"] is None and entry["accuracy"] is None
    assert network["options"] == np.argmax(cut.history[-1].probabilities, axis=1).tolist()
    assert entry["latency_s"] == cut.history[-1].likely_s and entry["status"] == "interrupted"


def test_cells_are_edges_between_nodes(tmp_path, darts):
    from cofront.space.darts import CELLS, EDGES

    study_of(tmp_path / "s", darts)
    (entry,) = data_of(tmp_path / "s")["differentiable"]["entries"]
    assert [c["name"] for c in entry["cells"]] == list(CELLS)
    for i, cell in enumerate(entry["cells"]):
        assert [tuple(e[1:]) for e in cell["edges"]] == list(EDGES)
        assert [e[0] for e in cell["edges"]] == list(range(14 * i, 14 * i + 14))
    kept = [i for i, o in enumerate(entry["networks"][0]["options"]) if not entry["palette"][o]["absent"]]
    assert len(kept) == 16


def test_options_are_named_for_people():
    def of(name):
        o = operator_of(name)
        return o.label, o.word, o.kernel, o.expand

    assert of("k5_e6") == ("k5 e6", "", "k5", 6)
    assert of("op3=k3_e1_g2,op3_bits=W4A8") == ("k3 e1 g2 W4A8", "", "k3", 1)
    assert of("shift_k3_e6") == ("shift k3 e6", "shift", "k3", 6)
    assert of("sep_conv_3x3") == ("sep conv 3x3", "sep_conv", "", None)
    assert of("normal0_1=skip_connect") == ("skip connect", "skip_connect", "", None)

    def kinds(*names):
        palette, _ = options_of([RunLayer(name="op0", options=list(names), allowed=[True] * len(names))])
        return [(o["kind"], o["rank"], o["of"]) for o in palette]

    assert kinds("k3_e1", "k3_e6", "k5_e1", "skip") == [("k3", 0, 2), ("k3", 1, 2), ("k5", 0, 1), ("skip", 0, 1)]
    assert kinds("conv_k3_e1", "adder_k3_e1", "skip") == [("conv", 0, 1), ("adder", 0, 1), ("skip", 0, 1)]
    assert kinds("conv_k3_e1", "conv_k5_e1") == [("k3", 0, 1), ("k5", 0, 1)]
    layers = [RunLayer(name=n, options=["a"], allowed=[True]) for n in ("op0=a", "op1=a")]
    assert cells_of(layers) is None


def test_a_document_of_a_study_is_checked(tmp_path, light):
    check_nothing_yet(tmp_path / "s", "run", light)


@needs_chromium
def test_the_page_draws_a_run(tmp_path, light):
    study_of(tmp_path / "s", light)
    dom = drawn(page_of(tmp_path / "s", tmp_path / "r.html"), "?theme=dark")
    card = card_of(dom, "differentiable")
    # without a search there is no front
    assert not hidden(dom, "differentiable-card") and hidden(dom, "front-card")
    # accuracy, five courses, two of training
    assert len(re.findall('class="[^"]*js-plotly-plot"', card)) == 8
    words = check_words(card)
    assert "random networks (60)" in words and "certified optimum" in words and "most likely (trained)" in words
    assert "target 1" in words and "test 68.00" in words and "Multiplier" in words
    assert card.count("<figcaption><span>op") == 8  # a picture of each layer's probabilities
    chosen = [layer.options[o].replace("_", " ") for layer, o in zip(light.layers, light.networks[0].options,
                                                                     strict=True)]  # fmt: skip
    assert "layer by layer: " + ", ".join(chosen) + ", the rest." in card


@needs_chromium
def test_a_training_without_an_epoch_says_so(tmp_path, light):
    empty = msgspec.structs.replace(light.training, loss=[], validation=[], test=None)
    study_of(tmp_path / "s", msgspec.structs.replace(light, training=empty, interrupted=True))
    card = card_of(drawn(page_of(tmp_path / "s", tmp_path / "r.html"), ""), "differentiable")
    assert "None was finished. It was not tested." in words_of(card)
    assert len(re.findall('class="[^"]*js-plotly-plot"', card)) == 6


@needs_chromium
def test_the_page_draws_cells_and_runs_cut_short(tmp_path, darts, cut):
    study_of(tmp_path / "a", darts)
    card = card_of(drawn(page_of(tmp_path / "a", tmp_path / "a.html"), ""), "differentiable")
    entry = embedded((tmp_path / "a.html").read_text(encoding="utf-8"))["differentiable"]["entries"][0]
    for cell in entry["cells"]:
        (said,) = re.findall(rf'aria-label="{cell["name"]} cell: ([^"]*)"', card)
        assert said.count(" by ") == 8 and "none" not in said
    study_of(tmp_path / "b", cut)
    words = check_words(card_of(drawn(page_of(tmp_path / "b", tmp_path / "b.html"), ""), "differentiable"))
    assert "(interrupted)" in words and "Most likely so far: " in words and "10 epochs" in words


@needs_chromium
@pytest.mark.parametrize("width", [420, 1100])
def test_nothing_of_several_runs_is_wider_than_the_window(tmp_path, light, darts, width):
    study_of(tmp_path / "s", light, darts)
    page = page_of(tmp_path / "s", tmp_path / "r.html")
    card = check_width(page, "differentiable", width)
    assert card.count('aria-pressed="true"') >= 2 and "<select>" in card and card.count("<option") == 2


@needs_chromium
def test_what_is_chosen_is_shown(tmp_path, light, cut):
    study_of(tmp_path / "s", light, cut)
    page = with_script(
        page_of(tmp_path / "s", tmp_path / "r.html"),
        """
      const root = document.getElementById("differentiable"), by = (text) => [...root.querySelectorAll("button")]
        .find((b) => b.textContent === text);
      const list = root.querySelector("select"), slider = root.querySelector('input[type="range"]');
      say(root.querySelector(":scope > h3").textContent);
      list.value = "1"; list.dispatchEvent(new Event("change"));
      say(root.querySelector(":scope > h3").textContent);
      by("polished").click();
      say(by("polished").getAttribute("aria-pressed") + root.querySelector(".chain svg").getAttribute("aria-label"));
      by("supernet").click();
      slider.value = "0"; slider.dispatchEvent(new Event("input"));
      say(root.querySelector("output").textContent);
      document.getElementById("theme").click();
      root.querySelectorAll(".runs tbody button")[0].click();
      say(list.value + root.querySelector("output").textContent);""",
    )
    first, second, network, epoch, back = said(drawn(page, ""))
    assert first.endswith("(interrupted)") and second == "light_nas on fbnet@cifar10-small, zu3eg"
    polished = next(n for n in light.networks if n.role == "polished")
    chosen = [layer.options[o].replace("_", " ") for layer, o in zip(light.layers, polished.options, strict=True)]
    assert network.startswith("true") and ", ".join(chosen) in network
    assert epoch == "1 of 30" and back == "010 of 10"


def test_the_command_reports_a_study_without_a_front(tmp_path, light, monkeypatch, capsys):
    from cofront.cli import main

    monkeypatch.chdir(tmp_path)
    Path("runs/learnt").mkdir(parents=True)
    study_of(Path("runs/learnt/study.sqlite"), light)
    monkeypatch.setattr(sys, "argv", ["cofront", "report"])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    assert capsys.readouterr().out == (
        "runs/learnt/report.html: 0 designs, 1 differentiable run of runs/learnt/study.sqlite\n"
    )


def test_the_stand_in_is_a_document(light, darts):
    for found in (light, darts):
        assert msgspec.convert(msgspec.to_builtins(found), RunDocument) == found


def test_layers_with_fewer_options_have_shorter_rows(tmp_path, light):
    """Rows of probabilities are as long as those of the layer with most options, the rest 0."""
    first = light.layers[0]
    short = msgspec.structs.replace(
        first, options=first.options[:-1], allowed=first.allowed[:-1], cost_s=first.cost_s[:-1]
    )
    history = [
        msgspec.structs.replace(h, probabilities=[[*h.probabilities[0][:-1], 0.0], *h.probabilities[1:]])
        for h in light.history
    ]
    networks = [
        msgspec.structs.replace(n, options=[min(n.options[0], len(short.options) - 1), *n.options[1:]])
        for n in light.networks
    ]
    changed = msgspec.structs.replace(light, layers=[short, *light.layers[1:]], history=history, networks=networks)
    with Study(tmp_path / "study.sqlite") as study:
        study.start("run", {"of": "fewer"}).finish("done", changed)
        entry = report_data(study)["differentiable"]["entries"][0]
    assert all(
        len(row) == len(layer["options"])
        for row, layer in zip(entry["probabilities"][-1], entry["layers"], strict=True)
    )
    assert len(entry["layers"][0]["options"]) == len(entry["layers"][1]["options"]) - 1
