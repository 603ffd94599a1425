"""The report as a browser has it."""

import json
import re
import shutil
import subprocess
import tempfile

import pytest

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")


def embedded(html):
    """The data in the page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S).group(1))


def drawn(path, query, width=1400):
    """The page as chromium has it after its scripts, which must not complain, in a window of so many pixels."""
    names = "headless no-sandbox disable-gpu disable-background-networking disable-component-update disable-sync "
    names += "no-first-run enable-logging=stderr virtual-time-budget=10000 dump-dom"
    flags = [f"--{name}" for name in names.split()] + [f"--window-size={width},2000"]
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            ["chromium", *flags, f"--user-data-dir={profile}", path.as_uri() + query],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert not re.findall(r"CONSOLE.*(?:Error|error).*", done.stderr), done.stderr
    return done.stdout
