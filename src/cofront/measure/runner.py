"""Times models on the machine that it runs on and prints one JSON object per line. Copied to that machine as it is.

Needs Python 3.8 or later, NumPy and onnxruntime (or PyTorch), nothing of cofront. Its folder holds `plan.json` and the
models and is removed at the end. Standard input stays open as long as anybody wants the result: when it ends (the
connection is lost, the caller is gone), so does this program. Lines: hello, machine, ref, visit, done, error.

Every round visits all models once, in an order drawn from the seed. A visit is an untimed run and a few timed ones;
runs during which the system gave the processor to others are told apart where the system counts them, and left out. If
too few are left and one thread does all the work, the time counts that it had the processor.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# before NumPy: the reference kernel is to run on one thread
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

LOCK = "cofront-measure.lock"
#: Seconds between two timings of the reference kernel.
REFERENCE_S = 2.0
#: A visit keeps runs that were not interrupted if there are so many; otherwise it keeps all.
FEWEST = 3
#: Standard deviations of the weights at hand (He initialisation lies between), and the seed of their values.
SCALES, WEIGHTS_SEED = (0.5, 0.25, 0.125, 0.0625, 0.03125), 1


class Failure(Exception):
    """Ends the run with a code that the caller knows and one line of detail."""


def emit(**fields: Any) -> None:
    """One line of JSON; when nobody reads any more, the end."""
    try:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()
    except OSError:
        sys.exit(4)


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read().strip("\0\n ")
    except OSError:
        return ""


def _field(path: str, *names: str) -> str:
    """The value of the first of `names` in a file of "name: value" or "name=value" lines."""
    for name in names:
        for line in _read(path).splitlines():
            key, colon, value = line.partition("=" if "=" in line else ":")
            if colon and key.strip() == name:
                return value.strip().strip('"')
    return ""


def machine(cores: list[int]) -> dict[str, Any]:
    """What a table needs said about the machine that it was measured on."""
    cpu = f"/sys/devices/system/cpu/cpu{cores[0] if cores else 0}/cpufreq/"
    memory = _field("/proc/meminfo", "MemTotal").split()
    model = _field("/proc/cpuinfo", "model name", "Model", "Hardware") or _read("/proc/device-tree/model")
    return {
        "host": platform.node(),
        "cpu": model or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "cores_used": cores,
        "memory_bytes": 1024 * int(memory[0]) if memory else None,
        "os": _field("/etc/os-release", "PRETTY_NAME") or platform.system(),
        "kernel": platform.release(),
        "governor": _read(cpu + "scaling_governor") or "unknown",
        "max_clock_hz": 1e3 * float(_read(cpu + "cpuinfo_max_freq") or 0) or None,
        "python": platform.python_version(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
    }


def pin(threads: int, wanted: list[int]) -> list[int]:
    """Pins this process to `threads` processors, the last ones unless told which: the first serve interrupts."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if not allowed:
        return []
    cores = wanted or allowed[-threads:]
    if len(cores) < threads:
        raise Failure("threads", f"{threads} threads asked for, {len(cores)} processors are there: {allowed}")
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise Failure("threads", f"cannot run on processors {cores}, allowed are {allowed}: {error}") from None
    return list(cores)


def stolen() -> tuple[int, int]:
    """(ticks that a hypervisor gave to others, all ticks) since the machine started."""
    words = _read("/proc/stat").split("\n")[0].split()[1:]
    ticks = [int(w) for w in words if w.isdigit()]
    return (ticks[7] if len(ticks) > 7 else 0), sum(ticks[:8])


def interruptions(threads: int) -> int:
    """How often the system took the processor from us, where it counts that; else always 0."""
    try:
        import resource

        who = resource.RUSAGE_SELF if threads > 1 else resource.RUSAGE_THREAD
        return resource.getrusage(who).ru_nivcsw
    except (ImportError, AttributeError, ValueError):
        return 0


def lock(session: str, wait_s: float) -> int | None:
    """The machine for us alone, as far as measurements of ours go; a lost one of the same session is ended."""
    try:
        import fcntl
    except ImportError:
        return None
    path = os.path.join(tempfile.gettempdir(), LOCK)
    try:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # another user's: enough to lock it
            handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise Failure("lock", f"cannot open {path}: {error.strerror}") from None
    until, lost = time.monotonic() + wait_s, session
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            os.lseek(handle, 0, 0)
            words = os.read(handle, 4096).decode("utf-8", "replace").split(" ", 2)
            if len(words) == 3 and words[1] == lost and words[0].isdigit() and int(words[0]) > 1:
                with suppress(OSError):
                    os.kill(int(words[0]), signal.SIGTERM)
                until, lost = max(until, time.monotonic() + 5), ""  # once
            if time.monotonic() > until:
                who = f"process {words[0]}, {words[2]}" if len(words) == 3 else "another user"
                raise Failure("busy", who) from None
            time.sleep(0.2)
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {session or '-'} since {time.strftime('%H:%M:%S')}".encode(), 0)
    return handle


