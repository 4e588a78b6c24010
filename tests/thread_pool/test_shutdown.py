"""The end of a pool, asked for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from nexus_core import ThreadPool
from nexus_core.errors import PoolError, PoolShutdown, ShutdownTimeout

from .support import PATIENCE, Gate


def test_leaving_the_block_waits_for_what_is_queued() -> None:
    ran: list[int] = []
    with ThreadPool(2, thread_name_prefix="ending") as pool:
        for n in range(100):
            pool.submit(ran.append, n)
    assert len(ran) == 100
    assert (pool.threads, pool.is_shut_down) == (0, True)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ending")]


def test_use_after_the_end_is_refused_as_the_standard_library_does() -> None:
    pool = ThreadPool(1, name="over")
    pool.shutdown()
    pool.shutdown()
    for submit in (
        lambda: pool.submit(int),
        lambda: pool.submit_with(int, priority=1, when_full="caller_runs"),
        lambda: pool.map(int, ["1"]),
    ):
        with pytest.raises(PoolShutdown, match="thread pool 'over' takes no more tasks") as seen:
            submit()
        assert isinstance(seen.value, RuntimeError)
        assert isinstance(seen.value, PoolError)
        assert seen.value.pool == "over"
    assert pool.statistics().submitted == 0


def test_not_waiting_leaves_the_tasks_to_their_threads() -> None:
    pool = ThreadPool(1)
    with Gate(pool):
        future = pool.submit(int, "3")
        pool.shutdown(wait=False)
        assert not future.done()
    assert future.result(PATIENCE) == 3


def test_cancelling_what_has_not_begun() -> None:
    pool = ThreadPool(1)
    called: list[bool] = []
    with Gate(pool) as gate:
        futures = [pool.submit(int) for _ in range(5)]
        futures[0].cancel()
        for future in futures:
            future.add_done_callback(lambda done: called.append(done.cancelled()))
        pool.shutdown(wait=False, cancel_futures=True)
        for future in futures:
            with pytest.raises(CancelledError):
                future.result(0)
    assert gate.futures[0].result(PATIENCE) == "through"
    pool.shutdown()
    assert called == [True] * 5
    seen = pool.statistics()
    assert (seen.cancelled, seen.done, seen.queued) == (5, 1, 0)


def test_a_deadline_says_what_still_runs() -> None:
    pool = ThreadPool(2, name="slow")
    with Gate(pool, 2):
        futures = [pool.submit(int) for _ in range(3)]
        with pytest.raises(
            ShutdownTimeout, match=r"'slow' did not end within 0.05 s: 2 tasks were running and 3"
        ) as seen:
            pool.shutdown(timeout=0.05)
        assert isinstance(seen.value, TimeoutError)
        assert (seen.value.pool, seen.value.timeout, seen.value.running, seen.value.queued) == ("slow", 0.05, 2, 3)
        with pytest.raises(PoolShutdown):
            pool.submit(int)
        with pytest.raises(ShutdownTimeout):
            pool.shutdown(timeout=0)
    pool.shutdown(timeout=PATIENCE)
    assert [future.result() for future in futures] == [0, 0, 0]
    with pytest.raises(ValueError, match="timeout"):
        pool.shutdown(timeout=-1)


def test_a_pool_without_threads_ends_at_once() -> None:
    ThreadPool(3).shutdown(timeout=0)


def test_several_threads_may_end_a_pool() -> None:
    pool = ThreadPool(2)
    with Gate(pool, 2) as gate:
        threads = [threading.Thread(target=pool.shutdown) for _ in range(4)]
        for thread in threads:
            thread.start()
        gate.open()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_running_task_cannot_submit_to_a_pool_that_ends() -> None:
    pool = ThreadPool(1)
    ending = threading.Event()

    def late() -> str:
        ending.wait(PATIENCE)
        try:
            pool.submit(int)
        except PoolShutdown:
            return "refused"
        return "accepted"

    future = pool.submit(late)
    pool.shutdown(wait=False)
    ending.set()
    assert future.result(PATIENCE) == "refused"


def test_submissions_beside_the_end_are_run_or_refused() -> None:
    for _ in range(50):
        ran: list[int] = []
        accepted = 0
        pool = ThreadPool(2, max_queue_size=2)
        thread = threading.Thread(target=lambda pool=pool: (time.sleep(0.0005), pool.shutdown()))
        thread.start()
        try:
            while True:
                pool.submit(ran.append, 1)
                accepted += 1
        except PoolShutdown:
            pass
        thread.join()
        assert len(ran) == accepted
