"""What happened at a cache of results."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from nexus_core._core import HitCount
from nexus_core.cached_runs.outcomes import Status

__all__ = ["Tally"]

#: Reasons that are told apart; a program that invents ever more of them must not fill the memory.
_MOST_REASONS = 100
_OTHER = "other reasons"


class Tally:
    """Counts of one kind of results; exact, from any thread.

    Attributes:
        hits: Those that are counted natively.
    """

    __slots__ = ("_bypassed", "_lock", "_not_kept", "_statuses", "hits")

    def __init__(self) -> None:
        self.hits = HitCount()
        self._lock = threading.Lock()
        self._statuses: Counter[str] = Counter()
        self._bypassed: Counter[str] = Counter()
        self._not_kept: Counter[str] = Counter()

    def add(self, status: Status, reason: str | None = None) -> None:
        """Counts one answer.

        Args:
            status: See ``CacheOutcome``.
            reason: Why it was bypassed, or why what was computed is not kept.
        """
        with self._lock:
            self._statuses[status] += 1
            if reason is not None:
                reasons = self._bypassed if status == "bypass" else self._not_kept
                known = reason in reasons or len(reasons) < _MOST_REASONS
                reasons[reason if known else _OTHER] += 1

    def as_dict(self) -> dict[str, Any]:
        """The counts: by status, and by reason where there is one."""
        with self._lock:
            counts = self._statuses
            return {
                "hits": counts["hit"] + self.hits.count,
                "misses": counts["miss"],
                "waited": counts["waited"],
                "refreshed": counts["refresh"],
                "bypassed": dict(self._bypassed),
                "not_kept": dict(self._not_kept),
            }
