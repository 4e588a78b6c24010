"""Functions whose call would have to be awaited, which nobody does on a monitor's thread."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["is_asynchronous", "refuse_awaitable"]


def is_asynchronous(function: Any) -> bool:
    """Whether it can be told beforehand."""
    call = getattr(type(function), "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def refuse_awaitable(returned: Any) -> None:
    """For what could not be told beforehand, as with a lambda.

    Raises:
        TypeError: If what was returned is to be awaited.
    """
    if inspect.isawaitable(returned):
        if inspect.iscoroutine(returned):
            returned.close()  # or Python warns that it was never awaited
        raise TypeError(f"it returned {type(returned).__name__!r}, which nobody awaits on the monitor's thread")
