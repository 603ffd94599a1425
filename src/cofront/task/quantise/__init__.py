"""Quantisation of any trained network after training: 1 to 8 bits for weights, 2 to 8 for activations, layer by layer.

`quantise` does it all. Its parts: `observe.observe` (ranges in one pass), `Rules`, `QuantModule` (simulation of many
assignments of bits), `refine.refine`, `fine_tune`, `to_integers`. Everything here is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cofront.task.quantise.convert import to_integers
    from cofront.task.quantise.grids import Rules
    from cofront.task.quantise.post import Quantised, quantise
    from cofront.task.quantise.setting import Setting
    from cofront.task.quantise.simulate import QuantModule, Simulator
    from cofront.task.quantise.tuning import FineTuning, Schedule, fine_tune

_WHERE = {
    "FineTuning": "tuning",
    "QuantModule": "simulate",
    "Quantised": "post",
    "Rules": "grids",
    "Schedule": "tuning",
    "Setting": "setting",
    "Simulator": "simulate",
    "fine_tune": "tuning",
    "quantise": "post",
    "to_integers": "convert",
}

__all__ = [
    "FineTuning",
    "QuantModule",
    "Quantised",
    "Rules",
    "Schedule",
    "Setting",
    "Simulator",
    "fine_tune",
    "quantise",
    "to_integers",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'cofront.task.quantise' has no attribute '{name}'")
    return getattr(import_module(f"cofront.task.quantise.{_WHERE[name]}"), name)
