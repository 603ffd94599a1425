"""The zoo against published figures."""

from __future__ import annotations

import json
import math

import pytest

from cofront.errors import UsageError
from cofront.network import Conv2d, GlobalPool, zoo
from cofront.network.zoo.mobilenet import mobilenet_v2
from cofront.network.zoo.published import PUBLISHED, SOURCES, Figure
from cofront.network.zoo.units import make_divisible

# torchvision's weights metadata (num_params), exact; checked against its documentation.
EXACT_PARAMS = {
    "mobilenetv2": 3_504_872,
    "mobilenetv3-large": 5_483_032,
    "mnasnet-b1": 4_383_312,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
}


@pytest.mark.parametrize("name", EXACT_PARAMS)
def test_parameters_equal_torchvision(name: str) -> None:
    assert zoo.load(name).params == EXACT_PARAMS[name]


@pytest.mark.parametrize("entry", zoo.entries(), ids=lambda e: e.name)
def test_published_figures_agree_or_are_explained(entry: zoo.Entry) -> None:
    agreeing = set()
    for figure in entry.published:
        assert figure.source in SOURCES
        if figure.agrees(entry.ours(figure)):
            agreeing.add(figure.quantity)
            assert figure.offset == 0 or figure.note
        else:
            assert figure.note, f"{figure} differs from {entry.ours(figure)} without a word"
            assert abs(figure.difference(entry.ours(figure))) < 0.08 * figure.value
    # Every network matches at least one looked-up source in each quantity, but for two counts, near to the last digit.
    near = {"efficientnet-lite0", "efficientnet-lite2"}
    assert agreeing == ({"params"} if entry.name in near else {"macs", "params"})


@pytest.mark.parametrize("variant", range(5))
def test_what_lite_counts_besides_is_recomputed(variant: int) -> None:
    network = zoo.load(f"efficientnet-lite{variant}")
    written = sum(math.prod(network.shapes[n.name]) for n in network.nodes if isinstance(n.op, Conv2d))
    (figure,) = (f for f in PUBLISHED[network.name] if f.quantity == "macs")
    assert figure.offset == 3 * written
    assert abs(figure.difference(network.macs)) < (0.004 if variant == 0 else 0.001) * figure.value


@pytest.mark.parametrize("name", ["fbnet-a", "fbnet-b", "fbnet-c"])
def test_fbnet_equals_the_release_to_the_last_digit(name: str) -> None:
    """The offsets that explain the release's counts are recomputed from the graph, not trusted."""
    network = zoo.load(name)
    pooled = sum(math.prod(network.in_shapes(n)[0]) for n in network.nodes if isinstance(n.op, GlobalPool))
    norms = sum(2 * n.op.out_channels for n in network.nodes if isinstance(n.op, Conv2d) and n.op.norm)
    macs, params = (f for f in PUBLISHED[name] if f.source == "FBNet-code")
    assert (macs.offset, params.offset) == (pooled, -(norms + 1000))
    assert network.macs + pooled == macs.value
    assert abs(network.params - norms - 1000 - params.value) <= 5


def test_figure_rounds_as_printed() -> None:
    figure = Figure("macs", 300, 10, "MBV2")
    assert [figure.agrees(v) for v in (294, 295, 305, 306)] == [False, True, True, False]
    assert Figure("macs", 300, 1, "MBV2", offset=7).difference(295) == 2


def test_names_are_forgiving_and_unknown_ones_suggest() -> None:
    assert zoo.load("MobileNet_V2").name == "mobilenetv2"
    assert len(zoo.names()) == 13
    with pytest.raises(UsageError, match=r"no network named 'mobilenetv4'; did you mean .*mobilenetv2"):
        zoo.load("mobilenetv4")
    with pytest.raises(UsageError, match=r"known: efficientnet-lite0, .*fbnet-a"):
        zoo.load("zzz")


def test_entries_are_json() -> None:
    data = json.loads(json.dumps([e.to_dict() for e in zoo.entries()]))
    assert {d["name"] for d in data} == set(zoo.names())
    assert data[0]["input_shape"] == [3, 224, 224]
    assert all(f["citation"] and isinstance(f["agrees"], bool) for d in data for f in d["published"])


@pytest.mark.parametrize("name", zoo.names())
def test_every_node_belongs_to_a_block_and_blocks_are_contiguous(name: str) -> None:
    network = zoo.load(name, classes=10, resolution=64)
    assert network.shapes[network.output.name] == (10,)
    labels = [n.block for n in network.nodes[1:]]
    assert None not in labels
    runs = [label for i, label in enumerate(labels) if i == 0 or labels[i - 1] != label]
    assert len(runs) == len(set(runs))


def test_mobilenet_v2_width() -> None:
    # The authors' table says 59 M and 582 M multiply-accumulates at widths 0.35 and 1.4 (recalled, not looked up).
    small = mobilenet_v2(width=0.35)
    assert small.macs == pytest.approx(59e6, rel=0.01)
    assert small.shapes["head"] == (1280, 7, 7)
    wide = mobilenet_v2(width=1.4)
    assert wide.shapes["head"] == (1792, 7, 7)
    assert wide.macs == pytest.approx(582e6, rel=0.01)


def test_make_divisible_keeps_nine_tenths() -> None:
    for value in (1.0, 10.5, 33.6, 83.9, 100.0, 1792.0):
        out = make_divisible(value)
        assert out % 8 == 0
        assert out >= 0.9 * value
        assert out - value < 8


def test_resnet50_note_the_paper_strides_earlier() -> None:
    """Striding in the first 1 x 1 convolution of stages 2 to 4 saves three quarters of it: 231 M, leaving 3.86 G."""
    network = zoo.load("resnet50")
    saved = sum(network.node_macs(network.by_name[f"s{s}.1.conv1"]) * 3 // 4 for s in (2, 3, 4))
    assert round(saved / 1e6) == 231
    assert round((network.macs - saved) / 1e7) == 386
