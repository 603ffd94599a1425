"""How an engine is brought onto a board, by the family of its part: what stands in the README of a build folder.

Facts are those of the vendors' documents named in the text; none of the steps was run with a vendor's tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Final


@dataclass(frozen=True)
class Family:
    """A family of parts. `port_bits` is the data width of one port of its memory controller, 0 where the port is made
    as wide as the memory needs; `ports` is how many there are.
    """

    multipliers: str
    memory: str
    port: str
    port_bits: int
    ports: int
    flow: str
    host: str


_VIVADO: Final = """\
1. New RTL project for the part, with `rtl/engine.v` as its only source, top module `engine`. The slices it instances
   are in the tool's own library; `testbench/dsp48e2.v` is not for synthesis.
2. Package the project as an IP (UG1118). AXI interfaces are inferred from port names: `m_axi` must come out as an AXI4
   manager, `s_axi` as an AXI4-Lite subordinate with a register block of 256 bytes. `clk` and `rst` have no AXI names:
   set by hand that `clk` clocks both interfaces (ASSOCIATED_BUSIF `m_axi:s_axi`), that `rst` is its reset
   (ASSOCIATED_RESET) with POLARITY ACTIVE_HIGH, and that `interrupt` is an interrupt with SENSITIVITY LEVEL_HIGH.
3. Block design: the processing system gives a clock of {mhz:g} MHz and a reset that a Processor System Reset makes
   synchronous; take its active-high output (`peripheral_reset`). {control} reaches `s_axi` through an
   interconnect; `m_axi` goes through an interconnect to memory as said above. `interrupt` goes to {irq}.
4. Address editor: any free 4 KB range for `s_axi`; for `m_axi` the memory below 4 GB, its addresses being of 32 bits.
5. Constrain `clk` to {ns:.3f} ns, implement, and read the timing report: the clock is an assumption until then."""

_LINUX: Final = """\
The engine reads and writes physical addresses, so that its {memory_bytes} bytes must be contiguous, aligned to 4096,
below 4 GB, and nobody else's. Two usual ways:

- a region that the device tree takes away from Linux (`reserved-memory` with `no-map`), mapped through `/dev/mem`;
- a buffer of the driver u-dma-buf (github.com/ikwzm/udmabuf), whose physical address is in
  `/sys/class/u-dma-buf/<name>/phys_addr`; opened with `O_SYNC` it is not cached.

Registers are reached through UIO (`generic-uio` in the device tree, with the range of `s_axi` and the interrupt as
level, high): map `/dev/uioN`, write `program/program.bin` to the buffer, its physical address to base, and go on as
under "One inference". The `S_AXI_HP` ports do not look into the caches of the processors: a cached buffer must be
written back before the start and invalidated before the result is read. The interrupt stays high until the next start,
so that it must be masked until then; UIO masks it, and unmasks it when 1 is written to `/dev/uioN`: write that after
the start."""


def _zynq(dsp_kind: str, memory: str, port_bits: int, control: str, irq: str) -> Family:
    """A family whose memory is reached through four ports of a processing system that runs Linux."""
    return Family(
        multipliers=f"multipliers are instances of {dsp_kind}",
        memory=memory,
        port=f"`S_AXI_HP` port of {port_bits} bits",
        port_bits=port_bits,
        ports=4,
        flow=_VIVADO.replace("{control}", control).replace("{irq}", irq),
        host=_LINUX,
    )


#: By the kind of slice, which is what a device's file knows of its family.
FAMILIES: Final[Mapping[str, Family]] = {
    "DSP48E1": _zynq(
        "DSP48E1",
        memory="On a Zynq-7000 the DDR memory is reached through four `S_AXI_HP` ports of 64 bits, which are AXI3 "
        "(UG585): `m_axi` needs a converter of protocol{width}. On parts without a processing system a soft controller "
        "(MIG, UG586) has an AXI4 port, and memory of its own.",
        port_bits=64,
        control="`M_AXI_GP0`",
        irq="`IRQ_F2P`",
    ),
    "DSP48E2": _zynq(
        "DSP48E2",
        memory="On a Zynq UltraScale+ the DDR memory is reached through four `S_AXI_HP*_FPD` ports (and two coherent "
        "`S_AXI_HPC*_FPD`) of 32, 64 or 128 bits, AXI4 with bursts of at most 16 beats (UG1085){width}. `HP1` and "
        "`HP2` share one port of the memory controller, `HP0` and `HP3` each share one with other hardware. On parts "
        "without a processing system a soft controller has an AXI4 port, and memory of its own.",
        port_bits=128,
        control="`M_AXI_HPM0_FPD`",
        irq="`pl_ps_irq0`",
    ),
    "INTEL18X19": Family(
        multipliers="multiplications between registers, left to the vendor's tools to infer: **nothing was synthesised "
        "for this part**",
        memory="On an Arria 10 GX memory is reached through the External Memory Interfaces IP, whose user side is an "
        "Avalon memory-mapped interface that is wide enough for all that the memory moves; Platform Designer converts "
        "between AXI and Avalon in the interconnect that it generates.",
        port="interface of that IP",
        port_bits=0,
        ports=1,
        flow="""\
