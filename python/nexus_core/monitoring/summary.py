"""Series in a few figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nexus_core.monitoring.trends import trend_of

__all__ = ["average", "summary_of"]


def summary_of(points_by_name: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, dict[str, Any]]:
    """What ``get_performance_summary`` returns.

    Args:
        points_by_name: By metric its points, at least one.
    """
    found = {}
    for name, points in points_by_name.items():
        values = [value for _, value in points]
        trend = trend_of(points)
        found[name] = {
            "avg": average(points),
            "min": min(values),
            "max": max(values),
            "current": values[-1],
            "data_points": len(values),
            "trend": trend.direction,
            "slope_per_minute": None if trend.slope is None else 60 * trend.slope,
            "confidence": trend.confidence,
            "measured_at": points[-1][0],
        }
    return found


def average(points: Sequence[tuple[float, float]]) -> float:
    """The mean of the values; of those about runs, over the runs rather than over the intervals.

    Args:
        points: At least one.
    """
    runs: list[int | None] = [getattr(point, "runs", None) for point in points]
    weights = [count for count in runs if count is not None]
    if len(weights) == len(points) and sum(weights) > 0:
        return sum(count * value for count, (_, value) in zip(weights, points, strict=True)) / sum(weights)
    return sum(value for _, value in points) / len(points)
