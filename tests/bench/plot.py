"""docs/benchmarks.svg: bars of operations a second, for each size. A few lines of SVG, readable on light and dark."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

NAME = "benchmarks.svg"
WIDTH, LABEL, BAR, GAP, HEAD = 860, 330, 16, 6, 34
OURS, PEER = "#2f7ed8", "#9aa4b2"


def svg(results: dict[str, Any]) -> str:
    """One group of bars for each size, at the highest number of clients that was measured."""
    cells = results["cells"]
    clients = max((cell["clients"] for cell in cells), default=0)
    shown = [cell for cell in cells if cell["clients"] == clients]
    longest = max((cell["rate"] for cell in shown), default=1) or 1
    lines: list[str] = []
    y = HEAD
    for size in sorted({cell["size"] for cell in shown}):
        lines.append(f'<text x="8" y="{y}" font-weight="bold">{size:,} memories</text>')
        y += GAP * 2
        for cell in sorted((one for one in shown if one["size"] == size), key=lambda one: -one["rate"]):
            length = max(1.0, (WIDTH - LABEL - 90) * cell["rate"] / longest)
            colour = OURS if cell["system"].startswith("ours") else PEER
            middle = y + BAR - 4
            lines.append(f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(cell["system"])}</text>')
            lines.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
            lines.append(f'<text x="{LABEL + length + 6:.1f}" y="{middle}">{cell["rate"]:,.0f}/s</text>')
            y += BAR + GAP
        y += HEAD - GAP
    title = f"Operations a second, {clients} clients: 60% search, 30% get, 10% store"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img" '
            f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12" fill="#6b7685">',
            f'<text x="8" y="16" font-size="13">{escape(title)}</text>',
            *lines,
            "</svg>",
            "",
        ]
    )
