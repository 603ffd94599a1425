"""The manifest of a build folder: what it was made from, what is expected of it, and a hash of every file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cofront import __version__
from cofront.device import Device
from cofront.device import load as load_device
from cofront.errors import CofrontError, InputError, UsageError
from cofront.hardware.subgraph.config import Config
from cofront.rtl.folder import NAME as NAME
from cofront.rtl.folder import is_manifest
from cofront.rtl.program import Program
from cofront.study.provenance import digest, file_hash
from cofront.task.integer import QuantizedNetwork

#: Version of the folder's layout.
FORMAT: Final = 1

VERILOG = "rtl/engine.v"
MODEL = "testbench/dsp48e2.v"
IMAGE = "program/program.bin"
PROGRAM = "program/program.json"
WEIGHTS = "network/weights.safetensors"
TESTBENCH = "testbench/testbench.cpp"


@dataclass(frozen=True)
class Built:
    """A build folder whose files are all as they were written."""

    folder: Path
    manifest: dict[str, Any]
    config: Config
    device: Device
    program: Program
    quantized: QuantizedNetwork

    @property
    def bus_bits(self) -> int:
        return int(self.manifest["bus_bits"])

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def write(folder: Path, content: dict[str, Any]) -> None:
    """Adds hashes of all files in the folder and writes the manifest, last of all."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != NAME)
    full = {
        "format": FORMAT,
        "cofront": __version__,
        **content,
        "files": {p.relative_to(folder).as_posix(): file_hash(p) for p in files},
    }
    full["digest"] = digest(full)
    (folder / NAME).write_text(json.dumps(full, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(folder: Path) -> Built:
    """A build folder, checked: InputError names the file that is missing or was changed."""
    again = "build the design again (cofront build)"
    path = folder / NAME
    if folder.is_file():
        which = f", such as '{folder.parent}'" if folder.name == NAME else ""
        raise UsageError(f"'{folder}' is a file; expected the folder of a build{which}")
    if not path.is_file():
        raise InputError(f"'{folder}' is not a build folder (no {NAME}); {again}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"'{path}' is damaged ({str(error).splitlines()[0]}); {again}") from None
    if not is_manifest(found):
        raise InputError(f"'{path}' is not a manifest of cofront; {again}")
    if found["format"] != FORMAT:
        raise InputError(f"'{path}' is of format {found['format']}, this cofront reads {FORMAT}; {again}")
    if digest({k: v for k, v in found.items() if k != "digest"}) != found["digest"]:
        raise InputError(f"'{path}' was changed after it was built (hash mismatch); {again}")
    for name, expected in found["files"].items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"'{file}' is missing; {again}")
        if file_hash(file) != expected:
            raise InputError(f"'{file}' was changed or cut off after it was built (hash mismatch); {again}")
    try:
        program = Program.from_dict(json.loads((folder / PROGRAM).read_text()), (folder / IMAGE).read_bytes())
        config = Config.from_dict(found["config"])
        device = device_of(found)
    except (ValueError, TypeError, CofrontError) as error:
        raise InputError(f"'{folder}' was built by another version of cofront ({error}); {again}") from None
    quantized = QuantizedNetwork.load(folder / WEIGHTS)
    return Built(folder, found, config, device, program, quantized)


def device_of(content: dict[str, Any]) -> Device:
    """The device as it was when the folder was made: its file may be gone or changed since."""
    figures = content.get("device_figures")
    return load_device(content["device"]) if figures is None else Device(**figures)  # an older folder has the name
