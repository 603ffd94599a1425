"""HELP [HELP21] as a predictor: meta-trained weights, adapted to a new device by two gradient steps on few rows.

The device embedding is the latency of ten reference networks. Who measured them passes them as `reference`; who has
only the few rows gets an estimate of them from the known devices. The published targets are scaled by the range over
hundreds of networks of the new device, which nobody has; here the range is that of the few rows (ours).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from cofront.errors import InputError, UsageError
from cofront.predict import help_net
from cofront.predict.base import MIN_ROWS, FloatArray, Prediction, check_training
from cofront.predict.columns import check_columns, check_variety
from cofront.predict.devices import DevicePredictor, KnownDevices, shipped
from cofront.predict.help_net import Params, Shape
from cofront.predict.nets import one_thread
from cofront.predict.transfer import Transfer
from cofront.space import Space

MODULATIONS = 10
_FILE = "help_{}.safetensors"


@dataclass(frozen=True)
class MetaWeights:
    """What meta-training gives: parameters, their rates, the modulator; `references` (10, f) are the ten networks.

    `adjacency` is None unless architectures are graphs. `note` says how it was trained, `devices` on which devices,
    those of validation included.
    """

    space: str
    shape: Shape
    params: Params
    rates: Params
    modulator: Params
    references: FloatArray
    adjacency: torch.Tensor | None = None
    note: str = ""
    devices: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        parts = {"params": self.params, "rates": self.rates, "modulator": self.modulator}
        tensors = {f"{p}/{k}": v.detach().float().contiguous() for p, d in parts.items() for k, v in d.items()}
        tensors["references"] = torch.from_numpy(self.references).float()
        if self.adjacency is not None:
            tensors["adjacency"] = self.adjacency.float().contiguous()
        meta = {"space": self.space, "shape": json.dumps([self.shape.columns, self.shape.nodes]), "note": self.note}
        save_file(tensors, path, {**meta, "devices": " ".join(self.devices)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a file of `save`; anything else is an InputError."""
        try:
            with safe_open(path, "pt") as opened:
                meta = opened.metadata() or {}
                tensors = {k: opened.get_tensor(k).double() for k in opened.keys()}  # noqa: SIM118
            columns, nodes = json.loads(meta["shape"])
            parts: dict[str, Params] = {"params": {}, "rates": {}, "modulator": {}}
            for key, value in tensors.items():
                part, slash, name = key.partition("/")
                if slash:
                    parts[part][name] = value
            return cls(
                meta["space"], Shape(columns, nodes), parts["params"], parts["rates"], parts["modulator"],
                tensors["references"].numpy(), tensors.get("adjacency"), meta.get("note", ""),
                tuple(meta.get("devices", "").split()),
            )  # fmt: skip
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            raise InputError(f"{path}: not a file of HELP's weights ({type(error).__name__})") from None


def shipped_weights(space: str) -> MetaWeights:
    """The weights that come with the package, by the space's name, variants aside."""
    base = space.partition("@")[0]
    file = resources.files("cofront.data_tables") / _FILE.format(base)
    if not file.is_file():
        raise UsageError(
            f"no meta-trained weights come with space '{base}': train them with benchmarks/help.py, "
            "or choose transfer or nnls"
        )
    with resources.as_file(file) as path:
        return MetaWeights.load(path)


