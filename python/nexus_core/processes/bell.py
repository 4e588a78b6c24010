"""What threads wait for, in a way that a signal handler may interrupt anywhere."""

from __future__ import annotations

import threading

__all__ = ["Bell"]


class Bell:
    """Rings once, for everybody.

    ``threading.Condition`` takes its lock again on the way out of a wait; a handler that raises there leaves it without the
    lock that it goes on to release. Here nothing is held. Who waits looks from time to time at what it waits for.
    """

    __slots__ = ("_has_rung", "_lock")

    def __init__(self) -> None:
        self._has_rung = False
        self._lock = threading.Lock()
        self._lock.acquire()

    @property
    def has_rung(self) -> bool:
        """Whether it has rung."""
        return self._has_rung

    def ring(self) -> None:
        """Lets all go on. Twice does no harm, as long as callers take turns."""
        if not self._has_rung:
            self._has_rung = True
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Whether it has rung in time.

        Args:
            seconds: How long to wait.
        """
        if not self._has_rung and self._lock.acquire(timeout=max(seconds, 0.0)):
            self._lock.release()
        return self._has_rung
