"""The bounded queue: what happens where it is full."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from nexus_core import ThreadPool
from nexus_core.errors import NexusCoreError, PoolError, PoolShutdown, QueueFull

from .support import PATIENCE, Gate, eventually


def test_a_full_queue_rejects_and_says_how_full_it_is() -> None:
    with ThreadPool(1, max_queue_size=2, when_full="reject", name="loaders") as pool:
        with Gate(pool):
            pool.submit(int)
            pool.submit(int)
            with pytest.raises(QueueFull, match=r"thread pool 'loaders' has no room: 2 of 2 tasks are queued") as seen:
                pool.submit(int)
            assert isinstance(seen.value, PoolError)
            assert isinstance(seen.value, NexusCoreError)
            error = seen.value
            assert (error.pool, error.max_queue_size, error.queued, error.max_workers, error.waited) == (
                "loaders",
                2,
                2,
                1,
                0.0,
            )
            assert (pool.queue_size, pool.statistics().rejected) == (2, 1)
        eventually(lambda: pool.queue_size == 0)
        assert pool.submit(int, "4").result() == 4


def test_a_caller_waits_for_room_and_gets_it() -> None:
    with ThreadPool(1, max_queue_size=1) as pool, Gate(pool) as gate:
        pool.submit(int)
        threading.Timer(0.05, gate.open).start()
        assert pool.submit(int, "3").result(PATIENCE) == 3
    assert pool.statistics().submitted == 3


def test_a_caller_waits_no_longer_than_it_may() -> None:
    with ThreadPool(1, max_queue_size=1, submit_timeout=0.02, name="busy") as pool, Gate(pool):
        pool.submit(int)
        for submit in (
            lambda: pool.submit(int),
            lambda: pool.submit_with(int, timeout=0.03),
            lambda: pool.submit_with(int, timeout=0),
        ):
            with pytest.raises(QueueFull, match="busy") as seen:
                submit()
            assert seen.value.queued == 1
        assert pool.statistics().waiting_for_room == 0
        assert pool.statistics().rejected == 3


def test_a_wait_says_how_long_it_was() -> None:
    with ThreadPool(1, max_queue_size=1) as pool, Gate(pool):
        pool.submit(int)
        with pytest.raises(QueueFull, match=r"no room after 0\.0") as seen:
            pool.submit_with(int, timeout=0.03)
        assert seen.value.waited >= 0.03


def test_those_who_wait_are_served_as_they_came() -> None:
    order: list[int] = []
    with ThreadPool(1, max_queue_size=1) as pool:
        with Gate(pool):
            pool.submit(int)
            threads = []
            for n in range(6):
                thread = threading.Thread(target=pool.submit, args=(order.append, n))
                thread.start()
                threads.append(thread)
                eventually(lambda n=n: pool.statistics().waiting_for_room == n + 1)  # type: ignore[misc]
        for thread in threads:
            thread.join()
    assert order == list(range(6))


def test_the_caller_runs_what_the_queue_has_no_room_for() -> None:
    here = threading.get_ident()
    with ThreadPool(1, max_queue_size=1, when_full="caller_runs") as pool:
        with Gate(pool):
            queued = pool.submit(threading.get_ident)
            own = pool.submit(threading.get_ident)
            assert own.done()
            assert own.result() == here
            failed = pool.submit(int, "x")
            assert isinstance(failed.exception(), ValueError)
            assert pool.statistics().ran_on_caller == 2
        assert queued.result(PATIENCE) != here


def test_ctrl_c_in_a_task_that_the_caller_runs_is_the_callers_too() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with ThreadPool(1, max_queue_size=1, when_full="caller_runs") as pool, Gate(pool):
        pool.submit(int)
        with pytest.raises(KeyboardInterrupt):
            pool.submit(interrupt)
        assert pool.statistics().failed == 1


def test_one_submission_may_ask_for_something_else() -> None:
    with ThreadPool(1, max_queue_size=1) as pool, Gate(pool):
        pool.submit(int)
        with pytest.raises(QueueFull):
            pool.submit_with(int, when_full="reject")
        assert pool.submit_with(int, "5", when_full="caller_runs").done()
        with pytest.raises(ValueError, match="when_full is one of"):
            pool.submit_with(int, when_full="panic")  # type: ignore[arg-type]


def test_a_cancelled_task_makes_room_at_once() -> None:
    with ThreadPool(1, max_queue_size=1, when_full="reject") as pool, Gate(pool):
        pool.submit(int).cancel()
        future = pool.submit(int)
        with pytest.raises(QueueFull):
            pool.submit(int)
        assert future.cancel()
        assert pool.queue_size == 0


def test_a_cancelled_task_lets_in_who_waits() -> None:
    with ThreadPool(1, max_queue_size=1) as pool, Gate(pool):
        future = pool.submit(int)
        threading.Timer(0.05, future.cancel).start()
        assert not pool.submit_with(int, timeout=PATIENCE).done()


def test_a_task_that_submits_to_its_own_full_pool_runs_the_new_one_itself() -> None:
    def outer(pool: ThreadPool) -> Any:
        inner = [pool.submit(threading.get_ident) for _ in range(10)]
        return threading.get_ident(), [future.result() for future in inner]

    with ThreadPool(2, max_queue_size=1) as pool:
        futures = [pool.submit(outer, pool) for _ in range(8)]
        for future in futures:
            _, inner = future.result(PATIENCE)
            assert len(inner) == 10


def test_tasks_that_submit_without_end_go_beyond_the_bound_and_not_deeper() -> None:
    deepest = 0

    def outer(pool: ThreadPool, n: int, depth: int = 0) -> None:
        nonlocal deepest
        import inspect

        deepest = max(deepest, len(inspect.stack(0)))
        if n:
            pool.submit(outer, pool, n - 1)

    with ThreadPool(1, max_queue_size=1) as pool:
        with Gate(pool):
            pool.submit(outer, pool, 500)
        eventually(lambda: pool.statistics().done == 502)
    assert deepest < 200


def test_the_end_of_the_pool_is_the_end_of_the_wait() -> None:
    with ThreadPool(1, max_queue_size=1, name="ending") as pool, Gate(pool):
        pool.submit(int)
        threading.Timer(0.05, pool.shutdown, (False,)).start()
        with pytest.raises(PoolShutdown, match="ending"):
            pool.submit(int)
    assert pool.statistics().submitted == 2


def test_a_bounded_queue_passes_everything_on() -> None:
    with ThreadPool(3, max_queue_size=7) as pool:
        assert sum(pool.map(int, map(str, range(3000)))) == sum(range(3000))
        assert pool.statistics().done == 3000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_workers": 0}, "max_workers must be greater than 0, got 0"),
        ({"max_workers": -1}, "max_workers must be greater than 0, got -1"),
        ({"max_workers": 2, "min_workers": 3}, "min_workers must be from 0 to max_workers, which is 2; got 3"),
        ({"max_workers": 2, "min_workers": -1}, "min_workers must be from 0"),
        ({"max_queue_size": 0}, "max_queue_size must be at least 1"),
        ({"when_full": "wait"}, "when_full is one of 'block', 'reject', 'caller_runs'; got 'wait'"),
        ({"submit_timeout": -1}, "submit_timeout must be a number of seconds"),
        ({"idle_timeout": float("nan")}, "idle_timeout must be a number of seconds"),
    ],
)
def test_sizes_and_times_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThreadPool(**options)


@pytest.mark.parametrize("options", [{"max_workers": 1.5}, {"max_queue_size": "3"}, {"initializer": 7}])
def test_what_is_no_number_and_no_callable_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        ThreadPool(**options)


def test_a_class_that_forgets_to_set_the_pool_up_is_told_so() -> None:
    class Forgetful(ThreadPool):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"super\(\).__init__"):
        Forgetful().submit(int)


def test_a_pool_is_set_up_once() -> None:
    with ThreadPool(1) as pool, pytest.raises(RuntimeError, match="before"):
        ThreadPool.__init__(pool, 2)
    assert pool.max_workers == 1


def test_waiting_for_room_takes_no_processor_time() -> None:
    with ThreadPool(1, max_queue_size=1) as pool, Gate(pool) as gate:
        pool.submit(int)
        threading.Timer(0.5, gate.open).start()
        before = time.thread_time()
        pool.submit(int)
        assert time.thread_time() - before < 0.25
