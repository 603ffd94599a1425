"""Makes brevitas.onnx: a small network of Brevitas' layers of many widths, as its QONNX export writes it.

    python tests/network_onnx/brevitas_model.py        (needs brevitas 0.13, onnxoptimizer and onnxscript)

Random weights, ranges observed on random images. Names of nodes and doc strings that tell where the exporter ran are
left out.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import nn

FILE = Path(__file__).with_name("brevitas.onnx")
#: (weight bits, bits of what it reads) of the convolutions and the classifier.
BITS = {"first": (4, 8), "depthwise": (3, 4), "narrow": (2, 5), "classifier": (8, None)}


def main() -> None:
    import brevitas.nn as q
    from brevitas.export import export_qonnx

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image = q.QuantIdentity(bit_width=8, return_quant_tensor=True)
            self.first = q.QuantConv2d(
                3, 8, 3, padding=1, bias=False, weight_bit_width=4, weight_scaling_per_output_channel=True
            )
            self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])
            self.relus = nn.ModuleList([q.QuantReLU(bit_width=b, return_quant_tensor=b != 3) for b in (4, 5, 3)])
            self.depthwise = q.QuantConv2d(8, 8, 3, padding=1, groups=8, bias=False, weight_bit_width=3)
            self.narrow = q.QuantConv2d(8, 16, 1, bias=True, weight_bit_width=2, stride=2)
            self.classifier = q.QuantLinear(16, 10, bias=True, weight_bit_width=8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.relus[0](self.norms[0](self.first(self.image(x))))
            y = self.relus[1](self.norms[1](self.depthwise(y)))
            y = self.relus[2](self.narrow(y))
            out: torch.Tensor = self.classifier(y.mean((2, 3)))
            return out

    torch.manual_seed(0)
    net, images = Net(), torch.randn(64, 3, 16, 16)
    for _ in range(5):
        net(images)
    export_qonnx(net.eval(), torch.randn(1, 3, 16, 16), export_path=str(FILE), opset_version=18)
    model = onnx.load(FILE)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("doc_string")
        if part.DESCRIPTOR.fields_by_name.get("metadata_props"):
            part.ClearField("metadata_props")
    for part in (*model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
    onnx.save(model, FILE)


if __name__ == "__main__":
    main()
