"""A missing value is computed once for all who ask, threads and tasks alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from connection_pool.support import eventually
from nexus_core import Cache
from nexus_core._mailboxes import mailbox_of
from nexus_core.errors import RecursiveLoad
from task_graph.support import run_script

PATIENCE = 60


def _waiting(cache: Cache[Any, Any], number: int) -> Callable[[], bool]:
    return lambda: cache.statistics().load_waits >= number


@pytest.mark.parametrize("threads", [1, 50])
def test_threads_compute_once(threads: int) -> None:
    cache: Cache[str, object] = Cache(10)
    calls = []

    def factory() -> object:
        calls.append(1)
        eventually(_waiting(cache, threads - 1))
        return object()

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(lambda _: cache.get_or_set("key", factory), range(threads)))
    assert len(calls) == 1
    assert {id(result) for result in results} == {id(cache["key"])}
    assert cache.statistics().load.count == 1


def test_a_thousand_threads_compute_once() -> None:
    cache: Cache[str, object] = Cache(10)
    calls = []
    results = []

    def ask() -> None:
        def factory() -> object:
            calls.append(1)
            eventually(_waiting(cache, 900))
            return object()

        results.append(cache.get_or_set("key", factory))

    threads = [threading.Thread(target=ask) for _ in range(1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (len(calls), len(results), len({id(result) for result in results})) == (1, 1000, 1)


def test_a_thousand_tasks_compute_once() -> None:
    cache: Cache[str, object] = Cache(10)
    calls = []

    async def factory() -> object:
        calls.append(1)
        while not _waiting(cache, 999)():
            await asyncio.sleep(0)
        return object()

    async def main() -> list[object]:
        return await asyncio.gather(*(cache.aget_or_set("key", factory) for _ in range(1000)))

    results = asyncio.run(main())
    assert (len(calls), len({id(result) for result in results})) == (1, 1)


def test_threads_and_tasks_of_two_loops_wait_for_one() -> None:
    cache: Cache[str, object] = Cache(10)
    calls = []

    async def factory() -> object:
        calls.append(1)
        while not _waiting(cache, 8)():
            await asyncio.sleep(0.001)
        return object()

    async def main() -> list[object]:
        return list(await asyncio.gather(*(cache.aget_or_set("key", factory) for _ in range(3))))

    def synchronous() -> list[object]:
        def never() -> object:
            raise AssertionError("the tasks compute it")

        eventually(lambda: calls)
        return [cache.get_or_set("key", never)]

    with ThreadPoolExecutor(5) as pool:
        loops = [pool.submit(asyncio.run, main()) for _ in range(2)]
        threads = [pool.submit(synchronous) for _ in range(3)]
        results = [result for each in (*loops, *threads) for result in each.result(PATIENCE)]
    assert (len(calls), len(results), len({id(result) for result in results})) == (1, 9, 1)


def test_a_failure_reaches_everybody_and_is_not_kept() -> None:
    cache: Cache[str, int] = Cache(10)
    calls = []

    def fails() -> int:
        calls.append(1)
        eventually(_waiting(cache, 9))
        raise ZeroDivisionError("once")

    def ask(_: int) -> str:
        with pytest.raises(ZeroDivisionError, match="once") as raised:
            cache.get_or_set("key", fails)
        return str(raised.value)

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ask, range(10))) == ["once"] * 10
    assert len(calls) == 1
    assert cache.get_or_set("key", lambda: 7) == 7
    assert cache.statistics().load_failures == 1


def test_a_failure_reaches_every_task() -> None:
    cache: Cache[str, int] = Cache(10)

    async def fails() -> int:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError("once")

    async def main() -> list[object]:
        tasks = (cache.aget_or_set("key", fails) for _ in range(10))
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    results = asyncio.run(main())
    assert [type(result) for result in results] == [ZeroDivisionError] * 10
    assert cache.statistics().load_failures == 1
    assert "key" not in cache


def test_who_computes_a_value_cannot_ask_for_it() -> None:
    cache: Cache[str, int] = Cache(10)
    with pytest.raises(RecursiveLoad, match="'key' is being computed by the caller") as raised:
        cache.get_or_set("key", lambda: cache.get_or_set("key", lambda: 1))
    assert raised.value.key == "key"
    assert cache.get_or_set("key", lambda: cache.get_or_set("other", lambda: 1)) == 1

    async def main() -> None:
        async def recurse() -> int:
            return await cache.aget_or_set("third", recurse)

        with pytest.raises(RecursiveLoad):
            await cache.aget_or_set("third", recurse)

        async def blocks() -> int:
            return cache.get_or_set("fourth", lambda: 1)

        with pytest.raises(RecursiveLoad):
            await cache.aget_or_set("fourth", blocks)

    asyncio.run(main())
    assert sorted(cache) == ["key", "other"]
    # And the cache is as it was: whoever asks next computes.
    assert [cache.get_or_set(key, lambda: 5) for key in ("third", "fourth")] == [5, 5]


def test_a_ring_of_threads_gets_an_error_and_not_a_deadlock() -> None:
    one: Cache[str, int] = Cache(10)
    two: Cache[str, int] = Cache(10)
    both = threading.Barrier(2)

    def factory(other: Cache[str, int]) -> Callable[[], int]:
        def compute() -> int:
            both.wait(PATIENCE)
            return other.get_or_set("key", lambda: 1)

        return compute

    with ThreadPoolExecutor(2) as pool:
        tasks = [
            pool.submit(one.get_or_set, "key", factory(two)),
            pool.submit(two.get_or_set, "key", factory(one)),
        ]
        errors = [task.exception(PATIENCE) for task in tasks]
    assert RecursiveLoad in {type(error) for error in errors}


def test_a_ring_of_tasks_gets_an_error_and_not_a_deadlock() -> None:
    cache: Cache[str, int] = Cache(10)

    async def one() -> int:
        await asyncio.sleep(0.01)
        return await cache.aget_or_set("two", two)

    async def two() -> int:
        await asyncio.sleep(0.01)
        return await cache.aget_or_set("one", one)

    async def main() -> list[object]:
        asking = (cache.aget_or_set("one", one), cache.aget_or_set("two", two))
        return list(await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), PATIENCE))

    assert RecursiveLoad in {type(result) for result in asyncio.run(main())}


def test_who_was_answered_is_not_taken_to_wait_still() -> None:
    cache: Cache[str, int] = Cache(10)

    def needs_first() -> int:
        return cache.get_or_set("first", lambda: 1) + 1

    def first() -> int:
        other.append(pool.submit(cache.get_or_set, "second", needs_first))
        eventually(_waiting(cache, 1))
        return 1

    other: list[Future[int]] = []
    with ThreadPoolExecutor(1) as pool:
        # Who waits for the first value has not yet been scheduled when the second is asked for.
        assert cache.get_or_set("first", first) == 1
        assert cache.get_or_set("second", lambda: 0) == 2
    assert other[0].result() == 2


def test_a_task_that_comes_to_a_computation_that_ended_does_not_wait_for_it() -> None:
    async def main() -> None:
        cache: Cache[str, int] = Cache(10)
        mailbox = mailbox_of(asyncio.get_running_loop())
        interrupted, _ = cache._load("one", 1)
        late, _ = cache._load("one", 2)
        interrupted.fail(KeyboardInterrupt())
        mine, _ = cache._load("two", 2)
        waits, _ = cache._load("two", 1)
        assert mine.is_mine and waits.join(mailbox, lambda: None)
        assert not late.join(mailbox, lambda: None)

    asyncio.run(main())


def test_who_is_interrupted_leaves_the_computation_to_the_next() -> None:
    cache: Cache[str, str] = Cache(10)
    begun = threading.Event()

    def interrupted() -> str:
        begun.set()
        eventually(_waiting(cache, 3))
        raise KeyboardInterrupt

    def first() -> None:
        with pytest.raises(KeyboardInterrupt):
            cache.get_or_set("key", interrupted)

    calls = []

    def second() -> str:
        begun.wait(PATIENCE)
        return cache.get_or_set("key", lambda: str(calls.append(1)) + "second")

    with ThreadPoolExecutor(4) as pool:
        first_task = pool.submit(first)
        others = [pool.submit(second) for _ in range(3)]
        first_task.result(PATIENCE)
        assert [other.result(PATIENCE) for other in others] == ["Nonesecond"] * 3
    assert len(calls) == 1


@pytest.mark.parametrize("waiters", [1, 20])
def test_a_task_that_is_cancelled_leaves_the_computation_to_the_next(waiters: int) -> None:
    cache: Cache[str, int] = Cache(10)
    calls = []

    async def main() -> list[int]:
        async def forever() -> int:
            await asyncio.sleep(1e6)
            return 0

        async def factory() -> int:
            calls.append(1)
            await asyncio.sleep(0)
            return 7

        first = asyncio.create_task(cache.aget_or_set("key", forever))
        await asyncio.sleep(0)
        others = [asyncio.create_task(cache.aget_or_set("key", factory)) for _ in range(waiters)]
        impatient = asyncio.create_task(cache.aget_or_set("key", factory))
        await asyncio.sleep(0.01)
        impatient.cancel()
        await asyncio.sleep(0)
        first.cancel()
        results = await asyncio.wait_for(asyncio.gather(*others), PATIENCE)
        assert first.cancelled() and impatient.cancelled()
        return results

    assert asyncio.run(main()) == [7] * waiters
    assert len(calls) == 1


def test_a_coroutine_that_is_dropped_leaves_the_computation_to_the_next() -> None:
    cache: Cache[str, int] = Cache(10)

    async def main() -> int:
        async def forever() -> int:
            await asyncio.sleep(1e6)
            return 0

        async def factory() -> int:
            return 7

        dropped = cache.aget_or_set("key", forever)
        dropped.send(None)
        waiter = asyncio.create_task(cache.aget_or_set("key", factory))
        await asyncio.sleep(0.01)
        del dropped
        return await asyncio.wait_for(waiter, PATIENCE)

    assert asyncio.run(main()) == 7


def test_the_factory_of_a_task_may_return_the_value_itself() -> None:
    cache: Cache[str, int] = Cache(10)
    assert asyncio.run(cache.aget_or_set("key", lambda: 3)) == 3
    assert asyncio.run(cache.aget_or_set("key", lambda: 4)) == 3


def test_terms_hold_for_what_is_computed() -> None:
    cache: Cache[str, int] = Cache(10)
    cache.get_or_set("a", lambda: 1, tags="t")
    asyncio.run(cache.aget_or_set("b", lambda: 1, tags=["t"]))
    assert cache.get_or_set("c", lambda: 1, ttl=0) == 1
    assert asyncio.run(cache.aget_or_set("d", lambda: 1, ttl=0)) == 1
    assert sorted(cache) == ["a", "b"]
    assert cache.invalidate_tag("t") == 2
    with pytest.raises(ValueError, match="ttl"):
        cache.get_or_set("e", lambda: 1, ttl=-1)
    with pytest.raises(ValueError, match="ttl"):
        asyncio.run(cache.aget_or_set("e", lambda: 1, ttl=-1))
    assert cache.get_or_set("e", lambda: 1) == 1


@pytest.mark.parametrize(
    ("change", "there"),
    [
        (lambda cache: cache.set("key:1", "new"), "new"),
        (lambda cache: cache.setdefault("key:1", "new"), "new"),
        (lambda cache: cache.invalidate("key:1"), None),
        (lambda cache: cache.pop("key:1", None), None),
        (lambda cache: cache.invalidate_prefix("key:"), None),
        (lambda cache: cache.invalidate_tag("tag"), None),
        (lambda cache: cache.clear(), None),
        (lambda cache: cache.cache_clear(), None),
        (lambda cache: cache.invalidate("another"), "old"),
        (lambda cache: cache.invalidate_prefix("another"), "old"),
        (lambda cache: cache.invalidate_tag("another"), "old"),
    ],
)
@pytest.mark.parametrize("use", ["thread", "task"])
def test_what_was_written_or_removed_meanwhile_is_not_overwritten(
    change: Callable[[Cache[str, str]], object], there: str | None, use: str
) -> None:
    cache: Cache[str, str] = Cache(10)

    def factory() -> str:
        change(cache)
        return "old"

    if use == "thread":
        computed = cache.get_or_set("key:1", factory, tags="tag")
    else:
        computed = asyncio.run(cache.aget_or_set("key:1", factory, tags="tag"))
    assert computed == "old"
    assert cache.get("key:1") == there


def test_who_asks_after_a_removal_does_not_wait_for_what_was_begun_before() -> None:
    cache: Cache[str, str] = Cache(10)

    def factory() -> str:
        cache.invalidate("key")
        return cache.get_or_set("key", lambda: "new") + " and old"

    assert cache.get_or_set("key", factory) == "new and old"
    assert cache["key"] == "new"


def test_ctrl_c_ends_a_wait() -> None:
    script = """
        import _thread, os, signal, threading
        from nexus_core import Cache
        cache = Cache(10)
        begun, end = threading.Event(), threading.Event()

        def slow():
            begun.set()
            end.wait()
            return 1

        thread = threading.Thread(target=cache.get_or_set, args=("key", slow))
        thread.start()
        begun.wait()
        def interrupt():
            while not cache.statistics().load_waits:
                pass
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            cache.get_or_set("key", slow)
        except KeyboardInterrupt:
            print("interrupted")
        end.set()
        thread.join()
        print(cache["key"])
    """
    ended = run_script(script, timeout=60)
    assert (ended.code, ended.out, ended.err) == (0, "interrupted\n1\n", "")