class OnnxRuntime:
    """Sessions on the processor or, where onnxruntime has it, on CUDA; one model is one function without arguments."""

    def __init__(self, plan: dict[str, Any]) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise Failure("no-onnxruntime", str(error)) from None
        self.ort, self.plan = onnxruntime, plan
        onnxruntime.set_default_logger_severity(4)
        there = onnxruntime.get_available_providers()
        wanted = plan["provider"]
        if wanted == "cuda" and "CUDAExecutionProvider" not in there:
            raise Failure("no-cuda", f"onnxruntime {onnxruntime.__version__} here has {', '.join(there)}")
        self.cuda = wanted != "cpu" and "CUDAExecutionProvider" in there
        self.version = {"runtime": "onnxruntime", "runtime_version": onnxruntime.__version__}

    def options(self) -> Any:
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = self.plan["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = self.ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self.ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        return options

    def open(self, path: str, feed: Any) -> Callable[[], object]:
        names = ["CUDAExecutionProvider"] * self.cuda + ["CPUExecutionProvider"]
        session = self.ort.InferenceSession(path, self.options(), providers=names)
        found = session.get_providers()[0]
        if self.cuda and found != names[0]:
            if self.plan["provider"] == "cuda":
                raise Failure("no-cuda", "onnxruntime lists CUDA but could not start it")
            self.cuda = False
        self.version["provider"] = found
        name = session.get_inputs()[0].name
        if not self.cuda:
            return lambda: session.run(None, {name: feed})
        binding = session.io_binding()
        value = self.ort.OrtValue.ortvalue_from_numpy(feed, "cuda", 0)
        binding.bind_ortvalue_input(name, value)
        binding.bind_output(session.get_outputs()[0].name, "cuda")

        def run() -> None:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return run


class PyTorch:
    """TorchScript files, frozen for inference."""

    def __init__(self, plan: dict[str, Any]) -> None:
        try:
            import torch
        except ImportError as error:
            raise Failure("no-pytorch", str(error)) from None
        self.torch = torch
        there = torch.cuda.is_available()
        if plan["provider"] == "cuda" and not there:
            raise Failure("no-cuda", f"torch {torch.__version__} here finds no CUDA device")
        self.device = "cuda" if there and plan["provider"] != "cpu" else "cpu"
        torch.set_num_threads(plan["threads"])
        torch.set_flush_denormal(True)
        self.version = {"runtime": "pytorch", "runtime_version": str(torch.__version__), "provider": self.device}

    def open(self, path: str, feed: Any) -> Callable[[], object]:
        torch = self.torch
        module = torch.jit.load(path, map_location=self.device).eval()
        value = torch.from_numpy(feed).to(self.device)
        wait = torch.cuda.synchronize if self.device == "cuda" else (lambda: None)

        def run() -> None:
            with torch.inference_mode():
                module(value)
            wait()

        return run


class Measurement:
    """The models of a plan, kept open while memory allows."""

    def __init__(self, folder: str, plan: dict[str, Any]) -> None:
        self.folder, self.plan = folder, plan
        self.cores = pin(plan["threads"], plan.get("cores") or [])
        self.held = lock(plan["session"], plan.get("wait_s", 0))
        try:
            import numpy
        except ImportError as error:
            raise Failure("no-numpy", str(error)) from None
        self.np = numpy
        self.engine: Any = {"onnxruntime": OnnxRuntime, "pytorch": PyTorch}[plan["runtime"]](plan)
        self._weights(plan["largest"])
        free = _field("/proc/meminfo", "MemAvailable").split()
        self.room = min(2 << 30, (1024 * int(free[0]) if free else 1 << 30) // 4)
        self.open: dict[str, Callable[[], object]] = {}
        self.seconds: dict[str, float] = {}
        self.square = numpy.random.RandomState(0).standard_normal((192, 192)).astype("float32")
        self.last_reference = 0.0
        #: Whether all the work is done by this thread, so that its processor time is a latency.
        self.described = self.alone = False

    def _weights(self, largest: int) -> None:
        """The file that all models take their weights from: one block of values for each of `SCALES`."""
        if not largest:
            return
        values = self.np.random.RandomState(WEIGHTS_SEED).standard_normal(largest).astype("float32")
        with open(os.path.join(self.folder, "weights.bin"), "wb") as file:
            for scale in SCALES:
                file.write((values * self.np.float32(scale)).tobytes())

    def reference(self, number: int) -> None:
        """The least of a few timings of a fixed product of matrices: it changes with the clock."""
        times = []
        for _ in range(12):
            start = time.perf_counter()
            self.square.dot(self.square)
            times.append(time.perf_counter() - start)
        emit(ref=number, s=min(times[2:]))
        self.last_reference = time.monotonic()

    def model(self, item: dict[str, Any]) -> Callable[[], object]:
        """The function that runs a model, opened and warmed up if it is not at hand."""
        name = item["id"]
        if name in self.open:
            return self.open[name]
        feed = self.np.random.RandomState(2).standard_normal(item["shape"]).astype("float32")
        try:
            run: Callable[[], object] = self.engine.open(os.path.join(self.folder, item["file"]), feed)
            for _ in range(2):
                run()
        except Failure:
            raise
        except Exception as error:  # whatever a runtime raises
            raise Failure("model", f"{name} ({item['label']}): {' '.join(str(error).split())[:300]}") from None
        size = 3 * item["bytes"] + (1 << 20)
        if self.room >= size:
            self.room -= size
            self.open[name] = run
        return run

    def describe(self, item: dict[str, Any]) -> None:
        """Says what measures, once the first model is open: only then is it known whether CUDA starts."""
        if not self.described:
            self.model(item)
            emit(machine={**machine(self.cores), "numpy": self.np.__version__, **self.engine.version})
            self.described = True
            self.alone = self.plan["threads"] == 1 and self.engine.version["provider"] in (
                "CPUExecutionProvider",
                "cpu",
            )

    def visit(self, item: dict[str, Any], number: int) -> None:
        """A few timed runs of one model: their median, of the uninterrupted ones if there are enough."""
        run, plan = self.model(item), self.plan
        clock, threads = time.perf_counter, plan["threads"]
        start = clock()
        run()
        took = self.seconds.setdefault(item["id"], max(clock() - start, 1e-7))
        count = max(plan["least"], min(plan["most"], int(plan["budget_s"] / plan["rounds"] / took)))
        times, clean, busy = [], [], []
        for _ in range(count):
            before, worked = interruptions(threads), time.thread_time()
            start = clock()
            run()
            took = clock() - start
            busy.append(time.thread_time() - worked)
            times.append(took)
            if interruptions(threads) == before:
                clean.append(took)
        by = "wall" if len(clean) >= min(FEWEST, count) else "processor" if self.alone else "interrupted"
        kept = sorted({"wall": clean, "processor": busy, "interrupted": times}[by])
        self.seconds[item["id"]] = min(self.seconds[item["id"]], kept[0])
        middle = 0.5 * (kept[(len(kept) - 1) // 2] + kept[len(kept) // 2])
        emit(visit=item["id"], round=number, s=middle, runs=count, interrupted=count - len(clean), by=by)

    def rounds(self) -> None:
        plan = self.plan
        done = {(i, r) for i, r in plan["done"]}
        before, started = stolen(), time.monotonic()
        for number in range(plan["rounds"]):
            items = list(plan["items"])
            random.Random(1000 * plan["seed"] + number).shuffle(items)
            items = [i for i in items if (i["id"], number) not in done]
            if items:
                self.describe(items[0])
                self.reference(number)
            for item in items:
                self.visit(item, number)
                if time.monotonic() - self.last_reference > REFERENCE_S:
                    self.reference(number)
        after = stolen()
        share = (after[0] - before[0]) / max(after[1] - before[1], 1)
        emit(done=True, seconds=time.monotonic() - started, stolen=share)


def _watch(folder: str) -> None:
    """Ends the program when standard input ends."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    _clean(folder)
    os._exit(4)


def _clean(folder: str) -> None:
    """Removes our folder, and nothing that is not ours."""
    if os.path.basename(folder).startswith("cofront-") and os.path.isfile(os.path.join(folder, "plan.json")):
        shutil.rmtree(folder, ignore_errors=True)


def main(folder: str) -> int:
    """Runs the plan in `folder`."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(5))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides
    try:
        emit(hello=platform.python_version(), folder=folder, pid=os.getpid())
        with open(os.path.join(folder, "plan.json")) as file:
            plan = json.load(file)
        threading.Thread(target=_watch, args=(folder,), daemon=True).start()
        Measurement(folder, plan).rounds()
    except Failure as error:
        emit(error=error.args[0], detail="".join(error.args[1:]))
        return 1
    finally:
        _clean(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
