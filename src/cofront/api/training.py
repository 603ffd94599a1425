"""`train` and `evaluate`: fine-tuning a design, the supernet, and test accuracy of the integers."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofront.api.files import need_file
from cofront.api.networks import read_design
from cofront.errors import MissingDependencyError, UnsupportedError, UsageError
from cofront.study.documents import AccuracyDocument, DesignDocument

if TYPE_CHECKING:
    from cofront.task.data import Dataset

_WEIGHTS = "weights of the supernet, as `cofront train` writes them"

#: The space whose networks can be trained here.
TRAINABLE = "subgraph32"


def need_torch(what: str) -> None:
    """MissingDependencyError when torch is absent."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise MissingDependencyError(f"{what} needs the package 'torch': pip install 'cofront[train]'")


def trainable(path: Path, what: str) -> DesignDocument:
    """The design in a file, if it is one that can be trained."""
    design = read_design(path)
    if design.space != TRAINABLE:
        raise UnsupportedError(
            f"{what} works for designs of space '{TRAINABLE}', '{path}' is one of '{design.space or design.network}'; "
            f"no trained weights of that come with cofront: write its network with `cofront export {path}`, and train "
            "and test that where its images are"
        )
    need_torch(what)
    return design


def load_data(path: Path | None) -> Dataset:
    """The images; CIFAR-10 from $COFRONT_DATA when no path is given."""
    check_data(path)
    from cofront.task.data import load_dataset

    return load_dataset(path)


def check_data(path: Path | None) -> None:
    """UsageError that says what to do when there are no images."""
    if path is not None:
        if not path.exists():
            raise UsageError(f"--data {path}: no such file or folder")
        return
    from cofront.task.data import default_path

    if not default_path().exists():
        where = "COFRONT_DATA is not set" if not os.environ.get("COFRONT_DATA") else f"no folder '{default_path()}'"
        raise UsageError(
            f"CIFAR-10 was not found ({where}): name it with --data, or set COFRONT_DATA to the folder that holds "
            "cifar10/"
        )


@contextlib.contextmanager
def chatter() -> Any:
    """What training prints as it goes on belongs on standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def default_folder(design: Path, seed: int) -> Path:
    """Where `train` works unless told: beside the design file, by what it holds, for `search` writes over that file."""
    document = trainable(design, "training")
    from cofront.task.subnet import as_point

    digest = hashlib.sha256(repr(as_point(document.design.point).tolist()).encode()).hexdigest()[:8]
    return design.with_name(f"{design.stem}-trained-{digest}-seed{seed}")


def finetuned(design: Path) -> Path | None:
    """Weights that `train` left beside a design file, those of the least seed; None when there are none."""
    folder = default_folder(design, 0)
    stem = folder.name.removesuffix("0")
    found = {
        int(seed): path
        for path in folder.parent.glob(f"{glob.escape(stem)}*/finetuned.safetensors")
        if (seed := path.parent.name.removeprefix(stem)).isdecimal()
    }
    return found[min(found)] if found else None


def train(
    design: Path,
    *,
    minutes: float = 10.0,
    data: Path | None = None,
    weights: Path | None = None,
    out: Path = Path("runs/train"),
    seed: int = 0,
) -> tuple[AccuracyDocument, bool]:
    """Fine-tunes a design under its quantisers, converts it to integers and tests both.

    Goes on from the checkpoint in `out`. The flag says that the time box was not used up (an interrupt): then nothing
    was tested yet.
    """
    document = trainable(design, "training")
    need_file(weights, _WEIGHTS)
    check_data(data)  # before torch is imported and weights are read
    from cofront.task.finetune import finetune
    from cofront.task.release import save_supernet

    started = time.perf_counter()
    images = load_data(data)
    with chatter():
        done = finetune(document.design.point, minutes, seed, images, out, weights)
    spent_s = _spent_s(out / "checkpoint.safetensors")
    complete = spent_s >= 60 * minutes
    common: dict[str, Any] = {
        "verb": "train", "design": str(design), "task": "cifar10", "predicted": document.design.accuracy,
    }  # fmt: skip
    if not complete:
        spent = time.perf_counter() - started
        note = f"stopped; the same command goes on from {out}"
        return AccuracyDocument(images=0, accuracies={}, seconds=spent, note=note, **common), True
    tuned = out / "finetuned.safetensors"
    save_supernet(done.net, tuned, done.meta)
    accuracies, files = _test(done.net, document, images, "test", out)
    return AccuracyDocument(
        images=len(images.y_test), accuracies=accuracies, seconds=time.perf_counter() - started,
        files={"weights": str(tuned), **files}, note=f"{spent_s / 60:.3g} minutes of fine-tuning, seed {seed}",
        **common,
    ), False  # fmt: skip


def _spent_s(checkpoint: Path) -> float:
    """Seconds of training that a checkpoint holds."""
    from safetensors import safe_open

    with safe_open(checkpoint, "np") as file:
        return float(json.loads(file.metadata()["cofront"])["state"]["elapsed"])


def evaluate(
    design: Path,
    *,
    data: Path | None = None,
    weights: Path | None = None,
    images: str = "test",
    out: Path | None = None,
) -> AccuracyDocument:
    """Accuracy of a design with the supernet's weights (or those in `weights`): quantised PyTorch and integers."""
    document = trainable(design, "evaluation")
    need_file(weights, _WEIGHTS)
    check_data(data)
    from cofront.task.release import load_supernet

    started = time.perf_counter()
    net, _ = load_supernet(weights)
    found = load_data(data)
    accuracies, files = _test(net, document, found, images, out)
    return AccuracyDocument(
        verb="evaluate", design=str(design), task="cifar10",
        images=len(found.y_test if images == "test" else found.y_val), accuracies=accuracies,
        seconds=time.perf_counter() - started, predicted=document.design.accuracy, files=files,
        note=f"{images} images, weights of {'the shipped supernet' if weights is None else weights}",
    )  # fmt: skip


def _test(
    net: Any, design: DesignDocument, data: Dataset, images: str, out: Path | None
) -> tuple[dict[str, float], dict[str, str]]:
    """Accuracies by kind of arithmetic, and the integer network written to `out`."""
    from cofront.task.finetune import compare

    result, integers = compare(net, design.design.point, data, images)
    files = {}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        integers.save(out / "integer.safetensors")
        files["integer"] = str(out / "integer.safetensors")
    return {k: v for k, v in result.items() if k != "images"}, files


def train_supernet(
    *,
    minutes: float,
    points: int,
    workers: int = 2,
    data: Path | None = None,
    out: Path = Path("runs/supernet"),
    seed: int = 0,
    command: str = "",
) -> dict[str, str]:
    """Trains the supernet and measures the accuracy table; what is done is not done again. Files by name."""
    need_torch("training")
    check_data(data)
    from cofront.task.release import NAME, save_supernet
    from cofront.task.table import measure, write_table
    from cofront.task.train import Recipe, Trainer

    with chatter():
        trainer = Trainer(load_data(data), Recipe(minutes=minutes, seed=seed), out)
        if trainer.checkpoint.exists():
            trainer.load()
        if trainer.share < 1:
            trainer.run()
        if trainer.share < 1:
            return {"checkpoint": str(trainer.checkpoint)}
        summary = trainer.summary() | {"command": command}
        weights, table = out / NAME, out / "subgraph32_cifar10.parquet"
        save_supernet(trainer.net, weights, summary)
        lines = out / "table.jsonl"
        measure(weights, lines, points, seed, 1e6, workers, data)
        write_table(lines, weights, table, command, seed, summary)
    return {"weights": str(weights), "table": str(table)}
