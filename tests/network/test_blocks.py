"""Block labels found from the graph alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cofront.network import Builder, Network, zoo
from cofront.network.blocks import label_blocks


def _unlabelled(network: Network) -> Network:
    return Network(network.name, tuple(replace(n, block=None) for n in network.nodes))


def _groups(network: Network) -> list[set[str]]:
    groups: dict[str | None, set[str]] = {}
    for node in network.layers:
        groups.setdefault(node.block, set()).add(node.name)
    return list(groups.values())


@pytest.mark.parametrize("name", ["mobilenetv3-large", "fbnet-b", "efficientnet-lite0", "resnet18", "resnet50"])
def test_published_units_are_found_again(name: str) -> None:
    """Every published unit lies in one found block; only a stem may join the depthwise unit behind it."""
    network = zoo.load(name, classes=10, resolution=64)
    found = _groups(label_blocks(_unlabelled(network)))
    for unit in _groups(network):
        if unit & {"features", "head", "classifier"} or name == "resnet50":
            continue
        assert any(unit <= block for block in found), unit
    assert len(found) >= len(_groups(network)) - 1


def test_labels_that_exist_are_kept() -> None:
    b = Builder("n", (3, 8, 8))
    b.block = "mine"
    b.conv(4, 3, name="a")
    b.block = None
    b.conv(4, 3, name="b")
    labelled = label_blocks(b.build())
    assert [n.block for n in labelled.nodes] == [None, "mine", "u2"]


def test_chain_conv_dw_pw_is_one_block_and_plain_convolutions_are_not() -> None:
    b = Builder("n", (3, 8, 8))
    b.conv(4, 3, name="stem", act="relu")
    b.depthwise(3, name="dw1")
    b.conv(8, 1, name="pw1")
    b.depthwise(3, name="dw2")
    b.conv(8, 1, name="pw2")
    b.conv(8, 3, name="c1")
    b.conv(8, 3, name="c2")
    b.classifier(3)
    assert _groups(label_blocks(b.build())) == [
        {"stem", "dw1", "pw1"}, {"dw2", "pw2"}, {"c1"}, {"c2"}, {"classifier"},
    ]  # fmt: skip
