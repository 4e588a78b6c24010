"""Quantiles are those of the values, whatever their size and number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.load_testing import LatencyHistogram

_SECONDS = st.floats(1e-7, 1e5)


@given(st.lists(_SECONDS, min_size=1, max_size=200), st.floats(0.001, 1.0))
def test_a_quantile_is_the_value_of_that_rank(values: list[float], share: float) -> None:
    seen = LatencyHistogram()
    for value in values:
        seen.record(value)
    rank = max(1, math.ceil(round(share * len(values), 6)))
    assert seen.quantile(share) == pytest.approx(sorted(values)[rank - 1], rel=0.001, abs=2e-9)


@given(st.lists(_SECONDS, max_size=50), st.lists(_SECONDS, max_size=50))
def test_merging_is_counting_together(first: list[float], second: list[float]) -> None:
    one, other, both = LatencyHistogram(), LatencyHistogram(), LatencyHistogram()
    for value in first:
        one.record(value)
        both.record(value)
    for value in second:
        other.record(value)
        both.record(value)
    one.merge(other)
    merged, counted = one.summary(), both.summary()
    assert merged.mean == pytest.approx(counted.mean)
    assert (merged.count, merged.min, merged.p50, merged.p999, merged.max) == (
        counted.count, counted.min, counted.p50, counted.p999, counted.max,
    )  # fmt: skip


def test_extremes_are_exact_and_many_values_take_little() -> None:
    seen = LatencyHistogram()
    for number in range(200_000):
        seen.record((number + 1) / 2e5)
    found = seen.summary()
    assert (found.count, found.min, found.max) == (200_000, 5e-6, 1.0)
    assert (found.p50, found.p99) == (pytest.approx(0.5, rel=0.001), pytest.approx(0.99, rel=0.001))
    assert len(seen._counts) < 25_000


def test_nothing_and_a_clock_that_goes_back() -> None:
    seen = LatencyHistogram()
    assert seen.summary().as_dict() == dict.fromkeys(seen.summary().as_dict(), 0)
    seen.record(-1.0)
    assert (seen.count, seen.quantile(1.0)) == (1, 0.0)
