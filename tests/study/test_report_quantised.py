"""Quantised networks in the report: what the data says, and that the page draws it."""

import re
import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import bitwise
import learned
import synthetic
from browser import drawn, needs_chromium
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
from cofront.study.documents import QuantisedDocument
from cofront.study.documents.parts import Limit
from cofront.study.report import report_data
from cofront.study.report.quantised import statement


@pytest.fixture(scope="module")
def mixed():
    return bitwise.document(budget=(("latency", 0.4), ("size", 0.6)))


@pytest.fixture(scope="module")
def beyond():
    return bitwise.document(layers=12, budget=(("latency", 0.01),))


def test_a_quantised_network_alone_is_a_page(tmp_path, mixed):
    (number,) = study_of(tmp_path / "s", mixed)
    data = data_of(tmp_path / "s")
    assert data["search"] is None and data["title"] == "mobilenetv2.onnx on bismo-edge"
    (entry,) = data["quantised"]["entries"]
    assert entry["id"] == number and entry["statement"] == data["statement"]
    assert entry["layers"] == msgspec.to_builtins(mixed.layers) and len(entry["units"]) == 53
    assert entry["exact"] and not entry["infeasible"] and entry["rise"] == mixed.rise
    assert entry["tested"]["images"] == 10000 and entry["float"]["accuracy"] == 0.92
    chosen = next(p for p in mixed.points if p.kind == "chosen")
    assert entry["validated"] == chosen.accuracy + 0.01  # of the integers, as the test accuracy beside it
    assert data["differentiable"] is None
    rows = {row[0]: row[1] for row in entry["provenance"]}
    assert rows["calibrated on"] == "256 training images" and rows["allocation"] == "exact, optimal"
    assert "hash of the inputs" in rows and rows["time"].startswith("calibration 2.1 s, sensitivity 64 s")


def test_the_stand_in_keeps_its_budgets_and_is_a_document(mixed, beyond):
    for found in (mixed, beyond):
        assert msgspec.convert(msgspec.to_builtins(found), QuantisedDocument) == found
    assert all(b.taken <= b.limit < b.at_8_bits for b in mixed.budgets)
    assert sum(n.rise for n in mixed.layers) == pytest.approx(mixed.rise)
    for b in mixed.budgets:
        assert sum(u.costs[b.quantity] for u in mixed.units) == pytest.approx(b.taken)
    front = [p for p in mixed.points if p.kind == "front"]
    assert [p.rise for p in front] == sorted((p.rise for p in front), reverse=True)


def test_the_statement_says_what_is_proven_and_what_was_measured(mixed):
    text = statement(mixed)
    assert text.startswith("Bits of 53 layers: latency ") and " allowed (" in text and ", size " in text
    assert "proven for this model; " in text and " of 10,000 test images with the integers, " in text
    assert text.endswith("92.00 % of 1,000 validation images in floating point.")
    near = msgspec.structs.replace(mixed, gap=0.00123)
    assert "its expected rise of the loss is at most 0.0012 above the least one" in statement(near)
    greedy = msgspec.structs.replace(mixed, gap=None, method="greedy", accuracies=[])
    assert statement(greedy).endswith("; nothing is proven by method 'greedy'.")


def test_an_infeasible_budget_is_said_in_words(tmp_path, beyond):
    study_of(tmp_path / "s", beyond)
    (entry,) = data_of(tmp_path / "s")["quantised"]["entries"]
    (said,) = entry["infeasible"]
    assert re.fullmatch(r"the least latency is [\d.]+ us, the budget [\d.]+ us; allow at least that", said)
    assert entry["statement"] == f"No bits for the layers of mobilenetv2.onnx meet the budget: {said}."

    def words(*limits, note=""):
        return statement(msgspec.structs.replace(beyond, infeasible=list(limits), cost_note=note))

    remedy = "each can be met alone; raise one of latency, size"
    both = Limit(limit="limits", needed=1.0, available=0.0, excess=1.0, unit="conflict", remedy=remedy)
    assert words(both).endswith(f"meet the budget: limits: {remedy}.")
    size = Limit(limit="size", needed=51200.0, available=5e4, excess=1200.0, unit="size", remedy="allow that")
    assert words(size).endswith("the least size is 51.2 kB, the budget 50.0 kB; allow that.")
    assert words(note="no accelerator fits the part").endswith("meet the budget: no accelerator fits the part.")


def test_the_newest_run_stands_first_and_another_can_be_asked_for(tmp_path, mixed, beyond):
    first, second = study_of(tmp_path / "s", mixed, beyond)
    shown = data_of(tmp_path / "s")
    assert [e["id"] for e in shown["quantised"]["entries"]] == [second, first] and shown["quantised"]["selected"] == 0
    assert shown["statement"] == statement(beyond)
    asked = data_of(tmp_path / "s", first)
    assert asked["quantised"]["selected"] == 1 and asked["statement"] == statement(mixed)


