"""How a command says that it cannot do what was asked."""

from __future__ import annotations

import sys

from nexus_core.gantt import printable

__all__ = ["refuse"]


def refuse(status: int, reason: str) -> int:
    """Says on the standard error why nothing was done.

    Args:
        status: The exit status: 2 for what was asked wrongly, 1 for what failed.
        reason: The reason, without a full stop.

    Returns:
        The exit status.
    """
    if sys.stderr is not None:  # print() would take the standard output for one that is closed
        told = "\n".join(map(printable, reason.split("\n")))  # it may hold what a file or an app has said
        print(f"nexus-core: {told}", file=sys.stderr)  # noqa: T201
    return status
