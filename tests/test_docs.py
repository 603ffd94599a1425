"""Every example in the documentation runs: Python blocks in order, and each `$ cofront ...` line of console blocks."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.M | re.S)


@pytest.mark.parametrize("page", [p for p in PAGES if p.exists()], ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # an example marked `no-run` needs something a test must not do (an install, hours of training); it says so
    namespace: dict[str, object] = {}
    for language, options, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if "no-run" in options:
            continue
        if language == "python":
            exec(compile(body, str(page), "exec"), namespace)
        elif language == "console":
            for line in body.splitlines():
                if line.startswith("$ cofront "):
                    command = [sys.executable, "-m", "cofront", *shlex.split(line)[2:]]
                    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
                    assert done.returncode == 0, f"{line}\n{done.stderr}"
