"""Calls that end in time, whatever the other side does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["within"]

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Calls a function on a thread of its own, and does not wait longer than said.

    Args:
        seconds: How long to wait.
        call: The function. It goes on after the time is up, and its outcome is dropped.

    Returns:
        What it returns.

    Raises:
        TimeoutError: If it has not returned by then. What the function raises is raised.

    Example:
        >>> within(60, lambda: 6 * 7)
        42
    """
    outcome: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:
            outcome.put((None, error))

    # A daemon: nobody who leaves waits for it.
    threading.Thread(target=work, name="nexus-core request", daemon=True).start()
    try:
        found, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no whole answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]
