"""Recommendations name the figures that they are made from."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nexus_core import IntelligentCache


def _use(cache: IntelligentCache, keys: list[int]) -> None:
    for number in keys:
        key = f"key-{number}"
        if cache.get_cached_result(key) is None:
            cache.cache_workflow_result(key, {"number": number}, {"execution_time": 0.1})


def _loop(keys: int, length: int) -> list[int]:
    return [step % keys for step in range(length)]


def test_a_larger_size_is_recommended_if_it_would_have_found_more(app: Any) -> None:
    cache = IntelligentCache(app, maxsize=50)
    _use(cache, _loop(80, 2_000))
    found = cache.what_if()
    assert found.twice.hit_ratio > 0.9 > found.hit_ratio
    advice = cache.optimize_cache_configuration()
    assert advice["suggested_cache_size"] == 100
    expected = (
        f"Raise the size from 50 to 100: it would have found {found.twice.hit_ratio:.1%} of the last 2,000 requests, "
        f"and {found.hit_ratio:.1%} were found"
    )
    assert expected in advice["recommendations"]
    # It is true.
    larger = IntelligentCache(app, maxsize=100)
    _use(larger, _loop(80, 2_000))
    assert larger.statistics().hit_ratio == pytest.approx(found.twice.hit_ratio)


def test_a_smaller_size_is_recommended_if_it_would_do(app: Any) -> None:
    cache = IntelligentCache(app, maxsize=100)
    _use(cache, _loop(20, 2_000))
    advice = cache.optimize_cache_configuration()
    assert advice["suggested_cache_size"] == 50
    assert advice["recommendations"] == [
        "Half the size, 50, would do: it would have found 99.0% of the last 2,000 requests, and 99.0% were found with 100"
    ]


def test_the_size_stays_if_no_other_would_do_better(app: Any) -> None:
    cache = IntelligentCache(app, maxsize=50)
    _use(cache, _loop(45, 2_000))
    advice = cache.optimize_cache_configuration()
    assert (advice["suggested_cache_size"], advice["recommendations"]) == (50, [])


def test_a_larger_size_does_not_help_where_everything_is_asked_for_once(app: Any) -> None:
    cache = IntelligentCache(app, maxsize=50)
    _use(cache, list(range(1_000)))
    advice = cache.optimize_cache_configuration()
    assert advice["suggested_cache_size"] == 25
    (text,) = [each for each in advice["recommendations"] if "pre-warming" in each]
    assert "100.0% of the last 1,000 requests were for what was not there, 100.0% with twice the size" in text


def test_a_longer_life_is_recommended_if_results_expired(app: Any) -> None:
    cache = IntelligentCache(app, maxsize=50, ttl=0)
    _use(cache, _loop(10, 500))
    (text,) = [each for each in cache.optimize_cache_configuration()["recommendations"] if "TTL" in each]
    assert (
        "Increase cache TTL for frequently accessed results: 500 results expired, beside 500 misses in 500 requests"
        in text
    )


def test_before_enough_was_asked_the_guides_formula_counts(app: Any) -> None:
    cache = IntelligentCache(app)
    draw = random.Random(1)
    _use(cache, [draw.randrange(1_000_000) for _ in range(100)])
    assert cache.optimize_cache_configuration()["suggested_cache_size"] == 150.0
