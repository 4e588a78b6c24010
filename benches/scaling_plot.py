"""docs/scaling.svg: speed-up over one process by number of workers, as the model foresees it."""

from __future__ import annotations

import math

from layered.costs import Costs
from scaling_model import LAYERS, SECONDS, WIDTH, WORKERS, Found


def svg(costs: Costs, found: Found) -> str:
    """Speed-up over workers, both by powers of ten."""
    width, height, left, top = 720, 420, 70, 40
    inner_width, inner_height = width - left - 200, height - top - 60
    colours = dict(zip(SECONDS, ("#c0392b", "#d68910", "#1e8449", "#1f618d"), strict=True))

    def at(workers: float, speed_up: float) -> tuple[float, float]:
        x = left + inner_width * math.log10(workers) / 3
        y = top + inner_height * (1 - (math.log10(max(speed_up, 0.1)) + 1) / 4)
        return round(x, 1), round(y, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="22" font-size="14">Speed-up over one process, 10 layers of 1,000 nodes (model)</text>',
    ]
    for power in range(-1, 4):
        (x0, y), (x1, _) = at(1, 10.0**power), at(1000, 10.0**power)
        parts.append(f'<line x1="{x0}" y1="{y}" x2="{x1}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{10.0**power:g}×</text>')
    for workers in (1, 10, 100, 1000):
        x, y = at(workers, 0.1)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{workers:,}</text>')
    parts.append(
        f'<text x="{left + inner_width / 2}" y="{height - 14}" text-anchor="middle">workers of one thread</text>'
    )
    (x0, y0), (x1, y1) = at(1, 1), at(1000, 1000)
    parts.append(f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#999" stroke-dasharray="2 3"/>')
    place = top + 10
    for seconds in reversed(SECONDS):
        for batches in (True, False):
            alone = LAYERS * WIDTH * (seconds + costs.node)
            points = " ".join(
                "{},{}".format(*at(workers, alone / found[seconds, batches, workers])) for workers in WORKERS
            )
            dash = "" if batches else ' stroke-dasharray="6 4"'
            stroke = f'stroke="{colours[seconds]}" stroke-width="2"{dash}'
            parts.append(f'<polyline points="{points}" fill="none" {stroke}/>')
            x = left + inner_width + 15
            parts.append(f'<line x1="{x}" y1="{place}" x2="{x + 28}" y2="{place}" {stroke}/>')
            name = f"{1000 * seconds:g} ms, {'groups' if batches else 'a task a node'}"
            parts.append(f'<text x="{x + 34}" y="{place + 4}">{name}</text>')
            place += 20
    parts.append(f'<text x="{left + inner_width + 15}" y="{place + 10}" fill="#666">dotted: no overhead at all</text>')
    return "\n".join([*parts, "</svg>", ""])
