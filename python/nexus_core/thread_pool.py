"""A thread pool with a bounded queue, priorities and statistics, in place of ``ThreadPoolExecutor``."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from operator import index
from time import monotonic
from typing import Any, Literal, TypeVar

from nexus_core._core import FutureBase, MapResults, ThreadPoolBase, _run_chunk
from nexus_core.durations import Durations

__all__ = ["Durations", "PoolFuture", "ThreadPool", "ThreadPoolStatistics"]

_T = TypeVar("_T")
_WhenFull = Literal["block", "reject", "caller_runs"]

_numbers = itertools.count()


class PoolFuture(FutureBase, Future):  # type: ignore[type-arg]
    """The result of a task of a `ThreadPool`; a ``concurrent.futures.Future``.

    ``wait``, ``as_completed`` and ``asyncio.wrap_future`` take it as they take any other.
    """

    def __init__(self) -> None:
        # All state is native; Future.__init__ would make a condition for each.
        pass


@dataclass(frozen=True, slots=True)
class ThreadPoolStatistics:
    """A thread pool as it was at one moment.

    ``submitted`` is ``queued + running + done + failed + cancelled`` whenever no task is
    just changing from one to the next.

    Attributes:
        name: The pool's name.
        max_workers: How many threads it may have.
        min_workers: How many stay when there is nothing to do.
        max_queue_size: How many tasks may be queued, or ``None`` for any number.
        submitted: Tasks that were accepted.
        queued: Tasks that wait for a worker.
        running: Tasks that run now.
        done: Tasks that returned.
        failed: Tasks that raised.
        cancelled: Tasks that were cancelled before they began.
        rejected: Tasks that were refused because the queue was full.
        ran_on_caller: Of the tasks that began, how many on the thread that submitted
            them or waited for them, and not on a worker that was free.
        waiting_for_room: Threads that wait for room in the queue now.
        threads: Threads that the pool has.
        idle_threads: Those of them that wait for a task.
        most_threads: The most threads that it ever had at a time.
        queue_wait: How long it took from the submission until a worker began a task,
            the wait for room in the queue included.
        run_time: How long tasks ran.
        idle_seconds: Time of all workers spent without a task.
        interpreter_wait_seconds: Time of all workers spent waiting for the interpreter's
            lock, with a task at hand. What a task waits for it while it runs counts as busy.
        busy_seconds: Time of all workers spent in tasks, and in telling others of their end.
    """

    name: str
    max_workers: int
    min_workers: int
    max_queue_size: int | None
    submitted: int
    queued: int
    running: int
    done: int
    failed: int
    cancelled: int
    rejected: int
    ran_on_caller: int
    waiting_for_room: int
    threads: int
    idle_threads: int
    most_threads: int
    queue_wait: Durations
    run_time: Durations
    idle_seconds: float
    interpreter_wait_seconds: float
    busy_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as nested dicts, for a log or a metrics system.

        Returns:
            The attributes by their names.

        Example:
            >>> from nexus_core import ThreadPool
            >>> with ThreadPool(2) as pool:
            ...     pool.submit(len, "abc").result()
            3
            >>> pool.statistics().as_dict()["run_time"]["count"]
            1
        """
        return asdict(self)


