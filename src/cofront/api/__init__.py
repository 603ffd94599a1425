"""What the verbs do, for Python: each function composes the nouns and returns the document that the verb prints.

    from cofront import api
    best = api.fit("mobilenetv2", device="zu3eg", precision="W4A8")
    print(best.fps, best.config)

Nothing heavy is imported before the function that needs it runs.
"""

from __future__ import annotations

from cofront.api.catalogue import devices, spaces, zoo
from cofront.api.costing import estimate, fit
from cofront.api.exporting import export
from cofront.api.networks import resolve
from cofront.api.searching import SearchRequest, SearchResult, search

__all__ = [
    "SearchRequest",
    "SearchResult",
    "devices",
    "estimate",
    "export",
    "fit",
    "resolve",
    "search",
    "spaces",
    "zoo",
]
