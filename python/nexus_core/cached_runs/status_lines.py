"""How a run was answered, as an HTTP reply tells it."""

from __future__ import annotations

from typing import Any

from nexus_core.cached_runs.outcomes import DetailedReason, outcome_of

__all__ = ["status_line"]

_NAME = "nexus-core"
_LONGEST_DETAIL = 200


def status_line(noted: tuple[Any, ...]) -> str:
    """The value of ``Cache-Status``.

    Args:
        noted: The arguments of a ``CacheOutcome``.

    Example:
        >>> status_line(("hit", None, 3.2, b""))
        'nexus-core; hit; age=3'
        >>> status_line(("bypass", "the runtime runs for a user", None, None))
        'nexus-core; fwd=bypass; detail="the runtime runs for a user"'
    """
    outcome = outcome_of(noted)
    if outcome.status == "hit":
        return f"{_NAME}; hit; age={int(outcome.age or 0)}"
    if outcome.status == "waited":
        return f"{_NAME}; fwd=miss; collapsed"
    forwarded = {"miss": "miss", "refresh": "request", "bypass": "bypass"}[outcome.status]
    if outcome.reason is None:
        return f"{_NAME}; fwd={forwarded}; stored"
    return f'{_NAME}; fwd={forwarded}; detail="{_detail(outcome.reason)}"'


def _detail(reason: str) -> str:
    """The reason as a string of RFC 8941: printable ASCII, quotes and backslashes escaped.

    A client is told what kind of thing it is, and not what an exception said of the program's insides.
    """
    reason = reason.short if isinstance(reason, DetailedReason) else reason.partition(": ")[0]
    shown = reason if len(reason) <= _LONGEST_DETAIL else reason[:_LONGEST_DETAIL] + "..."
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in shown)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
