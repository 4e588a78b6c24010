"""How much a cache holds, for how long, and what leaves it."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import sys
import time
from typing import Any

import pytest

from nexus_core import Cache, cached
from nexus_core.cache import LRUCache, TTLCache

policies = pytest.mark.parametrize("policy", ["tinylfu", "lru"])


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@policies
@pytest.mark.parametrize("maxsize", [0, 1, 2, 3, 50, 1000])
def test_it_never_holds_more_than_it_may(policy: Any, maxsize: int) -> None:
    left: list[int] = []
    cache: Cache[int, int] = Cache(maxsize, policy=policy, on_evict=lambda key, _value, _cause: left.append(key))
    for number in range(2500):
        cache[number] = number
        assert cache.currsize <= maxsize
    assert len(cache) == maxsize
    assert sorted([*left, *cache]) == list(range(2500))
    assert cache.statistics().evicted == len(left)


def test_what_was_just_written_is_there() -> None:
    cache: Cache[int, int] = Cache(10)
    for number in range(1000):
        cache[number] = number
        assert cache[number] == number


def test_weights_bound_it() -> None:
    cache: Cache[str, list[int]] = Cache(10, policy="lru", weigher=lambda key, value: len(key) + len(value))
    cache["a"] = [1, 2, 3]
    cache["b"] = [1, 2, 3, 4, 5]
    assert cache.currsize == 10
    cache["c"] = [1]
    assert sorted(cache) == ["b", "c"]
    cache["b"] = [1] * 10
    assert sorted(cache) == ["c"], "what is too heavy is not kept, nor is what it was to replace"
    cache.set("d", [], weight=8)
    assert cache.currsize == 10


def test_getsizeof_weighs_values_as_cachetools_does() -> None:
    cache: Cache[str, str] = Cache(maxsize=10, getsizeof=len)
    cache["anything"] = "12345"
    assert (cache.maxsize, cache.currsize) == (10, 5)
    with pytest.raises(ValueError, match="not both"):
        Cache(10, getsizeof=len, weigher="bytes")


@pytest.mark.parametrize(
    ("weight", "error", "text"),
    [
        (-1, ValueError, "at least 0 and at most .*, got -1"),
        (10**40, ValueError, "at least 0 and at most"),
        (1.5, TypeError, "must be an integer, got 1.5"),
        ("heavy", TypeError, "must be an integer, got 'heavy'"),
        (None, TypeError, "must be an integer, got None"),
        (ZeroDivisionError("no scales"), ZeroDivisionError, "no scales"),
    ],
)
def test_a_weigher_that_makes_no_sense_is_refused_and_changes_nothing(
    weight: object, error: type[Exception], text: str
) -> None:
    given: Any = 1

    def weigher(_key: str, _value: object) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    cache: Cache[str, int] = Cache(10, weigher=weigher)
    cache["a"] = 1
    given = weight
    before = cache.statistics()
    for write in (
        lambda: cache.set("a", 2),
        lambda: cache.set("b", 2),
        lambda: cache.update(a=2),
        lambda: cache.setdefault("b", 2),
        lambda: cache.get_or_set("b", lambda: 2),
        lambda: asyncio.run(cache.aget_or_set("b", lambda: 2)),
        lambda: cached(cache)(lambda: 2)(),
    ):
        with pytest.raises(error, match=text):
            write()
    assert (dict(cache), cache.currsize) == ({"a": 1}, 1)
    after = cache.statistics()
    assert (after.insertions, after.replaced, after.evicted) == (before.insertions, before.replaced, before.evicted)
    # Nobody is thought to be computing still.
    given = 1
    assert cache.get_or_set("b", lambda: 3) == 3


class Box:
    """Holds something in an attribute."""

    def __init__(self, content: object) -> None:
        self.content = content


def _weight(value: object) -> int:
    cache: Cache[int, object] = Cache(None, weigher="bytes")
    cache[0] = value
    return cache.currsize - sys.getsizeof(0)


def test_bytes_are_counted_with_what_belongs_to_a_value() -> None:
    text = "x" * 10_000
    assert _weight(text) == sys.getsizeof(text)
    for holder in ([text], (text,), {1: text}, {text}, frozenset([text]), Box(text), [[{"deep": (text,)}]]):
        assert 10_000 < _weight(holder) < 12_000, holder
    assert _weight([text, text]) < 12_000, "what is held twice counts once"
    assert _weight(bytearray(5000)) >= 5000
    ring: list[object] = []
    ring.append(ring)
    assert _weight(ring) == sys.getsizeof(ring)
    assert _weight(Cache) == 0, "a class belongs to nobody"


def test_sizes_that_nothing_could_have_do_not_upset_the_sum() -> None:
    class Immense:
        def __sizeof__(self) -> int:
            return 2**62

    cache: Cache[int, list[object]] = Cache(None, weigher="bytes")
    for number in range(9):
        cache[number] = [Immense() for _ in range(4)]
    assert cache.currsize == 9 * 2**48


def test_nothing_that_lives_is_evicted_while_there_is_something_that_has_expired() -> None:
    now = 0.0
    cache: Cache[object, int] = Cache(100, policy="lru", timer=lambda: now)
    cache.set("lives", 1, weight=50)
    for number in range(40):
        cache.set(number, number, ttl=10, weight=1)
    now = 20.0
    cache.set("new", 2, weight=50)
    assert set(cache) == {"lives", "new"}
    figures = cache.statistics()
    assert (figures.evicted, figures.expired) == (0, 40)


def test_a_bound_in_bytes_holds() -> None:
    cache: Cache[int, bytes] = Cache(100_000, weigher="bytes")
    for number in range(100):
        cache[number] = bytes(9_000)
    assert 50_000 < cache.currsize <= 100_000
    assert len(cache) in (10, 11)


def test_entries_live_as_long_as_they_may() -> None:
    clock = Clock()
    cache: Cache[str, int] = Cache(10, ttl=10, timer=clock)
    cache["a"] = 1
    cache.set("short", 1, ttl=1)
    cache.set("endless", 1, ttl=math.inf)
    clock.now += 5
    assert sorted(cache) == ["a", "endless"]
    cache["b"] = 1
    clock.now += 5
    assert "a" not in cache
    assert len(cache) == cache.currsize == 2
    clock.now += 1000
    cache.sync()
    assert dict(cache) == {"endless": 1}
    assert cache.statistics().expired == 3


def test_one_entry_may_expire_in_a_cache_that_keeps_the_others() -> None:
    clock = Clock()
    cache: Cache[str, int] = Cache(10, timer=clock)
    cache["a"] = 1
    cache.set("b", 1, ttl=0.5)
    clock.now += 1
    assert (cache.get("a"), cache.get("b")) == (1, None)


def test_use_keeps_entries_from_idling() -> None:
    clock = Clock()
    causes: list[tuple[str, str]] = []
    cache: Cache[str, int] = Cache(
        10, tti=10, timer=clock, on_evict=lambda key, _value, cause: causes.append((key, cause))
    )
    cache["a"] = cache["b"] = 1
    for _ in range(5):
        clock.now += 8
        assert cache["a"] == 1
    assert "b" not in cache
    assert causes == [("b", "expired")]


def test_time_passes_without_a_clock_of_the_users() -> None:
    cache: Cache[str, int] = Cache(10, ttl=0)
    cache["a"] = 1
    assert "a" not in cache and cache.get("a") is None
    lasting: Cache[str, int] = Cache(10, ttl=3600)
    # Within a second of its end an entry's moment is looked at exactly, and before that roughly.
    lasting.set("short", 1, ttl=0.03)
    lasting.set("medium", 1, ttl=1.03)
    lasting["long"] = 1
    time.sleep(0.031)
    assert (lasting.get("short"), lasting.get("long")) == (None, 1)
    time.sleep(1.0)
    assert (lasting.get("medium"), lasting["long"]) == (None, 1)
    assert list(lasting) == ["long"]


def test_the_listener_is_told_why() -> None:
    told: list[tuple[str, int, str]] = []
    cache: Cache[str, int] = Cache(1, policy="lru", on_evict=lambda *what: told.append(what))
    cache["a"] = 1
    cache["a"] = 2
    cache["b"] = 3
    del cache["b"]
    cache["c"] = 4
    cache.clear()
    assert told == [("a", 1, "replaced"), ("a", 2, "size"), ("b", 3, "explicit"), ("c", 4, "explicit")]


def test_a_listener_that_fails_is_logged_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def listener(*_: object) -> None:
        raise ZeroDivisionError("deaf")

    cache: Cache[str, int] = Cache(1, policy="lru", on_evict=listener, name="mine")
    cache["a"] = 1
    cache["b"] = 2
    assert dict(cache) == {"b": 2}
    assert "cache 'mine': its listener failed" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"maxsize": -1}, ValueError, "maxsize must be at least 0"),
        ({"maxsize": 2**63}, ValueError, "maxsize must be at least 0 and below"),
        ({"maxsize": 1.5}, TypeError, "maxsize must be an integer"),
        ({"maxsize": True}, TypeError, "maxsize must be an integer"),
        ({"ttl": -1}, ValueError, "ttl must be a number of seconds of at least 0"),
        ({"ttl": math.nan}, ValueError, "ttl must be"),
        ({"ttl": -math.inf}, ValueError, "ttl must be .* got -inf"),
        ({"tti": "1"}, TypeError, "tti must be a number"),
        ({"tti": -0.5}, ValueError, "tti must be .* at least 0, got -0.5"),
        ({"maxsize": -math.inf}, TypeError, "maxsize must be an integer or None, got -inf"),
        ({"policy": "fifo"}, ValueError, "policy must be 'tinylfu' or 'lru'"),
        ({"weigher": "grams"}, TypeError, "weigher must be 'bytes' or callable"),
        ({"on_evict": 1}, TypeError, "on_evict must be callable"),
        ({"timer": 1}, TypeError, "timer must be callable"),
        ({"name": 1}, TypeError, "name must be a string"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Cache(**arguments)


@pytest.mark.parametrize(
    "make", [lambda: LRUCache(-1), lambda: TTLCache(-1, 1), lambda: TTLCache(1, -1), lambda: cached(ttl=-1)(len)]
)
def test_negative_sizes_and_times_are_refused_however_it_is_made(make: Any) -> None:
    with pytest.raises(ValueError, match=r"must be .*at least 0.*, got -1"):
        make()


def test_bad_terms_of_one_entry_change_nothing() -> None:
    cache: Cache[str, int] = Cache(10)
    for terms in ({"ttl": -1}, {"ttl": math.nan}, {"weight": -1}):
        with pytest.raises(ValueError, match="at least 0"):
            cache.set("a", 1, **terms)  # type: ignore[arg-type]
    for fails in ({"ttl": "1"}, {"weight": 0.5}, {"tags": 1}):
        with pytest.raises(TypeError):
            cache.set("a", 1, **fails)  # type: ignore[arg-type]
    assert len(cache) == 0


@pytest.mark.parametrize("said", [math.nan, math.inf, "noon"])
def test_a_clock_that_makes_no_sense_is_refused(said: Any) -> None:
    clock = Clock()
    cache: Cache[str, int] = Cache(10, ttl=10, timer=clock)
    cache["a"] = 1
    clock.now = said
    for use in (lambda: cache.get("a"), lambda: cache.set("b", 1), lambda: len(cache)):
        with pytest.raises((ValueError, TypeError)):
            use()
    clock.now = 1001.0
    assert dict(cache) == {"a": 1}


def test_counts_are_exact() -> None:
    clock = Clock()
    cache: Cache[str, int] = Cache(2, policy="lru", timer=clock, name="counted")
    cache["a"] = 1
    cache["a"] = 2
    clock.now += 4
    cache["b"] = 1
    cache["c"] = 1
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, 1, 1)
    del cache["b"]
    seen = cache.statistics()
    assert (seen.hits, seen.misses, seen.hit_ratio) == (2, 1, 2 / 3)
    assert (seen.insertions, seen.replaced, seen.evicted, seen.invalidated) == (3, 1, 1, 1)
    clock.now += 6
    assert (cache.statistics().oldest, cache.statistics().entries) == (6.0, 1)
    assert cache.cache_info() == (2, 1, 2, 1)
    cache.cache_clear()
    assert cache.cache_info() == (0, 0, 2, 0)


def test_cache_clear_counts_all_from_zero() -> None:
    cache: Cache[str, int] = Cache(10, name="counted")
    cache.get_or_set("a", lambda: 1)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("b", lambda: 1 // 0)
    seen = cache.statistics()
    assert (seen.load.count, seen.load_failures) == (1, 1)
    cache.clear()
    assert cache.statistics().load.count == 1
    cache.cache_clear()
    assert cache.statistics() == Cache(10, name="counted").statistics()
    cache.get_or_set("a", lambda: 1)
    seen = cache.statistics()
    assert (seen.load.count, seen.misses, seen.load_failures) == (1, 1, 0)
    assert seen.load.max > 0


def test_it_is_made_as_cachetools_makes_them() -> None:
    clock = Clock()
    living: TTLCache[str, int] = TTLCache(2, 10, clock)
    living["a"] = 1
    clock.now += 10
    assert (living.get("a"), living.ttl, living.maxsize, living.currsize) == (None, 10, 2, 0)
    least: LRUCache[str, str] = LRUCache(4, getsizeof=len)
    least["a"], least["b"], least["c"] = "12", "12", "1"
    assert (sorted(least), least.currsize) == (["b", "c"], 3)


def test_copying_it_is_refused() -> None:
    cache: Cache[str, int] = Cache(10)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            copied(cache)
