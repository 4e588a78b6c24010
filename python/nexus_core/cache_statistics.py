"""What a cache counts and measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nexus_core.durations import Durations

__all__ = ["CacheStatistics"]


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """A cache at one moment, and what happened since it was made. All counts are exact.

    Attributes:
        name: The cache's name.
        entries: Entries that are there.
        currsize: What they weigh together.
        maxsize: What they may weigh; ``None`` for no limit.
        hits: Keys that were asked for and were there.
        misses: Keys that were asked for and were not.
        insertions: Entries that were written under a new key.
        replaced: Values that were replaced by others.
        evicted: Entries for which there was no room.
        expired: Entries whose time was over.
        invalidated: Entries that were removed on request.
        load_failures: Computations that raised.
        load_waits: Callers who waited for the computation of another.
        oldest: Seconds since the oldest value was written.
        mean_age: The same on average.
        load: How long computations took that came to a value.
    """

    name: str
    entries: int
    currsize: int
    maxsize: int | None
    hits: int
    misses: int
    insertions: int
    replaced: int
    evicted: int
    expired: int
    invalidated: int
    load_failures: int
    load_waits: int
    oldest: float
    mean_age: float
    load: Durations

    @property
    def hit_ratio(self) -> float:
        """The share of what was asked for that was there; 0 where nothing was asked for."""
        return self.hits / max(self.hits + self.misses, 1)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain dicts, for a log or a metrics endpoint."""
        return asdict(self) | {"hit_ratio": self.hit_ratio}