class Help(DevicePredictor):
    """`devices` estimate the reference networks' latencies where they were not measured."""

    name = "help"

    def __init__(
        self, weights: MetaWeights | None = None, devices: KnownDevices | None = None, *, steps: int = 2, seed: int = 0
    ) -> None:
        super().__init__(devices)
        self.weights, self._steps, self._seed = weights, steps, seed
        self._adapted: list[Params] = []
        self._embedding = torch.zeros(0)
        self._slope, self._offset, self._std, self._columns = 1.0, 0.0, 0.0, 0

    @classmethod
    def for_space(cls, space: Space) -> Self:
        return cls(shipped_weights(space.name), shipped(space.name))

    @classmethod
    def with_devices(cls, space: Space, devices: KnownDevices) -> Self:
        return cls(shipped_weights(space.name), devices)

    @classmethod
    def learnt_from(cls, space: Space) -> tuple[str, ...]:
        # Weights from before their devices were noted were trained on those that ship, HELP's training and validation.
        return shipped_weights(space.name).devices or shipped(space.name).names

    @one_thread()
    def fit(self, x: FloatArray, y: FloatArray, reference: FloatArray | None = None) -> Self:
        """Adapt to latencies y (n,) of x (n, f); `reference` (10,) are those of the ten reference networks."""
        x, y = check_training(x, y, self.name)
        check_variety(x, y, self.name)
        if self.weights is None:
            raise InputError("help: no meta-trained weights were given to adapt")
        if x.shape[1] < self.weights.shape.columns:
            raise InputError(f"help: the weights are for {self.weights.shape.columns} columns, the rows {x.shape[1]}")
        self._columns = x.shape[1]
        self._std = self._left_out(x, y, reference)
        self._embedding = _embedding(self._estimate(x, y) if reference is None else reference)
        self._adapted = self._adapt(x, y)
        inside = self._raw(x, self._adapted)
        self._slope, self._offset = _line(inside, y)
        return self

    def _estimate(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(10,) what the known devices and the few rows say of the reference networks.

        Rows too few to learn from say nothing: then it is what the known devices have in common.
        """
        if self.devices is None:
            raise InputError("help: give the latencies of the reference networks, or known devices to estimate them by")
        assert self.weights is not None
        options = self.devices.weights.shape[1]
        if options > self.weights.references.shape[1]:
            raise InputError("help: the known devices are of another space than the weights")
        if len(y) < MIN_ROWS or np.ptp(y) == 0:
            relative = self.devices.predict(self.weights.references[:, :options]) / self.devices.mean
            return np.asarray(y.mean() * relative.mean(axis=1), float)
        model = Transfer(self.devices).fit(x[:, :options], y)
        return model.predict(self.weights.references[:, :options]).mean

    def _adapt(self, x: FloatArray, y: FloatArray) -> list[Params]:
        """One set of parameters per draw of the modulation."""
        w = self.weights
        assert w is not None
        generator = torch.Generator().manual_seed(self._seed)
        noise = torch.randn(MODULATIONS, help_net.Z, generator=generator, dtype=torch.float64)
        embedding = self._embedding.expand(MODULATIONS, -1)
        low, high = _range(y)
        target = help_net.scaled(torch.from_numpy(y), low, high).expand(MODULATIONS, -1)
        inputs = torch.from_numpy(x[:, : w.shape.columns]).expand(MODULATIONS, -1, -1)
        params = {k: v.clone().requires_grad_(True) for k, v in help_net.for_tasks(w.params, MODULATIONS).items()}
        modulated, _ = help_net.modulate(params, w.modulator, embedding, noise)
        adapted = help_net.adapt(modulated, w.rates, w.shape, w.adjacency, inputs, target, embedding, self._steps)
        return [{k: v.detach() for k, v in adapted.items()}]

    def _raw(self, x: FloatArray, adapted: list[Params]) -> FloatArray:
        """(n,) scaled predictions, averaged over the modulations."""
        w = self.weights
        assert w is not None
        inputs = torch.from_numpy(x[:, : w.shape.columns]).expand(MODULATIONS, -1, -1)
        embedding = self._embedding.expand(MODULATIONS, -1)
        with torch.no_grad():
            out = help_net.forward(adapted[0], w.shape, w.adjacency, inputs, embedding)
        return np.asarray(out.mean(dim=0).numpy(), float)

    def _left_out(self, x: FloatArray, y: FloatArray, reference: FloatArray | None) -> float:
        """Error on folds that nothing was learnt from, neither the parameters nor the device's embedding."""
        folds = next((k for k in range(3, len(y)) if len(y) - -(-len(y) // k) >= MIN_ROWS), 3)
        fold, errors = np.arange(len(y)) % folds, []
        for i in range(folds):
            rest = fold != i
            self._embedding = _embedding(self._estimate(x[rest], y[rest]) if reference is None else reference)
            adapted = self._adapt(x[rest], y[rest])
            slope, offset = _line(self._raw(x[rest], adapted), y[rest])
            errors.append(slope * self._raw(x[~rest], adapted) + offset - y[~rest])
        return max(float(np.sqrt(np.mean(np.concatenate(errors) ** 2))), 1e-9 * float(np.ptp(y)))

    def predict(self, x: FloatArray) -> Prediction:
        if not self._adapted:
            raise InputError(f"{self.name}: fit it before asking for predictions")
        x = check_columns(x, self._columns, self.name)
        mean = self._slope * self._raw(x, self._adapted) + self._offset
        return Prediction(np.maximum(mean, 0.0), np.full(len(x), self._std))


def _embedding(reference: FloatArray) -> torch.Tensor:
    """(1, 10) latencies of the reference networks, scaled to 0 and 1."""
    span = max(float(np.ptp(reference)), 1e-30)
    return torch.from_numpy((reference - reference.min()) / span)[None]


def _range(y: FloatArray) -> tuple[float, float]:
    """The pool's range, of which n rows cover a share (n - 1) / (n + 1) on average."""
    low, high, n = float(y.min()), float(y.max()), len(y)
    margin = (high - low) / max(n - 1, 1)
    return low - margin, high + margin


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope, not negative, and offset of y over x: predictions back to seconds."""
    if np.ptp(x) == 0:
        return 0.0, float(y.mean())
    slope = max(float(np.polyfit(x, y, 1)[0]), 0.0)
    return slope, float(y.mean() - slope * x.mean())
