"""Which design `--fps` means, and the frame rates that are printed."""

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofront.api.choosing import choose, front_of
from cofront.api.request import SearchRequest
from cofront.cli.output import accuracy, count, rate, seconds
from cofront.cli.searching import _print
from cofront.study.documents import Design, SearchDocument


def front(clock_hz, third=None):
    """Five designs around every cycle count: neighbours differ by one cycle."""

    def make(*cycles):
        designs = [
            Design(
                accuracy=0.5 + 0.01 * i, latency_s=c / clock_hz, fps=1 / (c / clock_hz), cycles=c,
                resources={"dsp": 9 - i}, config={},
            )
            for i, c in enumerate(cycles)
        ]  # fmt: skip
        return SearchDocument(
            status="optimal", space="tiny", device="zu3eg", precisions=[], clock_hz=clock_hz, method="exact",
            grid="coarse", budget={}, front=designs, gap=0.0, designs=9, solve_s=0.0, third=third,
        )  # fmt: skip

    return make


@pytest.mark.parametrize(
    ("space", "verbs"), [("subgraph32", ["estimate", "train", "build"]), ("ofa_mobilenetv3", ["estimate"])]
)
def test_the_commands_that_come_next_are_named(capsys, space, verbs):
    document = front(2.5e8)(1000)
    design = msgspec.structs.replace(document.front[0], config={"engine": "E88"})
    document = msgspec.structs.replace(document, space=space, front=[design], files={"design": "a b/design.json"})
    _print(document, None)
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("next: "))
    after = [line.removeprefix("next:").split() for line in lines[start:]]
    assert [words[:2] for words in after] == [["cofront", verb] for verb in verbs]
    assert all("'a b/design.json'" in line for line in lines[start:])
    if "build" in verbs:
        assert lines[-1] == "      cofront build 'a b/design.json' -o built"


def test_the_commands_that_come_next_take_the_images_that_were_named(capsys):
    document = front(2.5e8)(1000)
    designs = [msgspec.structs.replace(document.front[0], config={"engine": "E88"})]
    document = msgspec.structs.replace(document, space="subgraph32", front=designs, files={"design": "design.json"})
    _print(document, Path("my images"))
    assert [line.strip() for line in capsys.readouterr().out.splitlines()[-3:]] == [
        "next: cofront estimate design.json --calls",
        "cofront train design.json --data 'my images'",
        "cofront build design.json --data 'my images' -o built",
    ]


@given(st.integers(3, 10**9), st.sampled_from([2.5e8, 1e8, 187_512_345.0, 333e6]))
def test_a_design_is_found_by_its_own_frame_rate(cycles, clock_hz):
    document = front(clock_hz)(cycles - 2, cycles - 1, cycles, cycles + 1, cycles + 2)
    d = document.front[2]
    for fps in (clock_hz / cycles, d.fps, 1 / d.latency_s):
        chosen = choose(document, SearchRequest(fps=fps)).chosen
        assert chosen == 2
        third = choose(front(clock_hz, "dsp")(cycles, cycles + 1), SearchRequest(fps=fps, accuracy=0.4, third="dsp"))
        assert third.chosen == 0
        alone = choose(front(clock_hz)(cycles), SearchRequest(fps=fps, accuracy=0.9))
        assert alone.chosen is None and [e.limit for e in alone.infeasible] == ["accuracy"]
        too_slow = choose(front(clock_hz)(cycles + 1), SearchRequest(fps=fps))
        assert too_slow.chosen is None and [e.limit for e in too_slow.infeasible] == ["latency"]


@given(st.integers(4000, 9900), st.integers(0, 3))
def test_a_design_is_found_by_the_accuracy_that_is_printed(hundredths, below):
    """Sums of the same figures differ in their last bits: what prints as 79.00 % can be asked for as 0.79."""
    asked = value = hundredths / 1e4
    for _ in range(below):
        value = math.nextafter(value, 0)
    assert accuracy(value) == f"{hundredths / 100:.2f} %"
    for third in (None, "dsp"):
        document = front(2.5e8, third)(1000, 2000, 3000)
        accuracies = (value - 0.1, value, value + 0.01)
        designs = [msgspec.structs.replace(d, accuracy=a) for d, a in zip(document.front, accuracies, strict=True)]
        document = msgspec.structs.replace(document, front=designs)
        assert front_of(document).best(min_accuracy=asked).cycles == 2000
        assert choose(document, SearchRequest(accuracy=asked)).chosen == 1
        both = SearchRequest(accuracy=asked, fps=2.5e8 / 2000, third=third)
        assert choose(document, both).chosen == 1
        fast = choose(document, SearchRequest(accuracy=asked, fps=2.5e8 / 999))
        assert fast.chosen is None and [e.limit for e in fast.infeasible] == ["latency"]
        short = msgspec.structs.replace(document, front=designs[:2])
        fast = choose(short, SearchRequest(accuracy=asked, fps=2.5e8 / 999))
        assert fast.chosen is None and [e.limit for e in fast.infeasible] == ["latency"]
        more = choose(short, SearchRequest(accuracy=asked + 1e-9))
        assert more.chosen is None and more.infeasible[0].needed == asked + 1e-9


def test_an_accuracy_is_met_by_a_design_of_it_and_not_by_one_a_hair_below():
    document = front(2.5e8, "dsp")(1000, 2000, 3000)
    top = document.front[-1].accuracy
    for fps in (None, 2.5e8 / 3000):
        assert choose(document, SearchRequest(accuracy=top, fps=fps, third="dsp")).chosen == 2
        # the tolerance is for rounding and used once: its double is too much
        above = top * (1 + 1.5e-12)
        missed = choose(document, SearchRequest(accuracy=above, fps=fps, third="dsp"))
        assert missed.chosen is None and [(e.limit, e.needed) for e in missed.infeasible] == [("accuracy", above)]
    # nor is such a design among those of which the least of the third is taken
    leanest = msgspec.structs.replace(document.front[1], resources={"dsp": 1})
    document = msgspec.structs.replace(document, front=[document.front[0], leanest, document.front[2]])
    for share, chosen in ((1.0, 1), (1 + 1.5e-12, 2)):
        asked = SearchRequest(accuracy=leanest.accuracy * share, fps=2.5e8 / 3000, third="dsp")
        assert choose(document, asked).chosen == chosen


def test_counts_and_times_read_well():
    assert [count(n) for n in (81, 9_999_999, 19_041_280, 3 * 10**39)] == ["81", "9,999,999", "1.90e7", "3.00e39"]
    assert [seconds(t, 6) for t in (1.5, 0.00360309, 1e-5)] == ["1.5 s", "3.60309 ms", "10 us"]


def test_whole_frame_rates_stay_whole():
    assert rate(1 / (250_000 / 250e6)) == "1,000" and rate(999.9999) == "999.9" and rate(276.87) == "276.8"
    assert rate(66_314.7) == "66,314" and rate(0.012345) == "0.01234"
    assert [rate(1 / (c / 2.5e8)) for c in (250, 2500, 25)] == ["1,000,000", "100,000", "10,000,000"]