def test_it_stands_beside_a_search_and_a_differentiable_run(tmp_path, beyond):
    synthetic.fill(tmp_path / "s", 5)
    (number,) = study_of(tmp_path / "s", beyond)
    data = data_of(tmp_path / "s")
    assert len(data["designs"]) == 5 and len(data["quantised"]["entries"]) == 1
    assert data_of(tmp_path / "s", number)["search"] is None
    with Study(tmp_path / "t") as study:
        store(study, beyond)
        store(study, learned.document(system="light_nas", epochs=6, interrupted=True))
        data = report_data(study)
        assert data["title"].startswith("light_nas") and len(data["quantised"]["entries"]) == 1
        assert report_data(study, 1)["title"] == "mobilenetv2.onnx on bismo-edge"


def test_what_has_shown_nothing_yet_is_no_report(tmp_path, beyond):
    check_nothing_yet(tmp_path / "s", "quantize", beyond)


@needs_chromium
def test_the_page_draws_bits_sensitivities_front_and_layers(tmp_path, mixed):
    study_of(tmp_path / "s", mixed)
    card = card_of(drawn(page_of(tmp_path / "s", tmp_path / "r.html"), "?theme=dark"), "quantised")
    words = check_words(card)
    assert 'id="quantised-card" hidden' not in card
    said = ", ".join(f"{n.name} {n.weight_bits} and {n.act_bits}" for n in mixed.layers)
    assert f"layer by layer: {said}." in card
    strip, _, heat = re.findall(r"<svg (?!class).*?</svg>", card, re.S)[:3]
    assert strip.count("<rect") == 4 * 53 and heat.count("<rect") == 53 * 14 + 2 * 53
    assert heat.count('fill="none"') == 2 * 53  # the widths taken
    assert heat.count(">0</text>") == 7  # the network's input
    for text in ("W2A2", "W8A8", "chosen (exact)", "front of the sensitivity model", "limit 1.6", "no measurement"):
        assert text in words, text
    (rows,) = re.findall(r"<h3>Layers</h3>.*?<tbody>(.*?)</tbody>", card, re.S)
    assert rows.count("<tr>") == 53 and rows.count('class="saves"') == 3 * 53


@needs_chromium
def test_rises_below_0_and_units_of_several_layers_are_drawn(tmp_path):
    found = bitwise.document(18, per=2, negative=True, budget=(("size", 0.6),), device="", method="greedy")
    study_of(tmp_path / "s", found)
    dom = drawn(page_of(tmp_path / "s", tmp_path / "r.html"), "")
    card = card_of(dom, "quantised")
    words = words_of(card)
    below = [v for n in found.layers for v in n.rise_by_weight_bits if v < 0]
    assert below and "−: below 0" in words and "linear close to 0" in words and "9 units" in words
    heat = re.findall(r"<svg (?!class).*?</svg>", card, re.S)[2]
    assert len(re.findall(r">−[^<]*</text>", heat)) == len(below)
    assert "What a layer costs alone is not known" in words and "nothing is proven" in words and "no proof" in words
    assert re.search(r"<h1[^>]*>mobilenetv2.onnx, by its size</h1>", dom)


@needs_chromium
def test_what_is_chosen_is_shown(tmp_path, mixed, beyond):
    study_of(tmp_path / "s", mixed, beyond)
    page = with_script(
        page_of(tmp_path / "s", tmp_path / "r.html"),
        """
      const root = document.getElementById("quantised"), by = (text) => [...root.querySelectorAll("button")]
        .find((b) => b.textContent === text);
      const list = root.querySelector("select"), shown = (text) => [...root.querySelectorAll("h3")]
        .find((h) => h.textContent === text).closest(".part").parentElement.hidden ? "hidden" : "shown";
      say(root.querySelector(".refused").textContent + shown("Bits of the layers"));
      list.value = "1"; list.dispatchEvent(new Event("change"));
      say(shown("Bits of the layers") + root.querySelector(".refused").hidden);
      by("measured accuracy").click();
      say(by("measured accuracy").getAttribute("aria-pressed") + root.querySelector(".chart .ytitle").textContent);
      document.getElementById("theme").click();
      say(root.querySelector(".chart .ytitle").textContent + root.querySelectorAll(".runs tbody tr").length);
      root.querySelectorAll(".runs tbody button")[0].click();
      say(list.value + shown("Layers"));""",
    )
    refused, second, measured, again, back = said(drawn(page, ""))
    assert refused.startswith("Nothing meets the budget.The least latency is ") and refused.endswith("hidden")
    assert second == "showntrue" and measured == "truevalidation accuracy (%)"
    assert again == "validation accuracy (%)2" and back == "0hidden"


@needs_chromium
@pytest.mark.parametrize("width", [420, 1100])
def test_nothing_of_several_runs_is_wider_than_the_window(tmp_path, mixed, beyond, width):
    study_of(tmp_path / "s", beyond, mixed)
    card = check_width(page_of(tmp_path / "s", tmp_path / "r.html"), "quantised", width)
    assert card.count("<option") == 2
