"""Quantised networks -> QONNX (Quant nodes, any width) and QDQ ONNX (standard operators, 4 and 8 bits)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from cofront.errors import UnsupportedError
from cofront.network.graph import Network, Node
from cofront.network.onnx_io.grids import Grid, IntegerLayer, Quantisation, check
from cofront.network.onnx_io.write import IR_VERSION, OPSET, Writer, save

QONNX_DOMAIN = "qonnx.custom_op.general"

# Four-bit types came with opset 21, which is IR version 10.
_NARROW_OPSET, _NARROW_IR = 21, 10


class _QuantisedWriter(Writer, ABC):
    """Writes the float graph with a quantiser behind every stored tensor and before every re-quantising reader."""

    def __init__(self, network: Network, quantisation: Quantisation) -> None:
        check(network, quantisation)
        real: dict[str, NDArray[np.float32]] = {}
        for name, layer in quantisation.layers.items():
            real[f"{name}.weight"] = layer.real()
            if layer.bias is not None:
                real[f"{name}.bias"] = layer.bias
        super().__init__(network, real)
        self.quantisation = quantisation
        self._stored: dict[str, str] = {}
        self._read: dict[tuple[str, Grid], str] = {}

    @abstractmethod
    def activations(self, tensor: str, grid: Grid, base: str) -> str:
        """Adds a quantiser of `tensor`; the name of its output."""

    @abstractmethod
    def integers(self, node: Node, layer: IntegerLayer) -> str:
        """Adds a layer's integers; the name of the real tensor that they stand for."""

    def stored(self, node: Node) -> None:
        grid = self.quantisation.stored.get(node.name)
        if grid is not None:
            self._stored[node.name] = self._activations(node.name, node.name, grid, f"{node.name}.quant")

    def read(self, node: Node, source: str) -> str:
        tensor = self._stored.get(source, source)
        grid = self.quantisation.read.get(node.name)
        if grid is None or grid == self.quantisation.stored.get(source):
            return tensor
        if (source, grid) not in self._read:  # readers in the same grid share a quantiser
            self._read[source, grid] = self._activations(tensor, source, grid, f"{node.name}.read")
        return self._read[source, grid]

    def _activations(self, tensor: str, source: str, grid: Grid, base: str) -> str:
        name = self.activations(tensor, grid, base)
        self.inner[name] = (None, *self.network.shapes[source])
        return name

    def weight(self, node: Node) -> str:
        layer = self.quantisation.layers[node.name]
        name = self.integers(node, layer)
        self.inner[name] = layer.weight.shape
        return name

    def output(self) -> str:
        name = super().output()
        return self._stored.get(name, name)

    def input_words(self) -> str:
        grid = self.quantisation.stored.get(self.network.input.name)
        return (
            ""
            if grid is None
            else f"(whole number from 0 to {2**grid.bits - 1} - {grid.zero_point}) * {grid.scale:.9g}"
        )


class _QonnxWriter(_QuantisedWriter):
    def quant(
        self, tensor: str, scale: NDArray[np.float32], grid: tuple[int, int], base: str, signed: bool, narrow: bool
    ) -> str:
        """Adds a Quant node; `grid` is (zero point, bits)."""
        name = self.fresh(base)
        inputs = [
            tensor,
            self.constant(f"{base}_scale", scale),
            self.constant(f"{base}_zero", np.array(grid[0], np.float32)),
            self.constant(f"{base}_bits", np.array(grid[1], np.float32)),
        ]
        flags = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        return self.node("Quant", inputs, name, domain=QONNX_DOMAIN, **flags)

    def activations(self, tensor: str, grid: Grid, base: str) -> str:
        scale = np.array(grid.scale, np.float32)
        return self.quant(tensor, scale, (grid.zero_point, grid.bits), base, signed=False, narrow=False)

    def integers(self, node: Node, layer: IntegerLayer) -> str:
        real = self.constant(f"{node.name}.weight", layer.real())
        scale = layer.scale.astype(np.float32).reshape(-1, *[1] * (layer.weight.ndim - 1))
        if layer.bits == 1:
            name = self.fresh(f"{node.name}.weight.quant")
            steps = self.constant(f"{node.name}.weight.quant_scale", scale)
            return self.node("BipolarQuant", [real, steps], name, domain=QONNX_DOMAIN)
        narrow = bool(layer.weight.min() > -(2 ** (layer.bits - 1)))
        return self.quant(real, scale, (0, layer.bits), f"{node.name}.weight.quant", signed=True, narrow=narrow)

    def opsets(self) -> list[onnx.OperatorSetIdProto]:
        return [*super().opsets(), helper.make_opsetid(QONNX_DOMAIN, 1)]


