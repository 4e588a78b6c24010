"""One view of an app, printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nexus_core.top.figures import NODES, POOLS, TEXTS, WORKFLOWS, headline, rows

__all__ = ["as_text"]


def as_text(view: Mapping[str, Any], url: str) -> str:
    """A view as lines of text.

    Args:
        view: As ``AppSource.view`` tells it.
        url: Where it is from.

    Returns:
        Lines without a last newline.
    """
    now, samples = view["now"], view["samples"]
    about = " · ".join(str(part) for part in (view["app"], view["runtime"]) if part and part != url)
    lines = [f"{url}{' · ' if about else ''}{about}", ""]
    for alert in now["alerts"]:
        lines.append(f"{alert['severity'].upper() or 'ALERT'}: {alert['message']}")
    if now["alerts"]:
        lines.append("")
    for name, value, more in headline(samples[-1] if samples else None, now):
        lines.append(f"{name:<15} {value:>10}   {more}".rstrip())
    for title, table, found in (
        ("Workflows", WORKFLOWS, now["workflows"]),
        ("Slowest nodes", NODES, now["nodes"]),
        ("Pools", POOLS, now["pools"]),
    ):
        if found:
            lines += ["", title, *_aligned([[name for name, _ in table], *rows(table, found)])]
    return "\n".join(lines)


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_text = [k == 0 or title in TEXTS for k, title in enumerate(cells[0])]
    return [
        "  " + "  ".join(
            f"{cell:<{width}}" if text else f"{cell:>{width}}"
            for cell, width, text in zip(row, widths, is_text, strict=True)
        ).rstrip()
        for row in cells
    ]  # fmt: skip
