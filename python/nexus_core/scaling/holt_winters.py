"""Exponential smoothing with a damped trend and, if there is one, a season: Holt and Winters's additive method.

The recurrences are those of Hyndman and Athanasopoulos, "Forecasting: principles and practice", which statsmodels
has too; the tests compare with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Smoothing", "State", "fitted", "forecast", "initial_state", "smoothed"]


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How fast the parts follow what is new, each from 0 to 1.

    Attributes:
        level: Of the level.
        trend: Of the trend.
        season: Of the season.
        damping: What is left of the trend after each step.
    """

    level: float
    trend: float
    season: float = 0.0
    damping: float = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """Where a series has come to.

    Attributes:
        level: Its level.
        trend: What is added to it in a step.
        season: What is added to the level in each step of a season, that of the next step first; empty without one.
    """

    level: float
    trend: float
    season: tuple[float, ...] = ()


def initial_state(values: Sequence[float], period: int | None) -> State:
    """Where a series is taken to have begun.

    Args:
        values: At least two of them, or with a season at least twice its length.
        period: The length of a season; ``None`` without one.
    """
    if period is None:
        # From a few steps: the first two alone may be anywhere.
        few = min(len(values), 10)
        slope = (values[few - 1] - values[0]) / (few - 1)
        return State(values[0] - slope, slope)
    first, second = _mean(values[:period]), _mean(values[period : 2 * period])
    slope = (second - first) / period
    begin = first - slope * (period + 1) / 2
    seasons = len(values) // period
    season = [
        _mean([values[each * period + step] - (begin + slope * (each * period + step + 1)) for each in range(seasons)])
        for step in range(period)
    ]
    middle = _mean(season)
    return State(begin + middle, slope, tuple(value - middle for value in season))


def smoothed(values: Sequence[float], smoothing: Smoothing, state: State) -> tuple[list[float], State]:
    """Goes through a series.

    Args:
        values: The series.
        smoothing: How fast.
        state: Where it begins.

    Returns:
        What was expected of each value before it came, and the state at the end.
    """
    level, trend, damping = state.level, state.trend, smoothing.damping
    season, period = list(state.season), len(state.season)
    of_level, of_trend, of_season = smoothing.level, smoothing.trend, smoothing.season
    expected = []
    for number, value in enumerate(values):
        added = season[number % period] if period else 0.0
        ahead = level + damping * trend
        expected.append(ahead + added)
        before, level = level, of_level * (value - added) + (1 - of_level) * ahead
        trend = of_trend * (level - before) + (1 - of_trend) * damping * trend
        if period:
            season[number % period] = of_season * (value - ahead) + (1 - of_season) * added
    if period:
        turn = len(values) % period
        season = season[turn:] + season[:turn]
    return expected, State(level, trend, tuple(season))


def forecast(state: State, smoothing: Smoothing, steps: int) -> list[float]:
    """What is to be expected.

    Args:
        state: Where a series has come to.
        smoothing: How it was smoothed.
        steps: How many.
    """
    found, level, trend, period = [], state.level, state.trend, len(state.season)
    for step in range(steps):
        trend *= smoothing.damping
        level += trend
        found.append(level + (state.season[step % period] if period else 0.0))
    return found


def fitted(values: Sequence[float], period: int | None) -> Smoothing:
    """The smoothing with which each value is best expected from those before: least squares, by Nelder and Mead.

    Args:
        values: The series.
        period: The length of a season; ``None`` without one.
    """
    state = initial_state(values, period)

    def made(point: Sequence[float]) -> Smoothing:
        level, trend, damping = (_unit(coordinate) for coordinate in point[:3])
        # A season may take only what the level leaves, or both would follow the same.
        season = (1 - level) * _unit(point[3]) if period else 0.0
        return Smoothing(level, trend, season, 0.8 + 0.2 * damping)

    def error(point: Sequence[float]) -> float:
        expected, _ = smoothed(values, made(point), state)
        return math.fsum((value - guess) ** 2 for value, guess in zip(values, expected, strict=True))

    starts = [[-1.0, -3.0, 2.0, -1.0], [1.5, -2.0, 1.0, -2.0], [-4.0, -5.0, 3.0, -3.0]]
    begin = min((start[: 4 if period else 3] for start in starts), key=error)
    return made(_lowest(error, begin))


def _unit(coordinate: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, coordinate))))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _lowest(function: Callable[[Sequence[float]], float], start: Sequence[float], rounds: int = 120) -> list[float]:
    """A minimum by Nelder and Mead's simplex."""
    corners = [list(start)] + [
        [value + (1.5 if axis == moved else 0.0) for axis, value in enumerate(start)] for moved in range(len(start))
    ]
    simplex = sorted((function(corner), corner) for corner in corners)
    for _ in range(rounds):
        best, (worst_value, worst) = simplex[0], simplex[-1]
        if worst_value - best[0] <= 1e-9 * abs(worst_value):
            break
        middle = [_mean(axis) for axis in zip(*(corner for _, corner in simplex[:-1]), strict=True)]

        def moved(by: float, middle: list[float] = middle, worst: list[float] = worst) -> tuple[float, list[float]]:
            point = [center + by * (center - value) for center, value in zip(middle, worst, strict=True)]
            return function(point), point

        candidate = moved(1.0)
        if candidate[0] < best[0]:
            further = moved(2.0)
            candidate = min(candidate, further)
        elif candidate[0] >= simplex[-2][0]:
            candidate = min(moved(0.5), moved(-0.5))
            if candidate[0] >= worst_value:
                shrunk = [
                    [value + 0.5 * (goal - value) for value, goal in zip(corner, best[1], strict=True)]
                    for _, corner in simplex[1:]
                ]
                simplex = sorted([best, *((function(corner), corner) for corner in shrunk)])
                continue
        simplex = sorted([*simplex[:-1], candidate])
    return simplex[0][1]
