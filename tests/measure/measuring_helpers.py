"""A place of its own for locks and folders, a small measurement, and an sshd on the loopback address."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cofront import space
from cofront.measure.base import Item, Settings
from cofront.measure.journal import Journal
from cofront.measure.models import operators
from cofront.measure.session import run
from cofront.measure.target import Target

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runners of this test lock and unpack: tests may run side by side."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def few() -> list[Item]:
    """Four operators."""
    return operators(space.load("nasbench_macro"))[-4:]


QUICK = Settings(rounds=3, budget_s=0.003)


def attempt(target: Target, items: list[Item], path: Path, settings: Settings = QUICK, **options: object) -> list[dict]:
    """Measures into the journal of `path` and returns its lines."""
    with Journal(path, {"items": [i.id for i in items]}) as journal:
        try:
            run(target, items, settings, journal, **options)  # type: ignore[arg-type]
        finally:
            lines = list(journal.lines)
    return lines


def visits(lines: list[dict]) -> list[tuple[str, int]]:
    return [(line["visit"], line["round"]) for line in lines if "visit" in line]


def script(path: Path, text: str) -> str:
    """An executable shell script."""
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def python_without(tmp_path: Path) -> Callable[[str], str]:
    """A Python in which importing a module fails."""

    def make(module: str) -> str:
        folder = tmp_path / f"without-{module}"
        folder.mkdir()
        (folder / f"{module}.py").write_text(f"raise ImportError(\"No module named '{module}'\")\n")
        return script(folder / "python3", f'PYTHONPATH={folder} exec {sys.executable} "$@"\n')

    return make


@dataclass
class Board:
    """An sshd of our own: what to pass to measure, its process, its files."""

    url: str
    port: int
    config: Path
    process: subprocess.Popen[bytes]
    temporary: Path

    def sessions(self) -> list[int]:
        """Processes of its connections."""
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    if SSHD is None or shutil.which("ssh") is None or not Path("/proc/self/task").is_dir():
        pytest.skip("no sshd on this machine (package openssh-server): measuring over ssh is not tested")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    home = tmp_path / "sshd"
    home.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / key], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    remote = tmp_path / "remote"
    remote.mkdir()
    (home / "authorized").write_text((home / "user.pub").read_text())
    kind, key, *_ = (home / "host.pub").read_text().split()
    (home / "known").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (home / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv TMPDIR={remote}\n"
    )
    (home / "config").write_text(
        f"Host *\n  IdentityFile {home}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {home}/known\n"
        "  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n"
    )
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", home / "sshd_config"], stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                pytest.skip(f"sshd does not start: {(home / 'log').read_text().strip()[-200:]}")
            time.sleep(0.1)
        yield Board(f"ssh://127.0.0.1:{port}", port, home / "config", process, remote)
    finally:
        process.terminate()
        process.wait(10)
