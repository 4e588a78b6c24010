"""Samples of an app while somebody looks: one series for all who do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nexus_core.live.readings import Reading
from nexus_core.live.samples import sample, tables

__all__ = ["INTERVAL", "Sampler"]

#: Seconds between two samples.
INTERVAL = 1.0
_KEPT = 300
#: Means and quantiles of tables are over at least this many seconds, once there are so many.
_WINDOW = 10.0
_SHARE = 0.02


class Sampler:
    """Reads when it is asked, but never more often than once an interval, however many ask.

    While nobody asks, nothing is read. The last 300 samples are kept.

    Args:
        read: Reads the app.
        interval: Seconds between two readings, at least.
        share: The largest share of the time that reading may take: an app of very many nodes is
            read less often.
    """

    def __init__(self, read: Callable[[], Reading], interval: float = INTERVAL, share: float = _SHARE) -> None:
        self._read = read
        self._interval = interval
        self._share = share
        self._lock = threading.Lock()
        self._next = 0.0
        self._pause = interval
        self._number = 0
        self._samples: deque[tuple[int, dict[str, float | None]]] = deque(maxlen=_KEPT)
        self._last: Reading | None = None
        self._base: Reading | None = None
        self._next_base: Reading | None = None
        self._tables: dict[str, Any] = {}

    def ask(self, after: int = 0) -> dict[str, Any]:
        """Samples that are newer than one that was seen, and the tables.

        Args:
            after: The number of the last sample seen; 0 for all that are kept.

        Returns:
            ``number`` of the newest, ``samples``, ``now`` (see ``tables``) and ``interval``.
        """
        with self._lock:
            began = time.monotonic()
            if began >= self._next:
                self._take()
                cost = time.monotonic() - began
                self._pause = max(self._interval, cost / self._share)
                self._next = began + self._pause
            # A number that was never given out is of another process, before a restart.
            fresh = after > self._number
            return {
                "number": self._number,
                "samples": [found for number, found in self._samples if fresh or number > after],
                "restarted": fresh,
                "now": self._tables,
                "interval": self._pause,
            }

    def _take(self) -> None:
        now = self._read()
        if self._last is None:
            self._base = self._next_base = now
        else:
            self._number += 1
            self._samples.append((self._number, sample(self._last, now)))
            if self._next_base is not None and now.seconds_since(self._next_base) >= _WINDOW:
                self._base, self._next_base = self._next_base, now
        self._last = now
        self._tables = tables(self._since(now), now)

    def _since(self, now: Reading) -> Reading:
        """Since when the tables tell: about the last ten seconds, but not of what was before a long time without looks."""
        if self._base is None or self._next_base is None:
            return now
        is_long_ago = now.seconds_since(self._base) > 3 * _WINDOW
        return self._next_base if is_long_ago and self._next_base is not now else self._base
