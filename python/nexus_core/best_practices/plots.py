"""Plots as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["COLOURS", "bar_chart", "line_chart"]

COLOURS = ("#4c78a8", "#f58518", "#e45756", "#72b7b2", "#54a24b")

_WIDTH, _HEIGHT = 460, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 8, 28, 34


def bar_chart(title: str, unit: str, groups: Sequence[str], series: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Bars side by side in groups.

    Args:
        title: What is shown.
        unit: Of the values.
        groups: The groups' names.
        series: Names, and a value for each group.
    """
    top = max((value for _, values in series for value in values), default=0.0) or 1.0
    parts = [_frame(title, unit, top)]
    slot = (_WIDTH - _LEFT - _RIGHT) / max(1, len(groups))
    width = slot * 0.8 / max(1, len(series))
    for place, group in enumerate(groups):
        begin = _LEFT + place * slot
        parts.append(_text(begin + slot / 2, _HEIGHT - _BOTTOM + 16, group, "middle"))
        for number, (name, values) in enumerate(series):
            height = (_HEIGHT - _TOP - _BOTTOM) * values[place] / top
            parts.append(
                f'<rect x="{begin + slot * 0.1 + number * width:.1f}" y="{_HEIGHT - _BOTTOM - height:.1f}" '
                f'width="{width * 0.92:.1f}" height="{height:.1f}" fill="{COLOURS[number % len(COLOURS)]}">'
                f"<title>{escape(f'{group}, {name}: {values[place]:.4g} {unit}')}</title></rect>"
            )
    return _svg(title, parts, [name for name, _ in series])


def line_chart(title: str, unit: str, series: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> str:
    """Lines over time.

    Args:
        title: What is shown.
        unit: Of the values.
        series: Names, and pairs of seconds and value.
    """
    top = max((value for _, points in series for _, value in points), default=0.0) or 1.0
    last = max((seconds for _, points in series for seconds, _ in points), default=0.0) or 1.0
    parts = [_frame(title, unit, top)]
    parts.append(_text(_LEFT, _HEIGHT - _BOTTOM + 16, "0 s", "start"))
    parts.append(_text(_WIDTH - _RIGHT, _HEIGHT - _BOTTOM + 16, f"{last:.0f} s", "end"))
    for number, (name, points) in enumerate(series):
        drawn = " ".join(
            f"{_LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / last:.1f},"
            f"{_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top:.1f}"
            for seconds, value in points
        )
        parts.append(
            f'<polyline points="{drawn}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.8">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return _svg(title, parts, [name for name, _ in series])


def _frame(title: str, unit: str, top: float) -> str:
    bottom = _HEIGHT - _BOTTOM
    lines = [_text(_LEFT, 16, title, "start", weight="600")]
    for share in (0.0, 0.5, 1.0):
        height = bottom - (bottom - _TOP) * share
        lines.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="#8886" stroke-width="1"/>'
        )
        lines.append(_text(_LEFT - 5, height + 4, f"{top * share:.3g} {unit}", "end"))
    return "".join(lines)


def _text(across: float, down: float, text: str, anchor: str, weight: str = "400") -> str:
    return (
        f'<text x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}" font-size="11" font-weight="{weight}" '
        f'fill="currentColor">{escape(text)}</text>'
    )


def _svg(title: str, parts: list[str], names: list[str]) -> str:
    width = (_WIDTH - _LEFT) / max(1, len(names))
    legend = "".join(
        f'<rect x="{_LEFT + number * width:.1f}" y="{_HEIGHT - 11}" width="9" height="9" '
        f'fill="{COLOURS[number % len(COLOURS)]}"/>' + _text(_LEFT + number * width + 13, _HEIGHT - 2, name, "start")
        for number, name in enumerate(names)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}{legend}</svg>'
    )
