"""``ProcessPool``: warm worker processes for nodes that compute."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, ParamSpec, TypeVar

from nexus_core.errors import NotShippable, ProcessPoolClosed, WorkerLost
from nexus_core.processes import context_variables, log_records, usher
from nexus_core.processes.crew import Crew, Lease
from nexus_core.processes.tasks import Failed, NotTold, Reply, Unknown
from nexus_core.processes.worker_process import Limits, Lost, WorkerInfo, WorkerProcess
from nexus_core.shipping import pack, restore, security_rules, unpack
from nexus_core.shipping.values import Packed
from nexus_core.thread_pool import ThreadPool

__all__ = ["ProcessPool", "ProcessPoolStatistics", "default_process_pool"]

P = ParamSpec("P")
T = TypeVar("T")

#: How often something is begun at the most that may be run again.
MOST_ATTEMPTS = 3


class _Again(Enum):
    """A task has to be begun again."""

    #: Which counts as one of the attempts that it has.
    COUNTED = "counted"
    #: Nothing has happened.
    FOR_FREE = "for free"


@dataclass(frozen=True, slots=True)
class ProcessPoolStatistics:
    """What a pool did so far, and what it does now.

    Attributes:
        name: The pool's name.
        size: Workers that there may be.
        workers: Workers that there are.
        busy: Workers that are doing something.
        waiting: Callers that wait for a worker.
        queued: All that waits for one: those, and tasks that were submitted and have not begun.
        done: Tasks that have ended, however.
        failed: Those of them that raised.
        retried: Tasks that were begun again, because a worker was lost.
        lost: Workers that ended by themselves.
        killed: Workers that were ended, because of a limit or because nobody wanted the outcome any more.
        started: Workers that were started.
        waits: Tasks for which no worker was free.
        wait_seconds: For how long those waited, together.
        busy_seconds: Time of all workers spent on tasks, also of those that are gone.
        work_seconds: Processor time of all tasks.
        bytes_copied: Bytes that were written for other processes to map, both ways.
    """

    name: str
    size: int
    workers: int
    busy: int
    waiting: int
    queued: int
    done: int
    failed: int
    retried: int
    lost: int
    killed: int
    started: int
    waits: int
    wait_seconds: float
    busy_seconds: float
    work_seconds: float
    bytes_copied: int


class _Totals(NamedTuple):
    done: int = 0
    failed: int = 0
    retried: int = 0
    work_seconds: float = 0.0
    bytes_copied: int = 0


class _Counts:
    """Of tasks. Each lease counts once, however often its end is told: a signal handler may raise in the middle of that."""

    def __init__(self) -> None:
        self.totals = _Totals()
        self._lock = threading.Lock()

    def add(
        self,
        lease: Lease,
        *,
        done: int = 0,
        failed: int = 0,
        retried: int = 0,
        work_seconds: float = 0.0,
        bytes_copied: int = 0,
    ) -> None:
        """Counts what has come of a lease, on any thread."""
        with self._lock:
            if not lease.is_counted:
                before = self.totals
                totals = _Totals(
                    before.done + done,
                    before.failed + failed,
                    before.retried + retried,
                    before.work_seconds + work_seconds,
                    before.bytes_copied + bytes_copied,
                )
                # No handler runs between stores of one line.
                self.totals, lease.is_counted = totals, True


class ProcessPool(Executor):
    """Worker processes that have Kailash imported and keep the workflows whose nodes they run.

    Runtimes are given one: ``LocalRuntime(isolation="process", process_pool=pool)``. It is a
    ``concurrent.futures.Executor`` too. Workers are started when a task comes and all others are busy, up to
    ``size``; they are forked from a process of one thread that has everything imported, and end with this one,
    however it ends. A large buffer, such as an array's, is written once and mapped by the other side.

    Args:
        size: How many workers there may be; by default the processors that this process may use.
        name: The pool's name, in errors and statistics, and what the workers' names begin with.
        retry_on_worker_loss: Whether a task is run again when its worker ends in the middle of it. What may not
            be, fails; what had surely not begun is always run again.

    Raises:
        ValueError: If ``size`` is less than one.

    Example:
        >>> from nexus_core import ProcessPool
        >>> with ProcessPool(1) as pool:
        ...     pool.submit(pow, 2, 10).result()
        1024
    """

    def __init__(self, size: int | None = None, *, name: str = "processes", retry_on_worker_loss: bool = False) -> None:
        self.name = name
        self.retry_on_worker_loss = retry_on_worker_loss
        self._crew = Crew(name, _checked_size(_processors() if size is None else size))
        self._counts = _Counts()
        self._callers: ThreadPool | None = None
        self._is_ended = False
        self._lock = threading.Lock()
        _pools.add(self)

    # --- size -------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many workers there may be."""
        return self._crew.size

    def resize(self, size: int) -> None:
        """Sets how many workers there may be.

        Args:
            size: At least one. With fewer than before, free workers leave now and busy ones when they have done
                what they are doing: nothing is dropped.

        Raises:
            ValueError: If it is less than one.
            nexus_core.errors.ProcessPoolClosed: If the pool is closed.

        Example:
            >>> from nexus_core import ProcessPool
            >>> with ProcessPool(2) as pool:
            ...     pool.resize(1)
            ...     pool.size
            1
        """
        size = _checked_size(size)
        if self._is_ended or self._crew.is_closed:
            raise ProcessPoolClosed(self.name)
        self._crew.resize(size)
        with self._lock:
            if self._callers is not None:
                # Of two who resize it, the other may have been later with the crew.
                self._callers.resize(self.size)

    def start(self) -> None:
        """Starts all workers that there may be, and returns when they are there.

        Otherwise each is started when it is needed.

        Raises:
            nexus_core.errors.ProcessPoolClosed: If the pool is closed.
            nexus_core.errors.ForkServerError: If they cannot be started.

        Example:
            >>> from nexus_core import ProcessPool
            >>> with ProcessPool(2) as pool:
            ...     pool.start()
            ...     len(pool.workers())
            2
        """
        self._crew.start()

    # --- what it does -------------------------------------------------------------------

    def workers(self) -> list[WorkerInfo]:
        """The worker processes: names, process ids, what they do.

        Returns:
            Those that there are, the first one started first.

        Example:
            >>> from nexus_core import ProcessPool
            >>> with ProcessPool(1, name="sums") as pool:
            ...     pool.start()
            ...     [(worker.name, worker.state, worker.tasks) for worker in pool.workers()]
            [('sums-1', 'idle', 0)]
        """
        return [worker.info() for worker in self._crew.workers()]

    def statistics(self) -> ProcessPoolStatistics:
        """What the pool did so far, and what it does now.

        Returns:
            Counts and durations.

        Example:
            >>> from nexus_core import ProcessPool
            >>> with ProcessPool(1, name="sums") as pool:
            ...     _ = list(pool.map(sum, [[1, 2], [3]]))
            ...     seen = pool.statistics()
            >>> seen.name, seen.done, seen.failed, seen.started
            ('sums', 2, 0, 1)
        """
        crew, totals = self._crew, self._counts.totals
        workers, callers, waiting = crew.workers(), self._callers, crew.waiting
        return ProcessPoolStatistics(
            name=self.name,
            size=crew.size,
            workers=len(workers),
            busy=sum(worker.is_busy for worker in workers),
            waiting=waiting,
            queued=waiting + (0 if callers is None else callers.queue_size),
            done=totals.done,
            failed=totals.failed,
            retried=totals.retried,
            lost=crew.lost,
            killed=crew.killed,
            started=crew.started,
            waits=crew.waits,
            wait_seconds=crew.wait_seconds,
            busy_seconds=crew.busy_time(),
            work_seconds=totals.work_seconds,
            bytes_copied=totals.bytes_copied,
        )

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a function in a worker, with the caller's context variables.

        Args:
            fn: What pickle or cloudpickle can describe.
            args: Its arguments, which the same goes for.
            kwargs: Its arguments by keyword.

        Returns:
            A future of what it returns.

        Raises:
            nexus_core.errors.ProcessPoolClosed: If the pool is closed.

        Example:
            >>> from nexus_core import ProcessPool
            >>> with ProcessPool(1) as pool:
            ...     pool.submit("{:>4}".format, 7).result()
            '   7'
        """
        # Under the lock: whoever ends the pool finds its callers, and what was submitted before.
        with self._lock:
            if self._is_ended or self._crew.is_closed:
                raise ProcessPoolClosed(self.name)
            callers = self._callers
            if callers is None:
                callers = self._callers = ThreadPool(
                    self.size, thread_name_prefix=f"{self.name}-caller", name=f"{self.name} callers"
                )
            return callers.submit(self._call, fn, args, kwargs)

    def _call(self, function: Callable[..., T], arguments: Any, keywords: Any) -> T:
        variables = context_variables.carried()
        task = pack((function, arguments, keywords, variables))
        named = getattr(function, "__qualname__", type(function).__qualname__)
        reply = self._run(lambda worker: task, what=named, may_retry=self.retry_on_worker_loss)
        log_records.emit(reply.records or [])
        value: T = self._value_of(reply, f"the value that {named} returned")
        return value

    # --- tasks ----------------------------------------------------------------------------

    def _run(
        self,
        prepare: Callable[[WorkerProcess], Packed],
        *,
        what: str,
        may_retry: bool,
        digest: str | None = None,
        limits: Limits = Limits(),  # noqa: B008  # it cannot be changed
    ) -> Reply:
        """Has a worker do something, and waits for what it says.

        Args:
            prepare: Called with the worker for what it is sent.
            what: What it is, for errors.
            may_retry: Whether it is run again if its worker ends in the middle of it.
            digest: Of the workflow that it is of.
            limits: How long it may take.

        Returns:
            The reply.

        Raises:
            nexus_core.errors.WorkerLost: If the worker ended.
            nexus_core.errors.ProcessPoolClosed: If the pool is closed.
            nexus_core.processes.worker_process.Overdue: If it took too long; its worker was killed.
            nexus_core.processes.worker_process.Abandoned: If nobody wants it any more; the same.
        """
        attempts = 0
        while True:
            attempts += 1
            lease = Lease(digest)
            try:
                reply = self._attempt(lease, prepare, what, attempts, may_retry, limits)
            except BaseException:
                # Ctrl-C may have come at any moment. If the worker is in the middle of something, nobody will ask for that.
                self._crew.settle(lease)
                if lease.began:
                    self._counts.add(lease, done=1, failed=1)
                raise
            if isinstance(reply, Reply):
                return reply
            attempts -= reply is _Again.FOR_FREE

    def _attempt(
        self,
        lease: Lease,
        prepare: Callable[[WorkerProcess], Packed],
        what: str,
        attempts: int,
        may_retry: bool,
        limits: Limits,
    ) -> Reply | _Again:
        crew, counts = self._crew, self._counts
        worker = crew.take(lease, limits.is_abandoned)
        packed = prepare(worker)
        lease.began = lease.is_told = True
        try:
            worker.tell(security_rules.current())
            packed, copied = worker.exchange(packed, limits)
        except Lost as lost:
            del packed
            may_retry = may_retry or not lost.has_begun
            status = crew.discard(lease, "lost")
            if crew.is_closed:
                raise ProcessPoolClosed(self.name) from None
            if attempts < MOST_ATTEMPTS and may_retry:
                counts.add(lease, retried=1)
                return _Again.COUNTED
            raise WorkerLost(self.name, worker.name, worker.pid, status, what, attempts, may_retry) from None
        except Exception:
            # It is in the middle of something that nobody will ask for.
            crew.discard(lease, "killed")
            raise
        worker.tasks += 1
        crew.give_back(lease)
        reply: Reply = self._read(packed, what)
        if isinstance(reply.outcome, Unknown):
            worker.known.discard(lease.digest or "")
            counts.add(lease)
            return _Again.FOR_FREE
        has_failed = isinstance(reply.outcome, (Failed, NotTold))
        copied += sum(memoryview(buffer).nbytes for buffer in packed.buffers)
        counts.add(lease, done=1, failed=has_failed, work_seconds=reply.work, bytes_copied=copied)
        return reply

    @staticmethod
    def _read(packed: Packed, what: str) -> Reply:
        try:
            reply: Reply = unpack(packed)
        except MemoryError:
            raise
        except Exception as broken:
            raise NotShippable("", "value", f"what {what} returned cannot be read here: {broken!r}") from broken
        return reply

    @staticmethod
    def _value_of(reply: Reply, what: str) -> Any:
        """What was returned; raises what was raised.

        Args:
            reply: Of a worker.
            what: What the value is, for errors.
        """
        outcome = reply.outcome
        if isinstance(outcome, Failed):
            raise restore(outcome.error)
        if isinstance(outcome, NotTold):
            raise NotShippable(outcome.path, outcome.type_name, f"{outcome.reason} (in {what})")
        assert not isinstance(outcome, Unknown)
        return outcome[0]

    # --- the end ----------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> None:
        """Takes no more tasks, and ends the workers once they have done what they are doing.

        Args:
            timeout: Seconds after which those that are still busy are killed; their callers get
                ``ProcessPoolClosed``. ``None`` waits for them.

        Example:
            >>> from nexus_core import ProcessPool
            >>> pool = ProcessPool(1)
            >>> pool.close()
            >>> pool.submit(abs, 1)
            Traceback (most recent call last):
            nexus_core.errors.ProcessPoolClosed: pool 'processes' is closed; make a new one
        """
        with self._lock:
            self._is_ended = True
            callers = self._callers
        began = time.monotonic()
        if callers is not None:
            # Those that have not begun yet are to run, as with any executor.
            callers.shutdown(wait=False)
            try:
                callers.shutdown(timeout=timeout)
            except TimeoutError:
                callers.shutdown(wait=False, cancel_futures=True)
        left = None if timeout is None else max(timeout - (time.monotonic() - began), 0.0)
        self._crew.close(left)
        if callers is not None:
            callers.shutdown()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As any executor's; see :meth:`close`.

        Args:
            wait: Whether to wait for what was submitted.
            cancel_futures: Whether what has not begun is cancelled.

        Example:
            >>> from nexus_core import ProcessPool
            >>> pool = ProcessPool(1)
            >>> future = pool.submit(abs, -1)
            >>> pool.shutdown()
            >>> future.result()
            1
        """
        with self._lock:
            self._is_ended = True
            callers = self._callers
        if callers is not None:
            callers.shutdown(wait=False, cancel_futures=cancel_futures)
        if wait:
            self.close()
        else:
            threading.Thread(target=self.close, name=f"{self.name}-end").start()

    def _forget(self) -> None:
        """In a forked child: as new."""
        self._lock = threading.Lock()
        self._crew.forget()
        self._counts = _Counts()
        self._callers = None


def _checked_size(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"size must be a number of processes, got {size!r}")
    if size < 1:
        raise ValueError(f"size is {size}, and must be at least 1: no task could run")
    return size


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_pools: weakref.WeakSet[ProcessPool] = weakref.WeakSet()
_default: list[ProcessPool] = []
_default_lock = threading.Lock()


def default_process_pool() -> ProcessPool:
    """The pool of runtimes that are given none. It is made when it is first asked for.

    Returns:
        One for the whole process, closed when that ends.
    """
    with _default_lock:
        if not _default or _default[0]._crew.is_closed:
            _default[:] = [ProcessPool()]
        return _default[0]


def _end_all() -> None:
    for pool in list(_pools):
        # The fork server ends next, and what is left with it.
        pool._crew.close(0.0, patience=0.5)


def _forget_all() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    usher.forget()
    for pool in list(_pools):
        pool._forget()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
