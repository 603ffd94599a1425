"""Networks with cheaper operators in the report: what the data says, and that the page draws it."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import bitwise
import swapped
from browser import drawn, needs_chromium
from pages import (
    card_of,
    check_nothing_yet,
    check_width,
    check_words,
    data_of,
    page_of,
    said,
    study_of,
    with_script,
    words_of,
)

from cofront.api.accelerate.picture import picture
from cofront.study import Study
from cofront.study.documents import AccelerateDocument, AcceleratedPoint, RoofPair
from cofront.study.report import write_report
from cofront.study.report.accelerated import in_order, losses, statement


@pytest.fixture(scope="module")
def faster():
    return swapped.document()


@pytest.fixture(scope="module")
def measured():
    return swapped.document(device="host", measured=True, share=0.6, seed=1, roof=False, epochs=0)


def test_an_accelerated_network_alone_is_a_page(tmp_path, faster):
    (number,) = study_of(tmp_path / "s", faster)
    data = data_of(tmp_path / "s")
    assert data["search"] is None and data["title"] == "net.onnx accelerated on zu3eg"
    (entry,) = data["accelerated"]["entries"]
    assert entry["id"] == number and entry["statement"] == data["statement"] == statement(faster)
    assert entry["units"] == msgspec.to_builtins(faster.units) and data["quantised"] is None
    taken = faster.solutions[faster.chosen]
    assert entry["latency_s"] == taken.latency_s <= entry["limit_s"]
    assert entry["speed_up"] == pytest.approx(faster.before_s / taken.latency_s)
    assert set(entry["operators"]) == set(swapped.ALL) and entry["operators"][0] == "teacher"
    rows = {row[0]: row[1] for row in entry["provenance"]}
    assert rows["fine-tuned for"] == "270 s: 4 epochs of 45,000 images" and rows["budget"] == "0.5x latency"
    with Study(tmp_path / "s", write=False) as study:
        assert write_report(study, tmp_path / "r.html").accelerated == 1


def test_the_stand_in_is_a_document_whose_solutions_keep_the_budget(faster, measured):
    for found in (faster, measured, swapped.document(stopped="start"), swapped.document(stopped="end")):
        assert msgspec.convert(msgspec.to_builtins(found), AccelerateDocument) == found
    assert all(s.latency_s <= faster.limit_s for s in faster.solutions)
    assert sum(u.saved_s for u in faster.units) == pytest.approx(
        faster.before_s - faster.solutions[faster.chosen].latency_s
    )


def test_the_statement_says_what_was_predicted_and_measured(faster, measured):
    changed = sum(u.chosen != "teacher" for u in faster.units)
    text = statement(faster)
    # the teacher's operator is the first of a unit, whatever its name
    own = {"teacher": "own"}
    named = [
        msgspec.structs.replace(u, names=["own", *u.names[1:]], chosen=own.get(u.chosen, u.chosen))
        for u in faster.units
    ]
    assert statement(msgspec.structs.replace(faster, units=named)) == text
    assert text.startswith(f"Cheaper operators in {changed} of 6 units: ") and " allowed, " in text
    assert "measured" not in text and text.endswith("88.40 % of 10,000 test images, 90.50 % by the teacher.")
    assert "; measured 1.67 times faster (95 %: 1.90 to 2.10); " in statement(measured)
    early = statement(swapped.document(stopped="start"))
    assert early == "net.onnx: stopped before operators were chosen; the same command goes on."
    late = statement(swapped.document(stopped="end"))
    assert late.endswith(" before; stopped before its end.") and "test images" not in late


def test_losses_beyond_all_proportion_are_left_out_of_the_front(faster):
    found = losses(faster)
    assert found.teacher == (faster.before_s, 0.3) and len(found.solutions) == 5 and found.left_out == 0
    most = 2 * max(y for _, y in [*found.solutions, found.teacher])
    wild = AcceleratedPoint(latency_s=faster.least_s, predicted=3e35)
    again = losses(msgspec.structs.replace(faster, front=[wild, *faster.front]))
    assert again == found and all(y <= most for _, y in found.front) and found.front


@pytest.mark.parametrize("loss", [3e30, float("inf")])
def test_a_solution_that_diverged_is_left_out_and_counted(faster, loss):
    other = (faster.chosen + 1) % 5
    solutions = list(faster.solutions)
    solutions[other] = msgspec.structs.replace(solutions[other], loss=loss)
    wild = AcceleratedPoint(latency_s=faster.least_s, predicted=1e20)
    diverged = msgspec.structs.replace(faster, solutions=solutions, front=[wild, *faster.front])
    found, before = losses(diverged), losses(faster)
    assert found.left_out == 1 and found.solutions[other] is None
    assert [s for i, s in enumerate(found.solutions) if i != other] == [
        s for i, s in enumerate(before.solutions) if i != other
    ]
    chosen = faster.solutions[faster.chosen].loss
    assert found.most == pytest.approx(4 * max(chosen, faster.teacher_loss))
    assert found.front and max(y for _, y in found.front) <= 2 * found.most
    drawing = ElementTree.fromstring(picture(diverged))
    words = [e.text for e in drawing.iter() if e.text]
    assert f"not drawn: 1 solution with a loss above {found.most:.3g}" in words
    assert len(drawing.findall(".//{*}circle")) == 5  # four solutions and the teacher
    assert "chosen: " in "".join(words) and not any("e+" in w for w in words)
    assert "not drawn" not in picture(faster)


@needs_chromium
def test_the_page_says_how_many_solutions_are_not_drawn(tmp_path, faster):
    solutions = [s if i == faster.chosen else msgspec.structs.replace(s, loss=3e30)
                 for i, s in enumerate(faster.solutions)]  # fmt: skip
    study_of(tmp_path / "s", msgspec.structs.replace(faster, solutions=solutions))
    page = with_script(
        page_of(tmp_path / "s", tmp_path / "r.html"),
        """
      const chart = document.querySelector('#accelerated [aria-label^="Loss against latency"]');
      say(chart.data.map((t) => t.name).join(", ")); say(Math.max(...chart.data.flatMap((t) => t.y)));""",
    )
    dom = drawn(page, "")
    names, most = said(dom)
    assert "Not drawn: 4 solutions that lose more than " in check_words(card_of(dom, "accelerated"))
    assert names == "exact front of the predicted loss, teacher, chosen, before fine-tuning"
    assert float(most) <= 2 * losses(faster).most


def test_an_interrupted_run_stands_until_another_went_on_from_it(tmp_path, faster):
    stopped = [swapped.document(stopped=when) for when in ("start", "end")]
    first, second = study_of(tmp_path / "s", *stopped)
    # both have the same inputs: the second went on from the first
    assert [e["id"] for e in data_of(tmp_path / "s")["accelerated"]["entries"]] == [second]
    (third,) = study_of(tmp_path / "s", faster)
    assert [e["id"] for e in data_of(tmp_path / "s")["accelerated"]["entries"]] == [third]
    (other,) = study_of(tmp_path / "s", swapped.document(share=0.4, stopped="start"))
    shown = data_of(tmp_path / "s")["accelerated"]
    assert [e["id"] for e in shown["entries"]] == [other, third] and first < second
    assert shown["entries"][0]["losses"] is None and shown["entries"][0]["latency_s"] is None
    assert data_of(tmp_path / "s", third)["statement"] == statement(faster)


def test_what_has_shown_nothing_yet_is_no_report(tmp_path, faster):
    check_nothing_yet(tmp_path / "s", "accelerate", faster)


@given(st.lists(st.sets(st.integers(0, 12), max_size=8), max_size=6))
def test_operators_stand_in_the_order_of_every_unit(sets):
    lists = [[str(i) for i in sorted(s)] for s in sets]
    found = in_order(lists)
    assert sorted(found) == sorted({n for names in lists for n in names})
    for names in lists:
        assert [n for n in found if n in names] == names


def test_orders_that_contradict_each_other_are_kept_as_they_come():
    assert in_order([["a", "b"], ["b", "a", "c"]]) == ["a", "b", "c"]


@needs_chromium
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_draws_front_operators_units_and_roofline(tmp_path, faster, theme):
    study_of(tmp_path / "s", faster)
    card = card_of(drawn(page_of(tmp_path / "s", tmp_path / "r.html"), f"?theme={theme}"), "accelerated")
    words = check_words(card)
    assert 'id="accelerated-card" hidden' not in card
    # the front, the roofline, and two of training
    assert len(re.findall('class="[^"]*js-plotly-plot"', card)) == 4
    open_units = [u for u in faster.units if len(u.names) > 1]
    heat = next(s for s in re.findall(r"<svg (?!class).*?</svg>", card, re.S) if "Change of the loss by each" in s)
    assert f"Chosen: {', '.join(f'{u.name} {u.chosen}' for u in open_units)}." in heat
    assert heat.count("<rect") == sum(len(u.names) for u in open_units) + len(open_units)
    assert heat.count('fill="none"') == len(open_units) and heat.count(">×</text>") == 1
    (rows,) = re.findall(r"<h3>Units</h3>.*?<tbody>(.*?)</tbody>", card, re.S)
    assert rows.count("<tr>") == 6
    for text in ("chosen, before fine-tuning", "exact front of the predicted loss", "solutions swapped in", "limit ",
                 "2 further units have the teacher", "10 and more: alike", "×: the device cannot run it", "80 M before",
                 "with the chosen operators", "whole network", "Memory gives 4 GB/s"):  # fmt: skip
        assert text in words, text
    (roofs,) = re.findall(r"as a table.*?<tbody>(.*?)</tbody>", card, re.S)
    assert roofs.count("<tr>") == 6 and roofs.count("–") == 5  # the last unit multiplies nothing afterwards


@needs_chromium
@pytest.mark.parametrize("stopped", ["start", "end"])
def test_a_stopped_run_is_drawn(tmp_path, stopped):
    study_of(tmp_path / "s", swapped.document(stopped=stopped))
    dom = drawn(page_of(tmp_path / "s", tmp_path / "r.html"), "")
    card = card_of(dom, "accelerated")
    assert "(interrupted)" in words_of(card) and "NaN" not in card and "undefined" not in words_of(card)
    assert card.count("js-plotly-plot") == (0 if stopped == "start" else 1)
    (heading,) = re.findall(r'<div( hidden="")?><div class="bar part"><h3>Loss against latency', card)
    assert bool(heading) == (stopped == "start")


@needs_chromium
def test_what_is_chosen_is_shown(tmp_path, faster, measured):
    study_of(tmp_path / "s", faster, measured)
    page = with_script(
        page_of(tmp_path / "s", tmp_path / "r.html"),
        """
      const root = document.getElementById("accelerated"), list = root.querySelector("select");
      const part = (text) => [...root.querySelectorAll("h3")].find((h) => h.textContent.startsWith(text))
        .closest(".part").parentElement;
      say(root.querySelector(".tiles").textContent + part("Roofline").textContent + part("Fine-tuning").hidden);
      list.value = "1"; list.dispatchEvent(new Event("change"));
      say(part("Roofline").querySelector(".chart").hidden + " " + part("Fine-tuning").hidden);
      document.getElementById("theme").click();
      root.querySelectorAll(".runs tbody button")[0].click();
      say(list.value + root.querySelectorAll(".runs tbody tr").length);""",
    )
    first, second, back = said(drawn(page, ""))
    assert "measured1.67×95 %: 1.90 to 2.10;" in first and first.endswith("true")
    assert "No roofline: a measurement says nothing of multipliers and memory." in first
    assert second == "false false" and back == "02"


@needs_chromium
@pytest.mark.parametrize("width", [420, 1100])
def test_nothing_of_several_runs_is_wider_than_the_window(tmp_path, faster, measured, width):
    study_of(tmp_path / "s", faster, measured, swapped.document(stopped="start", share=0.3))
    card = check_width(page_of(tmp_path / "s", tmp_path / "r.html"), "accelerated", width)
    assert card.count("<option") == 3


@needs_chromium
def test_a_quantised_network_has_its_roofline_or_says_why_not(tmp_path):
    plain = bitwise.document(6)
    drawn_one = msgspec.structs.replace(plain, roofline=swapped.roofline())
    without = msgspec.structs.replace(plain, roofline_note="no roofline: a table of latencies says nothing of it")
    texts = []
    for i, found in enumerate((plain, drawn_one, without)):
        study_of(tmp_path / f"s{i}", found)
        card = card_of(drawn(page_of(tmp_path / f"s{i}", tmp_path / f"r{i}.html"), ""), "quantised")
        (hidden, part) = re.findall(r'<div( hidden="")?>(<div class="bar part"><h3>Roofline.*?)<h3>Layers', card, re.S)[
            0
        ]
        texts.append((bool(hidden), part))
    assert texts[0][0] and not texts[1][0] and not texts[2][0]  # a document from before has neither
    assert "js-plotly-plot" in texts[1][1] and "limits" in texts[1][1] and "js-plotly-plot" not in texts[2][1]
    assert "No roofline: a table of latencies says nothing of it." in texts[2][1]


@needs_chromium
def test_the_whole_network_moves_also_what_multiplies_nothing(tmp_path, faster):
    before, after = swapped.roofline(beside=None).before, swapped.roofline(beside=10**7).after
    study_of(tmp_path / "s", msgspec.structs.replace(faster, roofline=RoofPair(before=before, after=after)))
    page = with_script(
        page_of(tmp_path / "s", tmp_path / "r.html"),
        """
      const root = document.getElementById("accelerated"), chart = [...root.querySelectorAll("h3")]
        .find((h) => h.textContent.startsWith("Roofline")).closest(".part").parentElement.querySelector(".chart");
      const star = chart.data.find((t) => t.name === "whole network"), [low] = chart.layout.xaxis.range;
      say(star.x.join(" ")); say(star.x.every((x) => Math.log10(x) > low)); say(star.text[0]);""",
    )
    shown, inside, text = said(drawn(page, ""))
    moved = [sum(p.bytes for p in before.points), 10**7 + sum(p.bytes for p in after.points)]
    macs = [sum(p.macs for p in s.points) for s in (before, after)]
    assert [float(v) for v in shown.split()] == pytest.approx([m / b for m, b in zip(macs, moved, strict=True)])
    assert inside == "true" and after.bytes == moved[1] and before.bytes is None
    # an older document does not say all bytes, and so the page says which these are
    first, second = text.split("with the chosen operators")
    assert "MAC/byte of what multiplies," in first and "MAC/byte," in second
