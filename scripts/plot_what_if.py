"""Draws estimated against true hit ratios, and sums up the errors.

cargo test --release --lib reuse::tests::errors -- --ignored --nocapture | python scripts/plot_what_if.py docs/what-if.svg
"""

from __future__ import annotations

import csv
import statistics
import sys
from pathlib import Path

SIDE, LEFT, TOP = 360, 60, 20
COLOURS = {"TinyLfu": "#2b6cb0", "Lru": "#c05621", "curve": "#718096"}
LABELS = {"TinyLfu": "simulated, TinyLFU", "Lru": "simulated, LRU", "curve": "LRU's curve"}


def kind(row: dict[str, str]) -> str:
    """What an estimate is: a simulation's, by its policy, or one of the curve."""
    return "curve" if row["policy"].startswith("curve") else row["policy"]


def place(ratio: float) -> float:
    """Where on an axis a ratio is."""
    return SIDE * min(max(ratio, 0.0), 1.0)


def draw(rows: list[dict[str, str]]) -> str:
    """The plot."""
    width, height = LEFT + SIDE + 190, TOP + SIDE + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#a0aec0"/>',
        f'<path d="M{LEFT} {TOP + SIDE}L{LEFT + SIDE} {TOP}" stroke="#a0aec0"/>',
    ]
    for tick in range(0, 11, 2):
        at = place(tick / 10)
        parts.append(f'<text x="{LEFT + at}" y="{TOP + SIDE + 16}" text-anchor="middle">{tick / 10}</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{TOP + SIDE - at + 4}" text-anchor="end">{tick / 10}</text>')
    parts.append(
        f'<text x="{LEFT + SIDE / 2}" y="{TOP + SIDE + 36}" text-anchor="middle">hit ratio of a cache of that size</text>'
    )
    middle = TOP + SIDE / 2
    parts.append(f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">estimated</text>')
    for row in sorted(rows, key=lambda row: list(COLOURS).index(kind(row)), reverse=True):
        x, y = LEFT + place(float(row["true"])), TOP + SIDE - place(float(row["estimated"]))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLOURS[kind(row)]}" fill-opacity="0.7"/>')
    for line, (name, colour) in enumerate(COLOURS.items()):
        y = TOP + 20 + line * 20
        parts.append(f'<circle cx="{LEFT + SIDE + 20}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + SIDE + 32}" y="{y}">{LABELS[name]}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Reads what the measurement prints."""
    lines = [line for line in sys.stdin if line.count(",") == 6]
    rows = list(csv.DictReader(lines))
    Path(sys.argv[1]).write_text(draw(rows))
    groups: dict[tuple[str, str, bool], list[tuple[float, float]]] = {}
    for row in rows:
        error = abs(float(row["estimated"]) - float(row["true"]))
        key = (kind(row), row["of"], row["trace"].startswith("loop"))
        groups.setdefault(key, []).append((error, float(row["margin"] or "nan")))
    print("estimate, size of the cache, loops: mean error, largest, within the margin")
    for (name, size, is_loop), found in groups.items():
        errors = [error for error, _ in found]
        within = sum(error <= margin for error, margin in found)
        print(f"{name}, {size}, {is_loop}: {statistics.mean(errors):.4f}, {max(errors):.4f}, {within} of {len(found)}")


if __name__ == "__main__":
    main()