1. Make `rtl/engine.v` a component of Platform Designer (top module `engine`): `m_axi_*` an AXI4 manager, `s_axi_*` an
   AXI4-Lite subordinate, `clk` a clock sink, `rst` a synchronous reset sink, active high, `interrupt` an interrupt
   sender, level. Signals that the tool asks for and the engine lacks (identifiers, lock, quality of service) are tied
   to 0 in a wrapper.
2. Connect `m_axi` to the external memory interface and `s_axi` to what the host reaches; a clock of {mhz:g} MHz, with a
   bridge between clocks where the memory interface has another.
3. Constrain `clk` to {ns:.3f} ns, compile, and read how many DSP blocks were inferred and the timing report.""",
        host="""\
An Arria 10 GX has no processor: the host is at the other end of a PCI Express core, or a soft one. The engine's
{memory_bytes} bytes lie in the board's memory, aligned to 4096, below 4 GB; the host copies `program/program.bin` and
the images there with the DMA of that core and waits for bit 1 of status, or for the interrupt, which is high until the
next start.""",
    ),
}


def family(content: Mapping[str, Any]) -> Family:
    return FAMILIES[content["device_figures"]["dsp_kind"]]


def bandwidth(content: Mapping[str, Any]) -> str:
    """What the predicted cycles assume of memory, and what of the family's ports that takes, from a manifest."""
    made, bus, clock = family(content), int(content["bus_bits"]), float(content["clock_hz"])
    memory, figures = content["memory"], content["device_figures"]
    rate, peak = int(memory["bytes_per_kilocycle"]), float(figures["bandwidth_bytes_per_s"])
    assumed = (
        f"The expected cycles, and the memory of the test bench, assume {rate / 1000:.4g} bytes per cycle at "
        f"{clock / 1e6:g} MHz, reading and writing together: {rate * clock / 1e12:.3g} GB/s, "
        f"{rate * clock / 1000 / peak:.0%} of the {peak / 1e9:.3g} GB/s of the board's memory ({figures['board']}), "
        f"and {memory['latency']} cycles from an address to its data. Neither was measured on a board."
    )
    width = ""
    if bus > made.port_bits > 0:
        also = " and one" if made.port_bits == 64 else "; `m_axi` needs a converter"
        width = f"{also} of width (from {bus} to {made.port_bits} bits, which splits its bursts)"
    parts = (assumed, made.memory.replace("{width}", width), _ports(made, rate, clock))
    return "\n\n".join(fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in parts)


def _ports(made: Family, rate: int, clock: float) -> str:
    if not made.port_bits:
        return f"One {made.port} moves what the memory gives, so that one is enough for the prediction to hold."
    each = made.port_bits // 8
    count = -(-rate // (1000 * each))
    needed = f"One {made.port} moves at most {each} bytes per cycle in a direction"
    if count == 1:
        return f"{needed}: at this clock one is enough for the prediction to hold, as far as the controller delivers."
    there = f" (there are {made.ports})" if count > made.ports else ""
    return (
        f"{needed}: at this clock the assumption takes {count} of them{there}. **Through one port the prediction "
        f"cannot hold**: what waits for memory takes up to {rate / 1000 / each:.3g} times as long. An interconnect "
        "sends consecutive addresses of one manager to one port; hardware that spreads its bursts over several is not "
        "part of this folder. A port clocked faster than the engine, behind a converter of clocks, moves more in "
        "proportion. For a design that is chosen, predicted and verified for a single port, search with a device file "
        f"whose `bandwidth_bytes_per_s` is {each * clock:.0f}."
    )


def flow(content: Mapping[str, Any]) -> str:
    """Steps from the Verilog to a bitstream."""
    clock = float(content["clock_hz"])
    return family(content).flow.format(mhz=clock / 1e6, ns=1e9 / clock)


def host(content: Mapping[str, Any]) -> str:
    """How software reaches the engine's memory."""
    return family(content).host.format(memory_bytes=content["memory_bytes"])
