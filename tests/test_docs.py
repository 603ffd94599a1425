"""Every example in the documentation runs: Python blocks in order, and each `$ cofront ...` line of console blocks."""

import re
import shlex
from pathlib import Path

import pytest

from cofront.cli.main import run

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.M | re.S)


@pytest.mark.parametrize("page", [p for p in PAGES if p.exists()], ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_run(page, tmp_path, monkeypatch, capfd):
    """Commands run in this process: one that had to be started for each would take seconds to import everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
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
                    code = run(shlex.split(line)[2:])
                    assert code == 0, f"{line}\n{capfd.readouterr().err}"
