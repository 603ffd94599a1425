"""`build --smallest`: the smallest design of a study's front, and what is no such study."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofront import space
from cofront.api.smallest import smallest, smallest_design
from cofront.study import Study
from cofront.study.documents import Design, SearchDocument

SIZES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=8)


def document(sizes, points=None):
    """A front of designs of so many (DSPs, LUTs), fastest first."""
    designs = [
        Design(
            accuracy=0.5 + 0.01 * i, latency_s=1e-4 * (i + 1), fps=1e4 / (i + 1), cycles=25_000 * (i + 1),
            resources={"dsp": dsp, "lut": lut}, config={"engine": "E88"}, point=(points or {}).get(i, []),
        )
        for i, (dsp, lut) in enumerate(sizes)
    ]  # fmt: skip
    return SearchDocument(
        status="optimal", space="subgraph32", device="zu3eg", precisions=[], clock_hz=2.5e8, method="exact",
        grid="coarse", budget={}, front=designs, gap=0.0, designs=9, solve_s=0.0,
    )  # fmt: skip


@given(SIZES)
def test_fewest_dsps_then_luts_then_the_fastest(sizes):
    found = smallest(document(sizes))
    assert all(sizes[found] <= other for other in sizes)
    assert sizes[found] not in sizes[:found]


def study(path, *documents, device="zu3eg"):
    with Study(path) as opened:
        for i, result in enumerate(documents):
            opened.start("search", {"device": device, "n": i}).finish("done", result)


def test_the_newest_front_of_a_study_or_its_folder():
    point = [int(v) for v in space.load("subgraph32").sample(np.random.default_rng(0), 1)[0]]
    first = document([(1, 1)], points={0: point})
    second = document([(9, 9), (3, 5), (3, 4)], points={2: point})
    study(Path("out/study.sqlite"), first, second)
    for given_path in (Path("out"), Path("out/study.sqlite")):
        design = smallest_design(given_path)
        assert design.design.resources == {"dsp": 3, "lut": 4} and design.design.latency_s == pytest.approx(3e-4)
        assert design.space == "subgraph32" and design.design.macs > 0 and design.device_file == ""
        assert design.provenance["index"] == 2 and design.provenance["run"] == 2
    study(Path("own.sqlite"), second, device="mine.toml")
    assert smallest_design(Path("own.sqlite")).device_file == str(Path("mine.toml").resolve())


def test_a_study_without_smallest_is_one_line_that_says_so(refused):
    study(Path("out/study.sqlite"), document([(1, 1)]))
    for name in ("out", "out/study.sqlite"):
        assert refused("build", name) == (
            2, f"'{name}' is a study: add --smallest, or name its design file, out/design.json"
        )  # fmt: skip
    Path("empty").mkdir()
    for name in ("empty", "none", "none.json"):
        assert "is a study" not in refused("build", name)[1]


EXPECTED = "expected a study, as `cofront search` writes it"
WRONG = {
    "design.json": "'design.json' is not a study of `cofront search`; --smallest takes one, a design file goes without"
}


def test_what_is_no_study_with_a_front_is_one_line(refused):
    assert refused("build", "none.sqlite", "--smallest") == (2, f"there is no file 'none.sqlite'; {EXPECTED}")
    Path("design.json").write_text("{}")
    Path("folder").mkdir()
    for name in ("design.json", "folder"):
        code, line = refused("build", name, "--smallest")
        assert code == 2 and line == WRONG.get(name, f"there is no file '{name}/study.sqlite'; {EXPECTED}")
    with Study(Path("empty.sqlite")):
        pass
    code, line = refused("build", "empty.sqlite", "--smallest")
    assert code == 1 and "has no search with a front yet" in line
    assert not Path("built").exists()
