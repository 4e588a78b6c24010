"""What is counted of a tier."""

from __future__ import annotations

import math
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from nexus_core.cache_statistics import CacheStatistics
from nexus_core.durations import Durations

__all__ = ["Figures", "TieredCacheStatistics"]

# Steps of 2 ** (1/24): a quantile is at most three per cent too long.
_STEPS = 24
_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True)
class TieredCacheStatistics:
    """A tiered cache at one moment, and what happened since it was made.

    Attributes:
        name: The cache's name.
        tier: The kind of its tier, such as ``"redis"``.
        local: The figures of the local cache; a miss of it is a look into the tier.
        hits: Values that the tier had.
        misses: Keys that the tier did not have, or not readable.
        writes: Values that the tier took.
        computed: Values that were computed here.
        waited: Computations of other processes that were waited for.
        taken_over: Of these, those that the other process did not end.
        fenced: Values that the tier did not take because the lease was lost meanwhile, or the key removed.
        errors: What the tier could not do, by kind; among them ``"open"``: not asked, since it failed before.
        rejected: What was not written or not read, by reason: not serializable, unauthenticated, malformed, ...
        breaker: ``"closed"``, ``"open"`` or ``"half-open"``.
        write_breaker: The same, for writes alone.
        opened: How often the breaker opened.
        unsent: Removals that the tier has not been told of yet.
        events: What other processes wrote or removed, as it was heard of.
        gaps: How often some of that may have been missed, and the local entries were dropped.
        bytes_read: Bytes of entries that were read.
        bytes_written: Bytes of entries that were written.
        latency: How long the tier took to answer.
    """

    name: str
    tier: str
    local: CacheStatistics
    hits: int
    misses: int
    writes: int
    computed: int
    waited: int
    taken_over: int
    fenced: int
    errors: dict[str, int]
    rejected: dict[str, int]
    breaker: str
    write_breaker: str
    opened: int
    unsent: int
    events: int
    gaps: int
    bytes_read: int
    bytes_written: int
    latency: Durations

    @property
    def hit_ratio(self) -> float:
        """The share of what was asked for that was in the local cache or in the tier."""
        return (self.local.hits + self.hits) / max(self.local.hits + self.hits + self.misses, 1)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain dicts, for a log or a metrics endpoint."""
        return asdict(self) | {"hit_ratio": self.hit_ratio, "local": self.local.as_dict()}


class Figures:
    """Counters that threads share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._steps: Counter[int] = Counter()
        self._total = 0.0
        self._longest = 0.0

    def after_fork(self) -> None:
        """Has a lock that nobody holds."""
        self._lock = threading.Lock()

    def count(self, what: str, by: int = 1) -> None:
        """Counts something."""
        with self._lock:
            self._counts[what] += by

    def error(self, kind: str) -> None:
        """Counts what the tier could not do."""
        with self._lock:
            self._errors[kind] += 1

    def reject(self, reason: str) -> None:
        """Counts what was not written or read."""
        with self._lock:
            self._rejected[reason] += 1

    def took(self, seconds: float) -> None:
        """Counts an answer."""
        step = math.ceil(_STEPS * math.log2(max(seconds, _SHORTEST) / _SHORTEST))
        with self._lock:
            self._steps[step] += 1
            self._total += seconds
            self._longest = max(self._longest, seconds)

    def now(self) -> dict[str, Any]:
        """All of them: counters, ``errors``, ``rejected`` and ``latency``."""
        with self._lock:
            return {
                **self._counts,
                "errors": dict(self._errors),
                "rejected": dict(self._rejected),
                "latency": self._durations(),
            }

    def _durations(self) -> Durations:
        count = self._steps.total()
        quantiles = {}
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            left = share * count
            found = 0.0
            for step in sorted(self._steps):
                left -= self._steps[step]
                if left <= 0:
                    found = min(_SHORTEST * 2 ** (step / _STEPS), self._longest)
                    break
            quantiles[name] = found
        mean = self._total / max(count, 1)
        return Durations(count=count, total=self._total, mean=mean, max=self._longest, **quantiles)
