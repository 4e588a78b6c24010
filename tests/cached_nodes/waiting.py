"""Waiting for what other threads and tasks do, whenever they do it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from nexus_core.cached_runs import ResultCache, nodes

__all__ = ["auntil", "until", "waiting"]

#: Whoever has not come after so many seconds never will.
_PATIENCE = 30


def waiting(cache: ResultCache) -> int:
    """How many nodes wait, or have waited as tasks, for another run's."""
    flights = nodes._flights.get(cache)
    parked = 0 if flights is None else flights.waiting()
    return parked + int(cache.store.statistics().load_waits)


def until(is_so: Callable[[], bool]) -> None:
    """Returns once something is so.

    Args:
        is_so: Asked again and again.

    Raises:
        TimeoutError: If it never is.
    """
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came")
        time.sleep(0.002)


async def auntil(is_so: Callable[[], bool]) -> None:
    """As :func:`until`, for tasks.

    Args:
        is_so: See there.
    """
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came")
        await asyncio.sleep(0.002)
