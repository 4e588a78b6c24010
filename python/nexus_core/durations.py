"""How long something took, as pools measure it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Durations"]


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, over all that was measured; all but the count in seconds.

    A quantile is at most three per cent too long, and never too short.

    Attributes:
        count: How often it was measured.
        total: All together.
        mean: The average.
        p50: Half of them took no longer.
        p90: Nine in ten took no longer.
        p99: Ninety-nine in a hundred took no longer.
        max: The longest.
    """

    count: int
    total: float
    mean: float
    p50: float
    p90: float
    p99: float
    max: float

    def milliseconds(self) -> dict[str, float]:
        """For people: the same in milliseconds, with three digits after the point.

        Returns:
            The attributes by their names.

        Example:
            >>> Durations(2, 0.5, 0.25, 0.2, 0.3, 0.3, 0.3).milliseconds()["mean"]
            250.0
        """
        return {name: value if name == "count" else round(value * 1e3, 3) for name, value in asdict(self).items()}
