"""A matrix of rank correlations as a picture: SVG, which any browser shows."""

from __future__ import annotations

from html import escape

from cofront.study.documents import AlikeDocument

_CELL, _LETTER = 34, 6.7
#: Colours of the least and of the greatest correlation shown, and of none.
_LOW, _HIGH, _NONE = (247, 251, 255), (8, 69, 148), "#e0e0e0"


def matrix_svg(found: AlikeDocument) -> str:
    """One square per pair of devices, darker the more alike they are, with its correlation to two decimals."""
    n = len(found.devices)
    label = 16 + _LETTER * max(map(len, found.devices))
    width, height = label + _CELL * n + 24, 58 + _CELL * n + label
    values = [v for row in found.spearman for v in row if v is not None]
    low = min(min(values), 0.8)
    title = f"{found.space}: Spearman's rank correlation of latencies, {found.networks:,} networks"
    width = max(width, 24 + _LETTER * 1.2 * len(title))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="Liberation Sans, Arial, sans-serif" font-size="12">',
        # how `cofront` tells its own files from others; as an element it would end a picture inside a page
        '<!-- <meta name="generator" content="cofront"> -->',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="12" y="40" fill="#556070">{escape(found.source)}</text>',
    ]
    for i, name in enumerate(found.devices):
        y = 58 + _CELL * i
        parts.append(f'<text x="{label - 6:.1f}" y="{y + 21}" text-anchor="end">{escape(name)}</text>')
        at = f"{label + _CELL * i + 21:.1f} {58 + _CELL * n + 8}"
        parts.append(f'<text transform="translate({at}) rotate(-90)" text-anchor="end">{escape(name)}</text>')
        for j, value in enumerate(found.spearman[i]):
            share = 0.0 if value is None else (value - low) / (1 - low)
            colour = _NONE if value is None else _mixed(share)
            x, ink = label + _CELL * j, "#ffffff" if share > 0.55 else "#1b2330"
            said = "not known" if value is None else f"{value:.4f}"
            parts.append(
                f'<g><title>{escape(name)}, {escape(found.devices[j])}: {said}</title>'
                f'<rect x="{x:.1f}" y="{y}" width="{_CELL - 1}" height="{_CELL - 1}" fill="{colour}"/>'
                f'<text x="{x + _CELL / 2:.1f}" y="{y + 21}" text-anchor="middle" font-size="11" fill="{ink}">'
                f'{"" if value is None else short(value)}</text></g>'
            )  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])


def short(value: float) -> str:
    """ ".97", and "1" where it is nothing less: two decimals, never rounded up to one."""
    text = f"{min(value, 0.99) if value < 1 else value:.2f}"
    return "1" if text == "1.00" else text.replace("0.", ".", 1)


def _mixed(share: float) -> str:
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(_LOW, _HIGH, strict=True))
