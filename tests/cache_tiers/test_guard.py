"""A tier of somebody else's may raise, hang and lie: callers are served, in bounded time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from connection_pool.support import eventually
from nexus_core import TieredCache
from nexus_core.cache_tiers import Acquired, Event, Lease, Stored, TierFailure
from nexus_core.cache_tiers.breaker import CircuitBreaker
from nexus_core.cache_tiers.calls import Calls
from nexus_core.cache_tiers.journal import Journal


class _Nobody:
    def wait_ready(self, timeout: float) -> bool:
        return True

    def close(self) -> None:
        """Nothing to end."""


class MemoryTier:
    """A tier in memory as a user may write one, with a hook before each call."""

    kind = "memory"
    max_connections = 4

    def __init__(self, timeout: float = 30.0) -> None:
        self.timeout = timeout
        self.entries: dict[bytes, bytes] = {}
        self.before: Callable[[str], object] = lambda call: None
        self.interrupted = threading.Event()
        self.released: list[str] = []

    def get(self, key: bytes) -> Stored | None:
        self.before("get")
        return Stored(self.entries[key]) if key in self.entries else None

    def set(self, key: bytes, data: bytes, **terms: Any) -> bool:
        self.before("set")
        self.entries[key] = data
        return True

    def delete(self, key: bytes, *, origin: bytes) -> bool:
        self.before("delete")
        return self.entries.pop(key, None) is not None

    def delete_tag(self, tag: str, *, origin: bytes) -> None:
        self.clear(origin=origin)

    def clear(self, *, origin: bytes) -> None:
        self.before("clear")
        self.entries.clear()

    def acquire(self, key: bytes, token: str, seconds: float, tags: tuple[str, ...]) -> Acquired:
        self.before("acquire")
        return Acquired(Lease(key, token))

    def renew(self, lease: Lease, seconds: float) -> bool:
        return True

    def release(self, lease: Lease, *, origin: bytes) -> bool:
        self.released.append(lease.token)
        return True

    def subscribe(self, listener: Callable[[Event], None]) -> _Nobody:
        return _Nobody()

    def interrupt(self, thread: int) -> None:
        self.interrupted.set()

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError("x"), KeyError("x"), MemoryError()])
def test_whatever_a_tier_raises_callers_are_served(error: Exception) -> None:
    tier = MemoryTier()

    def raises(call: str) -> None:
        raise error

    tier.before = raises
    with TieredCache(tier, failures=1000) as cache:
        cache.set("k", 1)
        assert (cache.get("k"), cache.get("m"), cache.get_or_set("n", lambda: 2)) == (1, None, 2)
        cache.clear()
        assert cache.get("k") is None
        assert cache.statistics().errors == {"unexpected": cache.statistics().errors["unexpected"]}


def test_a_call_that_hangs_is_interrupted_and_given_up() -> None:
    tier = MemoryTier(timeout=0.2)
    tier.before = lambda call: tier.interrupted.wait(30)
    with TieredCache(tier, failures=1) as cache:
        began = time.monotonic()
        assert cache.get("k") is None
        assert asyncio.run(cache.aget("k")) is None
        assert time.monotonic() - began < 10
        assert tier.interrupted.is_set()
        assert cache.statistics().errors["timeout"] == 1
        assert cache.statistics().breaker == "open"


def test_a_lease_that_comes_too_late_is_given_back() -> None:
    tier = MemoryTier(timeout=0.2)
    late = threading.Event()
    tier.before = lambda call: late.wait(30) if call == "acquire" else None
    with TieredCache(tier) as cache:
        assert cache.get_or_set("k", lambda: 1) == 1
        late.set()
        eventually(lambda: tier.released)
        assert len(set(tier.released)) == 1


def test_a_lease_whose_answer_was_lost_is_given_back() -> None:
    tier = MemoryTier()

    def before(call: str) -> None:
        if call == "acquire":
            raise TierFailure("connection")

    tier.before = before
    with TieredCache(tier) as cache:
        assert cache.get_or_set("k", lambda: 1) == 1
        eventually(lambda: len(tier.released) == 1)


def test_a_task_that_is_cancelled_while_it_asks_gives_its_lease_back() -> None:
    tier = MemoryTier()
    asked, late = threading.Event(), threading.Event()

    def before(call: str) -> None:
        if call == "acquire":
            asked.set()
            late.wait(30)

    tier.before = before

    async def main(cache: TieredCache[str, int]) -> None:
        task = asyncio.create_task(cache.aget_or_set("k", lambda: 1))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        late.set()

    with TieredCache[str, int](tier) as cache:
        asyncio.run(main(cache))
        eventually(lambda: tier.released)


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    breaker = CircuitBreaker(failures=3, backoff=0.05, max_backoff=100)
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert (breaker.state, breaker.allow()) == ("closed", True)
    breaker.failed()
    assert (breaker.state, breaker.allow(), breaker.opened) == ("open", False, 1)
    eventually(lambda: breaker.state == "half-open")
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    breaker.abandoned()
    assert breaker.allow()
    breaker.failed()
    assert breaker.state == "open"
    eventually(breaker.allow)
    breaker.succeeded()
    assert (breaker.state, breaker.allow(), breaker.opened) == ("closed", True, 1)


def test_each_pause_of_a_breaker_is_longer_up_to_a_limit() -> None:
    breaker = CircuitBreaker(failures=1, backoff=1e-4, max_backoff=2e-3)
    breaker.failed()
    pauses = [breaker._pause]
    for _ in range(8):
        eventually(breaker.allow)
        breaker.failed()
        pauses.append(breaker._pause)
    assert pauses[:5] == [1e-4, 2e-4, 4e-4, 8e-4, 16e-4]
    assert pauses[5:] == [2e-3] * 4


def test_a_journal_of_too_many_removals_is_one_of_everything() -> None:
    journal = Journal(limit=2)
    journal.add(key=b"a")
    journal.add(key=b"b")
    assert (journal.covers(b"a"), journal.covers(b"c"), len(journal)) == (True, False, 2)
    journal.add(key=b"c")
    assert (journal.covers(b"x"), len(journal)) == (True, 1)
    (everything,) = journal.take()
    assert everything[1:] == (None, None)
    journal.add()
    journal.done(everything)
    assert journal.covers(b"x"), "it was noted anew meanwhile"
    for removal in journal.take():
        journal.done(removal)
    assert not journal.covers(b"x")


def test_a_removal_is_told_by_one_thread() -> None:
    journal = Journal()
    own = journal.add(key=b"a", takes=True)
    noted = journal.add(tag="t")
    assert journal.take() == [noted]
    assert journal.take() == []
    journal.give_back([noted])
    assert journal.take() == [noted]
    # Noted anew it is another one.
    anew = journal.add(key=b"a")
    journal.done(own)
    assert journal.covers(b"a")
    assert journal.take() == [anew]
    assert [journal.covers(b"x", tags) for tags in ((), ("u",), ("u", "t"))] == [False, False, True]


def test_many_removals_are_told_little_by_little() -> None:
    tier = MemoryTier(timeout=2.0)
    # All of them would take longer than a call may.
    tier.before = lambda call: time.sleep(0.2) if call == "delete" else None
    with TieredCache(tier) as cache:
        guard = cache._backing.guard
        for number in range(20):
            guard.journal.add(key=bytes([number]) * 32)
        while cache.statistics().unsent:
            before = cache.statistics().unsent
            guard.call(lambda: None)
            assert cache.statistics().unsent < before
        assert cache.statistics().errors == {}


def test_a_removal_does_not_take_what_another_thread_writes_after_it() -> None:
    tier = MemoryTier()
    with TieredCache(tier) as cache:
        telling, may_tell = threading.Event(), threading.Event()

        def before(call: str) -> None:
            if call == "delete":
                telling.set()
                may_tell.wait(60)

        cache.set("k", 1)
        tier.before = before
        thread = threading.Thread(target=cache.invalidate, args=("k",))
        thread.start()
        telling.wait(60)
        # It goes on beside the removal, and does not repeat it.
        cache.set("m", 2)
        assert len(tier.entries) == 2
        may_tell.set()
        thread.join(60)
        assert cache.get("k") is None
        assert len(tier.entries) == 1


def test_calls_that_wait_while_it_closes_fail_and_are_not_cancelled() -> None:
    may_end = threading.Event()
    calls = Calls("closing", 1, lambda thread: None)

    async def main() -> None:
        first = asyncio.create_task(calls.arun(lambda: may_end.wait(60), 60))
        second = asyncio.create_task(calls.arun(lambda: 2, 60))
        third = asyncio.create_task(asyncio.to_thread(calls.run, lambda: 3, 60))
        executor = calls._executor
        while executor is None or executor._work_queue.qsize() < 2:
            await asyncio.sleep(0.001)
            executor = calls._executor
        calls.close(0)
        for waiting in (second, third):
            with pytest.raises(TierFailure, match="closed"):
                await waiting
        may_end.set()
        assert await first is True

    asyncio.run(main())


def test_what_was_given_up_while_removals_were_told_is_not_begun() -> None:
    tier = MemoryTier(timeout=0.2)
    told = threading.Event()
    tier.before = lambda call: told.wait(60) if call == "delete" else None
    with TieredCache(tier, failures=1000) as cache:
        guard = cache._backing.guard
        guard.journal.add(key=b"k" * 32)
        began = []
        with pytest.raises(TierFailure, match="no answer within"):
            guard.call(lambda: began.append(1))
        told.set()
        # On each of its threads another call comes after it.
        eventually(lambda: not len(guard.journal))
        for _ in range(tier.max_connections):
            guard.call(lambda: None)
    assert not began


@pytest.mark.parametrize("concerns", ["all", "key"])
def test_a_trial_write_that_fails_otherwise_leaves_the_trial_to_another(concerns: Any) -> None:
    tier = MemoryTier()

    def before(call: str) -> None:
        if call == "set":
            raise TierFailure("connection", concerns=concerns)

    with TieredCache(tier, failures=1000, backoff=1e-9, max_backoff=1000) as cache:
        breaker = cache._backing.guard.write_breaker
        breaker.failed()
        eventually(lambda: breaker.state == "half-open")
        tier.before = before
        cache.set("k", 1)
        assert breaker.allow()


@pytest.mark.parametrize("tried", ["breaker", "write_breaker"])
def test_a_trial_that_the_other_breaker_forbids_is_left_to_another(tried: str) -> None:
    with TieredCache(MemoryTier(), failures=1) as cache:
        guard = cache._backing.guard
        for name in ("breaker", "write_breaker"):
            backoff = 1e-9 if name == tried else 1000
            setattr(guard, name, CircuitBreaker(1, backoff, 1000))
            getattr(guard, name).failed()
        breaker = getattr(guard, tried)
        eventually(lambda: breaker.state == "half-open")
        with pytest.raises(TierFailure, match="open"):
            guard.call(lambda: None, writes=True)
        assert breaker.allow()


@pytest.mark.parametrize("meanwhile", ["set", "invalidate", "invalidate_tag", "clear"])
def test_what_is_here_is_what_the_tier_has_after_two_threads_changed_it(meanwhile: str) -> None:
    tier = MemoryTier()
    begun, may_go_on = threading.Event(), threading.Event()

    def before(call: str) -> None:
        if call == "set" and not begun.is_set():
            begun.set()
            may_go_on.wait(60)

    changes: dict[str, Callable[[TieredCache[str, int]], object]] = {
        "set": lambda cache: cache.set("k", 2),
        "invalidate": lambda cache: cache.invalidate("k"),
        "invalidate_tag": lambda cache: cache.invalidate_tag("t"),
        "clear": lambda cache: cache.clear(),
    }
    tier.before = before
    with TieredCache[str, int](tier) as cache:
        thread = threading.Thread(target=cache.set, args=("k", 1), kwargs={"tags": "t"})
        thread.start()
        begun.wait(60)
        changes[meanwhile](cache)
        may_go_on.set()
        thread.join(60)
        here = cache.get("k")
        cache.clear_local()
        assert here == cache.get("k") == 1
