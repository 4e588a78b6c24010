"""What can go wrong, and what to do about it."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Mapping
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

__all__ = [
    "AttachError",
    "ClusterError",
    "ClusterUnreachable",
    "ClusterWorkerLost",
    "CycleError",
    "DuplicateNode",
    "ForeignConnection",
    "ForkServerError",
    "GraphError",
    "IsolationError",
    "LoadTestError",
    "MissingInput",
    "NexusCoreError",
    "NoDurations",
    "NotCallable",
    "NotKeyable",
    "NotSerializable",
    "NotShippable",
    "PoolBroken",
    "PoolClosed",
    "PoolError",
    "PoolMisuse",
    "PoolShutdown",
    "PoolTimeout",
    "ProcessPoolClosed",
    "QueueFull",
    "RecursiveLoad",
    "RunCancelled",
    "RunTimeout",
    "ShutdownTimeout",
    "StepError",
    "TargetError",
    "TooManyWaiting",
    "UnknownInput",
    "UnknownNode",
    "UnknownWorkflow",
    "UnreadableEntry",
    "WorkerLost",
]


class NexusCoreError(Exception):
    """Base of every error that nexus-core itself raises."""


class GraphError(NexusCoreError, ValueError):
    """A task graph, or a question about one, that makes no sense."""


class CycleError(GraphError):
    """Nodes that wait for one another.

    Attributes:
        path: Names along the cycle; the first one stands again at the end.
    """

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        arrows = " -> ".join(repr(name) for name in path)
        super().__init__(f"these nodes wait for one another: {arrows}; remove one of these references")


class DuplicateNode(GraphError):
    """A second node under a name that is taken.

    Attributes:
        name: The name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the graph already has a node {name!r}; give the new one another name")


class UnknownNode(GraphError):
    """A name that no node has.

    Attributes:
        name: The unknown name.
        referrer: The node whose arguments mention it, or ``None``.
    """

    def __init__(self, name: object, referrer: str | None = None) -> None:
        self.name = name
        self.referrer = referrer
        where = f"node {referrer!r} refers to" if referrer is not None else "there is no"
        middle = f"{where} node {name!r}"
        ending = (
            ", which was never added; add it, or correct the name" if referrer else ("; names are those given to add()")
        )
        super().__init__(middle + ending)


class NotCallable(GraphError, TypeError):
    """A node made of something that cannot be called.

    Attributes:
        name: The node's name.
    """

    def __init__(self, name: str, shown: str) -> None:
        self.name = name
        super().__init__(f"node {name!r} needs a callable, got {shown}")


