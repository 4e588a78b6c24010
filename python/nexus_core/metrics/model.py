"""The figures of a runtime, as objects that do not change any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nexus_core.durations import Durations

__all__ = ["NodeMetrics", "PlaceMetrics", "ProcessMetrics", "RuntimeMetrics", "WorkflowMetrics"]


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """One node, over all runs of its workflow.

    Attributes:
        node_type: Its class.
        executions: How often it ran, successfully or not: exact.
        failures: How often with which type of error: exact. Of an error that Kailash has
            wrapped, the type is that of the error inside.
        skipped: How often it was left out, because a switch sent its data elsewhere: exact.
        cached: How often its output was taken over instead: exact.
        duration: Of its executions. Where `measured` is smaller than `executions`, it is
            estimated from executions of runs that were chosen by chance.
        measured: How many executions were measured.
    """

    node_type: str
    executions: int
    failures: Mapping[str, int]
    skipped: int
    cached: int
    duration: Durations
    measured: int

    @property
    def failed(self) -> int:
        """Executions that failed."""
        return sum(self.failures.values())


@dataclass(frozen=True, slots=True)
class WorkflowMetrics:
    """One workflow, by its name.

    Attributes:
        completed: Runs that ended well.
        failures: Runs that failed, by type of error, as for nodes.
        cancelled: Runs that were cancelled.
        delegated: Of all these runs, how many were Kailash's own; of their nodes nothing is known.
        cached: How often a run was not needed, because a cache had its results or another run
            that was under way brought them: exact. They are none of the runs.
        duration: Of all runs: exact.
        queue_wait: How long nodes that were ready waited for a thread or a place, of runs that
            more than the caller's thread works on: exact.
        gil_wait: How long worker threads that had come for nodes waited for the interpreter's
            lock: exact. What nodes wait for inside is not seen.
        nodes: By id; those beyond a bound are together ``other``.
    """

    completed: int
    failures: Mapping[str, int]
    cancelled: int
    delegated: int
    cached: int
    duration: Durations
    queue_wait: Durations
    gil_wait: Durations
    nodes: Mapping[str, NodeMetrics]

    @property
    def runs(self) -> int:
        """Runs that have ended, however they did."""
        return self.completed + self.failed + self.cancelled

    @property
    def failed(self) -> int:
        """Runs that failed."""
        return sum(self.failures.values())

    @property
    def error_rate(self) -> float:
        """The share of runs that failed, from 0 to 1; 0.0 without runs."""
        return self.failed / self.runs if self.runs else 0.0


@dataclass(frozen=True, slots=True)
class PlaceMetrics:
    """The places for nodes that all runs of an ``AsyncLocalRuntime`` share.

    Attributes:
        limit: Nodes that may run at once.
        thread_limit: How many of them on worker threads.
        taken: Nodes that run now.
        peak: The most nodes that ran at once since the limits are as they are.
        waiting: Runs that stand in line for a place.
    """

    limit: int
    thread_limit: int
    taken: int
    peak: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ProcessMetrics:
    """What the process uses, and what it may use; ``None`` where the system does not say, or sets no limit.

    Attributes:
        cpu_user_seconds: Processor time spent in the program, by all threads since the start.
        cpu_system_seconds: Processor time spent in the system for it.
        resident_bytes: Memory that is resident.
        peak_resident_bytes: The most that ever was.
        virtual_bytes: Address space.
        threads: Threads.
        open_files: Open file descriptors.
        uptime_seconds: Since the process was started.
        cpus: Processors that it may run on.
        cpu_limit: Processors whose time its control group may use.
        memory_limit_bytes: Memory that its control group may use: the tightest limit of the
            group and those around it.
        limited_memory_used_bytes: What the group of that limit uses, caches included.
        returned_bytes: Freed memory that was given back to the system after runs, where
            ``PerformanceOptimizer``'s ``memory_optimization`` does so.
    """

    cpu_user_seconds: float | None
    cpu_system_seconds: float | None
    resident_bytes: int | None
    peak_resident_bytes: int | None
    virtual_bytes: int | None
    threads: int | None
    open_files: int | None
    uptime_seconds: float | None
    cpus: int | None
    cpu_limit: float | None
    memory_limit_bytes: int | None
    limited_memory_used_bytes: int | None
    returned_bytes: int = 0

    @property
    def cpu_seconds(self) -> float | None:
        """Processor time altogether."""
        if self.cpu_user_seconds is None or self.cpu_system_seconds is None:
            return None
        return self.cpu_user_seconds + self.cpu_system_seconds

    @property
    def memory_share(self) -> float | None:
        """Resident memory as a share of the limit; ``None`` without either."""
        if self.resident_bytes is None or not self.memory_limit_bytes:
            return None
        return self.resident_bytes / self.memory_limit_bytes


@dataclass(frozen=True, slots=True)
class RuntimeMetrics:
    """A runtime at one moment.

    Attributes:
        taken_at: When, in seconds since 1970.
        since: Since when it has been counted.
        active: Runs that are under way, delegated ones too.
        peak_active: The most that ever were at once.
        workflows: By name; those beyond a bound are together ``other``.
        queue_wait: Of all workflows together; see `WorkflowMetrics`.
        gil_wait: Of all workflows together.
        places: Of an ``AsyncLocalRuntime``; ``None`` for others.
        native_runs: Runs that the native engine has begun.
        delegated_runs: How often which reason has left a run to Kailash.
        cache: Figures of the cache of results, where the runtime has one.
        loop_lag: How much later than it should an event loop came to what was due, by samples;
            nothing where no loop is watched.
        process: The process.
    """

    taken_at: float
    since: float
    active: int
    peak_active: int
    workflows: Mapping[str, WorkflowMetrics]
    queue_wait: Durations
    gil_wait: Durations
    places: PlaceMetrics | None
    native_runs: int
    delegated_runs: Mapping[str, int]
    cache: Any
    loop_lag: Durations
    process: ProcessMetrics = field(repr=False)

    @property
    def runs(self) -> int:
        """Runs of all workflows that have ended."""
        return sum(workflow.runs for workflow in self.workflows.values())

    @property
    def cached(self) -> int:
        """How often a run was not needed, because its results were kept."""
        return sum(workflow.cached for workflow in self.workflows.values())

    @property
    def failed(self) -> int:
        """Those that failed."""
        return sum(workflow.failed for workflow in self.workflows.values())

    @property
    def error_rate(self) -> float:
        """The share that failed, from 0 to 1; 0.0 without runs."""
        return self.failed / self.runs if self.runs else 0.0

    def throughput(self, earlier: RuntimeMetrics | None = None) -> float:
        """Runs a second.

        Args:
            earlier: Figures of the same runtime, since which it is asked; by default since it
                was made.

        Returns:
            Runs that have ended meanwhile, by the seconds that have passed; 0.0 if none have.

        Raises:
            ValueError: If `earlier` is not earlier.
        """
        began = self.since if earlier is None else earlier.taken_at
        runs = self.runs if earlier is None else self.runs - earlier.runs
        seconds = self.taken_at - began
        if earlier is not None and (runs < 0 or seconds < 0):
            raise ValueError("the figures given are not earlier ones of the same runtime")
        return runs / seconds if seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Everything as dicts and numbers, for ``json.dumps`` and the like.

        Returns:
            The attributes by name, with ``runs``, ``cached``, ``failed`` and ``error_rate``.
        """
        cache = self.cache
        found: dict[str, Any] = asdict(self)
        found["cache"] = cache
        found["runs"], found["failed"], found["error_rate"] = self.runs, self.failed, self.error_rate
        found["cached"] = self.cached
        for name, workflow in self.workflows.items():
            inner = found["workflows"][name]
            inner["runs"], inner["failed"], inner["error_rate"] = workflow.runs, workflow.failed, workflow.error_rate
        return found
