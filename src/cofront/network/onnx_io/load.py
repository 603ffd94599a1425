"""An ONNX file -> a checked, plain description of its graph. Every fault of the file is an InputError of one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from cofront.errors import InputError, UnsupportedError
from cofront.network.onnx_io import metadata

Array = NDArray[Any]

#: What Python and ONNX raise on values that a well-formed file never holds.
MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    onnx.checker.ValidationError,
)

_STANDARD = ("", "ai.onnx")
_NARROW = {
    getattr(TensorProto, name): bits
    for name, bits in {"INT4": 4, "UINT4": 4, "INT2": 2, "UINT2": 2}.items()
    if hasattr(TensorProto, name)  # the two-bit types are young
}
_UNSIGNED = {getattr(TensorProto, name) for name in ("UINT4", "UINT2") if hasattr(TensorProto, name)}
_SIGNS = {
    b"PK\x03\x04": "a ZIP archive (a PyTorch file? export it with torch.onnx.export)",
    b"\x89HDF": "HDF5 (a Keras file? convert it with tf2onnx)",
    b"{": "JSON",
    b"\x1f\x8b": "gzip data; unpack it first",
    b"PAR1": "Parquet",
    b"\x80": "a Python pickle (a PyTorch file? export it with torch.onnx.export)",
}


@dataclass(frozen=True)
class RawNode:
    """One ONNX node with plain attributes; `domain` is "" for the standard operators."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.domain}.{self.op}" if self.domain else self.op

    def input(self, i: int) -> str:
        """Name of input `i`, "" when absent."""
        return self.inputs[i] if i < len(self.inputs) else ""


@dataclass(frozen=True)
class RawGraph:
    """One ONNX graph: nodes in order, constants, one input with its dimensions (int, or a name for a dynamic one).

    `narrow` has the bits of the constants whose type is narrower than a byte.
    """

    name: str
    nodes: tuple[RawNode, ...]
    constants: Mapping[str, Array]
    narrow: Mapping[str, int]
    input: str
    dims: tuple[int | str, ...]
    output: str
    metadata: metadata.Metadata


def read_model(path: str | Path) -> onnx.ModelProto:
    """The model in a file, with its external data."""
    file = Path(path)
    try:
        data = file.read_bytes()
    except IsADirectoryError:
        raise InputError(f"'{path}' is a directory; expected an ONNX file") from None
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'; expected an ONNX model") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}") from None
    model = parse_model(data, str(path))
    for tensor in _external(model):
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(file.parent))
        except (*MALFORMED, OSError, KeyError) as error:
            location = next((e.value for e in tensor.external_data if e.key == "location"), "?")
            raise InputError(
                f"'{path}' keeps its weights in '{location}', which cannot be read beside it "
                f"({_line(error)}); copy that file into the same folder"
            ) from None
    return model


def parse_model(data: bytes, where: str = "the model") -> onnx.ModelProto:
    """The model in `data`."""
    if not data:
        raise InputError(f"'{where}' is empty; expected an ONNX model")
    foreign = next((f"; it looks like {what}" for sign, what in _SIGNS.items() if data.startswith(sign)), "")
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, *MALFORMED):
        raise InputError(f"'{where}' is not an ONNX model{foreign or ', or it is damaged'}") from None
    if not model.HasField("graph") or not model.graph.output:
        raise InputError(f"'{where}' is not an ONNX model{foreign or ': it has no graph, or it is damaged'}")
    return model


