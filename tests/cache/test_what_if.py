"""A cache tells what other sizes would have done, from a sample of its keys."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Iterable
from typing import Any

import pytest

from nexus_core import Cache


def _zipf(exponent: float, length: int, keys: int = 20_000) -> list[str]:
    together = list(itertools.accumulate(rank**-exponent for rank in range(1, keys + 1)))
    draw = random.Random(7).random
    return [f"key-{bisect.bisect_left(together, draw() * together[-1])}" for _ in range(length)]


def _run(cache: Cache[Any, Any], trace: Iterable[Any]) -> Cache[Any, Any]:
    for key in trace:
        cache.get_or_set(key, lambda: 1)
    return cache


def _ratio(maxsize: int, trace: Iterable[Any], **options: Any) -> float:
    return _run(Cache(maxsize, **options), trace).statistics().hit_ratio


@pytest.mark.parametrize("policy", ["tinylfu", "lru"])
@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.3])
def test_with_all_keys_half_and_twice_are_what_such_caches_find(policy: Any, exponent: float) -> None:
    trace = _zipf(exponent, 8_000)
    found = _run(Cache(300, policy=policy, what_if=1.0), trace).what_if()
    assert (found.half.maxsize, found.maxsize, found.twice.maxsize) == (150, 300, 600)
    assert (found.half.policy, found.half.margin, found.sampling_rate) == (policy, 0.0, 1.0)
    assert (found.requests, found.samples) == (8_000, 8_000)
    for each, maxsize in ((found.half.hit_ratio, 150), (found.hit_ratio, 300), (found.twice.hit_ratio, 600)):
        assert each == pytest.approx(_ratio(maxsize, trace, policy=policy), abs=1e-9)


def test_a_sample_is_close() -> None:
    trace = _zipf(1.0, 60_000)
    found = _run(Cache(2_000, what_if=True), trace).what_if(sizes=[2_000], factors=[0.5])
    assert found.sampling_rate == 1 / 32
    # A 32nd of the keys; the one that is asked for most makes up a ninth of all requests alone.
    assert 0 < found.samples < 60_000 / 4
    for each in (found.half, found.twice):
        assert each.margin is not None and 0 < each.margin < 0.1
        assert each.hit_ratio == pytest.approx(_ratio(each.maxsize, trace), abs=0.05)
    assert [each.maxsize for each in found.sizes] == [2_000, 1_000]
    for each in found.sizes:
        assert (each.policy, each.margin) == ("lru", None)
        assert each.hit_ratio == pytest.approx(_ratio(each.maxsize, trace, policy="lru"), abs=0.06)


def test_where_there_is_room_for_few_more_keys_are_sampled() -> None:
    assert Cache(100, what_if=True).what_if().sampling_rate == 0.5
    assert Cache(10, what_if=True).what_if().sampling_rate == 1.0
    assert Cache(10_000, what_if=0.1).what_if().sampling_rate == 0.125


def test_keys_of_any_kind_are_sampled() -> None:
    cache: Cache[Any, Any] = Cache(10, policy="lru", what_if=1.0)
    keys = [*range(5), *(f"k{i}" for i in range(5)), (1, "a"), 1.5, b"x", None, frozenset({1})]
    _run(cache, keys * 10)
    found = cache.what_if()
    assert (found.hit_ratio, found.half.hit_ratio) == (0.0, 0.0)
    assert found.twice.hit_ratio == pytest.approx(0.9)


def test_what_expires_expires_at_every_size() -> None:
    now = 0.0

    def run(maxsize: int, what_if: float) -> Cache[int, int]:
        nonlocal now
        now = 0.0
        cache: Cache[int, int] = Cache(maxsize, ttl=50, timer=lambda: now, policy="lru", what_if=what_if or False)
        draw = random.Random(3)
        for _ in range(3_000):
            now += 1
            cache.get_or_set(int(draw.paretovariate(0.6)) % 100, lambda: 1)
        return cache

    found = run(20, 1.0).what_if()
    assert found.half.hit_ratio == pytest.approx(run(10, 0).statistics().hit_ratio, abs=1e-9)
    assert found.twice.hit_ratio == pytest.approx(run(40, 0).statistics().hit_ratio, abs=1e-9)


@pytest.mark.parametrize("how", ["invalidate", "pop", "tag", "clear"])
def test_what_is_removed_is_removed_at_every_size(how: str) -> None:
    cache: Cache[int, int] = Cache(10, policy="lru", what_if=1.0)
    for key in [*range(20)] * 2:
        if cache.get(key) is None:
            cache.set(key, 1, tags="all")
    assert cache.what_if().twice.hit_ratio == pytest.approx(0.5)
    for key in range(20):
        if how == "invalidate":
            cache.invalidate(key)
        elif how == "pop":
            cache.pop(key, None)
    if how == "tag":
        cache.invalidate_tag("all")
    elif how == "clear":
        cache.clear()
    for key in range(20):
        cache.get(key)
    assert cache.what_if().twice.hit_ratio == pytest.approx(20 / 60)


def test_weights_count_as_they_do_in_the_cache() -> None:
    draw = random.Random(5)
    trace = [int(draw.paretovariate(0.5)) % 300 for _ in range(5_000)]

    def run(maxsize: int, **options: Any) -> Cache[int, int]:
        return _run(Cache(maxsize, weigher=lambda key, _: 1 + key % 9, policy="lru", **options), trace)

    found = run(200, what_if=1.0).what_if(sizes=[20])
    assert found.half.hit_ratio == pytest.approx(run(100).statistics().hit_ratio, abs=1e-9)
    assert found.twice.hit_ratio == pytest.approx(run(400).statistics().hit_ratio, abs=1e-9)
    assert found.sizes[0].hit_ratio == pytest.approx(run(20).statistics().hit_ratio, abs=0.02)


def test_cache_clear_forgets_what_was_asked() -> None:
    cache = _run(Cache(10, what_if=True), [1, 2, 3] * 5)
    assert cache.what_if().requests == 15
    cache.cache_clear()
    found = cache.what_if(sizes=[10])
    assert (found.requests, found.samples, found.hit_ratio) == (0, 0, 0.0)
    assert found.half.hit_ratio == found.twice.hit_ratio == found.sizes[0].hit_ratio == 0.0
    assert found.as_dict()["twice"]["maxsize"] == 20


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"what_if": 0.0}, ValueError, "a share of the keys above 0 and up to 1, got 0.0"),
        ({"what_if": 1.5}, ValueError, "up to 1, got 1.5"),
        ({"what_if": float("nan")}, ValueError, "got nan"),
        ({"what_if": "yes"}, TypeError, "got 'yes'"),
        ({"what_if": None}, TypeError, "got None"),
        ({"what_if": True, "maxsize": None}, ValueError, "maxsize is None; give one above 0"),
        ({"what_if": True, "maxsize": 0}, ValueError, "maxsize is 0; give one above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Cache(name="mine", **options)


def test_sizes_that_make_no_sense_are_refused() -> None:
    cache: Cache[int, int] = Cache(10, what_if=True, name="mine")
    for sizes, error in (([-1], ValueError), ([1.5], TypeError), ([True], TypeError), (["1"], TypeError)):
        with pytest.raises(error, match="cache 'mine': a size must be"):
            cache.what_if(sizes=sizes)  # type: ignore[arg-type]
    for factors, error in (([-1], ValueError), ([float("inf")], ValueError), ([True], TypeError), (["1"], TypeError)):
        with pytest.raises(error, match="cache 'mine': a factor must be"):
            cache.what_if(factors=factors)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"cache 'plain' keeps no record.*Cache\(\.\.\., what_if=True\)"):
        Cache(10, name="plain").what_if()
