"""Where to measure: this machine, or one that the system's ssh reaches; and what its failures mean."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from cofront.errors import MissingDependencyError, UsageError

#: Reads an archive from standard input, unpacks it into a new folder and becomes the runner in it. One line without
#: single quotes, so that it survives every remote shell.
BOOTSTRAP = (
    "import sys,os,io,tarfile,tempfile;i=sys.stdin.buffer;n=int(i.readline() or 0);b=i.read(n);"
    "len(b)==n>0 or sys.exit(4);"
    'd=tempfile.mkdtemp(prefix="cofront-");tarfile.open(fileobj=io.BytesIO(b)).extractall(d);'
    'os.execv(sys.executable,[sys.executable,os.path.join(d,"runner.py"),d])'
)
SSH_OPTIONS = (
    "BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3", "LogLevel=ERROR",
)  # fmt: skip
#: ssh's own exit status when the connection failed.
SSH_FAILED = 255


@dataclass(frozen=True)
class Target:
    """`destination` is "" for this machine, else what ssh connects to (user@board)."""

    name: str
    destination: str = ""
    port: int | None = None
    ssh_config: str | None = None
    python: str | None = None

    @property
    def remote(self) -> bool:
        return bool(self.destination)

    def command(self, arguments: list[str]) -> list[str]:
        """The command line that runs a program there."""
        if not self.remote:
            return arguments
        options = [part for option in SSH_OPTIONS for part in ("-o", option)]
        if self.ssh_config:
            options += ["-F", self.ssh_config]
        if self.port:
            options += ["-p", str(self.port)]
        return ["ssh", "-T", *options, "--", self.destination, shlex.join(arguments)]

    def runner(self) -> list[str]:
        """The command that waits for an archive and runs what is in it."""
        python = self.python or ("python3" if self.remote else sys.executable)
        return self.command([python, "-c", BOOTSTRAP])

    def cleaner(self, folder: str) -> list[str] | None:
        """The command that removes a runner's folder, if the name is one of ours."""
        if not re.fullmatch(r"/[\w./-]*/cofront-\w+", folder) or ".." in folder:
            return None
        return self.command(["rm", "-rf", folder])


def parse_target(device: str, *, ssh_config: str | Path | None = None, python: str | None = None) -> Target:
    """The target that "host" or "ssh://user@board:port" names."""
    if device == "host":
        return Target("host", python=python)
    if not device.startswith("ssh://"):
        raise UsageError(f"--device is 'host' or ssh://user@board[:port] to measure on, got '{device}'")
    match = re.fullmatch(r"ssh://((?:[\w.+-]+@)?(?:[\w.-]+|\[[0-9a-fA-F:]+\]))(?::(\d{1,5}))?/?", device)
    if match is None or match[1].startswith("-"):
        raise UsageError(f"expected ssh://user@board or ssh://user@board:port, got '{device}'")
    port = int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise UsageError(f"'{device}': a port is 1 to 65535")
    from shutil import which

    if which("ssh") is None:
        raise MissingDependencyError("measuring over ssh needs the program 'ssh' (OpenSSH client) on this machine")
    config = str(ssh_config) if ssh_config is not None else None
    return Target(device, match[1].replace("[", "").replace("]", ""), port, config, python)


#: Part of ssh's message -> what it means. The first that is found is said.
_SSH_SAYS = (
    ("Host key verification failed", "its host key is not known or has changed; connect once by hand: {ssh}"),
    ("REMOTE HOST IDENTIFICATION", "its host key has changed; see ssh-keygen -R, then connect once by hand: {ssh}"),
    ("Permission denied", "it refuses the login; a key that needs no password is required: ssh-copy-id {destination}"),
    ("Connection refused", "nothing answers on that port; is sshd running there?"),
    ("Could not resolve", "no machine of that name is known"),
    ("Name or service not known", "no machine of that name is known"),
    ("No route to host", "there is no route to it"),
    ("Network is unreachable", "there is no route to it"),
    ("timed out", "it does not answer"),
    ("Too many authentication failures", "it refuses the login: too many keys were offered"),
)


def explain_ssh(target: Target, text: str) -> str:
    """One line on why ssh could not connect."""
    login = " ".join(["ssh", *(["-p", str(target.port)] if target.port else []), target.destination])
    for part, meaning in _SSH_SAYS:
        if part in text:
            return f"{target.name}: " + meaning.format(ssh=login, destination=target.destination)
    last = text.strip().splitlines()[-1:] or ["no reason was given"]
    return f"{target.name}: ssh failed: {last[0].strip()[:200]}"


def explain_code(target: Target, code: str, detail: str) -> str:
    """One line on why the runner gave up."""
    python = target.python or ("python3" if target.remote else sys.executable)
    meanings = {
        "no-onnxruntime": f"its Python has no onnxruntime ({detail}); install it there: {python} -m pip install "
        "onnxruntime, or name another one with --python",
        "no-numpy": f"its Python has no numpy ({detail}); install it there: {python} -m pip install numpy",
        "no-pytorch": f"its Python has no torch ({detail}); install it there, or use --runtime onnxruntime",
        "no-cuda": f"CUDA was asked for and is not there: {detail}",
        "busy": f"another measurement is running there ({detail}); two at once would disturb each other: wait for it",
        "threads": detail,
        "lock": detail,
        "model": f"the runtime refuses a model: {detail}",
    }
    return f"{target.name}: {meanings.get(code, f'{code}: {detail}')}"
