"""Latencies in buckets whose width grows with the value, as in an HDR histogram."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

__all__ = ["LatencyHistogram", "LatencySummary"]

# Eleven significant bits: a quantile is off by less than 0.05 %, whatever its size, and even
# latencies from nanoseconds to days fill no more than some 40,000 buckets.
_BITS = 11


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """How long something took, over all that was measured; all but the count in seconds.

    Attributes:
        count: How often it was measured.
        mean: The average.
        min: The shortest.
        p50: Half of them took no longer.
        p90: Nine in ten took no longer.
        p95: Nineteen in twenty took no longer.
        p99: Ninety-nine in a hundred took no longer.
        p999: 999 in a thousand took no longer.
        max: The longest.
    """

    count: int = 0
    mean: float = 0.0
    min: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """The attributes by their names.

        Example:
            >>> LatencySummary(1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5).as_dict()["p999"]
            0.5
        """
        return asdict(self)


class LatencyHistogram:
    """Counts latencies in bounded memory, whatever their number and range.

    Example:
        >>> seen = LatencyHistogram()
        >>> for milliseconds in range(1, 1001):
        ...     seen.record(milliseconds / 1000)
        >>> round(seen.quantile(0.99), 2)
        0.99
        >>> seen.summary().max
        1.0
    """

    __slots__ = ("_counts", "count", "longest", "shortest", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.shortest = math.inf
        self.longest = 0.0

    def record(self, seconds: float) -> None:
        """Counts a latency; a clock that went backwards gives zero.

        Args:
            seconds: The latency.
        """
        seconds = max(0.0, seconds)
        nanoseconds = int(seconds * 1e9)
        shift = max(0, nanoseconds.bit_length() - _BITS)
        bucket = shift << _BITS | nanoseconds >> shift
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.total += seconds
        self.shortest = min(self.shortest, seconds)
        self.longest = max(self.longest, seconds)

    def copy(self) -> LatencyHistogram:
        """What has been counted so far; from any thread, while another one counts."""
        found = LatencyHistogram()
        found._counts = self._counts.copy()  # at once, as far as other threads can see
        found.count = sum(found._counts.values())
        found.total, found.shortest, found.longest = self.total, self.shortest, self.longest
        return found

    def merge(self, other: LatencyHistogram) -> None:
        """Adds what another has counted.

        Args:
            other: The other, which stays as it is.
        """
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.shortest = min(self.shortest, other.shortest)
        self.longest = max(self.longest, other.longest)

    def quantile(self, share: float) -> float:
        """The latency in seconds that this share of all did not exceed; 0 if there is none.

        Args:
            share: From 0 to 1.
        """
        return self.quantiles([share])[0]

    def quantiles(self, shares: Iterable[float]) -> list[float]:
        """Several quantiles at the price of one.

        Args:
            shares: From 0 to 1, ascending.
        """
        if not self.count:
            return [0.0 for _ in shares]
        found: list[float] = []
        buckets = iter(sorted(self._counts))
        bucket = next(buckets)
        seen = self._counts[bucket]
        for share in shares:
            # Rounded first: 0.95 * 20 is a little more than 19.
            rank = max(1, math.ceil(round(share * self.count, 6)))
            while seen < rank:
                bucket = next(buckets)
                seen += self._counts[bucket]
            shift, mantissa = bucket >> _BITS, bucket & ((1 << _BITS) - 1)
            middle = ((mantissa << shift) + ((1 << shift) - 1) / 2) / 1e9
            found.append(min(max(middle, self.shortest), self.longest))
        return found

    def summary(self) -> LatencySummary:
        """Count, mean, extremes and the usual quantiles."""
        if not self.count:
            return LatencySummary()
        p50, p90, p95, p99, p999 = self.quantiles([0.5, 0.9, 0.95, 0.99, 0.999])
        mean = self.total / self.count
        return LatencySummary(self.count, mean, self.shortest, p50, p90, p95, p99, p999, self.longest)