class MissingInput(NexusCoreError, KeyError):
    """A run without a value for one of the graph's inputs.

    Attributes:
        names: The inputs that have no value.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(names)

    def __str__(self) -> str:
        listed = ", ".join(repr(name) for name in self.names)
        return f"no value for input {listed}; pass run({{{listed.split(', ')[0]}: ...}}) or a default"


class UnknownInput(NexusCoreError, KeyError):
    """A run with a value for an input that the graph does not have.

    Attributes:
        names: The unknown names.
        known: The graph's inputs.
    """

    def __init__(self, names: tuple[object, ...], known: tuple[str, ...]) -> None:
        self.names = names
        self.known = known
        super().__init__(names, known)

    def __str__(self) -> str:
        given = ", ".join(repr(name) for name in self.names)
        known = ", ".join(repr(name) for name in self.known) or "none"
        return f"the graph has no input {given}; its inputs are: {known}"


class NoDurations(NexusCoreError, ValueError):
    """A question that needs durations, and none are known."""

    def __init__(self) -> None:
        super().__init__("no node has been measured yet; pass durations={name: seconds}, or run once with measure=True")


class StepError(NexusCoreError, ValueError):
    """A node marked done out of turn.

    Attributes:
        name: The node's name.
    """

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        super().__init__(f"node {name!r} {what}")


class RunTimeout(NexusCoreError, TimeoutError):
    """A run that did not finish in time.

    Nodes that had started go on in the background until they return; their
    results are dropped. No further node starts.

    Attributes:
        timeout: The limit, in seconds.
    """

    def __init__(self, timeout: float, nodes: int) -> None:
        self.timeout = timeout
        super().__init__(
            f"the run of {nodes} nodes did not finish within {timeout:g} s; raise timeout, or raise max_concurrency"
        )


class RunCancelled(NexusCoreError):
    """A run whose cancellation token was cancelled.

    Attributes:
        reason: What was given to ``cancel()``, or ``None``.
    """

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason or None
        super().__init__(f"the run was cancelled: {reason or 'no reason given'}")


class NotKeyable(NexusCoreError, TypeError):
    """A value that no key can be computed of, so that nothing is cached for it.

    Attributes:
        path: Where it is, such as ``inputs['rows'][3].owner``.
        type_name: Its type, with the module unless that is ``builtins``.
        reason: Why it has no key.
    """

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        self.path = path
        self.type_name = type_name
        self.reason = reason
        super().__init__(f"{path}, of type {type_name}, has no key: {reason}")

    def __reduce__(self) -> tuple[type[NotKeyable], tuple[str, str, str]]:
        return type(self), (self.path, self.type_name, self.reason)


class NotShippable(NexusCoreError, TypeError):
    """A value, or a node, that cannot be described for another process.

    Attributes:
        path: Where in the value it is, as an expression; empty for the value itself.
        type_name: The full name of its type.
        reason: What pickle says of it.
        node: The id of the node that it belongs to, or ``None``.
    """

    def __init__(self, path: str, type_name: str, reason: str, node: str | None = None) -> None:
        self.path = path
        self.type_name = type_name
        self.reason = reason
        self.node = node
        whose = "a value" if node is None else f"node {node!r}"
        part = f"its part {path}, a {type_name}," if path else f"it is a {type_name}, which"
        super().__init__(f"{whose} cannot go to another process: {part} cannot be pickled: {reason}")

    def __reduce__(self) -> tuple[type[NotShippable], tuple[str, str, str, str | None]]:
        return type(self), (self.path, self.type_name, self.reason, self.node)


class NotSerializable(NexusCoreError, TypeError):
    """A value that cannot leave the process exactly as it is; it is kept locally alone.

    Attributes:
        path: Where it is, such as ``value['rows'][3]``.
        type_name: Its type, with the module unless that is ``builtins``.
        reason: Why it cannot.
    """

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        self.path = path
        self.type_name = type_name
        self.reason = reason
        super().__init__(f"{path}, of type {type_name}, cannot be serialized: {reason}")

    def __reduce__(self) -> tuple[type[NotSerializable], tuple[str, str, str]]:
        return type(self), (self.path, self.type_name, self.reason)


class UnreadableEntry(NexusCoreError, ValueError):
    """Bytes of a cache's tier that are not what was written there.

    Attributes:
        reason: In one word, as it is counted, such as ``"unauthenticated"`` or ``"malformed"``.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"the entry cannot be read: {reason}{': ' if detail else ''}{detail}")

    def __reduce__(self) -> tuple[type[UnreadableEntry], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class AttachError(NexusCoreError, RuntimeError):
    """An app that cannot be attached or detached; it is as it was before."""


class PoolError(NexusCoreError):
    """Base of the errors of pools.

    Attributes:
        pool: The pool's name.
    """

    def __init__(self, pool: str, message: str) -> None:
        self.pool = pool
        super().__init__(message)


class QueueFull(PoolError):
    """A task that a thread pool's queue had no room for; it will not run.

    Attributes:
        max_queue_size: How many tasks may be queued.
        queued: How many were when it was refused.
        max_workers: How many threads the pool may have.
        waited: How many seconds the caller waited for room.
    """

    def __init__(self, pool: str, max_queue_size: int, queued: int, max_workers: int, waited: float) -> None:
        self.max_queue_size = max_queue_size
        self.queued = queued
        self.max_workers = max_workers
        self.waited = waited
        after = f" after {waited:.3g} s" if waited else ""
        super().__init__(
            pool,
            f"the queue of thread pool {pool!r} has no room{after}: {queued} of {max_queue_size} tasks are queued for "
            f"{max_workers} workers; submit less at a time, raise max_queue_size or max_workers, or pass "
            'when_full="block" or "caller_runs"',
        )


class PoolShutdown(PoolError, RuntimeError):
    """A task for a thread pool that takes no more of them."""

    def __init__(self, pool: str, exiting: bool = False) -> None:
        why = "the interpreter is shutting down" if exiting else "it was shut down"
        super().__init__(pool, f"thread pool {pool!r} takes no more tasks: {why}")


class PoolBroken(PoolError, BrokenThreadPool):
    """A task for a thread pool whose initializer raised; what it raised was logged."""

    def __init__(self, pool: str) -> None:
        super().__init__(pool, f"the initializer of thread pool {pool!r} failed: the pool runs no more tasks")


class ShutdownTimeout(PoolError, TimeoutError):
    """A thread pool that did not end in time. It takes no more tasks, and goes on with those it has.

    Attributes:
        timeout: The limit, in seconds.
        running: Tasks that were running still.
        queued: Tasks that had not begun.
    """

    def __init__(self, pool: str, timeout: float, running: int, queued: int) -> None:
        self.timeout = timeout
        self.running = running
        self.queued = queued
        super().__init__(
            pool,
            f"thread pool {pool!r} did not end within {timeout:g} s: {running} tasks were running and {queued} were "
            "queued; they go on, and shutdown() may be called again",
        )


class PoolTimeout(PoolError, TimeoutError):
    """A caller that got no connection in time.

    The error of the last attempt to connect, if that failed, is its ``__cause__``.

    Attributes:
        pool: The pool's name.
        waited: How long the caller waited, in seconds.
        size: Connections that existed then, those being made included.
        max_size: Connections that may exist.
        idle: Connections that lay ready.
        in_use: Connections that were out.
        tended: Connections that were being checked or reset.
        connecting: Connections that were being made.
        waiting: Other callers that waited.
    """

    def __init__(self, pool: str, waited: float, state: Mapping[str, int], cause: BaseException | None = None) -> None:
        self.waited = waited
        self.size = state["size"]
        self.max_size = state["max_size"]
        self.idle = state["idle"]
        self.in_use = state["in_use"]
        self.tended = state["tended"]
        self.connecting = state["connecting"]
        self.waiting = state["waiting"]
        tended = f"{self.tended} being checked or reset, " if self.tended else ""
        message = (
            f"no connection from pool {pool!r} within {waited:.3g} s: of at most {self.max_size} connections "
            f"{self.in_use} are in use, {self.idle} idle, {tended}{self.connecting} being made; "
            f"{self.waiting} other callers wait"
        )
        if cause is not None:
            message += f"; the last attempt to connect failed: {type(cause).__name__}: {cause}"
        super().__init__(pool, message)


class PoolClosed(PoolError):
    """A pool that was used after its end, or closed while a caller waited.

    Attributes:
        pool: The pool's name.
    """

    def __init__(self, pool: str) -> None:
        super().__init__(pool, f"pool {pool!r} is closed; make a new one")


class ProcessPoolClosed(PoolClosed, RuntimeError):
    """A task for a process pool that takes no more of them, or that was closed while the task waited or ran."""


class WorkerLost(PoolError, RuntimeError):
    """A worker process that ended while it ran something.

    Attributes:
        pool: The pool's name.
        worker: The worker's name.
        pid: Its process id.
        status: Its exit status, negative for the signal that ended it; ``None`` if nobody knows.
        task: What it ran.
        attempts: How often that was begun.
    """

    def __init__(
        self, pool: str, worker: str, pid: int, status: int | None, task: str, attempts: int, may_retry: bool
    ) -> None:
        self.worker = worker
        self.pid = pid
        self.status = status
        self.task = task
        self.attempts = attempts
        self._may_retry = may_retry
        if status is not None and status < 0:
            try:
                how = f"was ended by {signal.Signals(-status).name}"
            except ValueError:
                how = f"was ended by signal {-status}"
            if -status == signal.SIGKILL:
                how += ", as the system does when memory runs out"
        else:
            how = "ended" if status is None else f"ended with exit status {status}"
        rest = (
            f"and so did others before it, {attempts} in all"
            if may_retry
            else "It may have run in part, so it is not run again: say retry_on_worker_loss where it may be"
        )
        joined = ", " if may_retry else ". "
        super().__init__(pool, f"{worker} (process {pid}) {how} while it ran {task}{joined}{rest}")

    def __reduce__(self) -> tuple[type[WorkerLost], tuple[Any, ...]]:
        told = (self.pool, self.worker, self.pid, self.status, self.task, self.attempts, self._may_retry)
        return type(self), told


class TooManyWaiting(PoolError):
    """A caller that was refused because as many wait as may.

    Attributes:
        pool: The pool's name.
        waiting: How many wait.
    """

    def __init__(self, pool: str, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(
            pool, f"{waiting} callers wait for pool {pool!r} already; raise max_waiting or max_size, or try again later"
        )


class ForeignConnection(PoolError, ValueError):
    """A connection that was returned to a pool where it is not out.

    Attributes:
        pool: The pool's name.
        was_returned: Whether it is the pool's, and was returned before.
    """

    def __init__(self, pool: str, connection: object, was_returned: bool = False) -> None:
        self.was_returned = was_returned
        what = "the connection" if connection is None else repr(connection)
        why = "was returned to it already" if was_returned else "is not one of its connections"
        super().__init__(pool, f"pool {pool!r} cannot take {what} back: it {why}")


class PoolMisuse(PoolError, TypeError):
    """A pool that was asked for what its kind cannot do.

    Attributes:
        pool: The pool's name.
    """

    def __init__(self, pool: str, what: str) -> None:
        super().__init__(pool, f"pool {pool!r}: {what}")


class ForkServerError(NexusCoreError, RuntimeError):
    """Worker processes that cannot be started."""


class IsolationError(NexusCoreError, ValueError):
    """Nodes that are to run in processes and cannot, or something that says so and makes no sense."""


class RecursiveLoad(NexusCoreError, RuntimeError):
    """Who computes a cache's value asked for that value, and would wait for itself.

    Attributes:
        key: The key.
    """

    def __init__(self, key: object) -> None:
        self.key = key
        super().__init__(
            f"the value of {key!r} is being computed by the caller, by one who waits for the caller, "
            "or by a task whose event loop the caller would block: waiting for it would never end"
        )


class UnknownWorkflow(NexusCoreError, LookupError):
    """A workflow that the app, or the server, does not have.

    Attributes:
        name: The unknown name.
        known: The names of those that are registered.
    """

    def __init__(self, name: object, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        near = difflib.get_close_matches(name, known, 3) if isinstance(name, str) else []
        if near:
            hint = "did you mean " + " or ".join(map(repr, near)) + "?"
        elif known:
            shown = ", ".join(map(repr, known[:10])) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
            hint = f"registered are {shown}"
        else:
            hint = "none is; app.register(name, workflow) registers one"
        super().__init__(f"no workflow {name!r} is registered; {hint}")


class ClusterError(NexusCoreError, RuntimeError):
    """A cluster that cannot do what a run needs; what the run has not finished is cancelled."""


class ClusterUnreachable(ClusterError, TimeoutError):
    """A scheduler that did not answer in time.

    Attributes:
        address: Where it was looked for.
        timeout: How long, in seconds.
    """

    def __init__(self, address: str, timeout: float, why: str = "") -> None:
        self.address = address
        self.timeout = timeout
        self.why = why
        super().__init__(
            f"no Dask scheduler answers at {address!r} within {timeout:g} s{': ' if why else ''}{why}; "
            "start one there (dask scheduler), correct the address, or raise timeout"
        )

    def __reduce__(self) -> tuple[type[ClusterUnreachable], tuple[str, float, str]]:
        return type(self), (self.address, self.timeout, self.why)


class ClusterWorkerLost(ClusterError):
    """Nodes that would have had to run a second time, because the worker that ran them is gone.

    Attributes:
        nodes: Their ids.
        worker: The worker's address.
    """

    def __init__(self, nodes: tuple[str, ...], worker: str) -> None:
        self.nodes = nodes
        self.worker = worker
        listed = ", ".join(map(repr, nodes[:5])) + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else "")
        super().__init__(
            f"worker {worker} is gone; it had begun {listed}, of which nothing says that it may run a second time. "
            "If that does no harm, say so: DaskRuntime(retry_on_worker_loss=True), or the ids of such nodes"
        )

    def __reduce__(self) -> tuple[type[ClusterWorkerLost], tuple[tuple[str, ...], str]]:
        return type(self), (self.nodes, self.worker)


class LoadTestError(NexusCoreError):
    """A load test that cannot begin: nothing was sent."""


class TargetError(NexusCoreError):
    """Something that is to be scaled and cannot be, or does not do what it says."""
