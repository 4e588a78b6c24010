"""What a pool has measured, in one shape."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Durations"]


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, in seconds.

    Attributes:
        count: How often it was measured.
        mean: The average.
        p50: Half of them were shorter.
        p90: Nine in ten were shorter.
        p99: Ninety-nine in a hundred were shorter.
        max: The longest.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, measured: Any) -> Durations:
        """From a pool's own summary of a histogram."""
        return cls(measured.count, measured.mean, measured.p50, measured.p90, measured.p99, measured.max)

    def milliseconds(self) -> dict[str, float]:
        """For people: milliseconds, with three digits after the point."""
        return {name: value if name == "count" else round(value * 1e3, 3) for name, value in asdict(self).items()}
