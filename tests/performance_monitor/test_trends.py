"""Trends against scipy, and what they are said to be."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from nexus_core.monitoring import Trend, trend_of
from nexus_core.monitoring.trends import CONFIDENCE, LEAST_POINTS


def points(values: list[float]) -> list[tuple[float, float]]:
    return [(10.0 * index, value) for index, value in enumerate(values)]


def test_slope_and_confidence_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    chance = random.Random(5)
    for count in (5, 8, 20, 29, 60, 150):
        for rise in (0.0, 0.05, -0.4):
            values = [100 + rise * index + chance.gauss(0, 1) for index in range(count)]
            found = trend_of(points(values))
            times = [when for when, _ in points(values)]
            assert found.slope == pytest.approx(stats.theilslopes(values, times).slope)
            exact = count <= 30
            tau = stats.kendalltau(times, values, method="exact" if exact else "asymptotic")
            # scipy's own approximation has no correction for continuity.
            assert found.confidence == pytest.approx(1 - tau.pvalue, abs=1e-9 if exact else 0.01)


def test_ties_are_counted() -> None:
    stats = pytest.importorskip("scipy.stats")
    chance = random.Random(7)
    values = [float(chance.randrange(4) + index // 30) for index in range(120)]
    found = trend_of(points(values))
    tau = stats.kendalltau(range(120), values, method="asymptotic")
    assert found.confidence == pytest.approx(1 - tau.pvalue, abs=0.01)


def test_the_exact_distribution_is_that_of_all_orders() -> None:
    orders = list(itertools.permutations(range(5)))
    clear = sum(trend_of(points(list(order))).confidence > 0.9 for order in orders)  # type: ignore[operator, arg-type]
    # Of 120 orders, in two all ten pairs agree and in eight nine do, rising or falling: p = 10/120.
    assert clear == 10


@pytest.mark.parametrize(
    ("values", "direction"),
    [
        ([100 + 3 * index for index in range(20)], "increasing"),
        ([100 - 3 * index for index in range(20)], "decreasing"),
        ([100.0] * 20, "stable"),
        ([0.0] * 20, "stable"),
        ([0, 1, 2, 3, 4], "increasing"),
        ([100 + 0.1 * index for index in range(20)], "stable"),  # sure, and no news
        ([1, 9, 2, 8, 3, 7, 4, 6, 5, 5], "stable"),  # news, and not sure
        ([1, 2, 3, 4], "insufficient_data"),
        ([], "insufficient_data"),
        ([1], "insufficient_data"),
    ],
)
def test_the_words(values: list[float], direction: str) -> None:
    assert trend_of(points(values)).direction == direction


def test_outliers_change_nothing() -> None:
    values: list[float] = [100.0 + (index % 3) for index in range(30)]
    values[-1] = values[-2] = 1e9  # the second half's mean would be far above the first's
    assert trend_of(points(values)).direction == "stable"
    rising: list[float] = [100.0 + 5 * index for index in range(30)]
    rising[3] = 1e9
    assert trend_of(points(rising)).direction == "increasing"


def test_noise_is_called_a_trend_hardly_ever() -> None:
    chance = random.Random(11)
    found = [trend_of(points([chance.uniform(0, 100) for _ in range(40)])).direction for _ in range(400)]
    assert found.count("increasing") + found.count("decreasing") <= 400 * (1 - CONFIDENCE) * 1.5


def test_so_many_points_are_needed() -> None:
    assert LEAST_POINTS == 5
    assert trend_of(points([1, 2])) == Trend("insufficient_data", 0.1, None)
    found = trend_of(points([1, 2, 3, 4]))
    assert found.confidence is not None and found.confidence < CONFIDENCE


def test_many_points_are_thinned() -> None:
    found = trend_of([(float(second), 2.0 * second) for second in range(50_000)])
    assert (found.direction, found.slope) == ("increasing", 2.0)


def test_points_at_one_time() -> None:
    assert trend_of([(1.0, float(value)) for value in range(10)]).direction == "insufficient_data"


def test_the_order_in_which_they_are_given_is_none() -> None:
    given = points([100 + 3 * index for index in range(20)])
    assert trend_of(given[::-1]) == trend_of(given)
    assert trend_of(given[10:] + given[:10]) == trend_of(given)


@pytest.mark.parametrize("bad", [(5.0, math.nan), (math.nan, 5.0), (5.0, math.inf)])
def test_what_is_not_finite_is_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"times and values that are finite, got \("):
        trend_of([(1.0, 1.0), bad, (3.0, 3.0)])


def test_a_step() -> None:
    assert trend_of(points([100.0] * 10 + [150.0] * 10)).direction == "increasing"
    assert trend_of(points([150.0] * 10 + [100.0] * 10)).direction == "decreasing"
    # Long ago, or only just: most pairs of points do not differ.
    assert trend_of(points([100.0] * 3 + [150.0] * 17)).direction == "stable"
    assert trend_of(points([100.0] * 17 + [150.0] * 3)).direction == "stable"
