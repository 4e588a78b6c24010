"""Something awaited on a thread of its own, for callers that cannot await."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["await_on_thread"]

_T = TypeVar("_T")


def await_on_thread(begin: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Awaits on a thread with an event loop of its own: the caller may be on one.

    What interrupts the caller cancels it, and goes on when it has ended.

    Args:
        begin: Makes what is awaited, on that thread.
    """
    from nexus_core.thread_pool import ThreadPool

    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def work() -> _T:
        task = asyncio.current_task()
        assert task is not None
        begun.append((asyncio.get_running_loop(), task))
        return await begin()

    with ThreadPool(1, name="nexus-core measuring") as pool:
        future = pool.submit(lambda: asyncio.run(work()))
        try:
            result: _T = future.result()
        except BaseException:
            for loop, task in begun:
                with contextlib.suppress(RuntimeError):  # it has ended, and its loop is closed
                    loop.call_soon_threadsafe(task.cancel)
            raise
    return result
