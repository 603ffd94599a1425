"""`cofront measure`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Json, Seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from cofront.api.request import Progress
    from cofront.measure.base import Settings
    from cofront.measure.session import Step
    from cofront.study.documents import MeasurementDocument

HELP = """Measure latencies on this machine or on a board over ssh: a table of a space's operators.

Times every operator that the space can contain and some whole networks, in float32, by turns. A board needs Python 3.8
and onnxruntime, and a login without a password. The same command goes on where an interrupted one stopped."""
EXAMPLE = """
Examples:
  $ cofront measure --device host --space ofa_mobilenetv3 -o host.parquet
  $ cofront measure --device ssh://pi@board:22 --space fbnet --samples 10 -o board.parquet
"""


def run(
    space: Annotated[str, typer.Option("--space", help="Search space; `cofront spaces` lists them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write: .parquet, .csv or .json.")],
    device: Annotated[str, typer.Option("--device", "-d", help="host, or ssh://user@board[:port].")] = "host",
    networks: Annotated[
        int, typer.Option("--networks", min=0, help="Random whole networks, to which sums of operators are fitted.")
    ] = 12,
    operators: Annotated[
        bool, typer.Option("--operators/--no-operators", help="Measure operators, or whole networks alone.")
    ] = True,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Measure so many networks alone and adapt known devices to them."),
    ] = None,
    adapt_from: Annotated[
        Path | None, typer.Option("--adapt-from", help="Operator table of another device, to adapt instead.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads, each on a processor of its own.")] = 1,
    cores: Annotated[str | None, typer.Option("--cores", help="Processors to use, e.g. 2,3; the last ones.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images per run.")] = 1,
    runtime: Annotated[str, typer.Option("--runtime", help="onnxruntime or pytorch.")] = "onnxruntime",
    provider: Annotated[
        str, typer.Option("--provider", help="auto (CUDA where the runtime has it), cpu, cuda.")
    ] = "auto",
    seconds: Annotated[
        float, typer.Option("--seconds-per-model", help="Timed seconds of each operator or network, in all.")
    ] = 0.3,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Visits to each model, by turns.")] = 12,
    python: Annotated[str | None, typer.Option("--python", help="Python to use there, e.g. venv/bin/python.")] = None,
    ssh_config: Annotated[Path | None, typer.Option("--ssh-config", help="Configuration file for ssh (-F).")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: replace the table and what was begun.")] = False,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront import api
    from cofront.api.request import Progress
    from cofront.cli.main import INTERRUPTED
    from cofront.cli.progress import Interrupt, reporter
    from cofront.measure.base import Settings

    settings = Settings(
        threads=threads, batch=batch, runtime=runtime, provider=provider, rounds=rounds, budget_s=seconds, seed=seed,
        cores=_cores(cores, threads),
    )  # fmt: skip
    with Interrupt() as stop, reporter() as progress:
        progress(Progress("preparing models", 0.0))
        found = api.measure(
            device, space=space, out=out, settings=settings, networks=networks, operators=operators, samples=samples,
            adapt_from=adapt_from, ssh_config=ssh_config, python=python, fresh=fresh,
            on_step=stepper(progress, settings), should_stop=stop,
            say=lambda text: output.note(f"cofront: {text}"),
        )  # fmt: skip
    if json:
        output.emit_json(found)
    elif found.done == found.total:
        show(found)
    if found.done < found.total:
        output.note(
            f"cofront: interrupted: {found.done:,} of {found.total:,} visits are kept in {out}.partial; the same "
            "command goes on from there"
        )
        return INTERRUPTED
    return 0


def stepper(progress: Callable[[Progress], None], settings: Settings) -> Callable[[Step], None]:
    """Shows how far a measurement is, and the time left."""
    from cofront.api.request import Progress

    def step(s: Step) -> None:
        left = "" if s.left_s is None else f", {_duration(s.left_s)} left"
        detail = f"round {s.round} of {settings.rounds}, {s.done:,} of {s.total:,} visits{left}"
        progress(Progress("measuring", s.elapsed_s, detail=detail))

    return step


def _cores(text: str | None, threads: int) -> tuple[int, ...]:
    from cofront.errors import UsageError

    if text is None:
        return ()
    parts = [p.strip() for p in text.split(",")]
    if not all(p.isdigit() and int(p) < 1 << 16 for p in parts) or len(set(parts)) < len(parts):
        raise UsageError(f"--cores expects numbers of processors such as 2,3, got '{text}'")
    if len(parts) < threads:
        raise UsageError(f"--cores names {len(parts)} processors for {threads} threads")
    return tuple(int(p) for p in parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def show(found: MeasurementDocument) -> None:
    """Machine, what was measured how well, where it is, and what to do with it."""
    m = found.machine
    if found.reused:
        output.line("finished before with the same settings: nothing was measured")
    output.line(
        f"{m.get('cpu', 'unknown processor')}, {m.get('runtime')} {m.get('runtime_version')} ({m.get('provider')}), "
        f"{found.settings.get('threads')} thread(s) on processors {m.get('cores_used')}, governor {m.get('governor')}"
    )
    width = "" if found.half_width is None else f"; 95 % intervals of ± {output.percent(found.half_width, 1)} (median)"
    output.line(f"{found.operators} operators and {found.networks} networks of {found.space} in float32{width}")
    if (o := found.overhead) is not None and o.error is not None:
        output.line(
            f"sums of operators are {output.percent(o.plain_error, 1)} off measured networks, with the fitted overhead "
            f"{output.percent(o.error, 1)} (each of {o.networks} left out in turn)"
        )
    if (a := found.adapted) is not None:
        error = "" if a.get("error") is None else f"; each left out in turn is {output.percent(a['error'], 1)} off"
        output.line(f"adapted from {a['source']}{error}")
    for note in found.notes:
        output.line(f"note: {note}")
    for what, path in found.files.items():
        output.line(f"  {what:<14} {path}")
    table = found.files.get("operators") or found.files.get("networks") or found.files.get("table")
    output.line(f"next: cofront predict NETWORK --device {table}")
