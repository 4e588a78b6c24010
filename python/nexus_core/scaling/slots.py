"""Workers that are one like the other, of which only the number is known, and what they do together."""

from __future__ import annotations

import threading

from nexus_core.cache_tiers.forks import after_fork
from nexus_core.scaling.worker import Worker

__all__ = ["Slots"]

# Nobody reads a list of more, and a target may say that it has any number.
_MOST = 10_000


class Slots:
    """Tells such workers apart by when they were first counted; the newest are taken to go first.

    Of more than 10,000 only so many are told.

    Args:
        name: What their names begin with.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._started: list[float] = []
        self._seen: tuple[float, float] | None = None
        self._load: float | None = None
        self._lock = threading.Lock()
        after_fork(self)

    def follow(self, count: int, now: float, began: float) -> None:
        """Notes how many there are: what has changed since the last time is taken to have changed now.

        Args:
            count: How many.
            now: The time.
            began: Since when those are there that are counted first.
        """
        with self._lock:
            self._follow(count, now, began)

    def workers(
        self, count: int, now: float, began: float, *, taken: int | None = None, seconds: float | None = None
    ) -> list[Worker]:
        """All of them, the oldest first; what more than there may be are taken for, drain.

        Args:
            count: How many there are to be.
            now: The time.
            began: Since when those are there that are counted first.
            taken: How many do something; ``None`` if that is not known.
            seconds: What they have worked together since they began; ``None`` if that is not known.
        """
        with self._lock:
            self._follow(count, now, began)
            load = self._lately(count, now, began, seconds)
            started = list(self._started)
        found = [
            Worker(f"{self._name}-{number}", at, _state(number, taken), load) for number, at in enumerate(started, 1)
        ]
        draining = range(count + 1, min(taken or 0, count + _MOST) + 1)
        return [*found, *(Worker(f"{self._name}-{number}", now, "draining", 1.0) for number in draining)]

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    def _follow(self, count: int, now: float, began: float) -> None:
        count = min(count, _MOST)
        if not self._started:
            self._started = [began] * count
        del self._started[count:]
        self._started.extend([now] * (count - len(self._started)))

    def _lately(self, count: int, now: float, began: float, seconds: float | None) -> float | None:
        """What each of them was busy since the last look, or the beginning."""
        if seconds is None:
            return None
        since, before = self._seen or (began, 0.0)
        if now > since and count > 0:
            self._seen = now, seconds
            self._load = min(1.0, max(0.0, (seconds - before) / (now - since) / count))
        return self._load


def _state(number: int, taken: int | None) -> str:
    if taken is None:
        return "running"
    return "busy" if number <= taken else "idle"
