"""What the ONNX tests share: running a model, and making small ones by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from cofront.network import Builder, Conv2d, Flatten, GlobalPool, Linear, Mul, Network


def execute(model: onnx.ModelProto, x: np.ndarray, optimise: bool = True) -> np.ndarray:
    """The first output of a model of one input, by onnxruntime."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    out: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return out


def close(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-4) -> bool:
    """Equal shapes, and no difference above `tolerance` of the largest value (at least 1)."""
    return a.shape == b.shape and float(np.abs(a - b).max()) <= tolerance * max(1.0, float(np.abs(b).max()))


def model_of(
    nodes: Sequence[onnx.NodeProto],
    dims: Sequence[int | str | None],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model of input "x" and output "y"; constants are float32 unless they are arrays of integers or truth values."""
    arrays = {k: np.asarray(v) for k, v in (constants or {}).items()}
    tensors = [
        numpy_helper.from_array(a if a.dtype.kind in "iub" else a.astype(np.float32), k) for k, a in arrays.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        tensors,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def every_operator() -> Network:
    """A network with every operator and activation."""
    b = Builder("every", (4, 13, 11), "image")
    b.block = "stem"
    x = b.conv(8, 3, 2, act="relu6", padding=(0, 1, 1, 2), name="stem")
    b.block = "one"
    b.depthwise(5, act="hswish", name="dw")
    b.conv(8, 1, act="silu", norm=False, bias=True, name="pw")
    y = b.sum(x, b.last, b.last, name="three")
    b.shuffle(4, name="mix")
    b.conv(8, 3, groups=4, norm=False, name="grouped")
    b.squeeze_excite(2)
    b.block = None
    s = b.act("sigmoid", name="gate")
    b.add(Mul(), b.last, s, y, name="product")
    b.add(Mul(), y, b.act("sigmoid", y, name="own.sigmoid"), name="own")  # a SiLU that is written as two nodes
    b.concat("product", "own", name="cat")
    b.pool("max", 3, 2, 1, ceil_mode=True, count_include_pad=False, name="max")
    b.pool("avg", 2, 1, 1, count_include_pad=False, name="avg")
    b.pool("avg", 2, 1, 1, name="avg.pad")
    b.add(Conv2d(6, (3, 1), (1, 2), (2, 0, 2, 0), dilation=(2, 1), norm=False), name="dilated")
    b.act("hsigmoid", name="hard")
    b.add(GlobalPool(), name="pool")
    b.add(Flatten(), name="flat")
    b.add(Linear(7, bias=False), name="fc1")
    b.act("relu", name="fc1.act")
    b.add(Linear(5), name="fc2")
    return b.build()
