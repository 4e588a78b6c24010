"""The pool's threads: how many, how named, how prepared."""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, wait
from concurrent.futures.thread import BrokenThreadPool

import pytest

from nexus_core import ThreadPool
from nexus_core.errors import PoolBroken, PoolError

from .support import PATIENCE, Gate, eventually


def test_threads_are_started_as_they_are_needed_and_used_again() -> None:
    with ThreadPool(4) as pool:
        assert pool.threads == 0
        for _ in range(20):
            pool.submit(int).result()
            eventually(lambda: pool.statistics().idle_threads == 1)
        assert pool.threads == 1


def test_the_pool_grows_while_all_workers_are_blocked_up_to_its_limit() -> None:
    with ThreadPool(3) as pool:
        with Gate(pool, 3):
            late = pool.submit(int)
            time.sleep(0.05)
            seen = pool.statistics()
            assert (seen.threads, seen.running, seen.queued) == (3, 3, 1)
        assert late.result(PATIENCE) == 0
    assert pool.statistics().most_threads == 3


def test_idle_threads_leave_and_the_fewest_stay() -> None:
    with ThreadPool(4, min_workers=1, idle_timeout=0.02) as pool:
        eventually(lambda: pool.threads == 1)  # started ahead
        with Gate(pool, 4):
            assert pool.threads == 4
        eventually(lambda: pool.threads == 1)
        time.sleep(0.1)
        assert pool.threads == 1


def test_resizing_while_it_runs() -> None:
    with ThreadPool(1, name="growing") as pool:
        with Gate(pool):
            blocked = pool.submit(int)
            pool.resize(2)
            assert blocked.result(PATIENCE) == 0
            pool.resize(4, 3)
            eventually(lambda: pool.threads >= 3)
        with Gate(pool, 4):
            pool.resize(1)
            assert (pool.max_workers, pool.min_workers) == (1, 1)
            assert pool.threads == 4
            late = pool.submit(int)
        assert late.result(PATIENCE) == 0
        eventually(lambda: pool.threads == 1)
        for sizes in [(0,), (2, 3), (2, -1)]:
            with pytest.raises(ValueError, match="growing"):
                pool.resize(*sizes)
        assert (pool.max_workers, pool.min_workers, pool.max_queue_size) == (1, 1, None)


def test_the_bound_of_the_queue_may_change() -> None:
    with ThreadPool(1, max_queue_size=1, when_full="reject") as pool, Gate(pool):
        pool.submit(int)
        pool.resize(1, max_queue_size=2)
        pool.submit(int)
        assert pool.max_queue_size == 2
        pool.resize(1)
        assert pool.max_queue_size == 2
        pool.resize(1, max_queue_size=None)
        for _ in range(10):
            pool.submit(int)


def test_threads_have_names_here_and_for_the_system() -> None:
    def names() -> tuple[str, str]:
        with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file:
            return threading.current_thread().name, file.read().strip()

    with ThreadPool(1, thread_name_prefix="loader") as pool:
        if sys.platform == "linux":
            assert pool.submit(names).result() == ("loader_0", "loader_0")
        assert pool.submit(lambda: threading.current_thread() is threading.current_thread()).result()
    with ThreadPool(1) as pool:
        assert pool.submit(lambda: threading.current_thread().name).result() == "nexus-core-pool_0"


