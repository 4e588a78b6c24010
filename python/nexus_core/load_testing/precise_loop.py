"""An event loop that wakes up when it is asked to, and not up to a millisecond later."""

from __future__ import annotations

import asyncio
import select
import selectors

__all__ = ["precise_loop"]


def precise_loop() -> asyncio.AbstractEventLoop:
    """Makes an event loop whose timers are not rounded up to milliseconds.

    On Linux asyncio waits with ``epoll``, in whole milliseconds. An epoll can itself be waited for
    with ``select``, which takes microseconds.

    Example:
        >>> loop = precise_loop()
        >>> loop.run_until_complete(asyncio.sleep(0.0001, "done"))
        'done'
        >>> loop.close()
    """
    if not hasattr(selectors, "EpollSelector"):
        return asyncio.new_event_loop()
    selector = _PreciseSelector()
    if selector.fileno() >= 1024:  # more than select can take
        selector.close()
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(selector)


if hasattr(selectors, "EpollSelector"):

    class _PreciseSelector(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)
