"""Training of a whole student by its teacher's answers and the labels (Hinton, Vinyals, Dean, 2015)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cofront.errors import UsageError
from cofront.network import Network
from cofront.network.pytorch import NetworkModule
from cofront.task.distil.units import quick
from cofront.task.scratch import ScratchTraining
from cofront.task.speed import input_dtype


@dataclass(frozen=True)
class Guidance:
    """`share` of the loss is the cross-entropy with the teacher's answers at `temperature`, times its square; the rest
    that with the labels."""

    share: float = 0.7
    temperature: float = 3.0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and self.temperature > 0):
            raise UsageError(
                f"distillation: expected a share of 0 to 1 and a temperature above 0, got {self.share:g}, "
                f"{self.temperature:g}"
            )

    def loss(self, answers: Tensor, taught: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Of logits (n, classes) of student and teacher, and labels (n,)."""
        t = self.temperature
        soft = F.kl_div(
            F.log_softmax(answers / t, 1), F.log_softmax(taught / t, 1), reduction="batchmean", log_target=True
        )
        plain = F.cross_entropy(answers, labels, label_smoothing=smoothing)
        return self.share * t * t * soft + (1 - self.share) * plain


class Taught(ScratchTraining):
    """A training that goes on from a student's weights, guided by a teacher; checkpoints as in `ScratchTraining`."""

    def __init__(
        self, start: NetworkModule, teacher: tuple[Network, Mapping[str, NDArray[np.float32]]], *args: Any,
        guidance: Guidance | None = None, **kw: Any,
    ) -> None:  # fmt: skip
        super().__init__(start.network, *args, **kw)
        self.guidance = guidance or Guidance()
        self.net.load_state_dict(start.state_dict())
        self._teacher = quick(*teacher, input_dtype(self.device)).to(self.device)
        self._start = _digest(start.state_dict())

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """See `Guidance`."""
        with torch.no_grad():
            taught = self._teacher(x.to(next(self._teacher.parameters()).dtype)).float()
        return self.guidance.loss(self.net(x).float(), taught, y, self.schedule.smoothing)

    def _told(self) -> dict[str, Any]:
        told = {"share": self.guidance.share, "temperature": self.guidance.temperature, "start": self._start}
        return {**super()._told(), "guidance": told}


def _digest(state: Mapping[str, Tensor]) -> str:
    """Of the weights that a training begins with."""
    found = hashlib.sha256()
    for key, value in state.items():
        found.update(key.encode())
        found.update(np.ascontiguousarray(value.detach().cpu().float().numpy()).data)
    return found.hexdigest()[:16]
