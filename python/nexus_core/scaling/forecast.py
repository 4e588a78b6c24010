"""What a metric is going to be: of several models the one that would have foreseen best what is known by now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from nexus_core.scaling import holt_winters
from nexus_core.scaling.series import even, robust_line, season_of

__all__ = ["LEAST_POINTS", "Forecast", "forecast_of"]

#: The guide's.
LEAST_POINTS = 10

# So many times it is looked at what a model would have foreseen.
_ORIGINS = 6
# Nothing is known of what is further ahead, and it would take seconds to say so.
_MOST_STEPS = 1_000_000
# Of how many values the shorter line is.
_RECENT = 20
# Sums of squares of what is smaller are finite.
_LARGEST = 1e140
# Of errors between these shares are four in five.
_LOW, _HIGH = 0.1, 0.9

_Model = Callable[[Sequence[float], int], list[float]]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of a series.

    Attributes:
        model: ``"line"`` (robust), ``"recent line"``, ``"Holt"`` or ``"Holt-Winters"``.
        distance: Seconds from one expected value to the next.
        values: What is expected, the nearest first.
        error: By how much the model would have been wrong on average, had it been asked before.
        errors: By how much what came was above what it foresaw, near its horizon, in ascending order.
        tested_steps: How far ahead it was tested: less than is asked for where the series is short.
        season_seconds: The length of a season, if the model has one.
        errors_by_model: The same as ``error`` for all that were tried.
    """

    model: str
    distance: float
    values: tuple[float, ...]
    error: float
    errors: tuple[float, ...]
    tested_steps: int
    season_seconds: float | None
    errors_by_model: dict[str, float]

    @property
    def last(self) -> float:
        """What is expected at the end."""
        return self.values[-1]

    def interval(self, value: float) -> tuple[float, float]:
        """Where four in five of the values that come instead of an expected one lie, by past errors."""
        return value + _quantile(self.errors, _LOW), value + _quantile(self.errors, _HIGH)

    def probability_above(self, value: float, level: float) -> float:
        """How probable it is, by past errors, that more than ``level`` comes where ``value`` is expected."""
        # One more on either side: what never happened so far is not impossible.
        beyond = sum(value + error > level for error in self.errors)
        return (beyond + 0.5) / (len(self.errors) + 1)


def forecast_of(points: Sequence[tuple[float, float]], seconds: float) -> Forecast | None:
    """What is expected of a series.

    Args:
        points: Times and values; those that are no finite numbers, or whose square would not be, are left out.
        seconds: How far ahead.

    Returns:
        The forecast; ``None`` with fewer than `LEAST_POINTS` points, or if all are of one time.

    Raises:
        ValueError: If that is so far ahead that there would be more than a million values until then.

    Example:
        >>> found = forecast_of([(60 * minute, 10 + 2 * minute) for minute in range(30)], 600)
        >>> round(found.last, 3), round(found.error, 3)
        (88.0, 0.0)
    """
    points = sorted((point for point in points if abs(point[1]) < _LARGEST), key=itemgetter(0))
    if len(points) < LEAST_POINTS or points[-1][0] <= points[0][0]:
        return None
    distance, values = even(points)
    if len(values) < LEAST_POINTS:
        return None
    if seconds / distance > _MOST_STEPS:
        raise ValueError(
            f"{seconds / 60:g} minutes ahead is too far, with a value every {distance:.3g} s: "
            f"{_MOST_STEPS * distance / 60:.3g} minutes at the most"
        )
    steps = max(1, round(seconds / distance))
    period = season_of(values)
    models: dict[str, _Model] = {"line": _line, "recent line": _recent_line, "Holt": _smoother(None)}
    if period is not None:
        models["Holt-Winters"] = _smoother(period)
    tested = _tested(models, values, steps, period)
    errors = {name: sum(map(abs, found)) / len(found) for name, (found, _) in tested.items()}
    # A simpler one is taken if it is as good.
    name = min(errors, key=lambda each: errors[each] * (1 if each == "line" else 1.02))
    near_end, horizon = tested[name][1], _tested_steps(values, steps)
    return Forecast(
        name,
        distance,
        tuple(models[name](values, steps)),
        errors[name],
        tuple(sorted(near_end)),
        horizon,
        period * distance if name == "Holt-Winters" and period is not None else None,
        errors,
    )


def _tested_steps(values: Sequence[float], steps: int) -> int:
    return max(1, min(steps, len(values) // 3))


def _tested(
    models: dict[str, _Model], values: Sequence[float], steps: int, period: int | None
) -> dict[str, tuple[list[float], list[float]]]:
    """By model its errors at all steps, and those near the horizon."""
    horizon = _tested_steps(values, steps)
    last = len(values) - horizon
    first = min(last, max(LEAST_POINTS // 2, len(values) // 3, 2 * (period or 0)))
    origins = sorted({last - (last - first) * number // max(1, _ORIGINS - 1) for number in range(_ORIGINS)})
    found: dict[str, tuple[list[float], list[float]]] = {}
    for name, model in models.items():
        everywhere: list[float] = []
        at_end: list[float] = []
        for origin in origins:
            foreseen = model(values[:origin], horizon)
            errors = [value - guess for value, guess in zip(values[origin : origin + horizon], foreseen, strict=True)]
            everywhere.extend(errors)
            at_end.extend(errors[3 * horizon // 4 :])
        found[name] = everywhere, at_end
    return found


def _line(values: Sequence[float], steps: int) -> list[float]:
    end, slope = robust_line(values)
    return [end + slope * step for step in range(1, steps + 1)]


def _recent_line(values: Sequence[float], steps: int) -> list[float]:
    return _line(values[-_RECENT:], steps)


def _smoother(period: int | None) -> _Model:
    def model(values: Sequence[float], steps: int) -> list[float]:
        # With less than two seasons there is none to be seen.
        season = period if period is not None and len(values) >= 2 * period else None
        smoothing = holt_winters.fitted(values, season)
        _, state = holt_winters.smoothed(values, smoothing, holt_winters.initial_state(values, season))
        return holt_winters.forecast(state, smoothing, steps)

    return model


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
