"""Targets of a user's own, a clock, and loads."""

from __future__ import annotations

from typing import Any

from performance_monitor.support import Clock, until

__all__ = ["Boxes", "Clock", "history_of", "until"]


class Boxes:
    """A target that does what it is told, and tells how busy its workers are if that is asked for."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.told: list[int] = []

    def current(self) -> int:
        return self.count

    def scale(self, n: int) -> None:
        self.told.append(n)
        self.count = n


def history_of(
    rates: list[float], instances: int | list[int] = 4, service: float = 0.5, seconds: float = 60.0
) -> list[dict[str, Any]]:
    """What a scaler records of a load, if runs end in the interval in which they began."""
    counts = instances if isinstance(instances, list) else [instances] * len(rates)
    found: list[dict[str, Any]] = [{"timestamp": 1_000_000.0, "active_instances": counts[0]}]
    for number, (rate, count) in enumerate(zip(rates, counts, strict=True), 1):
        found.append(
            {
                "timestamp": 1_000_000.0 + seconds * number,
                "request_rate": rate,
                "throughput_per_second": rate,
                "utilization": min(100.0, 100 * rate * service / count),
                "response_time": 1000 * service,
                "active_instances": count,
            }
        )
    return found
