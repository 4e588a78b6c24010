"""A circuit breaker: what failed again and again is left alone for a while."""

from __future__ import annotations

import random
import threading
import time

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Closed while all is well, open after failures in a row, half-open while one call tries again.

    Args:
        failures: Failures in a row that open it.
        backoff: Seconds that it stays open at first; twice as many after each trial that fails.
        max_backoff: Seconds that it stays open at most.

    Example:
        >>> breaker = CircuitBreaker(failures=1, backoff=60)
        >>> breaker.allow(), breaker.state
        (True, 'closed')
        >>> breaker.failed()
        >>> breaker.allow(), breaker.state
        (False, 'open')
    """

    def __init__(self, failures: int = 3, backoff: float = 0.5, max_backoff: float = 30.0) -> None:
        self._limit = failures
        self._first = backoff
        self._longest = max_backoff
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._opened = 0
        self._pause = 0.0
        self._opens_again = 0.0
        self._trial_began: float | None = None

    @property
    def state(self) -> str:
        """``"closed"``, ``"open"`` or ``"half-open"``."""
        with self._lock:
            if not self._pause:
                return "closed"
            return "half-open" if time.monotonic() >= self._opens_again else "open"

    @property
    def opened(self) -> int:
        """How often it opened."""
        return self._opened

    def allow(self) -> bool:
        """Whether a call may be made; who is told so has to say how it went."""
        if not self._pause:
            return True
        with self._lock:
            if not self._pause:
                return True
            now = time.monotonic()
            if now < self._opens_again:
                return False
            # One tries for all. A trial that nobody reported on is not waited for forever.
            if self._trial_began is not None and now - self._trial_began < self._longest:
                return False
            self._trial_began = now
            return True

    def succeeded(self) -> None:
        """A call succeeded."""
        if self._in_a_row or self._pause:
            with self._lock:
                self._in_a_row = 0
                self._pause = 0.0
                self._trial_began = None

    def abandoned(self) -> None:
        """Nobody knows how a call went; another may try."""
        with self._lock:
            self._trial_began = None

    def failed(self) -> None:
        """A call failed."""
        with self._lock:
            self._in_a_row += 1
            if self._pause and self._trial_began is None:
                # It was under way when the breaker opened.
                return
            if not self._pause and self._in_a_row < self._limit:
                return
            if not self._pause:
                self._opened += 1
            self._pause = min(self._pause * 2 or self._first, self._longest)
            # Spread, so that processes that lost the same server do not come back at once.
            self._opens_again = time.monotonic() + self._pause * random.uniform(0.75, 1.25)
            self._trial_began = None
