"""`cofront run haq|lana`: the published systems that start from a trained network, as presets of their own verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cofront.errors import UsageError, unknown_name

SYSTEMS = ("haq", "lana")
#: Episodes of HAQ, operators of LANA.
PRESETS: Mapping[str, tuple[int, str]] = {"small": (300, "few"), "paper": (600, "all")}


@dataclass(frozen=True)
class Trained:
    """What says which trained network: the options of `cofront quantize` and `cofront accelerate` of these names."""

    model: str | None
    weights: Path | None
    input_shape: str | None
    mean: str | None
    std: str | None


def run_model(
    system: str,
    trained: Trained,
    target: str | None,
    *,
    device: str,
    task: Path | None,
    preset: str,
    epochs: int | None,
    episodes: int | None,
    unused: Mapping[str, object],
    out: Path | None,
    study: Path | None,
    json: bool,
    seed: int,
) -> int:
    """Quantises with HAQ's agent, or accelerates as LANA does. `unused` are options that must not be given."""
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if (model := trained.model) is None or target is None:
        raise UsageError(
            f"{system} starts from a trained network: give --model (an ONNX file, module:callable or a design) and "
            "--target, such as '0.6x latency'"
        )
    if given := [name for name, value in unused.items() if value is not None]:
        raise UsageError(f"{given[0]} is not for {system}, which starts from a trained network; leave it out")
    usual, candidates = PRESETS[preset]
    if system == "haq":
        if epochs is not None:
            raise UsageError(
                "--epochs is not for haq: its episodes are not fine-tuned; `cofront quantize --refine train`"
            )
        from cofront.cli.quantize import run as quantize

        return quantize(
            model, target, calib=task, device=device, method="haq", episodes=usual if episodes is None else episodes,
            weights=trained.weights, input_shape=trained.input_shape, mean=trained.mean, std=trained.std, out=out,
            study=study, json=json, seed=seed,
        )  # fmt: skip
    if episodes is not None:
        raise UsageError("--episodes is for haq, whose agent has them; leave it out")
    from cofront.cli.accelerate import run as accelerate

    return accelerate(
        model, device, target, data=task, candidates=candidates, epochs=8 if epochs is None else epochs,
        weights=trained.weights, input_shape=trained.input_shape, mean=trained.mean, std=trained.std, out=out,
        study=study, json=json, seed=seed,
    )  # fmt: skip
