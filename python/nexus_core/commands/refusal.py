"""How a command says that it cannot do what was asked."""

from __future__ import annotations

import sys

__all__ = ["refuse"]


def refuse(status: int, reason: str) -> int:
    """Says on the standard error why nothing was done.

    Args:
        status: The exit status: 2 for what was asked wrongly, 1 for what failed.
        reason: The reason, without a full stop.

    Returns:
        The exit status.
    """
    print(f"nexus-core: {reason}", file=sys.stderr)  # noqa: T201
    return status
