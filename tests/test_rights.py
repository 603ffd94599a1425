"""Files have the rights that the user's umask leaves."""

import stat
import subprocess
import sys

WRITE = """
import os, sys
from pathlib import Path
os.umask(0o027)
folder = Path(sys.argv[1])
from cofront.study.provenance import write_atomic
write_atomic(folder / "document.json", "{}")
from safetensors.numpy import save_file
import numpy as np
from cofront.rights import move_into_place
save_file({"a": np.zeros(1)}, folder / "part")
move_into_place(folder / "part", folder / "weights.safetensors")
from cofront.network import weights
weights.save(folder / "plain.safetensors", {"a": np.zeros(1, np.float32)})
from cofront.predict.devices import KnownDevices
KnownDevices("any", ("a",), np.zeros((1, 2)), np.zeros(1), np.zeros(2)).save(folder / "devices.safetensors")
"""


def test_written_files_respect_the_umask(tmp_path):
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], check=True)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes == dict.fromkeys(
        ("document.json", "weights.safetensors", "plain.safetensors", "devices.safetensors"), 0o640
    )
