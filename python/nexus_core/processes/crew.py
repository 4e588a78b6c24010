"""The workers of a pool: who is free, who is waited for, who leaves.

A signal handler, such as Ctrl-C's, may raise on the main thread between any two steps of what is written here. So one
attribute alone says who has a worker (``worker.lease``), everything else is derived from that, and each step can be done
again: :meth:`Crew.settle` puts in order what was left halfway. Workers are started and ended by the usher's thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from nexus_core.errors import ProcessPoolClosed
from nexus_core.processes import usher
from nexus_core.processes.bell import Bell
from nexus_core.processes.worker_process import Abandoned, WorkerProcess

__all__ = ["Crew", "Lease"]

#: Seconds between two looks of who waits whether it still should.
_LOOK = 0.05
#: Seconds between two looks of who waits whether somebody has forgotten it.
_LONG_LOOK = 0.5
#: Seconds in which a worker that has nothing to do leaves by itself, and in which one that is killed is gone.
_PATIENCE = 5.0


class Lease:
    """A caller's claim to a worker, for one task.

    Args:
        digest: Of the workflow that the worker should have, if any does.
    """

    __slots__ = ("arrived", "began", "digest", "error", "has_queued", "is_counted", "is_told", "worker")

    def __init__(self, digest: str | None = None) -> None:
        self.digest = digest
        #: The worker that it was given, which it has as long as that says so.
        self.worker: WorkerProcess | None = None
        #: Why it gets none.
        self.error: BaseException | None = None
        #: The worker was sent something, and has not replied.
        self.is_told = False
        #: It was sent something at some time.
        self.began = False
        #: How the task has ended stands in the pool's statistics.
        self.is_counted = False
        #: No worker was free for it.
        self.has_queued = False
        #: There is a worker for it, or an error.
        self.arrived = Bell()

    @property
    def is_held(self) -> bool:
        """Whether it has a worker."""
        return self.worker is not None and self.worker.lease is self


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
        self._all: list[WorkerProcess] = []
        self._line: deque[Lease] = deque()
        #: Who wants all workers to be there.
        self._starters: list[Lease] = []
        self._closed = False
        # These belong to the usher.
        self._tending = threading.Lock()
        self._starting = 0
        self._number = 0
        self.started = 0
        self.lost = 0
        self.killed = 0
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
        return len(self._line)

    @property
    def current(self) -> int:
        """Workers that there are, or are being started."""
        return len(self._all) + self._starting

    def busy_time(self) -> float:
        """Seconds that all workers have spent on tasks, also those that are gone."""
        with self._lock:
            now = time.monotonic()
            return self._busy_seconds + sum(now - w.busy_since for w in self._all if w.lease is not None)

    def workers(self) -> list[WorkerProcess]:
        """All workers."""
        with self._lock:
            return list(self._all)

    # --- a task's worker --------------------------------------------------------------------

    def take(self, lease: Lease, is_abandoned: Callable[[], bool] | None = None) -> WorkerProcess:
        """A free worker; waits until there is one.

        Args:
            lease: The caller's. Whatever is raised here or later, it is to be settled.
            is_abandoned: Asked now and then whether nobody wants it any more.

        Raises:
            ProcessPoolClosed: If the pool takes no more tasks.
            Abandoned: If nobody wants it any more.
            ForkServerError: If a worker cannot be started.
        """
        with self._lock:
            if self._closed:
                raise ProcessPoolClosed(self._name)
            if not self._line:
                worker = self._free(lease.digest)
                if worker is not None:
                    self._hand(worker, lease)
                    return worker
            if len(self._line) + len(self._all) >= self.size:
                lease.has_queued = True
                self.waits += 1
            self._line.append(lease)
            is_needed = self._dispatch()
        if is_needed:
            usher.call(self)
        return self._wait(lease, is_abandoned)

    def _wait(self, lease: Lease, is_abandoned: Callable[[], bool] | None) -> WorkerProcess:
        began = time.monotonic()
        while not lease.arrived.wait(_LONG_LOOK if is_abandoned is None else _LOOK):
            if is_abandoned is not None and is_abandoned():
                raise Abandoned
            # Whoever was to hand on a worker may have been interrupted.
            self._put_in_order()
        if lease.has_queued:
            with self._lock:
                self.wait_seconds += time.monotonic() - began
        if lease.error is not None:
            raise lease.error
        assert lease.worker is not None
        return lease.worker

    def give_back(self, lease: Lease) -> None:
        """A worker has nothing to do any more.

        Args:
            lease: One that :meth:`take` has filled.
        """
        with self._lock:
            lease.is_told = False
            self._release(lease)
            is_needed = self._dispatch()
        if is_needed:
            usher.call(self)

    def settle(self, lease: Lease) -> None:
        """Ends a lease wherever it is: what it may have been in the middle of is stopped, and nobody waits for it.

        Args:
            lease: Any; one that has ended stays as it is.
        """
        with self._lock:
            if lease in self._line:
                self._line.remove(lease)
            worker = lease.worker
            if worker is not None and worker.lease is lease:
                if lease.is_told:
                    self._spend(worker, "killed")
                else:
                    # What it was to be told of may be noted already.
                    worker.forget_told()
                self._release(lease)
                if worker.fate is not None:
                    worker.close()
            is_needed = self._dispatch()
        if is_needed:
            usher.call(self)

    def discard(self, lease: Lease, fate: str) -> int | None:
        """A worker is of no use any more: it is ended, and its place is free.

        Args:
            lease: One that :meth:`take` has filled.
            fate: ``"lost"`` if it has ended by itself, ``"killed"`` if not.

        Returns:
            Its exit status.
        """
        worker = lease.worker
        assert worker is not None
        with self._lock:
            self._spend(worker, fate)
            self._release(lease)
        usher.call(self)
        self._await_end([worker])
        # It may have been ended while its reply was waited for.
        worker.close()
        return worker.status

    def _put_in_order(self) -> None:
        with self._lock:
            is_needed = self._dispatch()
        if is_needed:
            usher.call(self)

    # --- who has what; under the lock, and each of it can be done again -----------------------

    def _free(self, digest: str | None) -> WorkerProcess | None:
        best, knows_best = None, False
        for worker in self._all:
            if worker.lease is not None or worker.leaves or worker.fate is not None:
                continue
            knows = digest is not None and digest in worker.known
            if best is None or (knows, worker.free_since) > (knows_best, best.free_since):
                best, knows_best = worker, knows
        return best

    @staticmethod
    def _hand(worker: WorkerProcess, lease: Lease) -> None:
        worker.busy_since = time.monotonic()
        lease.worker = worker
        # From here on it is the lease's.
        worker.lease = lease

    def _release(self, lease: Lease) -> None:
        worker = lease.worker
        if worker is None or worker.lease is not lease:
            return
        if self._is_too_many():
            worker.leaves = True
        worker.free_since = now = time.monotonic()
        seconds = now - worker.busy_since
        of_worker, of_all = worker.busy_seconds + seconds, self._busy_seconds + seconds
        # No handler runs between stores of one line.
        worker.busy_seconds, self._busy_seconds, worker.lease = of_worker, of_all, None

    @staticmethod
    def _spend(worker: WorkerProcess, fate: str) -> None:
        if worker.fate is None:
            worker.fate = fate

    def _dispatch(self) -> bool:
        """Gives free workers to those who wait; returns whether the usher has something to do."""
        while self._line:
            lease = self._line[0]
            # Whose bell has rung may have ended already, if whoever rang it was interrupted before the next step.
            if not (lease.arrived.has_rung or lease.is_held or lease.error is not None):
                worker = self._free(lease.digest)
                if worker is None:
                    break
                self._hand(worker, lease)
            lease.arrived.ring()
            self._line.popleft()
        while self.current > self.size and self._is_too_many():
            free = [worker for worker in self._all if worker.lease is None and not worker.leaves]
            if not free:
                break
            min(free, key=lambda worker: worker.free_since).leaves = True
        return self._needs_one() or any(worker.is_to_go for worker in self._all)

    def _needs_one(self) -> bool:
        wanted = len(self._line) > self._starting or (bool(self._starters) and not self._closed)
        return wanted and self.current < self.size

    def _is_too_many(self) -> bool:
        """Whether one more has to leave; those that leave already are counted until they are gone."""
        if self._closed:
            return True
        return self.current > self.size and self.current - sum(worker.leaves for worker in self._all) > self.size

    # --- on the usher's thread ------------------------------------------------------------------

    def tend(self) -> None:
        """Ends workers that are to go and starts those that are needed."""
        with self._tending:
            while True:
                with self._lock:
                    self._dispatch()
                    going = next((worker for worker in self._all if worker.is_to_go), None)
                    if going is None:
                        if not self._needs_one():
                            self._tell_starters()
                            return
                        self._starting += 1
                        self._number += 1
                        name = f"{self._name}-{self._number}"
                if going is None:
                    self._start(name)
                else:
                    self._end(going)

    def _start(self, name: str) -> None:
        worker, failed = None, None
        try:
            worker = WorkerProcess(name)
        except BaseException as refused:
            failed = refused
        with self._lock:
            self._starting -= 1
            if worker is not None:
                worker.leaves = self._closed
                self._all.append(worker)
                self.started += 1
            elif self._line:
                # Whoever waits next has it tried again, and is told of it in turn.
                self._line[0].error = failed
            else:
                for lease in self._starters:
                    lease.error = failed
                self._tell_starters(always=True)
            self._dispatch()

    def _tell_starters(self, always: bool = False) -> None:
        if always or len(self._all) >= self.size or self._closed:
            starters, self._starters = self._starters, []
            for lease in starters:
                lease.arrived.ring()

    def _end(self, worker: WorkerProcess) -> None:
        try:
            worker.end(0.0 if worker.fate is not None else _PATIENCE)
        finally:
            with self._lock:
                self._all.remove(worker)
                if worker.fate == "lost":
                    self.lost += 1
                elif worker.fate == "killed":
                    self.killed += 1
                self._dispatch()
            worker.gone.ring()

    # --- all of them ------------------------------------------------------------------------------

    def resize(self, size: int) -> None:
        """Sets how many workers there may be.

        Args:
            size: At least one. Workers beyond that leave: free ones now, others after what they are doing.
        """
        with self._lock:
            self.size = size
            self._dispatch()
            leaving = [worker for worker in self._all if worker.is_to_go]
        usher.call(self)
        self._await_end(leaving)

    def start(self) -> None:
        """Starts all workers that there may be, and returns when they are there."""
        lease = Lease()
        try:
            with self._lock:
                if self._closed:
                    raise ProcessPoolClosed(self._name)
                self._starters.append(lease)
            usher.call(self)
            while not lease.arrived.wait(_LONG_LOOK):
                usher.call(self)
        finally:
            with self._lock:
                if lease in self._starters:
                    self._starters.remove(lease)
        if lease.error is not None:
            raise lease.error
        if self._closed:
            raise ProcessPoolClosed(self._name)

    def close(self, timeout: float | None, patience: float = _PATIENCE) -> bool:
        """Takes no more tasks, and ends the workers once they have done what they are doing.

        Args:
            timeout: Seconds after which those that are still busy are killed; ``None`` waits for them.
            patience: Seconds to wait for the end of those.

        Returns:
            Whether none had to be killed.
        """
        with self._lock:
            self._closed = True
            for worker in self._all:
                worker.leaves = True
            for lease in self._line:
                # One that has a worker already has only not been told yet.
                if not lease.is_held:
                    lease.error = ProcessPoolClosed(self._name)
            self._dispatch()
            self._tell_starters()
        usher.call(self)
        if self._is_empty_in(timeout):
            return True
        with self._lock:
            # One that is being started is ended when it is there: see `_start`.
            rest = [worker for worker in self._all if worker.lease is not None]
            for worker in rest:
                self._spend(worker, "killed")
            ending = list(self._all)
        usher.call(self)
        self._await_end(ending, patience)
        return not rest

    def _is_empty_in(self, timeout: float | None) -> bool:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                # Not longer at a time: the main thread is to hear of signals.
                bell = self._all[0].gone if self._all else Bell() if self._starting else None
            if bell is None:
                return True
            left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
            if left <= 0:
                return False
            bell.wait(left)

    def _await_end(self, workers: list[WorkerProcess], seconds: float | None = None) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        for worker in workers:
            while worker in self._all and (until is None or time.monotonic() < until):
                if not worker.gone.wait(_LONG_LOOK):
                    self._put_in_order()

    def forget(self) -> None:
        """In a forked child: the workers are the parent's, and none of its callers is here."""
        for worker in self._all:
            worker.close()
        closed = self._closed
        self.__init__(self._name, self.size)  # type: ignore[misc]  # as new, whoever held the lock in the parent
        self._closed = closed
