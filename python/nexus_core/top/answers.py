"""What an address has answered, as far as it is figures of an app: anybody may answer there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nexus_core.gantt import printable

__all__ = ["as_view"]

_LONGEST = 2000
_MOST_ROWS = 1000
# Which parts of a row are text; everything else is a number.
_TEXTS = frozenset({"name", "node", "workflow", "kind", "severity", "metric", "message"})
# What apps with an older version do not tell.
_LATER = frozenset({"cached"})
_TABLES: dict[str, tuple[str, ...]] = {
    "workflows": ("name", "runs", "failed", "delegated", "cached", "throughput", "error_rate", "p50", "p99"),
    "nodes": ("workflow", "node", "mean", "p50", "p99", "per_second", "busy", "failed"),
    "pools": ("kind", "name", "busy", "size", "limit", "waiting", "served", "errors"),
    "alerts": ("severity", "metric", "message", "timestamp"),
}


def as_view(found: Any) -> dict[str, Any] | None:
    """A view in which every number is one, and no text gives orders to the terminal.

    Args:
        found: What ``/nexus-core/data`` or a ``Sampler`` has answered.

    Returns:
        ``app``, ``version``, ``runtime``, ``number``, ``restarted``, ``samples`` and ``now``;
        ``None`` if it is not of this form.

    Example:
        >>> as_view({"number": 1}) is None
        True
    """
    try:
        now, number = found["now"], found["number"]
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 53:
            return None
        return {
            "app": _text(found["app"]),
            "version": _text(found["version"]),
            "runtime": _text(found["runtime"]),
            "number": number,
            "restarted": found.get("restarted") is True,
            "samples": [_numbers(each) for each in found["samples"]],
            "now": {
                "seconds": _number(now["seconds"]),
                "places": _number(now["places"]),
                "runs": _number(now["runs"]),
                "cached": _number(now.get("cached")),
                "cache": None if now["cache"] is None else _numbers(now["cache"]),
                "process": _numbers(now["process"]),
                **{
                    table: [_row(each, columns) for each in now[table][:_MOST_ROWS]]
                    for table, columns in _TABLES.items()
                },
            },
        }
    except (KeyError, TypeError, AttributeError, IndexError):
        return None


def _row(found: Mapping[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: _text(found[name]) if name in _TEXTS else _number(found.get(name) if name in _LATER else found[name])
        for name in columns
    }


def _numbers(found: Mapping[str, Any]) -> dict[str, float | None]:
    return {str(name): _number(value) for name, value in found.items()}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A whole number may be too large for the division that follows.
    return value if is_number and abs(value) < 1e300 and math.isfinite(value) else None


def _text(value: Any) -> str:
    return "" if value is None else printable(str(value)[:_LONGEST])
