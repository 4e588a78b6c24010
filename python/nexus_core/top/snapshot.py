"""One view of an app, printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nexus_core.top.figures import NODES, POOLS, WORKFLOWS, Table, headline, rows, seconds

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
    of = f"the last {seconds(samples[-1]['seconds'])}" if samples and samples[-1].get("seconds") else "now"
    lines = [f"{url}{' · ' if about else ''}{about} · {of}", ""]
    for alert in now["alerts"]:
        lines.append(f"{alert['severity'].upper() or 'ALERT'}: {alert['message']}")
    if now["alerts"]:
        lines.append("")
    for name, value, more in headline(samples[-1] if samples else None, now):
        lines.append(f"{name:<15} {value:>10}   {more}".rstrip())
    for title, table, found in (
        (f"Workflows, in the last {seconds(now['seconds'])}", WORKFLOWS, now["workflows"]),
        ("Slowest nodes", NODES, now["nodes"]),
        ("Pools", POOLS, now["pools"]),
    ):
        if found:
            lines += ["", title, *_aligned(table, rows(table, found))]
    return "\n".join(lines)


def _aligned(table: Table, found: Sequence[Sequence[str]]) -> list[str]:
    cells = [[column.title for column in table], *found]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  " + "  ".join(
            f"{cell:<{width}}" if column.is_text else f"{cell:>{width}}"
            for cell, width, column in zip(row, widths, table, strict=True)
        ).rstrip()
        for row in cells
    ]  # fmt: skip
