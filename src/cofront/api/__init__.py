"""What the verbs do, for Python: each function composes the nouns and returns the document that the verb prints.

    from cofront import api
    best = api.fit("mobilenetv2", device="zu3eg", precision="W4A8")
    print(best.fps, best.config)

Nothing heavy is imported before the function that needs it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cofront.api.catalogue import devices, known_devices, spaces, zoo
    from cofront.api.costing import estimate, fit
    from cofront.api.exporting import export, save_fit
    from cofront.api.measuring import measure, predict
    from cofront.api.networks import resolve
    from cofront.api.request import SearchRequest, SearchResult
    from cofront.api.searching import search

_WHERE = {
    "SearchRequest": "request",
    "SearchResult": "request",
    "devices": "catalogue",
    "estimate": "costing",
    "export": "exporting",
    "fit": "costing",
    "known_devices": "catalogue",
    "measure": "measuring",
    "predict": "measuring",
    "resolve": "networks",
    "save_fit": "exporting",
    "search": "searching",
    "spaces": "catalogue",
    "zoo": "catalogue",
}

__all__ = [
    "SearchRequest",
    "SearchResult",
    "devices",
    "estimate",
    "export",
    "fit",
    "known_devices",
    "measure",
    "predict",
    "resolve",
    "save_fit",
    "search",
    "spaces",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'cofront.api' has no attribute '{name}'")
    return getattr(import_module(f"cofront.api.{_WHERE[name]}"), name)
