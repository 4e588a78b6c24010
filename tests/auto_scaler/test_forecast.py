"""Forecasts beside statsmodels and scipy, and whether the right model is chosen."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable

import pytest

from nexus_core.scaling import forecast_of, holt_winters
from nexus_core.scaling.series import even, robust_line, season_of

# Not where scientific libraries are left out: statsmodels reads them all.
scipy_stats = pytest.importorskip("scipy.stats")


@pytest.fixture(scope="module")
def smoothing_of_others() -> Callable[..., object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("statsmodels.tsa.holtwinters")

    def made(values: list[float], state: holt_winters.State) -> object:
        season = (
            {"seasonal": "add", "seasonal_periods": len(state.season), "initial_seasonal": list(state.season)}
            if state.season
            else {}
        )
        return module.ExponentialSmoothing(
            values, trend="add", damped_trend=True, initialization_method="known",
            initial_level=state.level, initial_trend=state.trend, **season,
        )  # fmt: skip

    return made


def _series(count: int, period: int = 24, seed: int = 1, noise: float = 3.0) -> list[float]:
    source = random.Random(seed)
    return [
        50 + 0.05 * step + 20 * math.sin(math.tau * step / period) + source.gauss(0, noise) for step in range(count)
    ]


@pytest.mark.parametrize("period", [None, 24])
@pytest.mark.parametrize("count", [96, 101])
def test_smoothing_is_that_of_statsmodels(
    smoothing_of_others: Callable[..., object], period: int | None, count: int
) -> None:
    values = _series(count)
    state = holt_winters.initial_state(values, period)
    smoothing = holt_winters.Smoothing(0.3, 0.1, 0.2 if period else 0.0, 0.95)
    expected, end = holt_winters.smoothed(values, smoothing, state)
    season = {"smoothing_seasonal": smoothing.season} if period else {}
    theirs = smoothing_of_others(values, state).fit(  # type: ignore[attr-defined]
        smoothing_level=0.3, smoothing_trend=0.1, damping_trend=0.95, optimized=False, **season
    )
    assert expected == pytest.approx(list(theirs.fittedvalues))
    # From a whole season on, theirs takes the last value of the season as it was before the last step.
    steps = 23
    assert holt_winters.forecast(end, smoothing, steps) == pytest.approx(list(theirs.forecast(steps)))


@pytest.mark.parametrize("period", [None, 24])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_fit_is_as_good_as_that_of_statsmodels(
    smoothing_of_others: Callable[..., object], period: int | None, seed: int
) -> None:
    values = _series(120, seed=seed)
    state = holt_winters.initial_state(values, period)
    expected, _ = holt_winters.smoothed(values, holt_winters.fitted(values, period), state)
    ours = sum((value - guess) ** 2 for value, guess in zip(values, expected, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        theirs = smoothing_of_others(values, state).fit()  # type: ignore[attr-defined]
    assert ours <= 1.02 * theirs.sse


@pytest.mark.parametrize("seed", range(5))
def test_the_line_is_that_of_theil_and_sen(seed: int) -> None:
    source = random.Random(seed)
    values = [3 * step + source.gauss(0, 10) for step in range(50)]
    end, slope = robust_line(values)
    assert slope == pytest.approx(scipy_stats.theilslopes(values).slope)
    values[7], values[30] = 10_000, -10_000
    far_end, far_slope = robust_line(values)
    assert (far_slope, far_end) == (pytest.approx(slope, abs=0.2), pytest.approx(end, abs=5))


@pytest.mark.parametrize("period", [8, 24, 31])
def test_a_season_is_found(period: int) -> None:
    assert season_of(_series(4 * period, period)) == pytest.approx(period, abs=1)


def test_hardly_ever_is_a_season_found_in_noise_and_never_in_a_trend() -> None:
    found = []
    for seed in range(40):
        source = random.Random(seed)
        noise = [source.gauss(0, 1) for _ in range(200)]
        found.append(season_of(noise))
        found.append(season_of([value + step for step, value in enumerate(noise)]))
    assert sum(season is not None for season in found) <= 4
    assert season_of([float(step) for step in range(200)]) is None
    assert season_of([5.0] * 200) is None
    assert season_of([1.0, 2.0] * 5) is None


def _points(values: list[float], distance: float = 60.0) -> list[tuple[float, float]]:
    return [(1_000_000 + distance * step, value) for step, value in enumerate(values)]


def test_a_wave_is_foreseen_with_its_season() -> None:
    found = forecast_of(_points(_series(240, 48)), 1800)
    assert found is not None
    assert (found.model, found.season_seconds, len(found.values), found.distance) == ("Holt-Winters", 2880, 30, 60)
    assert found.error == min(found.errors_by_model.values())
    assert found.error < 0.3 * found.errors_by_model["line"]
    for step, value in enumerate(found.values):
        assert value == pytest.approx(50 + 0.05 * (240 + step) + 20 * math.sin(math.tau * (240 + step) / 48), abs=8)
    low, high = found.interval(found.last)
    assert low < found.last < high


def test_a_straight_rise_is_foreseen_by_a_line_whatever_stands_out() -> None:
    source = random.Random(3)
    values = [10 + 2 * step + source.gauss(0, 1) for step in range(60)]
    values[20] = values[21] = 900.0
    found = forecast_of(_points(values), 600)
    assert found is not None
    assert "line" in found.model
    assert found.last == pytest.approx(10 + 2 * 69, abs=6)
    assert found.probability_above(found.last, 100) > 0.9
    assert found.probability_above(found.last, 200) < 0.1


def test_errors_come_out_as_often_as_they_are_said_to() -> None:
    """What four in five are to lie in, about four in five do."""
    inside = 0
    for seed in range(30):
        source = random.Random(seed)
        values = [50 + source.gauss(0, 5) for _ in range(61)]
        found = forecast_of(_points(values[:51]), 600)
        assert found is not None
        low, high = found.interval(found.last)
        inside += low <= values[-1] <= high
    assert 17 <= inside <= 29


def test_too_few_points() -> None:
    assert forecast_of(_points([1.0] * 9), 60) is None
    assert forecast_of([(5.0, 1.0)] * 20, 60) is None
    found = forecast_of(_points([1.0] * 10), 60)
    assert found is not None
    assert (found.last, found.error) == (pytest.approx(1.0), pytest.approx(0.0))


def test_uneven_times_become_even() -> None:
    assert even([(0, 1.0), (10, 2.0), (20, 3.0), (40, 5.0), (50, 6.0)]) == (10, [1, 2, 3, 4, 5, 6])
    assert even([(0, 1.0), (10, 2.0), (11, 4.0), (20, 3.0)])[1] == [1, 3, 3]
    distance, values = even([(float(step), float(step)) for step in range(4000)])
    assert (distance, len(values)) == (pytest.approx(10, rel=0.01), 401)
    assert values == sorted(values)
