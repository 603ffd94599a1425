"""What was asked of a front, in words, and the design that answers it."""

from __future__ import annotations

from dataclasses import dataclass

from cofront.figures import accuracy, limit_words, rate, seconds
from cofront.study.documents import SearchDocument


@dataclass(frozen=True)
class Asked:
    """`index`: the design chosen, or the nearest one when none is; None without a front. `limits`: why none is."""

    wish: str
    met: bool
    index: int | None
    limits: tuple[str, ...]
    text: str


def asked_of(search: SearchDocument) -> Asked:
    """The wish that a document holds, and its answer. Without a wish the knee is the answer."""
    wish = wish_words(search)
    if search.chosen is not None:
        return Asked(wish, True, search.chosen, (), chosen_words(search))
    limits = tuple(limit_words(e.limit, e.needed, e.available, e.unit, e.remedy) for e in search.infeasible)
    nearest = _nearest(search)
    if not wish:  # a study of an older cofront: what was asked was not kept
        text = "" if search.knee is None else f"What was asked for is not known; design {search.knee + 1} is the knee."
        return Asked("", False, nearest, limits, text)
    shown = "" if nearest is None else f" Nearest: design {nearest + 1}, {_figures(search, nearest)}."
    return Asked(wish, False, nearest, limits, f"Asked for {wish}: no design of the front meets that.{shown}")


def wish_words(search: SearchDocument) -> str:
    """ "2,000 fps or more and 85 % or more"; "" when nothing was asked for."""
    words = []
    if search.required_fps is not None:
        words.append(f"{search.required_fps:,.10g} fps or more")
    if search.required_accuracy is not None:
        words.append(f"{100 * search.required_accuracy:.10g} % or more")
    return " and ".join(words)


def chosen_words(search: SearchDocument) -> str:
    """The chosen design, why it is the one, and its figures, in one line."""
    assert search.chosen is not None
    why, wish = "the knee of the front", wish_words(search)
    if search.required_fps is not None:
        why = f"the most accurate of {wish}"
    elif search.required_accuracy is not None:
        why = f"the fastest of {wish}"
    if search.third is not None and None not in (search.required_fps, search.required_accuracy):
        why = f"the least {search.third} of {wish}"
    return f"design {search.chosen + 1}, {why}: {_figures(search, search.chosen)}"


def _figures(search: SearchDocument, index: int) -> str:
    d = search.front[index]
    return f"{accuracy(d.accuracy)} predicted, {seconds(d.latency_s)}, {rate(d.fps)} fps"


def _nearest(search: SearchDocument) -> int | None:
    """The most accurate design that is fast enough, or the fastest; for an accuracy alone the most accurate."""
    indices = range(len(search.front))
    if not indices:
        return None
    if search.required_fps is None:
        if search.required_accuracy is None:
            return search.knee
        return max(indices, key=lambda i: search.front[i].accuracy or 0.0)
    enough = [i for i in indices if search.front[i].fps >= search.required_fps * (1 - 1e-12)]
    if enough:
        return max(enough, key=lambda i: search.front[i].accuracy or 0.0)
    return min(indices, key=lambda i: search.front[i].latency_s)
