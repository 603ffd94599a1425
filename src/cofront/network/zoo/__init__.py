"""Published networks by name, and how their sizes compare with the published figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from cofront.errors import unknown_name
from cofront.network.graph import Network
from cofront.network.zoo.efficientnet import SCALES, maker
from cofront.network.zoo.fbnet import fbnet_a, fbnet_b, fbnet_c
from cofront.network.zoo.mnasnet import mnasnet_b1
from cofront.network.zoo.mobilenet import mobilenet_v2, mobilenet_v3_large
from cofront.network.zoo.published import PUBLISHED, SOURCES, Figure
from cofront.network.zoo.resnet import resnet18, resnet50


class Maker(Protocol):
    """Builds one published network for a number of classes and a square input (its published size if not given)."""

    def __call__(self, *, classes: int = ..., resolution: int = ...) -> Network: ...


MAKERS: dict[str, Maker] = {
    "mobilenetv2": mobilenet_v2,
    "mobilenetv3-large": mobilenet_v3_large,
    "mnasnet-b1": mnasnet_b1,
    "fbnet-a": fbnet_a,
    "fbnet-b": fbnet_b,
    "fbnet-c": fbnet_c,
    "resnet18": resnet18,
    "resnet50": resnet50,
    **{f"efficientnet-lite{variant}": maker(variant) for variant in range(len(SCALES))},
}


def names() -> tuple[str, ...]:
    """Names of the published networks."""
    return tuple(MAKERS)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def load(name: str, *, classes: int = 1000, resolution: int | None = None) -> Network:
    """The network of that name (case, "-" and "_" do not matter); UsageError with the nearest names if unknown.

    `resolution`: height and width of the input, the published ones if None.
    """
    size = {} if resolution is None else {"resolution": resolution}
    for known, make in MAKERS.items():
        if _plain(known) == _plain(name):
            return make(classes=classes, **size)
    raise unknown_name("network", name, MAKERS)


@dataclass(frozen=True)
class Entry:
    """One published network: our counts and the published ones."""

    name: str
    macs: int
    params: int
    input_shape: tuple[int, ...]
    published: tuple[Figure, ...]

    def ours(self, figure: Figure) -> int:
        """Our count of a figure's quantity."""
        return self.macs if figure.quantity == "macs" else self.params

    def to_dict(self) -> dict[str, Any]:
        """Plain data, each published figure with its citation and whether it agrees."""
        figures = [
            {**asdict(f), "citation": SOURCES[f.source], "agrees": f.agrees(self.ours(f))} for f in self.published
        ]
        return {**asdict(self), "input_shape": list(self.input_shape), "published": figures}


def entries() -> tuple[Entry, ...]:
    """All published networks at their published resolution, with the published figures."""
    out = []
    for name in MAKERS:
        network = load(name)
        shape = network.input.op.out_shape(())
        out.append(Entry(name, network.macs, network.params, shape, tuple(PUBLISHED[name])))
    return tuple(out)
