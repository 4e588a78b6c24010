"""docs/benchmarks-scaling.svg: time of a run over the ideal, by runtime, for nodes of three durations."""

from __future__ import annotations

import math
from collections.abc import Iterator

from layered.loads import AT_ONCE, LOADS, Load
from layered.peers import PEERS
from plot import LEFT, RIGHT, ROW, WIDTH, document, marker, text
from service.figures import Cell, Figures

TOP, GAP = 76, 64
KINDS = {"compute": "nodes that compute; ideal: all cores busy", "wait": f"nodes that wait; ideal: {AT_ONCE} at a time"}
LABEL = "Time of a layered run over the ideal, by runtime"


def svg(figures: Figures) -> str:
    """The plot as an SVG document; peers that were not measured are left out."""
    panels = {kind: found for kind in KINDS if (found := measured(figures, kind))}
    if not panels:
        return document(90, [text(20, 50, "nothing was measured", "title")], "Nothing was measured")
    highest = max(ratio for found in panels.values() for points in found.values() for ratio in points.values())
    decades = max(1, math.ceil(math.log10(highest)))

    def x(ratio: float) -> float:
        return LEFT + math.log10(max(ratio, 1.0)) / decades * (WIDTH - LEFT - RIGHT)

    parts = [text(20, 28, "Time of a run ÷ ideal, 10 layers of 100 nodes (logarithmic; left is better)", "title")]
    parts += legend()
    top = float(TOP)
    for kind, found in panels.items():
        parts.append(text(LEFT, top + 6, KINDS[kind], "minor"))
        first, bottom = top + 18, top + 18 + ROW * len(found)
        for exponent in range(decades + 1):
            for step in (1, 2, 5) if exponent < decades else (1,):
                at = x(step * 10.0**exponent)
                parts.append(f'<line class="grid" x1="{at:.1f}" y1="{first:.1f}" x2="{at:.1f}" y2="{bottom:.1f}"/>')
                parts.append(text(at, bottom + 16, f"{step * 10**exponent}×", "minor", anchor="middle"))
        for index, (peer, points) in enumerate(found.items()):
            y = first + ROW * index + ROW / 2
            parts.append(f'<line class="row" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(text(LEFT - 12, y + 4, PEERS[peer].title, "ours" if PEERS[peer].ours else "", anchor="end"))
            for load, ratio in points.items():
                title = f"{PEERS[peer].title}, {load.title}: {ratio:.3g}×"
                parts.append(marker(_durations().index(load.milliseconds), x(ratio), y, title))
        top = bottom + GAP
    return document(top - GAP + 34, parts, LABEL)


def measured(figures: Figures, kind: str) -> dict[str, dict[Load, float]]:
    """Ratios by peer and load."""
    found = {
        peer: {
            load: ratio
            for load in LOADS
            if load.kind == kind and (ratio := figures.median(Cell("scaling", load.name, peer), "ratio")) is not None
        }
        for peer in PEERS
    }
    return {peer: points for peer, points in found.items() if points}


def legend() -> Iterator[str]:
    at = 24.0
    for index, milliseconds in enumerate(_durations()):
        title = f"{milliseconds} ms a node"
        yield marker(index, at, 48, title)
        yield text(at + 11, 52, title, "minor")
        at += 30 + 7 * len(title)


def _durations() -> list[int]:
    return sorted({load.milliseconds for load in LOADS})
