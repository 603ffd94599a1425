"""Texts of a build folder: a README for the hardware engineer, and the Makefile of its own test bench."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cofront.rtl.netlist import TOP
from cofront.rtl.program import Program


def makefile(arguments: Mapping[str, Any]) -> str:
    """`make` compiles the test bench with Verilator and runs the images of this folder."""
    text = " ".join(f"{k}={v}" for k, v in arguments.items())
    return f"""# The engine on the images of this folder: make; with a waveform of the first: make TRACE=1
VERILOG = ../rtl/engine.v dsp48e2.v
FLAGS = $(if $(TRACE),--trace -CFLAGS -DTRACE)
DIR = $(if $(TRACE),obj_trace,obj_dir)
RUN = {text}

run: $(DIR)/V{TOP}
\t./$(DIR)/V{TOP} $(RUN) $(if $(TRACE),vcd=engine.vcd)

$(DIR)/V{TOP}: $(VERILOG) testbench.cpp ports.h
\tverilator --Mdir $(DIR) --cc --exe --build -O3 -Wno-fatal -Wno-lint -Wno-style --noassert --x-assign fast \\
\t  --x-initial unique --top-module {TOP} -CFLAGS "-std=c++17 -O1 -I.." $(FLAGS) $(VERILOG) testbench.cpp

clean:
\trm -rf obj_dir obj_trace engine.vcd
.PHONY: run clean
"""


def readme(content: Mapping[str, Any], program: Program) -> str:
    """How to bring the engine into a vendor flow."""
    expected, bus = content["expected"], content["bus_bits"]
    start = min(program.tensors[host.tensor].base for host in program.inputs)
    result = program.tensors[program.output]
    used = ", ".join(f"{v} {k}" for k, v in expected["resources"].items())
    return f"""# {content["network"]} on {content["device"]}

An accelerator that runs the whole network from a program in external memory, written by cofront {_version()}.
Weights: {content["weights"]}.

| file | what |
|---|---|
| `rtl/engine.v` | the engine, top module `{TOP}`; {_multipliers(content["device_figures"]["dsp_kind"])} |
| `testbench/dsp48e2.v` | models of DSP48E2 and DSP48E1, for simulation without vendor libraries; not for synthesis |
| `program/program.bin` | memory from address 0 on: {content["descriptors"]} descriptors, weights, constants |
| `program/program.json` | where every tensor is, and what each descriptor does |
| `network/` | the network as QONNX, as integer ONNX (what hardware computes, bit for bit), and its integers |
| `testbench/` | `make` compiles a test bench with Verilator (5 or later): images and their right results |
| `manifest.json` | configuration, expected cycles and resources, versions, SHA-256 of every file |

Expected, by the schedule of the program: {expected["scheduled_cycles"]} cycles, \
{1e3 * expected["scheduled_cycles"] / content["clock_hz"]:.3f} ms at {content["clock_hz"] / 1e6:.0f} MHz; by the \
cost model, which searches use: {expected["cycles"]} cycles; {used}.

## Ports

One clock `clk`, one synchronous reset `rst` (active high).

- `m_axi_*`: AXI4 manager, {bus} bits of data, 32-bit addresses, INCR bursts, one identifier. Connect it to the memory
  controller (on a Zynq an `S_AXI_HP` port; a width or clock converter may stand between).
- `s_axi_*`: AXI4-Lite subordinate, 8-bit addresses.
- `interrupt`: high from the end of a run until the next start. `busy`, `finished`, `active_*` may stay open.

| register | |
|---|---|
| 0x00 control | write 1: start |
| 0x04 status | bit 0 busy, bit 1 done, bit 2 a memory access failed |
| 0x08 program | address of the first descriptor, relative to base: 0 |
| 0x0c count | descriptors to run: {content["descriptors"]} |
| 0x10 base | address of the accelerator's memory: {content["memory_bytes"]} bytes, aligned to 4096 |
| 0x14 cycles | clock cycles of the run |
| 0x18 finished | descriptors that have been run |
| 0x20 identity | 0x636f6602 |

`docs/engine.md` of cofront has every register, the layout of memory and every field of a descriptor.

## One inference

1. Once: copy `program/program.bin` to base, write program, count and base.
2. Per image: write the input at base + 0x{start:x} (`inputs` of `program.json`: resized, unfolded if it says so; each
   pixel starts on a bus word), write 1 to control, wait for the interrupt.
3. Read the result at base + 0x{result.base:x} (tensor `{program.output}` of `program.json`).

## Vendor flow

Add `rtl/engine.v` to a project and constrain `clk` to {1e9 / content["clock_hz"]:.3f} ns; package it as an IP with the
AXI interfaces above, which tools infer from the port names. Resource figures of `cofront verify --synth` are Yosys
estimates; nothing here was compared with a vendor's tools.
"""


def _multipliers(kind: str) -> str:
    if kind == "INTEL18X19":
        return "multipliers of 18 x 19 bits between registers are left to the vendor's tools to infer: never tried"
    return f"multipliers are instances of {kind}"


def _version() -> str:
    from cofront import __version__

    return __version__
