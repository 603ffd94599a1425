"""The picture of a front for the README: a report's first screen, drawn by headless Chromium.

cofront search --device zu3eg --out runs/readme
python benchmarks/front_picture.py runs/readme/report.html docs/front.png
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--size", default="1240,960", help="width,height")
    parser.add_argument("--theme", default="light", choices=("light", "dark"))
    args = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium is not installed; install your system's package for it")
    flags = "headless no-sandbox disable-gpu disable-background-networking disable-component-update disable-sync "
    flags += "no-first-run hide-scrollbars virtual-time-budget=8000"
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser, *(f"--{flag}" for flag in flags.split()), f"--user-data-dir={profile}",
                f"--window-size={args.size}", f"--screenshot={args.picture.resolve()}",
                f"{args.report.resolve().as_uri()}?theme={args.theme}&only=front",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
    print(f"{args.picture}: {args.picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
