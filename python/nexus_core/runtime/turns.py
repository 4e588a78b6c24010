"""A bound on how many runs are under way, first come, first served, across event loops and threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

__all__ = ["Turns"]


class _Waiter:
    __slots__ = ("future", "has_turn", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.has_turn = False


class Turns:
    """Lets so many runs be under way at once; the others wait in the order in which they came.

    A run that is cancelled while it waits leaves the line; one that is cancelled in the moment in
    which its turn comes passes it on.

    Args:
        limit: Runs at once.

    Attributes:
        most: The most that ever were under way at once.
        waited: Runs that have had to wait.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     turns = Turns(1)
        ...     async with turns:
        ...         return turns.running
        >>> asyncio.run(main())
        1
    """

    def __init__(self, limit: int) -> None:
        self._limit: int | None = limit
        self._waiting: deque[_Waiter] = deque()
        # A run may be given up by the collector while its thread is in here.
        self._lock = threading.RLock()
        self.running = 0
        self.most = 0
        self.waited = 0

    @property
    def limit(self) -> int | None:
        """Runs at once; ``None`` once it is open."""
        return self._limit

    @property
    def waiting(self) -> int:
        """Runs that stand in line."""
        return len(self._waiting)

    async def __aenter__(self) -> Turns:
        with self._lock:
            if not self._waiting and self._has_room():
                self._begin()
                return self
        waiter = _Waiter()
        with self._lock:
            self.waited += 1
            self._waiting.append(waiter)
        # Somebody may have ended before it stood in line.
        self._call()
        try:
            await waiter.future
        except BaseException:
            with self._lock:
                had_turn, waiter.has_turn = waiter.has_turn, False
                if not had_turn and waiter in self._waiting:
                    self._waiting.remove(waiter)
            if had_turn:
                self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()

    def open(self) -> None:
        """Lets all that wait begin, and whoever comes later."""
        with self._lock:
            self._limit = None
        self._call()

    def _has_room(self) -> bool:
        return self._limit is None or self.running < self._limit

    def _begin(self) -> None:
        self.running += 1
        if self.running > self.most:
            self.most = self.running

    def _end(self) -> None:
        with self._lock:
            self.running -= 1
        self._call()

    def _call(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or not self._has_room():
                    return
                self._begin()
                # The collector may have emptied the line since, by giving up a run.
                waiter = self._waiting.popleft() if self._waiting else None
                if waiter is None:
                    self.running -= 1
                    return
                waiter.has_turn = True
            try:
                waiter.loop.call_soon_threadsafe(_wake, waiter.future)
            except RuntimeError:  # its loop is closed: nobody will take the turn
                with self._lock:
                    # Unless what is left of its task has given the turn back meanwhile.
                    if waiter.has_turn:
                        waiter.has_turn = False
                        self.running -= 1


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
