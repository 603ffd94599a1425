"""How long the command line takes to answer, start of Python included: `--help` and `estimate` of zoo networks.

    python benchmarks/cli_startup.py [--repeats 15]

Each command runs in a process of its own. Wall clock and processor seconds (user and system, of the process) are the
least of the repeats, because the machine may be shared. Writes cli_startup.json beside this file.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from record import write

COMMANDS = {
    "cofront --help": 0.3,
    "cofront search --help": 0.3,
    "cofront estimate mobilenetv2 --device zu3eg": 0.5,
    "cofront estimate resnet50 --device zu9eg --json": 0.5,
    "cofront zoo": None,
    "cofront devices": None,
}


def measure(command: str, repeats: int) -> dict[str, float | None]:
    arguments = [sys.executable, "-m", *shlex.split(command)]
    wall, used = [], []
    for _ in range(repeats):
        before, start = os.times(), time.perf_counter()
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        wall.append(time.perf_counter() - start)
        after = os.times()
        used.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return {"wall_s": round(min(wall), 3), "cpu_s": round(min(used), 3), "required_s": COMMANDS[command]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    python = measure_python(repeats)
    result = {
        "command": "python benchmarks/cli_startup.py", "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "load": os.getloadavg()[0]},
        "versions": {p: version(p) for p in ("cofront", "numpy", "typer", "rich", "msgspec")},
        "python": platform.python_version(), "empty_python_wall_s": python,
        "commands": {c: measure(c, repeats) for c in COMMANDS},
    }  # fmt: skip
    for name, row in result["commands"].items():
        print(f"{name:<50} wall {row['wall_s']:.3f} s  cpu {row['cpu_s']:.3f} s")
    write(Path(__file__).with_suffix(".json"), result, indent=2)


def measure_python(repeats: int) -> float:
    """Starting Python alone, as a measure of how busy the machine is."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        times.append(time.perf_counter() - start)
    return round(min(times), 3)


if __name__ == "__main__":
    main()
