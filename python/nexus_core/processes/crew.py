"""The workers of a pool: who is free, who is waited for, who leaves."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from nexus_core.errors import ProcessPoolClosed
from nexus_core.processes.worker_process import Abandoned, WorkerProcess

__all__ = ["Crew"]

#: Seconds between two looks of who waits whether it still should.
_LOOK = 0.05


class _Waiter:
    """A caller that waits for a worker."""

    __slots__ = ("lock", "may_start", "worker")

    def __init__(self) -> None:
        self.worker: WorkerProcess | None = None
        #: It is to start one, which is counted already.
        self.may_start = False
        self.lock = threading.Lock()
        self.lock.acquire()


class Crew:
    """Workers, started when all others are busy, up to a number.

    First come, first served. A free worker that has the workflow already is preferred to one that has not, and
    the one that was busy last to others.

    Args:
        name: Of the pool.
        size: How many there may be.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self.size = size
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._starting = 0
        self._waiting: deque[_Waiter] = deque()
        self._closed = False
        self._ended = threading.Condition(self._lock)
        self._number = 0
        self.started = 0
        self.lost = 0
        self.waits = 0
        self.wait_seconds = 0.0
        self._busy_seconds = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more tasks."""
        return self._closed

    @property
    def waiting(self) -> int:
        """Callers that wait for a worker."""
        return len(self._waiting)

    @property
    def current(self) -> int:
        """Workers that there are, or are being started."""
        return len(self._all) + self._starting

    def busy_time(self) -> float:
        """Seconds that all workers have spent on tasks, also those that are gone."""
        with self._lock:
            now = time.monotonic()
            begun = [worker.busy_since for worker in self._all]
            return self._busy_seconds + sum(now - since for since in begun if since is not None)

    def workers(self) -> list[WorkerProcess]:
        """All workers."""
        with self._lock:
            return list(self._all)

    def take(self, digest: str | None, is_abandoned: Callable[[], bool] | None = None) -> WorkerProcess:
        """A free worker; waits until there is one.

        Args:
            digest: Of the workflow that it should have, if any does.
            is_abandoned: Asked now and then whether nobody wants it any more.

        Raises:
            ProcessPoolClosed: If the pool takes no more tasks.
            Abandoned: If nobody wants it any more.
            ForkServerError: If a worker cannot be started.
        """
        with self._lock:
            if self._closed:
                raise ProcessPoolClosed(self._name)
            if self._idle and not self._waiting:
                return self._begin(self._pick(digest))
            if not self._waiting and self.current < self.size:
                waiter = None
                self._starting += 1
            else:
                waiter = _Waiter()
                self._waiting.append(waiter)
                self.waits += 1
        if waiter is None:
            worker = self._start()
            with self._lock:
                return self._begin(worker)
        return self._wait(waiter, is_abandoned)

    def _pick(self, digest: str | None) -> WorkerProcess:
        if digest is not None:
            for place in range(len(self._idle) - 1, -1, -1):
                if digest in self._idle[place].known:
                    return self._idle.pop(place)
        return self._idle.pop()

    def _begin(self, worker: WorkerProcess) -> WorkerProcess:
        worker.busy_since = time.monotonic()
        return worker

    def _start(self) -> WorkerProcess:
        """Starts a worker that is counted already."""
        with self._lock:
            self._number += 1
            name = f"{self._name}-{self._number}"
        try:
            worker = WorkerProcess(name)
        except BaseException:
            with self._lock:
                self._starting -= 1
                # Whoever waits tries in turn, and is told of it.
                self._call()
                self._ended.notify_all()
            raise
        with self._lock:
            self._starting -= 1
            self._all.append(worker)
            self.started += 1
        return worker

    def _wait(self, waiter: _Waiter, is_abandoned: Callable[[], bool] | None) -> WorkerProcess:
        began = time.monotonic()
        try:
            while not waiter.lock.acquire(timeout=_LOOK if is_abandoned is not None else -1):
                if is_abandoned is not None and is_abandoned():
                    raise Abandoned
        except BaseException:
            with self._lock:
                worker = waiter.worker
                if waiter.may_start:
                    self._starting -= 1
                    self._call()
                elif waiter in self._waiting:
                    self._waiting.remove(waiter)
            if worker is not None:
                self.give_back(worker)
            raise
        with self._lock:
            self.wait_seconds += time.monotonic() - began
        if waiter.worker is not None:
            return waiter.worker
        if not waiter.may_start:
            raise ProcessPoolClosed(self._name)
        worker = self._start()
        with self._lock:
            return self._begin(worker)

    def _is_too_many(self) -> bool:
        """Whether one more has to leave; those that leave already are counted until they are gone."""
        return self.current > self.size and self.current - sum(worker.leaves for worker in self._all) > self.size

    def _end(self, worker: WorkerProcess) -> None:
        if worker.busy_since is not None:
            seconds = time.monotonic() - worker.busy_since
            worker.busy_seconds += seconds
            self._busy_seconds += seconds
        worker.busy_since = None

    def give_back(self, worker: WorkerProcess) -> None:
        """A worker has nothing to do any more.

        Args:
            worker: One that :meth:`take` has returned.
        """
        with self._lock:
            self._end(worker)
            leaves = worker.leaves or self._closed or self._is_too_many()
            if not leaves and self._waiting:
                waiter = self._waiting.popleft()
                waiter.worker = self._begin(worker)
                waiter.lock.release()
                return
            if not leaves:
                self._idle.append(worker)
                return
            worker.leaves = True
        self._let_go(worker)

    def discard(self, worker: WorkerProcess) -> int | None:
        """A worker is of no use any more: it is ended, and its place is free.

        Args:
            worker: One that :meth:`take` has returned.

        Returns:
            Its exit status.
        """
        worker.leaves = True
        with self._lock:
            self._end(worker)
        try:
            return worker.kill()
        finally:
            self._forget(worker)

    def _let_go(self, worker: WorkerProcess, patience: float = 5.0) -> None:
        try:
            worker.leave(patience)
        finally:
            self._forget(worker)

    def _forget(self, worker: WorkerProcess) -> None:
        with self._lock:
            if worker in self._all:
                self._all.remove(worker)
            if worker in self._idle:
                self._idle.remove(worker)
            self._call()
            self._ended.notify_all()

    def _call(self) -> None:
        """Lets those who wait start workers, as far as there are places for these."""
        while self._waiting and self.current < self.size and not self._closed:
            self._starting += 1
            waiter = self._waiting.popleft()
            waiter.may_start = True
            waiter.lock.release()

    def resize(self, size: int) -> None:
        """Sets how many workers there may be.

        Args:
            size: At least one. Workers beyond that leave: free ones now, others after what they are doing.
        """
        leaving: list[WorkerProcess] = []
        with self._lock:
            self.size = size
            while self._idle and self._is_too_many():
                worker = self._idle.pop(0)
                worker.leaves = True
                leaving.append(worker)
            self._call()
        for worker in leaving:
            self._let_go(worker)

    def start(self) -> None:
        """Starts all workers that there may be, and returns when they are there."""
        while True:
            with self._lock:
                if self._closed:
                    raise ProcessPoolClosed(self._name)
                if self.current >= self.size:
                    return
                self._starting += 1
            worker = self._start()
            self.give_back(worker)

    def close(self, timeout: float | None) -> bool:
        """Takes no more tasks, and ends the workers once they have done what they are doing.

        Args:
            timeout: Seconds after which those that are still busy are killed; ``None`` waits for them.

        Returns:
            Whether none had to be killed.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            waiting = list(self._waiting)
            self._waiting.clear()
            for worker in self._all:
                worker.leaves = True
        for waiter in waiting:
            waiter.lock.release()
        for worker in idle:
            self._let_go(worker)
        until = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while self._all or self._starting:
                left = 0.1 if until is None else min(0.1, until - time.monotonic())
                if left <= 0:
                    break
                # Not longer: the main thread is to hear of signals.
                self._ended.wait(left)
            rest = list(self._all)
        for worker in rest:
            worker.interrupt()
        return not rest

    def forget(self) -> None:
        """In a forked child: the workers are the parent's, and none of its callers is here."""
        for worker in self._all:
            worker.forget()
        closed = self._closed
        self.__init__(self._name, self.size)  # type: ignore[misc]  # as new, whoever held the lock in the parent
        self._closed = closed
