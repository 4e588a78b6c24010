"""docs/benchmarks-cache.svg: hit ratios as bars, for each trace."""

from __future__ import annotations

from caches.peers import PEERS
from caches.traces import TRACES, best_possible
from plot import LEFT, RIGHT, WIDTH, document, text
from service.figures import Cell, Figures

SHOWN = ("nexus_core", "theine", "moka", "lru_cache")
BAR, GAP, TOP = 14, 14, 66
LABEL = "Hit ratio of caches of 1,000 entries, by trace"

# Beside the three colours that all plots share.
STYLE = """<style>
  .w3 { fill: #8250df; }
  .best { stroke: #59636e; stroke-dasharray: 3 2; }
  @media (prefers-color-scheme: dark) { .w3 { fill: #a371f7; } .best { stroke: #9198a1; } }
</style>"""


def svg(figures: Figures) -> str:
    """The plot as an SVG document; LRU stands for all caches that evict by it, because they find the same."""
    measured = [
        (
            trace,
            {
                peer: ratio
                for peer in SHOWN
                if (ratio := figures.median(Cell("cache", trace.name, peer), "ratio")) is not None
            },
        )
        for trace in TRACES
    ]
    measured = [(trace, ratios) for trace, ratios in measured if ratios]
    if not measured:
        return document(90, [text(20, 50, "nothing was measured", "title")], "Nothing was measured")
    scale = WIDTH - LEFT - RIGHT
    parts = [
        STYLE,
        text(20, 28, "Hit ratio (further right is better; the dashed line: the future known)", "title"),
        *legend(),
    ]
    y = float(TOP)
    for trace, ratios in measured:
        parts.append(text(LEFT - 12, y + BAR * len(ratios) / 2 + 4, trace.title, anchor="end"))
        best, bottom = LEFT + best_possible(trace) * scale, y + BAR * len(ratios)
        parts.append(f'<line class="best" x1="{best:.1f}" y1="{y - 3:.1f}" x2="{best:.1f}" y2="{bottom + 1:.1f}"/>')
        for peer, ratio in ratios.items():
            width = max(1.0, ratio * scale)
            parts.append(
                f'<rect class="w{SHOWN.index(peer)}" x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 2}">'
                f"<title>{title(peer)}: {ratio:.3f}</title></rect>"
            )
            parts.append(
                text(
                    max(LEFT + width, best if best - LEFT - width < 44 else 0.0) + 6,
                    y + BAR - 4,
                    f"{ratio:.3f}",
                    "minor",
                )
            )
            y += BAR
        y += GAP
    return document(y + 8, parts, LABEL)


def title(peer: str) -> str:
    return "LRU (functools.lru_cache)" if peer == "lru_cache" else PEERS[peer].title


def legend() -> list[str]:
    parts, at = [], 24.0
    for index, peer in enumerate(SHOWN):
        parts.append(f'<rect class="w{index}" x="{at:.0f}" y="42" width="12" height="12"/>')
        parts.append(text(at + 18, 52, title(peer), "minor"))
        at += 40 + 7 * len(title(peer))
    return parts
