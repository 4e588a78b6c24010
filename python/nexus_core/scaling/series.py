"""Points at uneven times as values at even ones, and the season that they may have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from nexus_core.monitoring.trends import trend_of

__all__ = ["even", "robust_line", "season_of"]

# More would take long to fit, and say no more about what is to come.
_MOST = 400
# How much of what is left of a line a season has to explain; and by how many standard errors more than nothing, as
# of many lengths that are looked at some seem right by chance.
_LEAST_CORRELATION, _STANDARD_ERRORS = 0.3, 4.0


def even(points: Sequence[tuple[float, float]]) -> tuple[float, list[float]]:
    """Values at even distances.

    Args:
        points: Times and values in the order of time, at least two at different times.

    Returns:
        The distance in seconds, and a value for each interval of that length up to the last point: the mean of its
        points, or where it has none, what lies on the line between its neighbours.
    """
    usual = median(after[0] - before[0] for before, after in pairwise(points))
    span = points[-1][0] - points[0][0]
    distance = max(usual, span / _MOST)
    if distance <= 0:
        distance = span / (len(points) - 1)
    count = round(span / distance) + 1
    sums, numbers = [0.0] * count, [0] * count
    for when, value in points:
        place = count - 1 - min(count - 1, round((points[-1][0] - when) / distance))
        sums[place] += value
        numbers[place] += 1
    known = [(place, sums[place] / numbers[place]) for place in range(count) if numbers[place]]
    values: list[float] = []
    for (place, value), (following, then) in pairwise(known):
        values.extend(value + (then - value) * step / (following - place) for step in range(following - place))
    values.append(known[-1][1])
    return distance, values


def robust_line(values: Sequence[float]) -> tuple[float, float]:
    """A line that a few values which are far off do not change: Theil and Sen's.

    Args:
        values: At even distances, at least two.

    Returns:
        Its value at the last of them, and by how much it rises from one to the next.
    """
    slope = trend_of(list(enumerate(values))).slope or 0.0
    last = len(values) - 1
    return median(value + slope * (last - place) for place, value in enumerate(values)), slope


def season_of(values: Sequence[float]) -> int | None:
    """After how many values a series repeats itself.

    Args:
        values: At even distances.

    Returns:
        The length of its season, of which it has two at least; ``None`` if it has none.

    Example:
        >>> import math
        >>> season_of([math.sin(math.tau * step / 12) for step in range(60)])
        12
    """
    count = len(values)
    if count < 12:
        return None
    end, slope = robust_line(values)
    rest = [value - (end - slope * (count - 1 - place)) for place, value in enumerate(values)]
    middle = math.fsum(rest) / count
    rest = [value - middle for value in rest]
    power = math.fsum(value * value for value in rest)
    if power <= 1e-12 * (1 + middle * middle) * count:
        return None
    longest = count // 2

    def correlation(lag: int) -> float:
        # By the numbers of products, or long seasons would seem weaker than they are.
        return math.fsum(a * b for a, b in zip(rest, rest[lag:], strict=False)) / power * count / (count - lag)

    found = [correlation(lag) for lag in range(longest + 1)]
    # Before it has been low once, it is high because neighbours are alike.
    first = next((lag for lag, value in enumerate(found) if value < 0), None)
    if first is None:
        return None
    peaks = [
        lag
        for lag in range(max(first, 4), longest + 1)
        if found[lag] >= max(_LEAST_CORRELATION, found[lag - 1]) and (lag == longest or found[lag] >= found[lag + 1])
    ]
    if not peaks:
        return None
    best = max(found[lag] for lag in peaks)
    return next(lag for lag in peaks if found[lag] >= 0.9 * best)
