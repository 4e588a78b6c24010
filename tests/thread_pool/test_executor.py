"""What any ``concurrent.futures`` executor does, with this one."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from typing import Any

import pytest

from nexus_core import ThreadPool

from .support import PATIENCE, Gate


def test_it_is_an_executor_and_passes_for_a_thread_pool_executor() -> None:
    with ThreadPool(1) as pool:
        assert isinstance(pool, Executor)
        assert isinstance(pool, ThreadPoolExecutor)
        assert isinstance(pool.submit(int), Future)


def test_submit_passes_arguments_on() -> None:
    def names(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    with ThreadPool(2) as pool:
        assert pool.submit(names).result() == ((), {})
        assert pool.submit(names, 1, 2).result() == ((1, 2), {})
        assert pool.submit(names, fn=1, self=2).result() == ((), {"fn": 1, "self": 2})
        assert pool.submit(names, 1, x=[2]).result() == ((1,), {"x": [2]})


def test_something_that_cannot_be_called_fails_in_its_future() -> None:
    with ThreadPool(1) as pool:
        future = pool.submit(7)  # type: ignore[arg-type]
        assert isinstance(future.exception(), TypeError)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_task_raises_comes_out_of_its_future(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with ThreadPool(1) as pool:
        future = pool.submit(fail)
        assert future.exception() is error
        with pytest.raises(type(error)) as seen:
            future.result()
        assert seen.value is error
        assert seen.traceback[-1].name == "fail"
        # The worker lives on.
        assert pool.submit(int, "7").result() == 7
        assert pool.statistics().failed == 1


def test_an_exception_is_raised_in_the_context_of_the_one_being_handled() -> None:
    with ThreadPool(1) as pool:
        future = pool.submit(int, "x")
        try:
            raise KeyError(1)
        except KeyError as outer:
            with pytest.raises(ValueError) as seen:
                future.result()
            assert seen.value.__context__ is outer


def test_map_gives_results_in_order_and_accepts_several_iterables() -> None:
    with ThreadPool(4) as pool:
        assert list(pool.map(pow, range(10), range(10))) == [n**n for n in range(10)]
        assert list(pool.map(pow, [2, 3], [1, 2, 3])) == [2, 9]
        assert list(pool.map(str, [])) == []


@pytest.mark.parametrize("chunksize", [1, 3, 100])
def test_map_in_chunks_gives_the_same(chunksize: int) -> None:
    with ThreadPool(3) as pool:
        assert list(pool.map(pow, range(20), [2] * 20, chunksize=chunksize)) == [n * n for n in range(20)]
        chunks = -(-20 // chunksize)
        assert pool.statistics().done == chunks


@pytest.mark.parametrize("chunksize", [1, 4])
def test_map_raises_where_the_call_did_after_the_results_before_it(chunksize: int) -> None:
    with ThreadPool(1) as pool:
        results = pool.map(int, ["1", "2", "x", "4", "5", "6"], chunksize=chunksize)
        assert [next(results), next(results)] == [1, 2]
        with pytest.raises(ValueError, match="invalid literal"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)


@pytest.mark.parametrize("chunksize", [1, 2])
def test_map_times_out(chunksize: int) -> None:
    with ThreadPool(1) as pool, Gate(pool):
        with pytest.raises(TimeoutError):
            next(pool.map(str, [1, 2], timeout=0.01, chunksize=chunksize))
        assert pool.queue_size == 0  # the rest was cancelled


@pytest.mark.parametrize("chunksize", [1, 2])
@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_map_that_nobody_wants_any_more_cancels_what_has_not_begun(how: str, chunksize: int) -> None:
    ran: list[int] = []
    with ThreadPool(1) as pool:
        with Gate(pool):
            results: Any = pool.map(ran.append, range(6), chunksize=chunksize)
            assert iter(results) is results
            if how == "close":
                results.close()
                assert list(results) == []
            del results
            gc.collect()
        pool.submit(int).result()
    assert ran == []
    assert pool.statistics().cancelled == 6 // chunksize


def test_map_uses_the_submit_of_a_derived_class() -> None:
    class Counting(ThreadPool):
        count = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.count += 1
            future: Future[Any] = Future()  # not one of the pool's own
            future.set_result(fn(*args))
            return future

    with Counting(1) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
        assert list(pool.map(abs, [-1, -2, -3], chunksize=2)) == [1, 2, 3]
        assert pool.count == 4


def test_map_cancels_the_rest_when_it_was_begun_and_is_dropped() -> None:
    ran: list[int] = []
    with ThreadPool(2) as pool:
        entered = threading.Event()
        go_on = threading.Event()

        def call(n: int) -> int:
            if n == 1:
                entered.set()
                go_on.wait(PATIENCE)
            ran.append(n)
            return n

        with Gate(pool):
            results = pool.map(call, range(6))
            assert next(results) == 0
            assert entered.wait(PATIENCE)
            del results
            gc.collect()
            go_on.set()
    assert ran == [0, 1]
    assert pool.statistics().cancelled == 4


def test_threads_that_share_the_results_of_a_map_in_chunks_lose_none() -> None:
    fetching = threading.Barrier(2)
    pause = threading.Event()
    seen: list[int] = []

    def call(number: int) -> int:
        # Both threads wait for a chunk each, and get them at the same time.
        assert pause.wait(PATIENCE)
        return number

    with ThreadPool(2) as pool:
        results = pool.map(call, range(8), chunksize=4)

        def consume() -> None:
            fetching.wait(PATIENCE)
            for number in results:
                seen.append(number)
                time.sleep(0.001)

        consumers = [threading.Thread(target=consume) for _ in range(2)]
        for consumer in consumers:
            consumer.start()
        time.sleep(0.1)
        pause.set()
        for consumer in consumers:
            consumer.join(PATIENCE)
    assert sorted(seen) == list(range(8))


@pytest.mark.parametrize("chunksize", [1, 3])
def test_a_call_that_raises_stop_iteration_does_not_end_a_map_silently(chunksize: int) -> None:
    with ThreadPool(2) as pool:
        results = pool.map(next, [iter([1]), iter([]), iter([3])], chunksize=chunksize)
        assert next(results) == 1
        with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
            next(results)
        assert isinstance(caught.value.__cause__, StopIteration)


def test_map_refuses_a_chunk_of_nothing() -> None:
    with ThreadPool(1) as pool, pytest.raises(ValueError, match="chunksize"):
        pool.map(str, [1], chunksize=0)


def test_map_whose_iterable_raises_cancels_what_it_has_submitted() -> None:
    def numbers() -> Any:
        yield 1
        yield 2
        raise LookupError("no third")

    with ThreadPool(1) as pool:
        with Gate(pool), pytest.raises(LookupError):
            pool.map(str, numbers())
        assert pool.statistics().cancelled == 2


def test_wait_for_all_the_first_and_the_first_exception() -> None:
    with ThreadPool(3) as pool, Gate(pool) as gate:
        blocked = gate.futures[0]
        good, bad = pool.submit(int, "1"), pool.submit(int, "x")
        done, not_done = wait([good, bad], PATIENCE, ALL_COMPLETED)
        assert (done, not_done) == ({good, bad}, set())
        done, not_done = wait([blocked, good], PATIENCE, FIRST_COMPLETED)
        assert (done, not_done) == ({good}, {blocked})
        done, not_done = wait([blocked, bad], PATIENCE, FIRST_EXCEPTION)
        assert (done, not_done) == ({bad}, {blocked})
        done, not_done = wait([blocked], 0.01)
        assert (done, not_done) == (set(), {blocked})


@pytest.mark.parametrize("when", [FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED])
def test_wait_is_woken_by_tasks_that_end_while_it_waits(when: str) -> None:
    with ThreadPool(2) as pool, Gate(pool, 2) as gate:
        extra = pool.submit(int, "x")
        threading.Timer(0.05, gate.open).start()
        done, _ = wait([*gate.futures, extra], PATIENCE, when)
        assert done


def test_as_completed_gives_them_as_they_end() -> None:
    with ThreadPool(2) as pool, Gate(pool) as gate:
        futures = [*gate.futures, *(pool.submit(int, str(n)) for n in range(5))]
        order = []
        for future in as_completed(futures, PATIENCE):
            order.append(future.result())
            if len(order) == 5:
                gate.open()
        assert sorted(order[:5]) == [0, 1, 2, 3, 4]
        assert order[5] == "through"


def test_as_completed_times_out() -> None:
    with ThreadPool(1) as pool, Gate(pool) as gate, pytest.raises(TimeoutError):
        list(as_completed(gate.futures, 0.01))


def test_futures_of_both_kinds_may_be_waited_for_together() -> None:
    with ThreadPool(2) as pool, ThreadPoolExecutor(2) as other:
        futures: list[Future[Any]] = [executor.submit(time.sleep, 0.01) for executor in (pool, other) for _ in range(3)]
        assert set(as_completed(futures, PATIENCE)) == set(futures)
        assert wait(futures).done == set(futures)


def test_a_cancelled_task_does_not_run_and_those_who_wait_hear_of_it() -> None:
    ran: list[int] = []
    with ThreadPool(1) as pool, Gate(pool):
        future = pool.submit(ran.append, 1)
        threading.Timer(0.05, future.cancel).start()
        # The worker is occupied: it is not what tells those who wait.
        assert wait([future], PATIENCE).done == {future}
        assert list(as_completed([future], PATIENCE)) == [future]
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
        with pytest.raises(CancelledError):
            future.exception(PATIENCE)
    assert ran == []


def test_many_threads_submit_and_wait() -> None:
    with ThreadPool(4) as pool:
        sums = [0] * 6

        def submit(place: int) -> None:
            futures = [pool.submit(pow, n, 2) for n in range(500)]
            sums[place] = sum(future.result(PATIENCE) for future in futures)

        threads = [threading.Thread(target=submit, args=(place,)) for place in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(sums) == {sum(n * n for n in range(500))}
        assert pool.statistics().done == 3000


def test_tasks_run_in_the_order_in_which_they_were_submitted() -> None:
    order: list[int] = []
    with ThreadPool(1) as pool:
        for n in range(1000):
            pool.submit(order.append, n)
    assert order == list(range(1000))


def test_higher_priorities_run_first_and_equals_in_order() -> None:
    order: list[str] = []
    with ThreadPool(1) as pool, Gate(pool):
        for n in range(2):
            pool.submit(order.append, f"usual {n}")
            pool.submit_with(order.append, f"low {n}", priority=-1)
            pool.submit_with(order.append, f"high {n}", priority=5)
            pool.submit_with(order.append, f"highest {n}", priority=2**62)
    assert order == [f"{what} {n}" for what in ("highest", "high", "usual", "low") for n in range(2)]


def test_results_and_arguments_die_with_the_future() -> None:
    class Thing:
        pass

    argument: Any = Thing()
    dies = weakref.ref(argument)
    with ThreadPool(1) as pool:
        future = pool.submit(lambda thing: thing, argument)
        assert future.result() is argument
        del argument
        assert dies() is not None
        del future
        # The worker may be about to let go of it.
        pool.submit(int).result()
        gc.collect()
        assert dies() is None


def test_a_failed_task_leaves_no_cycle() -> None:
    class Failed(Exception):
        pass

    def fail() -> None:
        raise Failed

    with ThreadPool(1) as pool:
        future = pool.submit(fail)
        try:
            future.result()
        except Failed as error:
            dies = weakref.ref(error)
        pool.submit(int).result()
        gc.collect()
        gc.disable()
        try:
            future = pool.submit(fail)
            dies = weakref.ref(future.exception())
            del future
            pool.submit(int).result()
            assert dies() is None
        finally:
            gc.enable()


def test_a_future_in_a_cycle_is_collected() -> None:
    class Thing:
        future: Any

    thing = Thing()
    dies = weakref.ref(thing)
    with ThreadPool(1) as pool:
        thing.future = pool.submit(lambda thing: thing, thing)
        thing.future.result()
        thing.future.add_done_callback(lambda _, thing=thing: None)
        thing.future.itself = thing.future
        del thing
        pool.submit(int).result()
        gc.collect()
        assert dies() is None


def test_a_pool_that_nobody_holds_runs_what_is_queued_and_its_threads_leave() -> None:
    ran: list[int] = []
    pool = ThreadPool(1, thread_name_prefix="orphan")
    gate = Gate(pool)
    futures = [pool.submit(ran.append, n) for n in range(3)]
    dies = weakref.ref(pool)
    del pool
    gc.collect()
    assert dies() is None
    gate.open()
    assert wait(futures, PATIENCE).not_done == set()
    assert ran == [0, 1, 2]
    deadline = time.monotonic() + PATIENCE
    while any(thread.name.startswith("orphan") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_pool_whose_initializer_holds_it_is_collected_once_its_threads_left() -> None:
    class Owner:
        def __init__(self) -> None:
            self.pool = ThreadPool(1, idle_timeout=0.0, initializer=self.prepare)

        def prepare(self) -> None:
            pass

    owner = Owner()
    dies = weakref.ref(owner)
    owner.pool.submit(int).result()
    deadline = time.monotonic() + PATIENCE
    while owner.pool.threads:
        assert time.monotonic() < deadline
    del owner
    while dies() is not None:
        gc.collect()
        assert time.monotonic() < deadline
