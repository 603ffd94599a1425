"""Studies of documents, and what their pages say and draw."""

import re

import pytest
from browser import drawn

from cofront.study import Study
from cofront.study.documents import AccelerateDocument, QuantisedDocument, RunDocument
from cofront.study.report import has_search, report_data, write_report


def store(study, found):
    """A run of the verb that such a document comes from."""
    inputs = {
        RunDocument: lambda: ("run", {"system": found.system, "space": found.space, "target_s": found.target_s}),
        QuantisedDocument: lambda: ("quantize", {"model": found.model, "method": found.method, "images": 256}),
        AccelerateDocument: lambda: ("accelerate", {"budget": found.budget, "device": found.device, "images": 2048}),
    }  # fmt: skip
    run = study.start(*inputs[type(found)]())
    run.finish("interrupted" if getattr(found, "interrupted", False) else "done", found)
    return run.id


def study_of(path, *documents):
    """A study of a run for each document: their numbers."""
    with Study(path) as study:
        return [store(study, d) for d in documents]


def data_of(path, run_id=None):
    with Study(path, write=False) as study:
        return report_data(study, run_id)


def page_of(path, out):
    with Study(path, write=False) as study:
        write_report(study, out)
    return out


def card_of(dom, name):
    """The section of a card."""
    return re.search(rf'<section [^>]*id="{name}-card".*?</section>', dom, re.S).group(0)


def words_of(dom):
    return re.sub(r"<[^>]*>", " ", re.sub(r"<(script|style).*?</\1>", "", dom, flags=re.S))


def check_words(card):
    """The words of a card, in which nothing is missing."""
    words = words_of(card)
    assert not re.search("NaN|undefined|null|Infinity", words), words
    return words


def check_nothing_yet(path, verb, found):
    """A run without a result is no report; a result that is no document is named in a line."""
    with Study(path) as study:
        study.start(verb, {}).finish("failed")
        assert not has_search(study)
        store(study, found)
        assert has_search(study)
        broken = {"kind": type(found).__struct_config__.tag, "schema": 1, "history": [1], "model": 3}
        study.start(verb, {"a": 1}).finish("done", broken)
        with pytest.raises(Exception, match="run 3 of study") as caught:
            report_data(study)
    assert "\n" not in str(caught.value)


def with_script(page, script):
    """The page with what is done to it once it is loaded; `say` writes a line that `said` finds."""
    text = page.read_text(encoding="utf-8")
    script = (
        f'const say = (text) => document.body.append(`[${{text}}]`); addEventListener("load", () => {{ {script} }});'
    )
    page.write_text(text.replace("</body>", f"<script>{{ {script} }}</script></body>"), encoding="utf-8")
    return page


def said(dom):
    return re.findall(r"\[([^\]]*)\]", dom.rsplit("</script>", 1)[1])


def check_width(page, name, width):
    """In a window of so many pixels nothing is wider than it, and nothing of a card than the card."""
    script = """
      const card = document.getElementById("NAME"), edge = card.getBoundingClientRect().right + 1;
      const wide = [...card.querySelectorAll("*")].filter((n) => !n.closest(".scroll, .js-plotly-plot"))
        .filter((n) => n.getBoundingClientRect().right > edge).map((n) => n.tagName + "." + n.className);
      const root = document.documentElement;
      say(`${root.scrollWidth} in ${root.clientWidth}`); say(wide.slice(0, 5));"""
    dom = drawn(with_script(page, script.replace("NAME", name)), "", width)
    sizes, wide = said(dom)
    needed, there = map(int, sizes.split(" in "))
    assert needed <= there and not wide, (sizes, wide)
    return card_of(dom, name)
