"""A thread pool as the guide has it, on the native one."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, ParamSpec, TypeVar

from nexus_core.thread_pool import ThreadPool

__all__ = ["ManagedThreadPool"]

P = ParamSpec("P")
R = TypeVar("R")


class ManagedThreadPool:
    """A thread pool with the guide's methods; ``ResourcePoolManager.create_thread_pool`` makes it.

    Args:
        pool: The native pool, which does the work.
        max_results: Results that are kept for :meth:`get_result`; of more, the oldest are dropped.
    """

    def __init__(self, pool: ThreadPool, max_results: int = 10_000) -> None:
        self.pool = pool
        self.name = pool.name
        self._since = time.monotonic()
        self._results: collections.deque[tuple[str, Any]] = collections.deque(maxlen=max_results)
        self._arrived = threading.Condition()

    @property
    def thread_count(self) -> int:
        """Threads that it may have."""
        return self.pool.max_workers

    @property
    def stats(self) -> dict[str, int]:
        """``tasks_submitted``, ``tasks_completed`` and ``tasks_failed`` so far."""
        counts: dict[str, int] = self.get_pool_stats()["stats"]
        return counts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, thread_count={self.thread_count})"

    def submit_task(self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Hands a call to the pool; where the queue is full, waits until there is room.

        Args:
            func: What is called.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            The future of the call's result, beside :meth:`get_result`.

        Raises:
            nexus_core.errors.PoolShutdown: If the pool is closed.
        """
        future = self.pool.submit(func, *args, **kwargs)
        future.add_done_callback(self._arrive)
        return future

    def get_result(self, timeout: float | None = 5) -> tuple[str, Any] | None:
        """The next result, in the order in which calls ended.

        Args:
            timeout: Seconds to wait for one; ``None`` for ever.

        Returns:
            ``("success", what the call returned)``, ``("error", the text of what it raised)``, or
            ``None`` if none arrived in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._results, timeout):
                return None
            return self._results.popleft()

    def get_pool_stats(self) -> dict[str, Any]:
        """Figures under the guide's names.

        Returns:
            ``pool_name``, ``thread_count``, ``queue_size`` (tasks that wait), ``stats`` with
            ``tasks_submitted``, ``tasks_completed`` and ``tasks_failed``, and ``efficiency``: the
            tasks that completed, in percent of those that have ended; 100 where none has.
        """
        figures = self.figures()
        done, failed = figures["done"], figures["failed"]
        return {
            "pool_name": self.name,
            "thread_count": self.thread_count,
            "queue_size": figures["queued"],
            "stats": {
                "tasks_submitted": figures["submitted"],
                "tasks_completed": done,
                "tasks_failed": failed,
            },
            # The guide divides by those submitted, and so would call a pool inefficient
            # whose tasks have not ended yet.
            "efficiency": done / (done + failed) * 100 if done + failed else 100.0,
        }

    def figures(self) -> dict[str, Any]:
        """What the pool has measured since it was made.

        Returns:
            Counts, the seconds since it was made, seconds of its threads by what they were spent
            on (``time``), and ``queue_wait`` and ``run_time`` as
            :class:`nexus_core.durations.Durations`.
        """
        measured = self.pool.statistics()
        return {
            "seconds": time.monotonic() - self._since,
            "threads": measured.threads,
            "submitted": measured.submitted,
            "queued": measured.queued,
            "running": measured.running,
            "done": measured.done,
            "failed": measured.failed,
            "cancelled": measured.cancelled,
            "rejected": measured.rejected,
            "time": {
                "idle": measured.idle_seconds,
                "interpreter": measured.interpreter_wait_seconds,
                "busy": measured.busy_seconds,
            },
            "queue_wait": measured.queue_wait,
            "run_time": measured.run_time,
        }

    def _arrive(self, future: Future[Any]) -> None:
        result: tuple[str, Any]
        try:
            result = ("success", future.result())
        except CancelledError:
            result = ("error", "cancelled")
        except BaseException as error:
            result = ("error", str(error) or repr(error))
        with self._arrived:
            self._results.append(result)
            self._arrived.notify()
