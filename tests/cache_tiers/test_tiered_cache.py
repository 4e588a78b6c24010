"""What one cache writes another one finds, and what one removes is gone from both."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connection_pool.support import eventually
from nexus_core import TieredCache
from nexus_core.cache_tiers import Lease, Tier
from nexus_core.errors import NotKeyable, RecursiveLoad
from nexus_core.keys import digest

from .conftest import Make


def _never() -> Any:
    raise AssertionError("it is not to be computed")


def test_a_value_is_found_by_another_process(make: Make) -> None:
    one, other = make(), make()
    one.set(("a", 1), {"rows": [(1, 2.5), {3}]}, tags="t")
    assert other.get(("a", 1)) == {"rows": [(1, 2.5), {3}]}
    assert other.get(("a", 1)) is other.get(("a", 1))
    assert other.get(("a", 2), "none") == "none"
    figures = other.statistics()
    assert (figures.hits, figures.misses) == (1, 1)
    assert figures.bytes_read > 0
    assert one.statistics().writes == 1


def test_keys_are_told_apart_by_their_digest(make: Make) -> None:
    cache = make()
    for key in (1, 1.0, True, "1", b"1", (1,), [1]):
        cache.set(key, repr(key))
    assert [cache.get(key) for key in (1, 1.0, True, "1", b"1", (1,), [1])] == [
        "1",
        "1.0",
        "True",
        "'1'",
        "b'1'",
        "(1,)",
        "[1]",
    ]
    with pytest.raises(NotKeyable, match=r"^key, of type object"):
        cache.get(object())


def test_a_value_that_is_written_replaces_it_everywhere(make: Make) -> None:
    one, other = make(), make()
    one.set("k", 1)
    assert other.get("k") == 1
    one.set("k", 2)
    eventually(lambda: other.get("k") == 2)
    assert one.get("k") == 2


def test_what_is_removed_is_gone_everywhere(make: Make) -> None:
    one, other = make(), make()
    for key in ("a", "b", "c", "d"):
        one.set(key, 1, tags=["all", f"only-{key}"])
        assert other.get(key) == 1
    assert other.invalidate("a") is True
    eventually(lambda: one.get("a") is None)
    assert other.invalidate("a") is False
    other.invalidate_tag("only-b")
    eventually(lambda: one.get("b") is None)
    assert (one.get("c"), other.get("c"), other.pop("c"), other.pop("c", 7)) == (1, 1, 1, 7)
    one.clear()
    eventually(lambda: other.get("d") is None)
    assert one.get("d") is None


def test_the_tags_of_what_comes_from_the_tier_are_known_locally(make: Make) -> None:
    one, other = make(), make()
    one.set("k", 1, tags=["t"])
    assert other.get("k") == 1
    assert other.invalidate_tag("t") == 1
    assert other.get("k") is None


def test_entries_expire_in_the_tier_and_in_what_was_read_from_it(make: Make) -> None:
    one, other = make(), make(ttl=100)
    one.set("short", 1, ttl=0.3)
    one.set("long", 1, ttl=100)
    # On a slow machine it is over by now.
    assert other.get("short") in (1, None)
    assert other.get("long") == 1
    eventually(lambda: other.get("short") is None)
    assert one.get("short") is None
    assert other.get("long") == 1


def test_a_local_entry_may_live_shorter(make: Make) -> None:
    cache = make(ttl=100, local_ttl=0.05)
    cache.set("k", (1,))
    first = cache.get("k")
    eventually(lambda: cache.get("k") is not first)
    assert cache.get("k") == (1,)
    assert cache.statistics().hits >= 1


def test_a_value_is_computed_once(make: Make) -> None:
    one, other = make(), make()
    assert one.get_or_set("k", lambda: [1]) == [1]
    assert other.get_or_set("k", _never) == [1]
    assert other.get_or_set("k", _never) == [1]
    assert one.statistics().computed == 1
    assert other.statistics().computed == 0


def test_a_failure_is_not_kept_and_ends_the_lease(make: Make) -> None:
    one, other = make(lease=1000), make(lease=1000)

    for error in (ZeroDivisionError("x"), StopIteration("x"), StopAsyncIteration("x")):

        def fails(error: Exception = error) -> Any:
            raise error

        with pytest.raises(type(error), match="x"):
            one.get_or_set("k", fails)

        async def afails(error: Exception = error) -> Any:
            raise error

        if not isinstance(error, StopIteration):
            with pytest.raises(type(error), match="x"):
                asyncio.run(one.aget_or_set("k", afails))
    assert other.get_or_set("k", lambda: 1) == 1
    eventually(lambda: one.get("k") == 1)


def test_a_cancelled_computation_ends_its_lease(make: Make) -> None:
    one, other = make(lease=1000), make(lease=1000)

    async def main() -> None:
        begun = asyncio.Event()

        async def slow() -> None:
            begun.set()
            await asyncio.sleep(1000)

        task = asyncio.create_task(one.aget_or_set("k", slow))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert other.get_or_set("k", lambda: 1) == 1


def test_threads_and_tasks_of_two_processes_wait_for_one(make: Make) -> None:
    caches = make(), make()
    calls = []

    def factory() -> int:
        calls.append(1)
        eventually(lambda: sum(cache.statistics().local.load_waits for cache in caches) >= 14)
        return 42

    async def afactory() -> int:
        return await asyncio.to_thread(factory)

    async def tasks(cache: TieredCache[str, int]) -> list[int]:
        return list(await asyncio.gather(*(cache.aget_or_set("k", afactory) for _ in range(4))))

    with ThreadPoolExecutor(12) as pool:
        loops = [pool.submit(asyncio.run, tasks(cache)) for cache in caches]
        threads = [pool.submit(cache.get_or_set, "k", factory) for cache in caches for _ in range(4)]
        results = [thread.result(60) for thread in threads] + [each for loop in loops for each in loop.result(60)]
    assert results == [42] * 16
    assert len(calls) == 1


def test_a_lease_is_renewed_while_its_owner_computes(make: Make) -> None:
    one, other = make(lease=60.0), make(lease=60.0)
    # Often, and long before the lease ends: how long the machine takes does not matter.
    one._backing.renewal._interval = 0.01
    renew = one.tier.renew
    renewed: list[bool] = []
    calls = []

    def counted(lease: Lease, seconds: float) -> bool:
        renewed.append(renew(lease, 1000.0 if len(renewed) else seconds))
        return renewed[-1]

    one.tier.renew = counted  # type: ignore[method-assign]

    def slow() -> int:
        calls.append(1)
        eventually(lambda: len(renewed) >= 3)
        left = other.tier.acquire(digest("k"), "another", 1.0, ()).seconds_left
        assert left > 100
        return 1

    assert one.get_or_set("k", slow) == 1
    assert all(renewed[:3])
    assert other.get_or_set("k", slow) == 1
    assert len(calls) == 1


def test_nobody_waits_for_another_process_for_ever(make: Make) -> None:
    one, other = make(), make(max_wait=0.2)
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        may_end.wait(60)
        return 1

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.get_or_set, "k", slow)
        begun.wait(60)
        assert other.get_or_set("k", lambda: 2) == 2
        assert other.statistics().errors["waited_too_long"] == 1
        may_end.set()
        assert first.result(60) == 1
    # What was computed without a lease is not the others' business.
    assert make().get("k") == 1


@pytest.mark.parametrize("how", ["key", "tag", "clear", "set"])
def test_what_is_removed_while_it_is_computed_is_not_kept(make: Make, how: str) -> None:
    one, other = make(), make()
    other.get("nobody")

    def factory() -> str:
        if how == "key":
            other.invalidate("k")
        elif how == "tag":
            other.invalidate_tag("t")
        elif how == "clear":
            other.clear()
        else:
            other.set("k", "new")
        return "old"

    assert one.get_or_set("k", factory, tags="t") == "old"
    assert one.statistics().fenced == 1
    expected = "new" if how == "set" else None
    eventually(lambda: one.get("k") == expected)
    assert make().get("k") == expected


def test_a_lease_that_ran_out_does_not_overwrite(make: Make, make_tier: Any) -> None:
    tier: Tier = make_tier()
    key = digest("k")
    first = tier.acquire(key, "one", 0.05, ("t",))
    assert first.lease is not None
    assert tier.acquire(key, "one", 0.05, ("t",)).lease is not None, "asking again is no loss"
    eventually(lambda: tier.acquire(key, "two", 100, ("t",)).lease is not None)
    terms: dict[str, Any] = {"ttl": None, "tags": ("t",), "origin": b"o" * 16}
    assert tier.renew(first.lease, 10) is False
    assert tier.release(first.lease, origin=b"") is False
    assert tier.set(key, b"old", lease=first.lease, **terms) is False
    assert tier.get(key) is None
    denied = tier.acquire(key, "three", 10, ("t",))
    assert denied.lease is None
    assert denied.seconds_left > 10
    second = tier.acquire(key, "two", 100, ("t",)).lease
    assert tier.set(key, b"new", lease=second, **terms) is True
    found = tier.get(key)
    assert found is not None
    assert found.data == b"new"
    tier.close()


def test_who_computes_a_value_cannot_ask_for_it(make: Make) -> None:
    cache = make()
    with pytest.raises(RecursiveLoad, match="'k' is being computed by the caller"):
        cache.get_or_set("k", lambda: cache.get_or_set("k", lambda: 1))

    async def recursive() -> Any:
        return await cache.aget_or_set("a", recursive)

    with pytest.raises(RecursiveLoad, match="'a' is being"):
        asyncio.run(cache.aget_or_set("a", recursive))


def test_what_cannot_be_encoded_stays_local_and_is_counted(make: Make) -> None:
    one, other = make(), make()
    one.set("k", 1)
    thing = object()
    one.set("k", thing)
    assert one.get("k") is thing
    assert other.get("k") is None, "what was there before is not the value"
    assert one.get_or_set("m", lambda: thing) is thing
    assert other.get_or_set("m", lambda: 5) == 5
    assert one.statistics().rejected == {"not_serializable": 2}


@pytest.mark.parametrize("theirs", [None, b"another secret of theirs"])
def test_entries_of_another_secret_are_misses_and_replaced(make: Make, theirs: bytes | None) -> None:
    foreign, own = make(secret=theirs), make(secret=b"a secret of our own")
    foreign.set("k", "poison")
    assert own.get("k") is None
    assert own.get_or_set("k", lambda: "ours") == "ours"
    assert own.statistics().rejected["unauthenticated"] >= 2
    assert make(secret=[b"a later secret of ours", b"a secret of our own"]).get("k") == "ours"


@pytest.mark.parametrize("poison", [b"", b"garbage", b"NxT\x01" + bytes(100), b"\x80\x04K\x01.", bytes(10_000)])
def test_poisoned_entries_are_misses_and_replaced(make: Make, make_tier: Any, poison: bytes) -> None:
    tier: Tier = make_tier()
    tier.set(digest("k"), poison, ttl=None, tags=(), lease=None, origin=b"")
    cache = make()
    assert cache.get("k") is None
    assert cache.get_or_set("k", lambda: 1) == 1
    assert sum(cache.statistics().rejected.values()) == 3
    assert make().get("k") == 1
    tier.close()


def test_everything_works_for_tasks(make: Make) -> None:
    one, other = make(), make()

    async def main() -> None:
        await one.aset("k", {"big": "x" * 100_000}, tags=["t"])
        assert await other.aget("k") == {"big": "x" * 100_000}
        assert await other.aget("none", 7) == 7
        assert await other.ainvalidate("k") is True
        assert await other.apop("k", 3) == 3
        await one.aset("m", 1, tags=["of-m"])
        assert await one.ainvalidate_tag("of-m") == 1
        assert await one.aget("m") is None
        await one.aset("k", 1)
        await one.aclear()
        assert await other.aget("k") is None
        assert await one.aget_or_set("p", lambda: 1) == 1
        async with make() as third:
            assert await third.aget("p") == 1

    asyncio.run(main())


def test_a_closed_cache_is_local(make: Make) -> None:
    cache = make()
    cache.set("k", 1)
    cache.close()
    cache.close()
    assert cache.get("k") == 1
    cache.set("m", 2)
    assert (cache.get("m"), cache.get_or_set("n", lambda: 3), cache.get("nobody")) == (2, 3, None)
    assert cache.statistics().errors["closed"] >= 2


def test_a_cache_that_nobody_has_is_collected(make_tier: Any) -> None:
    tier = make_tier()
    cache: TieredCache[str, int] = TieredCache(tier)
    cache.get_or_set("k", lambda: 1)
    listener, renewal = cache._backing._subscription, cache._backing.renewal
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    eventually(lambda: not listener._thread.is_alive())  # type: ignore[union-attr]
    eventually(lambda: not renewal._thread.is_alive())  # type: ignore[union-attr]
    tier.close()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"ttl": -1}, ValueError, "ttl must be"), ({"ttl": "1"}, TypeError, "ttl must be"), ({"lease": 0}, ValueError, "lease"),
        ({"maxsize": -1}, ValueError, "maxsize"), ({"secret": "text" * 10}, TypeError, "secret must be bytes"), ({"name": 5}, TypeError, "name"),
        ({"max_wait": float("inf")}, ValueError, "max_wait"), ({"failures": 0}, ValueError, "failures"), ({"local_ttl": -1}, ValueError, "ttl"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(make_tier: Any, arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    tier = make_tier()
    with pytest.raises(error, match=says):
        TieredCache(tier, **arguments)
    tier.close()


def test_bad_arguments_change_nothing(make: Make) -> None:
    cache = make()
    cache.set("k", 1)
    with pytest.raises(ValueError, match="ttl"):
        cache.set("k", 2, ttl=-1)
    with pytest.raises(TypeError, match="tag must be a string, got 5"):
        cache.set("k", 2, tags=[5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="tag"):
        cache.invalidate_tag(5)  # type: ignore[arg-type]
    assert (cache.get("k"), make().get("k")) == (1, 1)
    with pytest.raises(TypeError, match="must have the methods"):
        TieredCache({})  # type: ignore[arg-type]


def test_what_a_waiter_changes_does_not_reach_the_tier(make: Make) -> None:
    one, other = make(), make()

    def waiter() -> None:
        one.get_or_set("k", _never).append("changed")

    thread = threading.Thread(target=waiter)

    def factory() -> list[Any]:
        thread.start()
        eventually(lambda: one.statistics().local.load_waits == 1)
        return [1]

    one.get_or_set("k", factory)
    thread.join(60)
    assert other.get("k") == [1]
