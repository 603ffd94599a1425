"""How well a network does: data sets, the weight-sharing supernet, quantisation, training, integers.

Everything is imported on first use, so `import cofront.task` stays cheap; torch (the extra `train`) is needed for
training and evaluation, not for reading data sets nor for running integer networks. The function that fine-tunes is
`cofront.task.finetune.finetune`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cofront.errors import MissingDependencyError

if TYPE_CHECKING:
    from cofront.task.data import Dataset, load_dataset
    from cofront.task.evaluate import Evaluator, evaluate_points
    from cofront.task.finetune import Trained, compare, network_of, quantize
    from cofront.task.integer import QuantizedNetwork
    from cofront.task.release import load_supernet
    from cofront.task.table import measure, write_table
    from cofront.task.train import Recipe, Trainer, train_supernet

_WHERE = {
    "Dataset": "data",
    "load_dataset": "data",
    "Evaluator": "evaluate",
    "evaluate_points": "evaluate",
    "Trained": "finetune",
    "compare": "finetune",
    "network_of": "finetune",
    "quantize": "finetune",
    "QuantizedNetwork": "integer",
    "load_supernet": "release",
    "measure": "table",
    "write_table": "table",
    "Recipe": "train",
    "Trainer": "train",
    "train_supernet": "train",
}

__all__ = [
    "Dataset",
    "Evaluator",
    "QuantizedNetwork",
    "Recipe",
    "Trained",
    "Trainer",
    "compare",
    "evaluate_points",
    "load_dataset",
    "load_supernet",
    "measure",
    "network_of",
    "quantize",
    "train_supernet",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'cofront.task' has no attribute '{name}'")
    try:
        return getattr(import_module(f"cofront.task.{_WHERE[name]}"), name)
    except ModuleNotFoundError as e:
        if e.name != "torch":
            raise
        raise MissingDependencyError("training and evaluation need PyTorch: pip install 'cofront[train]'") from None
