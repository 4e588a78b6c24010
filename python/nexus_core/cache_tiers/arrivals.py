"""Who waits for another process's computation, in threads and in event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

__all__ = ["Arrivals"]


class Arrivals:
    """Wakes those who wait for a key; also who is not woken wakes in time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: dict[bytes, list[Callable[[], object]]] = {}

    def ring(self, key: bytes) -> None:
        """Wakes all who wait for a key."""
        with self._lock:
            bells = self._bells.pop(key, ())
        for bell in bells:
            bell()

    def ring_all(self) -> None:
        """Wakes everybody."""
        with self._lock:
            bells = [bell for each in self._bells.values() for bell in each]
            self._bells.clear()
        for bell in bells:
            bell()

    def wait(self, key: bytes, seconds: float) -> None:
        """Blocks until the key is rung, for so many seconds at most."""
        rung = threading.Event()
        self._join(key, rung.set)
        try:
            rung.wait(seconds)
        finally:
            self._leave(key, rung.set)

    async def await_(self, key: bytes, seconds: float) -> None:
        """As `wait()`, for a task."""
        loop = asyncio.get_running_loop()
        rung = asyncio.Event()

        def bell() -> None:
            # A loop that is closed has nobody who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(rung.set)

        self._join(key, bell)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), seconds)
        finally:
            self._leave(key, bell)

    def _join(self, key: bytes, bell: Callable[[], object]) -> None:
        with self._lock:
            self._bells.setdefault(key, []).append(bell)

    def _leave(self, key: bytes, bell: Callable[[], object]) -> None:
        with self._lock:
            bells = self._bells.get(key)
            if bells is not None:
                with contextlib.suppress(ValueError):
                    bells.remove(bell)
                if not bells:
                    del self._bells[key]