def test_threads_that_left_are_not_listed() -> None:
    with ThreadPool(3, thread_name_prefix="listed") as pool, Gate(pool, 3):
        listed = {thread.name for thread in threading.enumerate() if thread.name.startswith("listed")}
        assert listed == {"listed_0", "listed_1", "listed_2"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listed")]


def test_each_thread_is_prepared_before_its_first_task() -> None:
    local = threading.local()

    def prepare(value: int) -> None:
        local.value = value

    with ThreadPool(2, initializer=prepare, initargs=(7,)) as pool:
        barrier = threading.Barrier(2)

        def read() -> int:
            barrier.wait(PATIENCE)
            return local.value  # type: ignore[no-any-return]

        assert [future.result() for future in [pool.submit(read), pool.submit(read)]] == [7, 7]


def test_threads_are_prepared_at_the_same_time() -> None:
    barrier = threading.Barrier(3)
    with ThreadPool(3, initializer=lambda: barrier.wait(PATIENCE)) as pool:
        assert wait([pool.submit(int) for _ in range(3)], PATIENCE).not_done == set()


@pytest.mark.parametrize("error", [ValueError("no database"), SystemExit(1)])
def test_an_initializer_that_raises_breaks_the_pool(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    ready = threading.Event()

    def prepare() -> None:
        ready.wait(PATIENCE)
        raise error

    with caplog.at_level(logging.CRITICAL, "concurrent.futures"), ThreadPool(1, initializer=prepare, name="db") as pool:
        futures = [pool.submit(int) for _ in range(3)]
        ready.set()
        for future in futures:
            broken = future.exception(PATIENCE)
            assert isinstance(broken, PoolBroken)
        with pytest.raises(BrokenThreadPool, match="db") as seen:
            pool.submit(int)
        assert isinstance(seen.value, BrokenExecutor)
        assert isinstance(seen.value, PoolError)
        assert seen.value.pool == "db"
    record = caplog.records[0]
    assert record.getMessage() == "Exception in initializer:"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_an_idle_thread_takes_a_task_while_another_is_prepared() -> None:
    prepared, free = threading.Semaphore(1), threading.Event()

    def prepare() -> None:
        assert prepared.acquire(timeout=PATIENCE)

    with ThreadPool(2, initializer=prepare) as pool:
        first = pool.submit(free.wait, PATIENCE)
        eventually(first.running)
        second = pool.submit(len, "ab")
        # A second thread gets ready for it, and the first one is faster.
        eventually(lambda: pool.threads == 2)
        free.set()
        assert second.result(PATIENCE) == 2
        eventually(lambda: pool.statistics().idle_threads == 1)
        third = pool.submit(len, "abc")
        try:
            assert third.result(5) == 3
        finally:
            prepared.release()


def test_a_task_that_runs_in_place_goes_on_in_a_pool_that_breaks(caplog: pytest.LogCaptureFixture) -> None:
    ready, broken = threading.Semaphore(1), threading.Event()
    begun, go_on = threading.Event(), threading.Event()

    def prepare() -> None:
        if not ready.acquire(blocking=False):
            assert broken.wait(PATIENCE)
            raise LookupError("no seat")

    def inner() -> str:
        begun.set()
        assert go_on.wait(PATIENCE)
        return "through"

    pool = ThreadPool(2, initializer=prepare)
    outer = pool.submit(lambda: pool.submit(inner).result())
    assert begun.wait(PATIENCE)
    broken.set()
    eventually(lambda: pool.is_shut_down and pool.queue_size == 0 and pool.threads == 1)
    go_on.set()
    assert outer.result(PATIENCE) == "through"
    pool.shutdown(timeout=PATIENCE)
    seen = pool.statistics()
    assert (seen.submitted, seen.done, seen.cancelled) == (2, 2, 0)


def test_a_task_sees_the_context_variables_of_its_submitter_and_keeps_its_own() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    def change(by: int) -> tuple[int, int]:
        before = variable.get()
        variable.set(before + by)
        return before, variable.get()

    with ThreadPool(1) as pool:
        variable.set(5)
        assert pool.submit(change, 1).result() == (5, 6)
        assert variable.get() == 5
        assert pool.submit(change, 2).result() == (5, 7)
        # Nested, on the same thread.
        assert pool.submit(lambda: (variable.set(9), pool.submit(variable.get).result())[1]).result() == 9
    with ThreadPool(1, carry_context=False) as pool:
        assert pool.submit(change, 1).result() == (0, 1)


def test_a_task_that_runs_inside_another_leaves_that_ones_context_variables_alone() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    def inner() -> None:
        variable.set("inner")

    with ThreadPool(1, carry_context=False) as pool:

        def outer() -> str:
            variable.set("outer")
            pool.submit(inner).result()
            return variable.get()

        assert pool.submit(outer).result(PATIENCE) == "outer"


def test_a_tracing_function_for_all_threads_sees_these_as_well() -> None:
    seen: list[str] = []

    def traced() -> None:
        pass

    def trace(frame: object, event: str, arg: object) -> None:
        seen.append(threading.current_thread().name)

    before = threading.gettrace()
    threading.settrace(trace)  # type: ignore[arg-type]
    try:
        with ThreadPool(1, thread_name_prefix="traced") as pool:
            pool.submit(traced).result()
    finally:
        threading.settrace(before)  # type: ignore[arg-type]
    assert "traced_0" in seen


def test_functions_written_in_c_do_not_keep_other_threads_from_running() -> None:
    # A thousand tasks of ten milliseconds: nobody would wait for all of them.
    data = "x" * 20_000_000
    with ThreadPool(1) as pool:
        futures = [pool.submit(data.count, "y") for _ in range(1000)]
        while not futures[0].done():
            time.sleep(0.001)
        assert not futures[-1].done()
        pool.shutdown(cancel_futures=True)