def _external(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    tensors = list(model.graph.initializer)
    tensors += [a.t for n in model.graph.node for a in n.attribute if a.HasField("t")]
    return [t for t in tensors if t.data_location == TensorProto.EXTERNAL]


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."


def raw_graph(model: onnx.ModelProto, where: str, output: str | None = None) -> RawGraph:
    """The model's graph in plain Python values; `output` picks one output of several."""
    if model.functions:
        try:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
        except MALFORMED as error:
            raise InputError(f"'{where}': its local functions cannot be expanded ({_line(error)})") from None
    graph = model.graph
    _check_text(model, where)
    constants = {t.name: tensor(t, f"'{where}', initialiser '{t.name}'") for t in graph.initializer}
    narrow = {t.name: _NARROW[t.data_type] for t in graph.initializer if t.data_type in _NARROW}
    if graph.sparse_initializer:
        raise UnsupportedError(f"'{where}' holds sparse initialisers; store them as dense tensors")
    inputs = [v for v in graph.input if v.name not in constants]
    if len(inputs) != 1:
        listed = ", ".join(f"'{v.name}'" for v in inputs) or "none"
        raise UnsupportedError(f"'{where}' has {len(inputs)} inputs ({listed}); expected one, a batch of images")
    names = [v.name for v in graph.output]
    if output is None and len(names) > 1:
        raise UnsupportedError(
            f"'{where}' has {len(names)} outputs ({', '.join(names)}); say which one is meant with output=NAME"
        )
    if output is not None and output not in names:
        raise InputError(f"'{where}' has no output '{output}'; its outputs are {', '.join(names)}")
    nodes = _nodes(graph, where)
    props = {p.key: p.value for p in model.metadata_props}
    kept = metadata.parse(props[metadata.KEY]) if metadata.KEY in props else metadata.Metadata()
    name = kept.name if kept.name is not None else Path(where).stem
    dims = _dims(inputs[0], where)
    return RawGraph(name, nodes, constants, narrow, inputs[0].name, dims, output or names[0], kept)


def _check_text(model: onnx.ModelProto, where: str) -> None:
    """InputError when a name is not UTF-8: protobuf then gives bytes."""
    graph = model.graph
    names: list[object] = [t.name for t in graph.initializer] + [
        p for m in model.metadata_props for p in (m.key, m.value)
    ]
    for v in (*graph.input, *graph.output):
        names += [v.name, *(d.dim_param for d in v.type.tensor_type.shape.dim)]
    for n in graph.node:
        names += [n.name, n.op_type, n.domain, *n.input, *n.output, *(a.name for a in n.attribute)]
    bad = next((n for n in names if isinstance(n, bytes)), None)
    if bad is not None:
        raise InputError(f"'{where}' is damaged: the name {bad[:40]!r} is not text")


def _nodes(graph: onnx.GraphProto, where: str) -> tuple[RawNode, ...]:
    """The nodes, each under a unique name: its own, or the name of its first output."""
    nodes: list[RawNode] = []
    taken: set[str] = set()
    for i, n in enumerate(graph.node):
        name = n.name if n.name and n.name not in taken else next((o for o in n.output if o), f"node_{i}")
        while name in taken:
            name += "_"
        taken.add(name)
        try:
            attributes = {a.name: _attribute(a, f"'{where}', node '{name}'") for a in n.attribute}
        except MALFORMED as error:
            raise InputError(f"'{where}': an attribute of node '{name}' is damaged ({_line(error)})") from None
        domain = "" if n.domain in _STANDARD else n.domain
        node = RawNode(name, n.op_type, domain, tuple(n.input), tuple(n.output), attributes)
        if node.op == "CastLike" and not domain:  # to the type of another tensor: here they are all floats
            node = replace(node, op="Cast", inputs=node.inputs[:1], attributes={"to": TensorProto.FLOAT})
        nodes.append(node)
    return tuple(nodes)


def _attribute(a: onnx.AttributeProto, where: str) -> Any:
    if a.type == onnx.AttributeProto.TENSOR:
        return tensor(a.t, where)
    value = helper.get_attribute_value(a)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def tensor(proto: onnx.TensorProto, where: str) -> Array:
    """A tensor as an array of numbers."""
    if proto.data_location == TensorProto.EXTERNAL:
        raise InputError(f"{where} keeps its data outside the model; read it from its file")
    try:
        array = np.asarray(numpy_helper.to_array(proto))
        if proto.data_type in _NARROW:
            return array.astype(np.uint8 if proto.data_type in _UNSIGNED else np.int8)
        if array.dtype.kind == "V":  # bfloat16 and float8
            array = array.astype(np.float32)
    except MALFORMED as error:
        raise InputError(f"{where} is damaged: {_line(error)}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected numbers, got {array.dtype}")
    return array


def _dims(value: onnx.ValueInfoProto, where: str) -> tuple[int | str, ...]:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise UnsupportedError(f"'{where}': input '{value.name}' has no shape; export it with a fixed one")
    return tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param or "?"
        for d in value.type.tensor_type.shape.dim
    )


def with_shape(graph: RawGraph, shape: tuple[int, ...] | None) -> RawGraph:
    """The graph with its dynamic dimensions fixed by `shape` (without batch), or UnsupportedError when some remain."""
    batch, *rest = graph.dims or ("?",)
    if shape is not None:
        fits = len(shape) == len(rest) and all(isinstance(d, str) or d == s for d, s in zip(rest, shape, strict=True))
        if not fits or any(s < 1 for s in shape):
            given = shape if len(shape) == len(rest) else shape[-1:] * len(rest)
            example = "x".join(str(s if isinstance(d, str) else d) for d, s in zip(rest, given, strict=False))
            raise InputError(
                f"input '{graph.input}' has dimensions {_show(graph.dims)}, which {'x'.join(map(str, shape))} does not "
                f"fit; write {example} for example"
            )
        return replace(graph, dims=(batch, *shape))
    for axis, d in enumerate(rest, start=1):
        if isinstance(d, str):
            name = "without a name" if d == "?" else f"'{d}'"
            raise UnsupportedError(
                f"input '{graph.input}' has the dynamic dimension {name} (axis {axis} of {_show(graph.dims)}); only "
                f"the batch may be dynamic: give the input shape (input_shape=...), or export with a fixed size"
            )
    return graph


def _show(dims: tuple[int | str, ...]) -> str:
    return "[" + ", ".join(map(str, dims)) + "]"
