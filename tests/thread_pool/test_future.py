"""The futures, beside the standard library's: one list of steps, both answer the same."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import sys
import threading
import time
from concurrent.futures import CancelledError, Future, InvalidStateError, as_completed, wait
from typing import Any

import pytest

from nexus_core import ThreadPool
from nexus_core.thread_pool import PoolFuture

from .support import PATIENCE, Gate

BOTH = pytest.mark.parametrize("make", [Future, PoolFuture], ids=["stdlib", "own"])


@BOTH
def test_a_fresh_future(make: type[Future[Any]]) -> None:
    future = make()
    assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
    assert repr(future) == f"<{make.__name__} at {id(future):#x} state=pending>"
    with pytest.raises(TimeoutError):
        future.result(timeout=0)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0.01)


@BOTH
def test_a_result_set_by_hand(make: type[Future[Any]]) -> None:
    future = make()
    assert future.set_running_or_notify_cancel() is True
    assert future.running()
    assert not future.cancel()
    assert repr(future).endswith(" state=running>")
    future.set_result([7])
    assert (future.done(), future.running(), future.cancelled()) == (True, False, False)
    assert (future.result(), future.exception()) == ([7], None)
    assert repr(future).endswith(" state=finished returned list>")
    assert not future.cancel()
    with pytest.raises(InvalidStateError, match=f"FINISHED: <{make.__name__} at .* state=finished returned list>"):
        future.set_result(8)
    with pytest.raises(InvalidStateError):
        future.set_exception(ValueError())
    assert future.result() == [7]


@BOTH
def test_an_exception_set_by_hand(make: type[Future[Any]]) -> None:
    future = make()
    future.set_exception(OSError("x"))
    with pytest.raises(OSError, match="x"):
        future.result()
    assert isinstance(future.exception(), OSError)
    assert repr(future).endswith(" state=finished raised OSError>")


@BOTH
@pytest.mark.parametrize(("given", "raised"), [(OSError, OSError), (7, TypeError)])
def test_what_is_raised_for_something_else_than_an_exception(
    make: type[Future[Any]], given: Any, raised: type[Exception]
) -> None:
    future = make()
    future.set_exception(given)
    with pytest.raises(raised):
        future.result()
    assert future.exception() is given


@BOTH
def test_cancelling_by_hand(make: type[Future[Any]]) -> None:
    future = make()
    assert future.cancel()
    assert future.cancel()
    assert (future.done(), future.cancelled()) == (True, True)
    assert repr(future).endswith(" state=cancelled>")
    with pytest.raises(CancelledError):
        future.result()
    assert future.set_running_or_notify_cancel() is False
    with pytest.raises(RuntimeError, match="unexpected state"):
        future.set_running_or_notify_cancel()
    with pytest.raises(InvalidStateError):
        future.set_result(1)


@BOTH
def test_callbacks_are_called_in_order_once_it_is_done_or_at_once(
    make: type[Future[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def fail(_: object) -> None:
        raise ValueError("in a callback")

    future = make()
    future.add_done_callback(lambda done: seen.append(("first", done)))
    future.add_done_callback(fail)
    future.add_done_callback(lambda done: seen.append(("second", done)))
    assert seen == []
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        future.set_result(1)
        future.add_done_callback(lambda done: seen.append(("late", done)))
        future.add_done_callback(fail)
    assert seen == [("first", future), ("second", future), ("late", future)]
    records = [(record.getMessage(), record.exc_info[0]) for record in caplog.records if record.exc_info]
    assert records == [(f"exception calling callback for {future!r}", ValueError)] * 2


@BOTH
def test_callbacks_of_a_cancelled_one(make: type[Future[Any]]) -> None:
    seen: list[bool] = []
    future = make()
    future.add_done_callback(lambda done: seen.append(done.cancelled()))
    future.cancel()
    assert seen == [True]


@BOTH
def test_waiting_for_a_result_that_comes(make: type[Future[Any]]) -> None:
    for finish in (lambda f: f.set_result(5), lambda f: f.set_exception(LookupError()), lambda f: f.cancel()):
        future = make()
        threading.Timer(0.05, finish, (future,)).start()
        with contextlib.suppress(LookupError, CancelledError):
            assert future.result(PATIENCE) == 5
        assert future.done()


@BOTH
def test_those_who_wait_together_hear_of_every_end(make: type[Future[Any]]) -> None:
    one, two, three = make(), make(), make()

    def finish() -> None:
        time.sleep(0.05)
        one.set_result(1)
        two.cancel()
        two.set_running_or_notify_cancel()
        three.set_exception(ValueError())

    threading.Thread(target=finish).start()
    assert set(as_completed([one, two, three], PATIENCE)) == {one, two, three}
    assert wait([one, two, three], PATIENCE).done == {one, two, three}


@BOTH
def test_a_future_cannot_be_pickled_and_can_be_referred_to_weakly(make: type[Future[Any]]) -> None:
    import weakref

    future = make()
    assert weakref.ref(future)() is future
    with pytest.raises(TypeError):
        pickle.dumps(future)


@BOTH
def test_attributes_that_the_standard_library_uses(make: type[Future[Any]]) -> None:
    future = make()
    assert future._state == "PENDING"
    assert future._waiters is future._waiters
    assert future._condition is future._condition
    with future._condition:
        assert (future._result, future._exception, future._done_callbacks) == (None, None, [])  # type: ignore[attr-defined]
    future.set_result(3)
    assert (future._state, future._result) == ("FINISHED", 3)
    assert make[int].__origin__ is make  # type: ignore[index]


def test_a_condition_made_while_the_task_ends_misses_nothing() -> None:
    with ThreadPool(2) as pool:
        for _ in range(2000):
            futures = [pool.submit(int) for _ in range(2)]
            assert wait(futures, PATIENCE).not_done == set()


def test_whoever_holds_the_condition_sees_no_change() -> None:
    with ThreadPool(1) as pool:
        gate = Gate(pool)
        [future] = gate.futures
        with future._condition:
            gate.open()
            time.sleep(0.05)
            assert future._state == "RUNNING"
        assert future.result(PATIENCE) == "through"


def test_a_waiter_that_raises_keeps_nobody_else_from_hearing() -> None:
    class Broken:
        def add_result(self, future: Any) -> None:
            raise ValueError("broken waiter")

    hook, seen = sys.unraisablehook, []
    sys.unraisablehook = seen.append
    try:
        with ThreadPool(1) as pool, Gate(pool) as gate:
            [future] = gate.futures
            with future._condition:
                future._waiters.append(Broken())  # type: ignore[arg-type]
            threading.Timer(0.05, gate.open).start()
            assert wait([future], PATIENCE).done == {future}
            assert future.result(PATIENCE) == "through"
    finally:
        sys.unraisablehook = hook
    assert [str(each.exc_value) for each in seen] == ["broken waiter"]


def test_a_task_whose_end_cannot_take_the_condition_ends_all_the_same() -> None:
    def refuse() -> None:
        raise MemoryError("no lock")

    hook, seen = sys.unraisablehook, []
    sys.unraisablehook = seen.append
    try:
        with ThreadPool(1) as pool, Gate(pool) as gate:
            [future] = gate.futures
            future._condition.acquire = refuse  # type: ignore[method-assign,assignment]
            gate.open()
            assert future.result(PATIENCE) == "through"
    finally:
        sys.unraisablehook = hook
    assert [str(each.exc_value) for each in seen] == ["no lock"]


def test_an_event_loop_waits_for_tasks_and_cancels_them() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPool(1) as pool:
            assert await loop.run_in_executor(pool, pow, 2, 5) == 32
            assert await asyncio.wrap_future(pool.submit(pow, 2, 6)) == 64
            with pytest.raises(ValueError):
                await loop.run_in_executor(pool, int, "x")
            with Gate(pool):
                future = pool.submit(int)
                waiting = asyncio.wrap_future(future)
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await asyncio.sleep(0)
                assert future.cancelled()

    asyncio.run(main())


def test_it_may_be_the_default_executor_of_a_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPool(2, thread_name_prefix="of-the-loop"))
        assert await asyncio.gather(*(asyncio.to_thread(pow, n, 2) for n in range(20))) == [n * n for n in range(20)]
        assert (await asyncio.to_thread(threading.current_thread)).name.startswith("of-the-loop_")
        await loop.shutdown_default_executor()

    asyncio.run(main())


def test_setting_a_pending_task_by_hand_keeps_it_from_running() -> None:
    ran: list[int] = []
    with ThreadPool(1) as pool:
        with Gate(pool):
            first, second = pool.submit(ran.append, 1), pool.submit(ran.append, 2)
            first.set_result("by hand")
            assert second.set_running_or_notify_cancel()
            assert pool.queue_size == 0
        assert pool.submit(int).result() == 0
        assert pool.queue_size == 0
        assert first.result() == "by hand"
        second.set_result(None)
    assert ran == []
