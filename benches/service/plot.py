"""docs/benchmarks-http.svg: requests a second as bars, for each workflow and load."""

from __future__ import annotations

from plot import LEFT, RIGHT, WIDTH, document, text
from service.cases import CASES
from service.figures import Cell, Figures
from service.tables import TITLES, number

VARIANTS = ("stock", "ours", "stub")
BAR, GAP, TOP = 16, 14, 66


def svg(figures: Figures) -> str:
    """The plot as an SVG document; the parallel workflow is left out, because its nodes sleep."""
    rows = [
        (case.name, variant, requests)
        for case in CASES
        if case.workflow != "guide"
        for variant in VARIANTS
        if (requests := figures.median(Cell("http", case.name, variant), "requests")) is not None
    ]
    if not rows:
        return document(90, [text(20, 50, "nothing was measured", "title")], "Nothing was measured")
    scale = (WIDTH - LEFT - RIGHT - 40) / max(requests for *_, requests in rows)
    parts = [text(20, 28, "Requests a second over HTTP (further right is better)", "title"), *legend()]
    y, before = float(TOP), rows[0][0]
    for case, variant, requests in rows:
        if case != before:
            y += GAP
        if case != before or y == TOP:
            parts.append(text(LEFT - 12, y + BAR * 1.8, case, anchor="end"))
        before = case
        width = max(1.0, requests * scale)
        style = f"w{VARIANTS.index(variant)}"
        parts.append(
            f'<rect class="{style}" x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 2}">'
            f"<title>{TITLES[variant]}: {number(requests)} requests/s</title></rect>"
        )
        parts.append(text(LEFT + width + 6, y + BAR - 4, number(requests), "minor"))
        y += BAR
    return document(y + 16, parts, "Requests a second over HTTP, by runtime")


def legend() -> list[str]:
    parts, at = [], 24.0
    for index, variant in enumerate(VARIANTS):
        parts.append(f'<rect class="w{index}" x="{at:.0f}" y="42" width="12" height="12"/>')
        parts.append(text(at + 18, 52, TITLES[variant], "minor"))
        at += 40 + 7 * len(TITLES[variant])
    return parts
