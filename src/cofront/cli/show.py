"""How results read: estimate, fit, the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cofront.cli import output
from cofront.cli.output import accuracy, count, line, quantity, rate, seconds, table
from cofront.figures import limit_words

if TYPE_CHECKING:
    from cofront.study.documents import Call, EstimateDocument, FitDocument, Kernel, Limit, Roof, SearchDocument

NAMES = {"dsp": "DSP", "lut": "LUT", "ff": "FF", "bram36": "BRAM36"}


def resources(used: dict[str, int], budget: dict[str, int]) -> None:
    rows = []
    for name, value in used.items():
        limit = budget.get(name)
        share = f"{100 * value / limit:.0f} %" if limit else "-"
        rows.append([NAMES.get(name, name), f"{value:,}", "-" if limit is None else f"{limit:,}", share])
    table("", ["resource", "used", "limit", "share"], rows)


def config(found: dict[str, Any]) -> str:
    """One line: engine, then each kernel as input x output x taps lanes and where its multipliers are.

    Of a family without engines: its settings.
    """
    if "engine" not in found:
        return ", ".join(f"{k} {v}" for k, v in found.items() if k != "clock_hz")
    parts = []
    for name in ("conv", "dw", "pw"):
        k = found.get(name)
        if not isinstance(k, dict) or not k.get("po"):
            continue
        lanes = f"{k['po']} channels" if name == "dw" else f"{k['pi']}x{k['po']}"
        taps = f" x {k['taps']} taps" if k.get("taps", 1) > 1 else ""
        parts.append(f"{name} {lanes}{taps} on {'DSP' if k.get('dsp') else 'LUT'}")
    return f"{found['engine']}: {', '.join(parts)}"


def calls(found: Sequence[Call], clock_hz: float) -> None:
    total = sum(c.cycles for c in found) or 1
    rows = [
        [
            c.name, c.precision, c.mode, c.bound_by, quantity(c.macs), quantity(c.dram_bytes), f"{c.cycles:,}",
            seconds(c.cycles / clock_hz), f"{100 * c.cycles / total:.1f} %",
        ]
        for c in found
    ]  # fmt: skip
    table("Calls", ["call", "bits", "runs", "limited by", "MACs", "bytes", "cycles", "time", "share"], rows)


def kernels(found: Sequence[Kernel], roof: Roof | None) -> None:
    """The roofline of each kernel: what its multipliers could do, and did; and external memory."""
    rows = []
    for k in found:
        limits = f"{100 * k.limits:.0f} %"
        if k.name == "memory":
            peak = "-" if roof is None else f"{quantity(roof.bandwidth_bytes_per_s)}B/s"
            rows.append(["memory", peak, f"{quantity(k.bytes or 0)}B", f"{100 * k.busy:.0f} %",
                         f"{quantity(k.bytes_per_s or 0.0)}B/s", "-", limits])  # fmt: skip
            continue
        used = "-" if k.utilisation is None else f"{100 * k.utilisation:.0f} %"
        reached = "-" if k.attained_macs_per_s is None else f"{quantity(k.attained_macs_per_s)}MAC/s"
        peak = f"{quantity(k.peak_macs_per_s or 0.0)}MAC/s"
        rows.append([k.name, peak, f"{quantity(k.macs)}MAC", f"{100 * k.busy:.0f} %", reached, used, limits])
    columns = ["kernel", "roof", "work", "busy", "reached when busy", "of its roof, all the time", "limits the time"]
    table("Roofline", columns, rows)


def where(found: Sequence[Call]) -> str:
    """Share of the time by what limits it: "pw 61 %, memory 30 %"; what rounds to nothing is left out."""
    total = sum(c.cycles for c in found) or 1
    by: dict[str, int] = {}
    for c in found:
        by[c.bound_by] = by.get(c.bound_by, 0) + c.cycles
    ordered = sorted(by.items(), key=lambda item: -item[1])
    shares = [(name, f"{100 * cycles / total:.0f} %") for name, cycles in ordered]
    return ", ".join(f"{name} {share}" for name, share in shares if share != "0 %")


def estimate(found: EstimateDocument, with_calls: bool) -> None:
    line(f"{found.network} at {found.precision} on {found.device}, {found.clock_hz / 1e6:g} MHz")
    weights = f"{quantity(found.weight_bytes)}B of weights"
    moved = f"{quantity(found.activation_bytes)}B of activations if every layer's went through memory"
    line(f"  {quantity(found.macs)} MACs, {quantity(found.params)} parameters, {weights}, {moved}")
    line(f"  {config(found.config)}")
    for text in found.notes:
        if text.startswith("default accelerator"):
            text = "a default accelerator, not optimised: `cofront fit` finds the best"
        line(f"  {text}")
    if found.fits:
        energy = "" if found.energy_j is None else f", {found.energy_j * 1e3:.3g} mJ an image"
        line(f"  latency {seconds(found.latency_s)} ({found.cycles:,} cycles), {rate(found.fps)} fps{energy}")
        line(f"  limited by: {where(found.calls)}")
    resources(found.resources, found.budget)
    if found.fits:
        kernels(found.kernels, found.roof)
    if with_calls:
        calls(found.calls, found.clock_hz)


def fit(found: FitDocument) -> None:
    goal = {"latency": "least latency", "energy": "least energy"}.get(found.objective, f"fewest {found.objective}")
    at = "" if found.required_fps is None else f" at {found.required_fps:,.10g} fps or more"
    line(f"{found.network} at {found.precision} on {found.device}, {found.clock_hz / 1e6:g} MHz: {goal}{at}")
    if found.status == "infeasible" or found.latency_s is None or found.fps is None:
        line(f"  infeasible, proven over {count(found.designs)} accelerators in {seconds(found.solve_s)}")
        return
    proof = "proven optimal" if found.status == "optimal" else "best found, not proven"
    line(f"  {proof} among {count(found.designs)} accelerators in {seconds(found.solve_s)} ({found.method})")
    if found.config is not None:
        line(f"  {config(found.config)}")
    energy = "" if found.energy_j is None else f", {found.energy_j * 1e3:.3g} mJ an image"
    line(f"  latency {seconds(found.latency_s)} ({found.cycles:,} cycles), {rate(found.fps)} fps{energy}")
    if found.status != "optimal" and found.bound is not None:
        line(f"  certified: nothing below {found.bound:.6g} ({found.objective})")
    line(f"  limited by: {where(found.calls)}")
    for text in found.notes:
        line(f"  {text}")
    resources(found.resources or {}, found.budget)


def limits(found: Sequence[Limit], headline: str) -> None:
    """The limits that nothing meets, on standard error: one line each."""
    output.note(f"cofront: infeasible: {headline}")
    for entry in found:
        words = limit_words(entry.limit, entry.needed, entry.available, entry.unit, entry.remedy)
        output.note(f"  {words}")


def front(found: SearchDocument, rows_shown: int = 16) -> None:
    """The front: all designs when they are few, otherwise some spread over the range, the chosen one marked."""
    n = len(found.front)
    shown = range(n) if n <= rows_shown else sorted({round(i * (n - 1) / (rows_shown - 1)) for i in range(rows_shown)})
    picked = sorted({*shown, *([found.chosen] if found.chosen is not None else [])})
    rows = []
    for i in picked:
        d = found.front[i]
        used = [f"{d.resources.get(r, 0):,}" for r in ("dsp", "lut", "bram36")]
        cells = [str(i + 1), accuracy(d.accuracy), seconds(d.latency_s), rate(d.fps), *used, str(d.config["engine"])]
        rows.append([*cells, bits(d.precisions)])
    marked = picked.index(found.chosen) if found.chosen is not None else None
    some = "" if len(picked) == n else f" ({len(picked)} of {n} designs shown)"
    columns = ["#", "accuracy", "latency", "fps", "DSP", "LUT", "BRAM36", "engine", "blocks at"]
    table(f"Front: {found.space} on {found.device}{some}", columns, rows, marked)


def bits(precisions: dict[str, int]) -> str:
    """ "7 W4A8, 2 W4A4": how many blocks have which precision."""
    return ", ".join(f"{n} {name}" for name, n in precisions.items())


def written(found: SearchDocument) -> None:
    """The files of the chosen design, what was left out of them, report and study."""
    for name, path in found.files.items():
        line(f"  {name:<12} {path}")
    for text in found.left_out:
        line(f"  left out: {text}")
    if found.report:
        line(f"  {'report':<12} {found.report}")
        line(f"  {'study':<12} {found.study}")
