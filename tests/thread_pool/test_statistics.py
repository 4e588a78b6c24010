"""What a pool says of itself."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

from nexus_core import ThreadPool
from nexus_core.thread_pool import Durations, ThreadPoolStatistics

from .support import PATIENCE, Gate, eventually


def adds_up(seen: ThreadPoolStatistics) -> bool:
    return seen.submitted == seen.queued + seen.running + seen.done + seen.failed + seen.cancelled


def test_counts() -> None:
    with ThreadPool(2, max_queue_size=3, when_full="reject", name="counted") as pool:
        with Gate(pool, 2):
            queued = [pool.submit(int, text) for text in ("1", "x", "3")]
            queued[2].cancel()
            seen = pool.statistics()
            assert (seen.submitted, seen.queued, seen.running, seen.cancelled) == (5, 2, 2, 1)
            assert adds_up(seen)
        eventually(lambda: pool.statistics().running == 0 and pool.statistics().queued == 0)
        seen = pool.statistics()
        assert (seen.done, seen.failed, seen.cancelled, seen.rejected) == (3, 1, 1, 0)
        assert (seen.name, seen.max_workers, seen.min_workers, seen.max_queue_size) == ("counted", 2, 0, 3)
        assert adds_up(seen)
    assert pool.statistics().threads == 0


def test_durations() -> None:
    with ThreadPool(1) as pool:
        with Gate(pool):
            futures = [pool.submit(time.sleep, 0.01) for _ in range(4)]
            time.sleep(0.05)
        for future in futures:
            future.result(PATIENCE)
        seen = pool.statistics()
        for spread in (seen.queue_wait, seen.run_time):
            assert isinstance(spread, Durations)
            assert spread.count == 5
            assert 0 < spread.p50 <= spread.p90 <= spread.p99 <= spread.max <= spread.total
            assert spread.mean == pytest.approx(spread.total / 5)
        assert seen.queue_wait.p90 >= 0.05
        assert seen.run_time.p50 >= 0.01
        # The gate's task ran for at least as long as the test slept.
        assert seen.run_time.max >= 0.05


def test_time_of_workers_is_idle_or_busy() -> None:
    with ThreadPool(1) as pool:
        pool.submit(int).result()
        eventually(lambda: pool.statistics().idle_threads == 1)
        time.sleep(0.05)
        pool.submit(time.sleep, 0.1).result()
        seen = pool.statistics()
        assert seen.idle_seconds >= 0.05
        assert seen.busy_seconds >= 0.1
        assert seen.busy_seconds >= seen.run_time.total


def test_time_spent_waiting_for_the_interpreter() -> None:
    with ThreadPool(1) as pool:
        pool.submit(int).result()
        eventually(lambda: pool.statistics().idle_threads == 1)
        future = pool.submit(int)
        sum(range(3_000_000))  # holds the interpreter's lock
        future.result()
        assert pool.statistics().interpreter_wait_seconds > 0


def test_a_task_inside_another_is_not_counted_twice_as_busy() -> None:
    with ThreadPool(1) as pool:
        pool.submit(lambda: pool.submit(time.sleep, 0.1).result()).result()
        seen = pool.statistics()
        assert (seen.done, seen.ran_on_caller) == (2, 1)
        assert seen.run_time.total >= 0.2
        # Counted twice, the inner task would add at least its 0.1 s to the outer one's time.
        assert seen.busy_seconds < seen.run_time.max + 0.09


def test_callbacks_count_as_busy_and_not_as_the_next_task() -> None:
    with ThreadPool(1) as pool:
        with Gate(pool) as gate:
            gate.futures[0].add_done_callback(lambda _: time.sleep(0.2))
            waits = pool.submit(int)
        waits.result(PATIENCE)
        seen = pool.statistics()
        assert seen.run_time.count == 2
        assert seen.busy_seconds >= 0.2
        assert seen.queue_wait.max >= 0.2
        assert seen.run_time.p50 < 0.2


def test_they_are_plain_data() -> None:
    with ThreadPool(1) as pool:
        seen = pool.statistics()
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.done = 7  # type: ignore[misc]
    nested = seen.as_dict()
    assert set(nested) == {field.name for field in dataclasses.fields(ThreadPoolStatistics)}
    assert nested["run_time"]["count"] == 0
    assert nested["queue_wait"]["p99"] == 0.0


def test_the_pool_shows_itself() -> None:
    with ThreadPool(2, name="shown") as pool:
        assert repr(pool) == "<ThreadPool 'shown': 0 of 2 workers, 0 queued>"
    assert repr(pool) == "<ThreadPool 'shown': 0 of 2 workers, shut down>"


def test_counts_add_up_while_threads_submit_and_cancel() -> None:
    with ThreadPool(3, max_queue_size=20) as pool:

        def busy() -> None:
            for n in range(300):
                future = pool.submit(int, str(n) if n % 7 else "x")
                if n % 3 == 0:
                    future.cancel()

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen = pool.statistics()
    assert seen.submitted == 1200
    assert (seen.queued, seen.running) == (0, 0)
    assert adds_up(seen)
