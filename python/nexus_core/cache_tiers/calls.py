"""Calls of a tier on threads of its own, for which nobody waits longer than they said."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from nexus_core.cache_tiers.tier import TierFailure

__all__ = ["Calls"]

T = TypeVar("T")


_current = threading.local()


class _Call:
    """One call: it ends, or is given up, whichever is first."""

    __slots__ = ("_ended", "_given_up", "_late", "_lock", "_thread", "_work")

    def __init__(self, work: Callable[[], Any], late: Callable[[Any], object] | None) -> None:
        self._work = work
        self._late = late
        self._lock = threading.Lock()
        self._given_up = False
        self._thread = 0
        self._ended: tuple[Any] | None = None

    def __call__(self) -> Any:
        with self._lock:
            if self._given_up:
                raise TierFailure("timeout", "it was given up before it began")
            self._thread = threading.get_ident()
        _current.call = self
        try:
            result = self._work()
        except BaseException:
            with self._lock:
                self._thread = 0
            raise
        finally:
            _current.call = None
        if self._end(result) and self._late is not None:
            self._late(result)
        return result

    def _end(self, result: Any) -> bool:
        """It ended; whether it had been given up."""
        with self._lock:
            self._thread = 0
            self._ended = (result,)
            return self._given_up

    def check(self) -> None:
        """Raises if it was given up."""
        if self._given_up:
            raise TierFailure("timeout", "it was given up")

    def give_up(self, interrupt: Callable[[int], None]) -> Callable[[], object] | None:
        """Nobody waits for it any more; returns what remains to be done about its result."""
        with self._lock:
            if self._given_up:
                return None
            self._given_up = True
            ended = self._ended
            # Under the lock: afterwards the thread may be doing something else.
            if self._thread:
                interrupt(self._thread)
        late = self._late
        return None if ended is None or late is None else lambda: late(*ended)


class Calls:
    """Threads that call a tier.

    Args:
        name: What the threads are called.
        threads: How many there may be.
        interrupt: Called with a thread's identity; has what it does fail at once.
    """

    def __init__(self, name: str, threads: int, interrupt: Callable[[int], None]) -> None:
        self._name = name
        self._threads = threads
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None
        self._closed = False

    def run(self, work: Callable[[], T], timeout: float, late: Callable[[T], object] | None = None) -> T:
        """The result of a call, for a thread.

        Args:
            work: What to call.
            timeout: Seconds to wait for it, those in which it waits for a thread included.
            late: Called with the result if nobody waits for it any more.

        Raises:
            TierFailure: It took too long, or what it raised.
        """
        call, future = self._submit(work, late)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            self._give_up(call)
            raise TierFailure("timeout", f"no answer within {timeout:g} s") from None
        except concurrent.futures.CancelledError:
            raise TierFailure("closed") from None
        except TierFailure:
            raise
        except BaseException:
            self._give_up(call)
            raise

    async def arun(self, work: Callable[[], T], timeout: float, late: Callable[[T], object] | None = None) -> T:
        """As `run()`, for a task; its event loop goes on meanwhile."""
        call, future = self._submit(work, late)
        waiter = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait({waiter}, timeout=timeout)
        except BaseException:
            self._give_up(call)
            # Its failure is nobody's any more.
            waiter.cancel()
            raise
        if not done:
            self._give_up(call)
            waiter.add_done_callback(_looked_at)
            raise TierFailure("timeout", f"no answer within {timeout:g} s")
        if waiter.cancelled():
            # By `close()`: this task was not.
            raise TierFailure("closed")
        return waiter.result()

    def check(self) -> None:
        """Raises `TierFailure` if the call that this thread is in was given up."""
        call = getattr(_current, "call", None)
        if call is not None:
            call.check()

    def post(self, work: Callable[[], object]) -> None:
        """Has something done for which nobody waits."""
        self._submit(work, None)

    def close(self, timeout: float) -> None:
        """Takes no more calls, and waits for those that are under way.

        Args:
            timeout: Seconds to wait at most.
        """
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is None:
            return
        executor.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + timeout
        for thread in list(executor._threads):
            thread.join(max(0.0, end - time.monotonic()))

    def _submit(
        self, work: Callable[[], T], late: Callable[[T], object] | None
    ) -> tuple[_Call, concurrent.futures.Future[T]]:
        call = _Call(work, late)
        with self._lock:
            if self._closed:
                raise TierFailure("closed")
            if self._executor is None:
                self._executor = concurrent.futures.ThreadPoolExecutor(self._threads, self._name)
            try:
                future: concurrent.futures.Future[T] = self._executor.submit(call)
            except RuntimeError as error:
                # The interpreter is going down.
                raise TierFailure("closed", str(error)) from error
        return call, future

    def _give_up(self, call: _Call) -> None:
        remains = call.give_up(self._interrupt)
        if remains is not None:
            try:
                self.post(remains)
            except TierFailure:
                # Closed: what it was about ends by itself.
                return


def _looked_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
