"""A cache keeps nothing alive that it has let go, and is garbage itself when nobody has it."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

from nexus_core import Cache, cached


class Thing:
    """Something to refer to weakly."""


def test_what_left_is_let_go() -> None:
    cache: Cache[Any, Any] = Cache(1, policy="lru")
    for leave in (
        lambda: cache.set("key", None),
        lambda: cache.set("other", None),
        lambda: cache.pop("key"),
        lambda: cache.invalidate_prefix("key"),
        lambda: cache.invalidate_tag("tag"),
        cache.clear,
        cache.popitem,
    ):
        thing = Thing()
        cache.set("key", thing, tags="tag")
        seen = weakref.ref(thing)
        del thing
        assert seen() is not None
        leave()
        assert seen() is None


def test_counts_of_references_stay_as_they_were() -> None:
    cache: Cache[Any, Any] = Cache(10)
    key, value = ("a", object()), object()
    before = sys.getrefcount(key), sys.getrefcount(value)
    for _ in range(100):
        cache[key] = value
        cache[key] = value
        cache.get(key)
        cache.get(("a", key[1]))
        cache.get_or_set(key, object)
        assert key in cache and list(cache) and list(cache.items()) and cache.setdefault(key, 1)
    del cache[key]
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before


def test_a_computation_is_let_go() -> None:
    cache: Cache[Any, Any] = Cache(0)
    thing = Thing()
    seen = weakref.ref(thing)
    made = [thing]
    del thing
    cache.get_or_set("key", made.pop)
    assert seen() is None
    with pytest.raises(IndexError):
        cache.get_or_set("key", made.pop)


@pytest.mark.parametrize("how", ["value", "key", "listener", "weigher", "timer", "method", "function"])
def test_a_ring_through_a_cache_is_collected(how: str) -> None:
    class Mine(Cache[Any, Any]):
        pass

    class Listening(Cache[Any, Any]):
        def __new__(cls) -> Listening:
            holder: list[Any] = []
            self = super().__new__(cls, on_evict=lambda *_: holder[0])
            holder.append(self)
            return self  # type: ignore[return-value]

    class Weighing(Thing):
        cache: Any

        def weigh(self, _key: object, _value: object) -> int:
            return 1

        def time(self) -> float:
            return 1.0

    cache: Any = Mine(10)
    thing = Weighing()
    if how == "value":
        cache["me"] = cache
    elif how == "key":
        thing.cache = cache
        cache[thing] = 1
    elif how == "listener":
        cache = Listening()
    elif how == "weigher":
        thing.cache = cache = Mine(10, weigher=thing.weigh)
    elif how == "timer":
        thing.cache = cache = Mine(10, timer=thing.time)
    elif how == "method":
        cache.me = cache.get
    else:
        held = [cache]
        function = cached(cache)(lambda: held)
        function()
        del function, held
    seen = weakref.ref(cache)
    del cache, thing
    gc.collect()
    assert seen() is None
