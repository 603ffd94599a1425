"""Texts of a build folder: a README for the hardware engineer, and the Makefile of its own test bench."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cofront.rtl import vendor
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
\t@./$(DIR)/V{TOP} $(RUN) $(if $(TRACE),vcd=engine.vcd)

$(DIR)/V{TOP}: $(VERILOG) testbench.cpp ports.h
\tverilator --Mdir $(DIR) --cc --exe --build -O3 -Wno-fatal -Wno-lint -Wno-style --noassert --x-assign fast \\
\t  --x-initial unique --top-module {TOP} -MAKEFLAGS -s -CFLAGS "-std=c++17 -O1 -I.." $(FLAGS) $(VERILOG) testbench.cpp

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
    dsp = content["device_figures"]["dsp_kind"]
    unused = "" if dsp in ("DSP48E2", "DSP48E1") else "; this engine has none"
    return f"""# {content["network"]} on {content["device"]}

An accelerator that runs the whole network from a program in external memory, written by cofront {_version()}.
Weights: {content["weights"]}.

| file | what |
|---|---|
| `rtl/engine.v` | the engine, top module `{TOP}`; {vendor.family(content).multipliers} |
| `program/program.bin` | memory from address 0 on: {content["descriptors"]} descriptors, weights, constants |
| `program/program.json` | where every tensor is, and what each descriptor does |
| `engine.md` | every port, register and field of a descriptor, and the layout of memory |
| `network/` | the network as QONNX, as integer ONNX (what hardware computes, bit for bit), and its integers |
| `testbench/` | a test bench in C++ with images and their right results: see below |
| `testbench/dsp48e2.v` | models of DSP48E2 and DSP48E1, to simulate without libraries, not to synthesise{unused} |
| `design.json` | the design file that this was built of |
| `manifest.json` | configuration, expected cycles and resources, versions, SHA-256 of every file |

Expected, by the schedule of the program: {expected["scheduled_cycles"]} cycles, \
{1e3 * expected["scheduled_cycles"] / content["clock_hz"]:.3f} ms at {content["clock_hz"] / 1e6:.0f} MHz; by the \
cost model, which searches use: {expected["cycles"]} cycles; {used}.

## Ports

One clock `clk`, one synchronous reset `rst` (active high).

- `m_axi_*`: AXI4 manager, {bus} bits of data, 32-bit addresses, INCR bursts of at most 16 words, no identifiers.
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

[engine.md](engine.md) says more of each.

## One inference

1. Once: copy `program/program.bin` to base, write program, count and base.
2. Per image: write the input at base + 0x{start:x} (`inputs` of `program.json`: resized, unfolded if it says so; each
   pixel starts on a bus word), write 1 to control, wait for the interrupt.
3. Read the result at base + 0x{result.base:x} (tensor `{program.output}` of `program.json`).

## Test bench

`make` in `testbench/` compiles the engine with Verilator (5 or later; it needs `make` and `g++` with C++17, too), runs
the images and compares every byte of their results: the last line says `PASS`, or the first byte that differs, with
exit code 2. Before it stands a line of JSON for each image: `cycles` of the run, `words_read` and `words_written` over
the memory port ({bus // 8} bytes each), and in `stamps` the cycle at which each descriptor of `program.json` ended.
`make TRACE=1` writes the waveform of the first image to `engine.vcd`.

## Memory bandwidth

{vendor.bandwidth(content)}

## Vendor flow

None of this was run with a vendor's tools, and no bitstream was made: resource figures of `cofront verify --synth` are
Yosys estimates, the clock is an assumption.

{vendor.flow(content)}

## From software

{vendor.host(content)}
"""


def _version() -> str:
    from cofront import __version__

    return __version__
