"""The picture of `accelerate`: the exact front of predicted loss against latency, and what solutions do swapped in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from cofront.figures import number, seconds
from cofront.study.documents import AccelerateDocument
from cofront.study.report.accelerated import losses

#: Pixels: whole picture, and what lies left of and below the axes.
WIDTH, HEIGHT, LEFT, BELOW, ABOVE = 640, 400, 70, 50, 30
_STYLE = "font-family:sans-serif;font-size:12px"


def picture(document: AccelerateDocument) -> str:
    """An SVG file's text. Losses are on the training images held back; the front is of teacher's loss plus changes."""
    found = losses(document)
    front, teacher = found.front, found.teacher
    solved = [(i, *s) for i, s in enumerate(found.solutions) if s is not None]
    shown = [*((x, y) for _, x, y in solved), teacher, *front]
    x0, x1 = 0.0, 1.05 * max(x for x, _ in shown)
    y0, y1 = _range([y for _, y in shown])

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - 20),
            HEIGHT - BELOW - (y - y0) / (y1 - y0) * (HEIGHT - BELOW - ABOVE),
        )

    # a network that is as fast as the one before it loses no more
    steps = [p for one, two in pairwise(front) for p in (one, (two[0], one[1]))] + front[-1:]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in (at(x, y) for x, y in steps))
    parts = [f'<polyline points="{line}" fill="none" stroke="#888"/>']
    a, _ = at(document.limit_s, y0)
    parts.append(
        f'<line x1="{a:.1f}" x2="{a:.1f}" y1="{ABOVE}" y2="{HEIGHT - BELOW}" stroke="#c60" stroke-dasharray="4 3"/>'
        f'<text x="{a - 4:.1f}" y="{ABOVE - 6}" fill="#c60" text-anchor="end">budget</text>'
    )
    for i, x, y in solved:
        a, b = at(x, y)
        fill = "#06c" if i == document.chosen else "#9cf"
        name = "chosen" if i == document.chosen else f"solution {i + 1}"
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{fill}"><title>{name}: {y:.4f}</title></circle>')
    a, b = at(*teacher)
    parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="5" fill="none" stroke="#000"><title>teacher</title></circle>')
    if found.left_out:
        parts.append(
            f'<text x="{WIDTH - 20}" y="{ABOVE + 12}" text-anchor="end" fill="#555">'
            f"not drawn: {number(found.left_out, 'solution')} with a loss above {found.most:.3g}</text>"
        )
    parts += _axes(at, (x0, x1), (y0, y1))
    title = escape(f"{document.model} on {document.device}: loss against latency")
    key = "line: exact front of the sum of single changes; dots: solutions swapped in; circle: teacher"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" style="{_STYLE}">'
        # how `cofront` tells its own files from others; as an element it would end a picture inside a page
        '<!-- <meta name="generator" content="cofront"> -->'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="14">{title}</text>'
        + "".join(parts)
        + f'<text x="{LEFT}" y="{HEIGHT - 8}" fill="#555">{key}</text></svg>\n'
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.1
    return low - margin, high + margin


def _axes(at: object, xs: tuple[float, float], ys: tuple[float, float]) -> list[str]:
    """Five marks on each axis."""
    assert callable(at)
    out = []
    for k in range(5):
        x, y = xs[0] + k / 4 * (xs[1] - xs[0]), ys[0] + k / 4 * (ys[1] - ys[0])
        a, b = at(x, ys[0])
        out.append(f'<text x="{a:.1f}" y="{b + 16:.1f}" text-anchor="middle">{seconds(x)}</text>')
        a, b = at(xs[0], y)
        out.append(f'<text x="{a - 6:.1f}" y="{b + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    a, b = at(xs[0], ys[0])
    c, d = at(xs[1], ys[1])
    out.append(f'<path d="M{a:.1f},{d:.1f}V{b:.1f}H{c:.1f}" fill="none" stroke="#000"/>')
    return out
