"""How long something that fails again and again is left alone."""

from __future__ import annotations

import math

__all__ = ["Backoff"]

# However long it has failed.
_LONGEST = 300.0


class Backoff:
    """After a second failure in a row as long as it has failed so far, and 5 minutes at the most.

    So it is tried again at the next check after the first failure, and from then on after twice as long each time,
    whatever the interval of the checks is. What was not tried for as long as that has failed for the first time again.

    Example:
        >>> backoff = Backoff()
        >>> for now in (0.0, 10.0, 20.0):
        ...     backoff.failed(now)
        >>> backoff.left(25.0), backoff.failures
        (15.0, 3)
    """

    def __init__(self) -> None:
        self.failures = 0
        self._first = 0.0
        self._until = -math.inf

    def failed(self, now: float) -> None:
        """It has failed.

        Args:
            now: The time, by a clock that is never set.
        """
        if self.failures and now - self._until > _LONGEST:
            self.failures = 0
        self._first = now if self.failures == 0 else self._first
        self.failures += 1
        self._until = now + min(_LONGEST, now - self._first)

    def succeeded(self) -> None:
        """It works again."""
        self.failures = 0
        self._until = -math.inf

    def left(self, now: float) -> float:
        """Seconds until it is to be tried again; 0 if it may be now.

        Args:
            now: The time, by the same clock.
        """
        return max(0.0, self._until - now)

    def since(self, now: float) -> float:
        """Seconds since the first failure in a row.

        Args:
            now: The time, by the same clock.
        """
        return now - self._first
