"""ONNX -> Network and weights, from any exporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from cofront.errors import InputError, UnsupportedError
from cofront.network.blocks import label_blocks
from cofront.network.graph import Network
from cofront.network.onnx_io import elementwise, layers, quantisers, shaping
from cofront.network.onnx_io.load import raw_graph, read_model, with_shape
from cofront.network.onnx_io.patterns import rewrite
from cofront.network.onnx_io.reader import Reader

_HANDLERS = {**layers.HANDLERS, **shaping.HANDLERS, **elementwise.HANDLERS, **quantisers.HANDLERS}


@dataclass(frozen=True)
class Imported:
    """A network that was read, its weights (see `network.weights`), and what was dropped or read differently."""

    network: Network
    weights: Mapping[str, NDArray[np.float32]]
    notes: tuple[str, ...] = ()


def from_onnx(
    model: onnx.ModelProto,
    where: str = "model",
    *,
    input_shape: tuple[int, ...] | None = None,
    output: str | None = None,
) -> Imported:
    """The network in an ONNX, QONNX or QDQ model.

    `input_shape` (without batch) fixes dynamic heights and widths; `output` picks one of several outputs. Raises
    UnsupportedError that names every node which cannot be read, and InputError for a damaged model. Block labels are
    inferred for a file that cofront did not write.
    """
    try:
        graph = rewrite(with_shape(raw_graph(model, where, output), input_shape))
        reader = Reader(graph, _HANDLERS)
        value = reader.run()
        reader.draft.settle_widths()
        network, weights = reader.draft.network(graph.name, value.node, graph.metadata)
    except (InputError, UnsupportedError) as error:
        text = "".join(c if c.isprintable() else "?" for c in str(error))  # names may hold anything
        raise type(error)(text if f"'{where}'" in text else f"'{where}': {text}") from None
    if not graph.metadata.nodes:
        network = label_blocks(network)
    return Imported(network, weights, tuple(reader.notes))


def import_onnx(path: str | Path, *, input_shape: tuple[int, ...] | None = None, output: str | None = None) -> Imported:
    """`from_onnx` on a file."""
    return from_onnx(read_model(path), str(path), input_shape=input_shape, output=output)


def read_onnx(path: str | Path) -> tuple[Network, Mapping[str, NDArray[np.float32]]]:
    """The network and weights in a file; `import_onnx` gives the notes too."""
    found = import_onnx(path)
    return found.network, found.weights
