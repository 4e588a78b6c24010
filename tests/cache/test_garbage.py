"""A cache keeps nothing alive that it has let go, and is garbage itself when nobody has it."""

from __future__ import annotations

import asyncio
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


class Owner(Thing):
    """A key that refers to what it is a key of."""

    cache: Any
    others: list[Any]


@pytest.mark.parametrize("waits", [False, True])
def test_a_computation_that_is_given_up_in_a_ring_is_collected(waits: bool) -> None:
    """A task of a loop that never runs again holds the computation, whose key holds all of them."""

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    key = Owner()
    key.cache = cache = Cache(10)
    key.others = []
    loop = asyncio.new_event_loop()
    try:
        for _ in range(2 if waits else 1):
            key.others.append(loop.create_task(cache.aget_or_set(key, forever)))
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert cache.statistics().load_waits == int(waits)
        asyncio.set_event_loop(None)
        # Nobody is to be told that the tasks were never finished.
        for task in key.others:
            task._log_destroy_pending = False
        seen = weakref.ref(key), weakref.ref(cache)
        del key, cache, task
        gc.collect()
        gc.collect()
        assert [each() for each in seen] == [None, None]
    finally:
        loop.close()


def test_a_failure_holds_no_computation_that_holds_it() -> None:
    class Boom(Exception):
        pass

    cache: Cache[str, Any] = Cache(10)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise Boom

    async def ask() -> list[weakref.ref[BaseException]]:
        ended = await asyncio.gather(*(cache.aget_or_set("key", fail) for _ in range(3)), return_exceptions=True)
        return [weakref.ref(error) for error in ended if isinstance(error, Boom)]

    seen = asyncio.run(ask())
    assert len(seen) == 3
    gc.collect()
    assert [each() for each in seen] == [None] * 3


def test_the_collector_counts_what_a_computation_holds_once() -> None:
    """Were it counted twice, what is still in use would be taken for garbage."""
    cache: Cache[Any, Any] = Cache(10)
    kept = Thing()

    async def ask() -> list[Any]:
        ready = asyncio.Event()

        async def slow() -> list[Any]:
            await ready.wait()
            return [kept]

        tasks = [asyncio.ensure_future(cache.aget_or_set(("key", 1), slow)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(3):
            gc.collect()
        assert cache.statistics().load_waits == 4
        ready.set()
        found = await asyncio.gather(*tasks)
        gc.collect()
        return found

    found = asyncio.run(ask())
    assert all(each is found[0] for each in found) and found[0] == [kept]