class _QdqWriter(_QuantisedWriter):
    def __init__(self, network: Network, quantisation: Quantisation) -> None:
        super().__init__(network, quantisation)
        grids = [*quantisation.stored.values(), *quantisation.read.values()]
        widths = {g.bits for g in grids} | {x.bits for x in quantisation.layers.values()}
        if not widths <= {4, 8}:
            other = ", ".join(str(w) for w in sorted(widths - {4, 8}))
            raise UnsupportedError(f"'{network.name}': QDQ files hold 4 and 8 bits, not {other}; write QONNX instead")
        self.narrow = 4 in widths

    def typed(self, base: str, array: NDArray[np.int8] | NDArray[np.uint8], bits: int) -> str:
        """An integer initialiser of 4 or 8 bits."""
        if bits == 8:
            return self.constant(base, array)
        name = self.fresh(base)
        kind = TensorProto.INT4 if array.dtype == np.int8 else TensorProto.UINT4
        self.initializers.append(helper.make_tensor(name, kind, array.shape, array.ravel()))
        return name

    def activations(self, tensor: str, grid: Grid, base: str) -> str:
        scale = self.constant(f"{base}_scale", np.array(grid.scale, np.float32))
        zero = self.typed(f"{base}_zero", np.array(grid.zero_point, np.uint8), grid.bits)
        codes = self.node("QuantizeLinear", [tensor, scale, zero], self.fresh(f"{base}_codes"))
        return self.node("DequantizeLinear", [codes, scale, zero], self.fresh(base))

    def integers(self, node: Node, layer: IntegerLayer) -> str:
        codes = self.typed(f"{node.name}.weight", layer.weight.astype(np.int8), layer.bits)
        scale = self.constant(f"{node.name}.weight_scale", layer.scale.astype(np.float32))
        zero = self.typed(f"{node.name}.weight_zero", np.zeros(len(layer.scale), np.int8), layer.bits)
        return self.node("DequantizeLinear", [codes, scale, zero], self.fresh(f"{node.name}.weight_real"), axis=0)

    def opsets(self) -> list[onnx.OperatorSetIdProto]:
        return [helper.make_opsetid("", _NARROW_OPSET if self.narrow else OPSET)]


def to_qonnx(network: Network, quantisation: Quantisation, batch: int | None = 1) -> onnx.ModelProto:
    """The quantised network as QONNX: float operators between Quant nodes, which carry scale, zero point and bits.

    QONNX tools want a fixed batch, so it is 1 unless said otherwise.
    """
    return _QonnxWriter(network, quantisation).model(batch)


def to_qdq(network: Network, quantisation: Quantisation, batch: int | None = None) -> onnx.ModelProto:
    """The quantised network as standard ONNX with QuantizeLinear and DequantizeLinear, 4 or 8 bits wide.

    QuantizeLinear rounds before it adds the zero point, Quant after: where the zero point is odd, a value exactly
    between two integers goes to the other one.
    """
    writer = _QdqWriter(network, quantisation)
    model = writer.model(batch)
    model.ir_version = _NARROW_IR if writer.narrow else IR_VERSION
    return model


def write_qonnx(network: Network, quantisation: Quantisation, path: str | Path, batch: int | None = 1) -> None:
    """`to_qonnx` into a file."""
    save(to_qonnx(network, quantisation, batch), path)


def write_qdq(network: Network, quantisation: Quantisation, path: str | Path, batch: int | None = None) -> None:
    """`to_qdq` into a file."""
    save(to_qdq(network, quantisation, batch), path)
