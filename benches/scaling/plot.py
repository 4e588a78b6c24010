"""A load, the workers that policies gave it, and how long its replies took, one above the other."""

from __future__ import annotations

from collections.abc import Sequence

from plot import WIDTH, document, text
from scaling.experiment import Ran
from scaling.shapes import Shape
from scaling.subject import ALLOWED_SECONDS

LEFT, RIGHT, PANEL, GAP, TOP = 60, 24, 100, 46, 88
COLOURS = ("w0", "w1")
STYLE = (
    "<style>.l0{stroke:#0969da}.l1{stroke:#bc4c00}.l2{stroke:#1a7f37}.line{fill:none;stroke-width:1.8}"
    ".foreseen{stroke-dasharray:5 4}.allowed{stroke:#cf222e;stroke-dasharray:2 3}"
    "@media (prefers-color-scheme: dark){.l0{stroke:#4493f8}.l1{stroke:#f0883e}.l2{stroke:#3fb950}"
    ".allowed{stroke:#f85149}}</style>"
)

Points = Sequence[tuple[float, float]]


def svg(shape: Shape, ran: Sequence[Ran], foreseen: Points) -> str:
    """The plot as an SVG document.

    Args:
        shape: The load.
        ran: What was measured under each policy.
        foreseen: Workers, as the simulator had them for the last of the policies.
    """
    parts = [STYLE, text(20, 28, f"{shape.title}: what policies make of it", "title"), *_legend(ran)]
    seconds = [second / 4 for second in range(int(4 * shape.seconds) + 1)]
    parts += _Panel(0, shape, "requests a second", 1.1 * shape.highest).lines(
        [([(at, shape.rate(at)) for at in seconds], "l2", False)]
    )
    counts: list[tuple[Points, str, bool]] = [(each.workers, f"l{number}", True) for number, each in enumerate(ran)]
    counts.append((foreseen, f"l{len(ran) - 1} foreseen", True))
    most = max(count for points, *_ in counts for _, count in points)
    parts += _Panel(1, shape, "workers", most + 1).lines(counts)
    slow = [(_p95(each, shape.seconds), f"l{number}", False) for number, each in enumerate(ran)]
    highest = max([2 * ALLOWED_SECONDS, *(1.05 * value for points, *_ in slow for _, value in points)])
    panel = _Panel(2, shape, "p95 of the replies of each second, ms", 1000 * highest)
    parts += panel.lines([([(at, 1000 * value) for at, value in points], *more) for points, *more in slow])
    parts.append(panel.level(1000 * ALLOWED_SECONDS, f"{1000 * ALLOWED_SECONDS:.0f} ms allowed"))
    late = [(_late(each, shape.seconds), f"l{number}", False) for number, each in enumerate(ran)]
    parts += _Panel(3, shape, "replies that took longer than allowed, % of each second", 100).lines(late)
    height = TOP + 4 * (PANEL + GAP) + 4
    parts.append(text(WIDTH - RIGHT, height - 12, "seconds", "minor", anchor="end"))
    return document(height, parts, f"{shape.title}: load, workers and latency")


class _Panel:
    def __init__(self, number: int, shape: Shape, title: str, most: float) -> None:
        self._top = TOP + number * (PANEL + GAP)
        self._seconds, self._most, self._title = shape.seconds, most, title

    def _x(self, at: float) -> float:
        return LEFT + min(max(at, 0.0), self._seconds) / self._seconds * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return self._top + PANEL * (1 - min(value, self._most) / self._most)

    def lines(self, drawn: Sequence[tuple[Points, str, bool]]) -> list[str]:
        parts = [text(LEFT, self._top - 10, self._title, "minor")]
        for share in (0.0, 0.5, 1.0):
            y = self._y(share * self._most)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(text(LEFT - 8, y + 4, f"{share * self._most:.0f}", "minor", anchor="end"))
        for second in range(0, int(self._seconds) + 1, 6):
            parts.append(text(self._x(second), self._top + PANEL + 16, f"{second}", "minor", anchor="middle"))
        for points, style, is_stepped in drawn:
            inside = [point for point in points if -1 <= point[0] <= self._seconds]
            path = ""
            for number, (at, value) in enumerate(inside):
                x, y = self._x(at), self._y(value)
                path += (
                    f"M{x:.1f} {y:.1f}" if number == 0 else f"H{x:.1f}V{y:.1f}" if is_stepped else f"L{x:.1f} {y:.1f}"
                )
            parts.append(f'<path class="line {style}" d="{path}"/>')
        return parts

    def level(self, value: float, words: str) -> str:
        y = self._y(value)
        line = f'<line class="allowed" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        return line + text(WIDTH - RIGHT, y - 5, words, "minor", anchor="end")


def _by_second(ran: Ran, seconds: float) -> list[tuple[float, list[float]]]:
    found: dict[int, list[float]] = {}
    for at, value in ran.replies:
        if 0 <= at < seconds:
            found.setdefault(int(at), []).append(value)
    return [(second + 0.5, sorted(values)) for second, values in sorted(found.items())]


def _p95(ran: Ran, seconds: float) -> list[tuple[float, float]]:
    return [(at, values[min(len(values) - 1, int(0.95 * len(values)))]) for at, values in _by_second(ran, seconds)]


def _late(ran: Ran, seconds: float) -> list[tuple[float, float]]:
    return [
        (at, 100 * sum(value > ALLOWED_SECONDS for value in values) / len(values))
        for at, values in _by_second(ran, seconds)
    ]


def _legend(ran: Sequence[Ran]) -> list[str]:
    parts, at = [], 24.0
    for number, each in enumerate(ran):
        words = f"{each.policy}: {each.mean_workers:.1f} workers, {each.violations:.1%} too late"
        parts.append(f'<rect class="{COLOURS[number]}" x="{at:.0f}" y="42" width="12" height="12"/>')
        parts.append(text(at + 18, 52, words, "minor"))
        at += 40 + 6.6 * len(words)
    parts.append(f'<line class="line l{len(ran) - 1} foreseen" x1="{at:.0f}" y1="48" x2="{at + 26:.0f}" y2="48"/>')
    parts.append(text(at + 32, 52, "foreseen by the simulator", "minor"))
    return parts