class ThreadPool(ThreadPoolBase, ThreadPoolExecutor):
    """Worker threads with a queue, which may be bounded and has priorities.

    It is a ``concurrent.futures.Executor``, and passes for a ``ThreadPoolExecutor`` where
    only that is accepted, such as in ``loop.set_default_executor``. Threads are started
    when a task is queued and all others are busy, up to ``max_workers``, and leave when
    they have been idle for ``idle_timeout``.

    A task that waits for another task of the same pool never waits for ever: with
    ``result()`` or ``exception()`` it runs that task itself, on its own thread, if that
    has not begun. So the awaited task comes ahead of its turn, which delays nobody: the
    worker would be idle otherwise. It finds the thread-local data of the task that waits,
    and gets past a re-entrant lock that this one holds. Where a task waits in another way
    (with a time limit, with ``wait`` or ``as_completed``, in an event loop, for room in
    another pool's queue or that pool's end), its thread does not count towards ``max_workers`` while the queue
    stands still: another one is started in its place, and leaves again. What a task waits for by other means, such as
    a lock that a queued task would release, the pool cannot know.

    A full queue never blocks a task that submits to its own pool: it runs the new task
    itself, as if it had called the function.

    When the interpreter exits, tasks that are queued still run, as with the standard
    library. A forked child has the pool with the same limits and nothing in it.

    Args:
        max_workers: How many threads there may be. By default the number of cores and 4
            more, 32 at the most.
        min_workers: How many threads are started at once and stay; none by default.
        max_queue_size: How many tasks may be queued, not counting those that run; any
            number by default.
        when_full: What happens to a task for which the queue has no room: ``"block"``
            has the caller wait for its turn, ``"reject"`` raises `QueueFull`,
            ``"caller_runs"`` runs it on the calling thread.
        submit_timeout: Seconds that ``"block"`` waits at most before it raises `QueueFull`.
        idle_timeout: Seconds after which an idle thread leaves; ``None`` for never.
        thread_name_prefix: What the names of the threads begin with.
        initializer: Called in each thread before its first task. If it raises, the pool
            is broken, as the standard library's.
        initargs: What it is called with.
        name: The pool's name, in errors and statistics.
        carry_context: Whether a task runs in a copy of the context variables that its
            submitter had.

    Raises:
        ValueError: If a size or time makes no sense, or two contradict each other.
        TypeError: If ``initializer`` cannot be called, or a number is none.

    Example:
        >>> from nexus_core import ThreadPool
        >>> with ThreadPool(4, max_queue_size=100) as pool:
        ...     future = pool.submit(pow, 2, 10)
        ...     list(pool.map(str.upper, ["a", "b"])), future.result()
        (['A', 'B'], 1024)
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        min_workers: int | None = None,
        max_queue_size: int | None = None,
        when_full: _WhenFull = "block",
        submit_timeout: float | None = None,
        idle_timeout: float | None = 60.0,
        thread_name_prefix: str | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        name: str | None = None,
        carry_context: bool = True,
    ) -> None:
        name = f"thread-pool-{next(_numbers)}" if name is None else str(name)
        if max_workers is None:
            max_workers = max(min(32, (os.cpu_count() or 1) + 4), min_workers or 1)
        max_workers, min_workers = _sizes(name, max_workers, 0 if min_workers is None else min_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError(f"thread pool {name!r}: initializer must be a callable, got {initializer!r}")
        self._open(
            name=name,
            max_workers=max_workers,
            min_workers=min_workers,
            max_queue_size=_queue_size(name, max_queue_size),
            when_full=when_full,
            submit_timeout=_seconds(name, "submit_timeout", submit_timeout),
            idle_timeout=_seconds(name, "idle_timeout", idle_timeout),
            thread_name_prefix=thread_name_prefix or "nexus-core-pool",
            initializer=initializer,
            initargs=tuple(initargs),
            carry_context=bool(carry_context),
        )

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[_T]:
        """Calls a function with the items of one or several iterables, as ``map`` does.

        All calls are submitted at once; their results come in order. Calls that have not
        begun are cancelled when one of them raises, or the iterator is closed or dropped.

        Args:
            fn: The function.
            iterables: Where its arguments come from; the shortest ends the calls.
            timeout: Seconds from now until when a result must be there.
            chunksize: How many calls make one task. Larger chunks cost less each and
                spread worse over the workers.

        Returns:
            An iterator over the results.

        Raises:
            ValueError: If ``chunksize`` is less than 1.
            TimeoutError: From the iterator, if the time is up.
            Exception: From the iterator, what a call raised, after the results before it.

        Example:
            >>> from nexus_core import ThreadPool
            >>> with ThreadPool(2) as pool:
            ...     list(pool.map(pow, range(5), [2] * 5, chunksize=2))
            [0, 1, 4, 9, 16]
        """
        if chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, got {chunksize!r}")
        # Counted from here, as the standard library does.
        deadline = None if timeout is None else monotonic() + timeout
        calls = zip(*iterables, strict=False)
        futures: list[Future[Any]] = []
        try:
            if chunksize == 1:
                for args in calls:
                    futures.append(self.submit(fn, *args))
            else:
                while chunk := list(itertools.islice(calls, chunksize)):
                    futures.append(self.submit(_run_chunk, fn, chunk))
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        left = None if deadline is None else deadline - monotonic()
        return MapResults(futures, left, chunksize > 1)

    def resize(
        self, max_workers: int, min_workers: int | None = None, *, max_queue_size: int | Literal["same"] | None = "same"
    ) -> None:
        """Changes how large the pool may be, while it runs.

        Workers that are too many leave when the task they run has ended. Tasks that are
        queued stay, even if there are now more than may be.

        Args:
            max_workers: How many threads there may be from now on.
            min_workers: How many stay when idle. By default as many as before, but no more
                than ``max_workers``.
            max_queue_size: How many tasks may be queued; as many as before by default.

        Raises:
            ValueError: If a size makes no sense, or the two contradict each other; nothing
                is changed then.

        Example:
            >>> from nexus_core import ThreadPool
            >>> with ThreadPool(2) as pool:
            ...     pool.resize(8)
            ...     pool.max_workers
            8
        """
        if min_workers is None:
            min_workers = min(self.min_workers, max_workers)
        max_workers, min_workers = _sizes(self.name, max_workers, min_workers)
        queue_size = self.max_queue_size if max_queue_size == "same" else _queue_size(self.name, max_queue_size)
        self._resize(max_workers, min_workers, queue_size)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False, timeout: float | None = None) -> None:
        """Takes no more tasks, and waits until those that were submitted have ended.

        It may be called several times.

        Args:
            wait: Whether to wait until all threads have left.
            cancel_futures: Whether tasks that have not begun are cancelled.
            timeout: Seconds to wait at most.

        Raises:
            nexus_core.errors.ShutdownTimeout: If tasks still ran after that time. They go on.
            RuntimeError: If a task of this pool calls it and would wait for itself.

        Example:
            >>> from nexus_core import ThreadPool
            >>> pool = ThreadPool(2)
            >>> future = pool.submit(sum, [1, 2, 3])
            >>> pool.shutdown(timeout=10)
            >>> future.result()
            6
        """
        self._end(wait, cancel_futures, _seconds(self.name, "timeout", timeout))

    def statistics(self) -> ThreadPoolStatistics:
        """What the pool did so far, and what it does now.

        Returns:
            Counts and durations, as they were at one moment.

        Example:
            >>> from nexus_core import ThreadPool
            >>> with ThreadPool(2, name="loaders") as pool:
            ...     _ = list(pool.map(abs, range(10)))
            >>> seen = pool.statistics()
            >>> seen.name, seen.done, seen.failed, seen.threads
            ('loaders', 10, 0, 0)
        """
        found = self._statistics()
        found["queue_wait"] = Durations(**found["queue_wait"])
        found["run_time"] = Durations(**found["run_time"])
        return ThreadPoolStatistics(**found)

    @property
    def _max_workers(self) -> int:  # type: ignore[override]  # what dask asks an executor for
        return self.max_workers

    @property
    def _shutdown(self) -> bool:  # type: ignore[override]
        return self.is_shut_down

    def __repr__(self) -> str:
        state = "shut down" if self.is_shut_down else f"{self.queue_size} queued"
        return f"<ThreadPool {self.name!r}: {self.threads} of {self.max_workers} workers, {state}>"


def _sizes(name: str, max_workers: int, min_workers: int) -> tuple[int, int]:
    max_workers, min_workers = index(max_workers), index(min_workers)
    if max_workers < 1:
        raise ValueError(f"thread pool {name!r}: max_workers must be greater than 0, got {max_workers}")
    if not 0 <= min_workers <= max_workers:
        raise ValueError(
            f"thread pool {name!r}: min_workers must be from 0 to max_workers, which is {max_workers}; got {min_workers}"
        )
    return max_workers, min_workers


def _queue_size(name: str, max_queue_size: int | None) -> int | None:
    if max_queue_size is None:
        return None
    max_queue_size = index(max_queue_size)
    if max_queue_size < 1:
        raise ValueError(
            f"thread pool {name!r}: max_queue_size must be at least 1, or None for any number; got {max_queue_size}"
        )
    return max_queue_size


def _seconds(name: str, what: str, seconds: float | None) -> float | None:
    if seconds is None:
        return None
    seconds = float(seconds)
    if not seconds >= 0:
        raise ValueError(f"thread pool {name!r}: {what} must be a number of seconds, at least 0; got {seconds!r}")
    return seconds
