"""What can be scaled: the protocol, and the targets that are ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

from nexus_core.cache_tiers.forks import after_fork
from nexus_core.errors import TargetError
from nexus_core.parallel_execution.runtime_sizes import RuntimeSizes
from nexus_core.scaling.slots import Slots
from nexus_core.scaling.worker import Worker

__all__ = ["PoolTarget", "RuntimeTarget", "ScalingTarget", "is_same", "made_target"]


@runtime_checkable
class ScalingTarget(Protocol):
    """Anything with a number of workers that can be changed.

    Two more methods are used where a target has them: ``workers()``, a list of `nexus_core.scaling.Worker` or of
    objects with its attributes; and ``busy_seconds()``, the time that all workers together have spent on work since they
    began, from which their utilization is told. ``queued()`` tells how much waits for a worker.

    Example:
        >>> class Boxes:
        ...     count = 1
        ...     def current(self) -> int:
        ...         return self.count
        ...     def scale(self, n: int) -> None:
        ...         self.count = n
        >>> isinstance(Boxes(), ScalingTarget)
        True
    """

    def current(self) -> int:
        """How many workers there are, or are meant to be once those that drain are gone."""

    def scale(self, n: int) -> None:
        """Has so many workers from soon on; those that go end their work first.

        Args:
            n: How many.
        """


class RuntimeTarget:
    """The places of an ``AsyncLocalRuntime``: how many synchronous nodes run at once, or how many nodes at all.

    Runs that wait for a place get one as soon as there are more. With fewer, nodes that run go on to their
    end, and no other takes their place.

    Args:
        runtime: The runtime, or a function that returns it or ``None``.
        of: ``"threads"``: places for nodes on worker threads, with as many places for awaited ones as the
            runtime had beside them; ``"nodes"``: places for nodes of either kind.

    Raises:
        ValueError: If ``of`` is neither.

    Example:
        >>> from nexus_core.runtime import AsyncLocalRuntime
        >>> with AsyncLocalRuntime() as runtime:
        ...     target = RuntimeTarget(runtime)
        ...     target.scale(6)
        ...     target.current(), runtime.thread_pool_size, runtime.max_concurrent_nodes
        (6, 6, 10)
    """

    def __init__(self, runtime: Any, of: Literal["threads", "nodes"] = "threads") -> None:
        if of not in ("threads", "nodes"):
            raise ValueError(f"of must be 'threads' or 'nodes', got {of!r}")
        self.of = of
        self._runtime: Callable[[], Any] = runtime if callable(runtime) else lambda: runtime
        self._least_nodes = 0
        self._slots = Slots("place")

    @property
    def runtime(self) -> Any:
        """The runtime.

        Raises:
            TargetError: If there is none now.
        """
        found = self._runtime()
        if found is None:
            raise TargetError("there is nothing to scale: the app is not attached: nexus_core.attach(app)")
        return found

    def current(self) -> int:
        """How many places there are."""
        runtime = self.runtime
        return int(runtime.thread_pool_size if self.of == "threads" else runtime.max_concurrent_nodes)

    def scale(self, n: int) -> None:
        """Has so many places.

        Args:
            n: At least 1.

        Raises:
            TargetError: If it is less.
        """
        if n < 1:
            raise TargetError(f"a runtime needs at least one place, got {n!r}")
        runtime = self.runtime
        before = RuntimeSizes.of(runtime)
        if self.of == "threads":
            self._least_nodes = self._least_nodes or before.max_concurrent_nodes
            RuntimeSizes(max(self._least_nodes, n), n).apply(runtime)
        else:
            RuntimeSizes(n, before.thread_pool_size).apply(runtime)
        self._slots.follow(n, time.time(), runtime._counted_since)

    def busy_seconds(self) -> float | None:
        """Time that worker threads have spent in places; ``None`` for nodes of either kind, which is not counted."""
        return float(self.runtime._places.thread_seconds()) if self.of == "threads" else None

    def queued(self) -> int:
        """Runs that stand in line for a place."""
        return int(self.runtime._places.occupancy()[1])

    def workers(self) -> list[Worker]:
        """The places, the oldest first; those that more take than there may be drain."""
        runtime = self.runtime
        places = runtime._places
        taken = int(places.threads_taken() if self.of == "threads" else places.occupancy()[0])
        return self._slots.workers(
            self.current(), time.time(), runtime._counted_since, taken=taken, seconds=self.busy_seconds()
        )


class PoolTarget:
    """A ``ThreadPool`` or ``ProcessPool``: anything with ``resize(n)`` and ``size`` or ``max_workers``.

    Args:
        pool: The pool. Made smaller, it lets its workers end what they do.

    Raises:
        TargetError: If it has no such methods.

    Example:
        >>> from nexus_core import ThreadPool
        >>> with ThreadPool(2) as pool:
        ...     target = PoolTarget(pool)
        ...     target.scale(5)
        ...     target.current()
        5
    """

    def __init__(self, pool: Any) -> None:
        if not callable(getattr(pool, "resize", None)) or not (hasattr(pool, "size") or hasattr(pool, "max_workers")):
            raise TargetError(f"a pool needs resize(n) and size or max_workers, which {pool!r} has not")
        self.pool = pool
        self._began = time.time()
        self._slots = Slots("thread")
        self._busy: dict[str, float] = {}
        self._gone = 0.0
        self._looked: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()
        after_fork(self)

    def current(self) -> int:
        """How many workers it may have."""
        return int(self.pool.max_workers if hasattr(self.pool, "max_workers") else self.pool.size)

    def scale(self, n: int) -> None:
        """Resizes it.

        Args:
            n: How many workers.
        """
        self.pool.resize(n)

    def busy_seconds(self) -> float | None:
        """Time that its workers have spent on tasks; ``None`` if it does not tell."""
        found = getattr(self._statistics(), "busy_seconds", None)
        if found is not None or not hasattr(self.pool, "workers"):
            return None if found is None else float(found)
        seen = {worker.name: float(worker.busy_seconds) for worker in self.pool.workers()}
        with self._lock:
            # Workers that have left are counted with what they had when last seen, and so is one whose name another
            # has now.
            self._gone += sum(seconds for name, seconds in self._busy.items() if seen.get(name, -1.0) < seconds)
            self._busy = seen
            return self._gone + sum(seen.values())

    def queued(self) -> int | None:
        """Tasks that wait for a worker; ``None`` if it does not tell."""
        statistics = self._statistics()
        found = getattr(statistics, "queued", getattr(statistics, "waiting", None))
        return None if found is None else int(found)

    def workers(self) -> list[Worker]:
        """Its workers, those that have been started."""
        now = time.time()
        if not hasattr(self.pool, "workers"):
            statistics = self._statistics()
            return self._slots.workers(
                self.current(),
                now,
                self._began,
                taken=getattr(statistics, "running", None),
                seconds=getattr(statistics, "busy_seconds", None),
            )
        found = list(self.pool.workers())
        with self._lock:
            before, self._looked = self._looked, {each.name: (now, float(each.busy_seconds)) for each in found}
        return [
            Worker(each.name, each.started, each.state, _lately(each, now, before.get(each.name, (each.started, 0.0))))
            for each in found
        ]

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    def _statistics(self) -> Any:
        return self.pool.statistics() if hasattr(self.pool, "statistics") else None


def _lately(worker: Any, now: float, before: tuple[float, float]) -> float | None:
    """The share of its time since then that a worker was busy."""
    since, seconds = before
    return min(1.0, max(0.0, (worker.busy_seconds - seconds) / (now - since))) if now > since else None


def is_same(one: Any, other: Any) -> bool:
    """Whether two targets scale the same thing; one whose runtime is gone scales nothing.

    Args:
        one: A target, or ``None``.
        other: Another, or ``None``.
    """
    from nexus_core.scaling.dask_target import DaskTarget

    if isinstance(one, RuntimeTarget) and isinstance(other, RuntimeTarget):
        try:
            return one.runtime is other.runtime and one.of == other.of
        except Exception:
            # Whoever tells which runtime it is does not: that is told at the checks.
            return False
    if isinstance(one, PoolTarget) and isinstance(other, PoolTarget):
        return one.pool is other.pool
    if isinstance(one, DaskTarget) and isinstance(other, DaskTarget):
        # Another object may stand for the same cluster.
        return one.cluster is other.cluster or one.address == other.address
    return one is other


def made_target(given: Any) -> ScalingTarget:
    """A target for what somebody wants scaled.

    Args:
        given: A `ScalingTarget`; an ``AsyncLocalRuntime``; a ``ThreadPool`` or ``ProcessPool``; a Dask cluster, or
            a client that was made with one.

    Raises:
        TargetError: If it is none of them.
    """
    from nexus_core.scaling.dask_target import DaskTarget, is_dask

    if isinstance(given, str):
        raise TargetError(
            f"the scheduler at {given!r} cannot start workers: pass the cluster, or any object with its scale(n)"
        )
    if is_dask(given):
        return DaskTarget(given)
    if isinstance(given, ScalingTarget):
        return given
    if hasattr(given, "_places") and hasattr(given, "thread_pool_size"):
        return RuntimeTarget(given)
    if callable(getattr(given, "resize", None)):
        return PoolTarget(given)
    raise TargetError(
        "a target has current() and scale(n), or is a runtime, a pool with resize(n), or a Dask cluster; "
        f"got {type(given).__module__}.{type(given).__qualname__}"
    )
