"""docs/benchmarks.svg: µs a node by peer on a logarithmic scale, legible on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from peers import PEERS
from session import Key, Session

WORKLOADS = ("chain_1000", "fan_1000", "layered_10x100")
WIDTH, LEFT, RIGHT, TOP, ROW = 880, 276, 60, 74, 24

# Two sets of colours, because an image cannot know the page it is put on: the reader's setting decides.
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .minor { fill: #59636e; font-size: 12px; }
  .grid { stroke: #d1d9e0; }
  .row { stroke: #eaeef2; }
  .ours { font-weight: 600; }
  .w0 { fill: #0969da; } .w1 { fill: #bc4c00; } .w2 { fill: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .minor { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .row { stroke: #262c36; }
    .w0 { fill: #4493f8; } .w1 { fill: #f0883e; } .w2 { fill: #3fb950; }
  }
"""


def svg(session: Session) -> str:
    """The plot as an SVG document; peers that were not measured are left out."""
    rows = measured(session)
    if not rows:
        return document(90, [text(20, 50, "nothing was measured", "title")])
    values = [value for _, points in rows for value in points.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    bottom = TOP + ROW * len(rows)
    parts = [text(20, 28, "Overhead in µs a node (logarithmic; further left is better)", "title"), *legend(session)]
    for exponent in range(low, high + 1):
        at = x(10.0**exponent)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP - 6}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(text(at, bottom + 18, decade(exponent), "minor", anchor="middle"))
    for index, (peer, points) in enumerate(rows):
        y = TOP + ROW * index + ROW / 2
        ours = "ours" if peer.startswith("nexus_core") else ""
        parts.append(f'<line class="row" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(text(LEFT - 12, y + 4, PEERS[peer].title, ours, anchor="end"))
        for workload, value in points.items():
            parts.append(marker(WORKLOADS.index(workload), x(value), y, f"{PEERS[peer].title}: {value:.3g} µs"))
        worst = max(points.values())
        parts.append(text(x(worst) + 10, y + 4, f"{worst:.2g}" if worst < 100 else f"{worst:,.0f}", "minor"))
    return document(bottom + 34, parts)


def measured(session: Session) -> list[tuple[str, dict[str, float]]]:
    """Peers with what each workload costs, cheapest first."""
    nodes = {name: info["nodes"] for name, info in session.workloads("overhead").items()}
    rows = []
    for peer in PEERS:
        points = {
            workload: seconds / nodes[workload] * 1e6
            for workload in WORKLOADS
            if (seconds := session.seconds(Key("overhead", workload, peer)))
        }
        if points:
            rows.append((peer, points))
    return sorted(rows, key=lambda row: next(iter(row[1].values())))


def legend(session: Session) -> Iterator[str]:
    known = session.workloads("overhead")
    at = 24.0
    for index, workload in enumerate(WORKLOADS):
        if workload in known:
            title = known[workload]["title"]
            yield marker(index, at, 48, title)
            yield text(at + 11, 52, title, "minor")
            at += 30 + 7 * len(title)


def marker(index: int, x: float, y: float, title: str) -> str:
    """A shape a workload, so that colour is not all that tells them apart."""
    tooltip = f"<title>{escape(title)}</title>"
    if index == 0:
        return f'<circle class="w0" cx="{x:.1f}" cy="{y:.1f}" r="5">{tooltip}</circle>'
    if index == 1:
        return f'<rect class="w1" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9">{tooltip}</rect>'
    points = f"{x:.1f},{y - 6:.1f} {x + 5.5:.1f},{y + 4.5:.1f} {x - 5.5:.1f},{y + 4.5:.1f}"
    return f'<polygon class="w2" points="{points}">{tooltip}</polygon>'


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def decade(exponent: int) -> str:
    value = 10.0**exponent
    return f"{value:g}" if exponent < 0 else f"{value:,.0f}"


def document(height: float, parts: list[str], label: str = "Overhead in microseconds a node, by peer") -> str:
    body = "\n  ".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{label}">\n'
        f"  <style>{STYLE}</style>\n  {body}\n</svg>\n"
    )
