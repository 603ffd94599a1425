"""The engine in simulation: every byte of memory after a run is that of the NumPy executor and the integer model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.sim import Simulator
from engine_bench import Host, run_engine
from model_kernel import ModelKernel
from nets import accelerator, chain

from cofront import device
from cofront.hardware.subgraph import Config
from cofront.network import Network
from cofront.rtl import registers as reg
from cofront.rtl.compiler import compile_program
from cofront.rtl.engine import Engine
from cofront.rtl.executor import execute
from cofront.rtl.standin import random_integers

PART = device.load("zu3eg")


def check(
    net: Network, config: Config, seed: int, *, bus_bits: int = 64, mode: Any = "auto", make: Any = None, **how: Any
) -> dict[str, int]:
    quantized = random_integers(net, seed)
    program = compile_program(quantized, config, PART, bus_bits=bus_bits, mode=mode, acc_bits=32 if make else 27)
    shape = net.shapes[net.input.name]
    image = np.random.default_rng(seed).integers(0, 256, (*shape[1:], shape[0])).astype(np.uint8)
    engine = Engine(config, bus_bits, make) if make else Engine(config, bus_bits)
    memory, registers = run_engine(engine, program, image, seed=seed, **how)
    expected = program.memory(image)
    execute(program, config, expected)
    for name, layout in program.tensors.items():
        np.testing.assert_array_equal(layout.unpack(memory), layout.unpack(expected), err_msg=name)
    np.testing.assert_array_equal(program.logits(memory), quantized.run(image[None])[0])
    assert registers["status"] == (6 if how.get("fault") else 2)
    assert registers["finished"] == program.descriptors
    return registers


TINY = {"pi": 4, "po": 3, "pc": 4, "taps": (1, 9), "depth": 512, "rows": 3, "line": 512, "most": 64}


@pytest.mark.parametrize(
    ("mode", "bus_bits", "stall", "engine", "bits", "fault"),
    [
        ("fused", 64, 0.0, "E88", (8, 8), "r"),
        ("fused", 128, 0.3, "E88", (4, 4), ""),
        ("split", 64, 0.3, "DUAL", (4, 4), "b"),
        ("split", 256, 0.0, "DUAL", (4, 8), ""),
    ],
)
def test_engine_around_model_kernels(
    mode: str, bus_bits: int, stall: float, engine: str, bits: tuple[int, int], fault: str
) -> None:
    """Memory access, control, gearboxes, alignment, tables, averages: all but the kernels is hardware.

    Errors that memory answers with are reported, and change nothing else.
    """
    net = chain(cin=5, wide=9, cout=5, size=4).with_bits(lambda n: bits if n.block == "b" else (8, 8))
    check(
        net,
        accelerator(engine, **TINY),
        3,
        bus_bits=bus_bits,
        mode=mode,
        make=ModelKernel,
        stall=stall,
        base=4096,
        fault=fault,
    )


@pytest.mark.parametrize(
    ("mode", "bus_bits", "stall", "bits", "taps", "cout"),
    [
        ("fused", 64, 0.3, (4, 4), (1, 3), 5),
        ("fused", 128, 0.0, (8, 8), (1, 9), 6),
        ("split", 64, 0.3, (4, 8), (1, 1), 5),
    ],
)
def test_whole_engine(
    mode: str, bus_bits: int, stall: float, bits: tuple[int, int], taps: tuple[int, int], cout: int
) -> None:
    """conv -> dw -> pw in one run, or one by one; with an addition where the channels (`cout`) allow it."""
    net = chain(cin=5, wide=9, cout=cout, size=4).with_bits(lambda n: bits if n.block == "b" else (8, 8))
    check(net, accelerator(**{**TINY, "taps": taps}), 3, bus_bits=bus_bits, mode=mode, stall=stall)


def test_whole_engine_full_convolution() -> None:
    """A strided full convolution on an odd map, three taps at once."""
    net = chain(cin=5, wide=9, cout=6, size=5, depthwise=False, stride=2).uniform_bits(8, 8)
    check(net, accelerator(**{**TINY, "taps": (3, 3)}), 4, stall=0.2)


def test_whole_engine_strided_depthwise_on_an_odd_map() -> None:
    """The last windows of a row end in the padding: the run must end, too."""
    net = chain(cin=5, wide=9, cout=5, size=5, stride=2).uniform_bits(8, 8)
    check(net, accelerator(**TINY), 3, stall=0.2, limit=6000)


def test_a_start_without_descriptors_is_done_at_once() -> None:
    engine = Engine(accelerator(**TINY), 64, ModelKernel)
    sim = Simulator(engine)
    sim.add_clock(1e-6)
    host = Host(engine)

    async def test(ctx: Any) -> None:
        for _ in range(2):
            await host.write(ctx, reg.COUNT, 0)
            await host.write(ctx, reg.CONTROL, 1)
            assert await host.read(ctx, reg.STATUS) == 2
            assert ctx.get(engine.interrupt) and not ctx.get(engine.busy)
            assert await host.read(ctx, reg.FINISHED) == 0

    sim.add_testbench(test)
    sim.run()
