"""Whether values rise or fall, and how sure that is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from statistics import median

from nexus_core.monitoring.series import moment_of

__all__ = ["CONFIDENCE", "LEAST_CHANGE", "LEAST_POINTS", "Trend", "shown_confidence", "trend_of"]

#: What a trend has to be sure to at least.
CONFIDENCE = 0.95
#: The fewest points by which it can be: five in one order come by chance once in sixty times.
LEAST_POINTS = 5
#: The share of the middle value by which the line has to rise or fall over all points. What is
#: less is no news, however sure it is.
LEAST_CHANGE = 0.1

# Beyond it points are picked evenly: what is computed grows with the square of their number.
_MOST_POINTS = 300
# Up to it the distribution is exact; beyond it the normal one differs by less than can be seen.
_MOST_EXACT = 30


@dataclass(frozen=True, slots=True)
class Trend:
    """Where values go.

    Attributes:
        direction: ``"increasing"``, ``"decreasing"``, ``"stable"`` or ``"insufficient_data"``.
        slope: By how much a value changes in a second: the median of the slopes between all
            pairs of points (Theil-Sen); ``None`` without two points at different times.
        confidence: How sure it is, from 0 to 1, that they rise or fall at all: one less the
            probability that as clear an order comes by chance (Mann-Kendall, two-sided);
            ``None`` for fewer than three points.
    """

    direction: str
    slope: float | None
    confidence: float | None


def trend_of(points: Sequence[tuple[float, float]]) -> Trend:
    """The trend of points.

    A few values that are far off do not change it. Values are taken to be independent of each
    other; where each is close to the one before, it is less sure than it says.

    Args:
        points: Times in seconds, and values. Those that a monitor has measured are in the order in which they
            were, even if the system's clock has been set meanwhile.

    Returns:
        ``increasing`` or ``decreasing`` if the confidence is at least `CONFIDENCE` and the change
        at least `LEAST_CHANGE`; ``insufficient_data`` for fewer than `LEAST_POINTS` points.

    Raises:
        ValueError: If a time or value is not finite.

    Example:
        >>> trend_of([(second, 100 + 3 * second) for second in range(20)])
        Trend(direction='increasing', slope=3.0, confidence=1.0)
        >>> trend_of([(0, 1), (1, 2)]).direction
        'insufficient_data'
    """
    for point in points:
        if not all(map(math.isfinite, point)):
            raise ValueError(f"a trend is of times and values that are finite, got {tuple(point)!r}")
    picked = _picked(sorted(((moment_of(point), point[1]) for point in points), key=itemgetter(0)))
    slopes: list[float] = []
    order = 0
    for later, (end, after) in enumerate(picked):
        for start, before in picked[:later]:
            order += (after > before) - (after < before)
            if end > start:
                slopes.append((after - before) / (end - start))
    slope = median(slopes) if slopes else None
    confidence = _confidence(order, [value for _, value in picked]) if len(picked) > 2 else None
    if len(picked) < LEAST_POINTS or slope is None or confidence is None:
        return Trend("insufficient_data", slope, confidence)
    change = slope * (picked[-1][0] - picked[0][0])
    usual = abs(median(value for _, value in picked))
    if confidence < CONFIDENCE or change == 0 or abs(change) < LEAST_CHANGE * usual:
        return Trend("stable", slope, confidence)
    return Trend("increasing" if change > 0 else "decreasing", slope, confidence)


def shown_confidence(confidence: float) -> str:
    """For people, and rounded down: nothing that was measured is entirely sure."""
    return f"{min(999, int(confidence * 1000)) / 10:g} %"


def _picked(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    count = len(points)
    if count <= _MOST_POINTS:
        return list(points)
    return [points[index * (count - 1) // (_MOST_POINTS - 1)] for index in range(_MOST_POINTS)]


def _confidence(order: int, values: list[float]) -> float:
    """One less the p-value of Kendall's S."""
    count = len(values)
    ties = [size for size in Counter(values).values() if size > 1]
    if not ties and count <= _MOST_EXACT:
        return 1.0 - _exact(count, abs(order))
    variance = count * (count - 1) * (2 * count + 5) - sum(size * (size - 1) * (2 * size + 5) for size in ties)
    if variance <= 0 or order == 0:
        return 0.0
    # Corrected for continuity: S goes by steps of two.
    deviation = (abs(order) - 1) / math.sqrt(variance / 18)
    return math.erf(deviation / math.sqrt(2))


@lru_cache(maxsize=1024)
def _exact(count: int, order: int) -> float:
    """The probability that S of so many values in random order is at least as far from zero."""
    inversions = [1]
    for size in range(2, count + 1):
        longer = [0] * (len(inversions) + size - 1)
        for place, number in enumerate(inversions):
            for more in range(size):
                longer[place + more] += number
        inversions = longer
    pairs = len(inversions) - 1
    far = sum(number for place, number in enumerate(inversions) if abs(pairs - 2 * place) >= order)
    return far / sum(inversions)
