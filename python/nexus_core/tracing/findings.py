"""What an analysis finds, as types."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from nexus_core.durations import Durations
from nexus_core.gantt import printable, readable_time

__all__ = [
    "Analysis",
    "Bound",
    "Makespan",
    "NodeAnalysis",
    "NodeSummary",
    "RunAnalysis",
    "ThreadAnalysis",
    "WhatIf",
    "WorkflowAnalysis",
]

Bound = Literal["critical path", "interpreter lock", "workers", "queueing", "runtime", "nothing"]


@dataclass(frozen=True, slots=True)
class Makespan:
    """Where a makespan went, along the chain of nodes that ended last; seconds that add up to it.

    Attributes:
        nodes: The chain's nodes executed.
        interpreter_lock: Their threads waited for the interpreter lock before they could begin.
        workers: They were ready, and as many others ran as ever did at once.
        queueing: They were ready, and there was room for them.
        runtime: Before the first was ready, and after the last had ended.
    """

    nodes: float
    interpreter_lock: float
    workers: float
    queueing: float
    runtime: float

    @property
    def total(self) -> float:
        """The makespan, in seconds."""
        return self.nodes + self.interpreter_lock + self.workers + self.queueing + self.runtime

    @property
    def bound(self) -> Bound:
        """What takes the most of it; ``critical path`` stands for the nodes themselves."""
        parts: dict[Bound, float] = {
            "critical path": self.nodes,
            "interpreter lock": self.interpreter_lock,
            "workers": self.workers,
            "queueing": self.queueing,
            "runtime": self.runtime,
        }
        most = max(parts, key=parts.__getitem__)
        return most if parts[most] > 0.0 else "nothing"

    def __add__(self, other: Makespan) -> Makespan:
        return Makespan(
            self.nodes + other.nodes,
            self.interpreter_lock + other.interpreter_lock,
            self.workers + other.workers,
            self.queueing + other.queueing,
            self.runtime + other.runtime,
        )


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What the scheduler, simulated on the measured durations, says of a change.

    Nodes are taken to run independently of each other, whatever lock they hold, and a thread to cost nothing.

    Attributes:
        makespan: Seconds; of several runs, on average.
        threads: How many nodes run at once, at the most.
        node: The node that is faster, by id; ``None`` for a change of threads alone.
        factor: How many times as fast it is.
    """

    makespan: float
    threads: int
    node: str | None = None
    factor: float = 1.0

    @property
    def change(self) -> str:
        """What would be different, in words."""
        if self.node is not None:
            return f"with node `{printable(self.node)}` {_times(self.factor)} as fast"
        return f"with {self.threads:,} thread{'' if self.threads == 1 else 's'}"

    def __str__(self) -> str:
        return f"{self.change} {readable_time(self.makespan)}"


def _times(factor: float) -> str:
    return "twice" if factor == 2 else f"{factor:g} times"


@dataclass(frozen=True, slots=True)
class NodeAnalysis:
    """One execution of a node; times in seconds.

    Attributes:
        node_id: The node's id.
        node_type: Its class.
        event: The execution's position among the trace's events.
        duration: From start to end.
        slack: How much longer it could have taken without making the critical path longer.
        is_critical: Whether it is on the critical path.
        queued: How long it was ready and no thread had taken it.
        waiting_for_gil: How long its thread waited for the interpreter lock then, before it could begin.
        status: How it ended.
        error: The exception's type, of a node that failed.
    """

    node_id: str
    node_type: str
    event: int
    duration: float
    slack: float
    is_critical: bool
    queued: float
    waiting_for_gil: float
    status: str
    error: str | None


@dataclass(frozen=True, slots=True)
class RunAnalysis:
    """What bounded one run; times in seconds.

    Attributes:
        run: The run's position in the trace.
        workflow: The workflow's name.
        run_id: The id that the runtime gave it.
        status: How it ended.
        note: Why nothing is known of its nodes.
        makespan: From beginning to end.
        work: All nodes' durations together.
        critical_path: Ids of the nodes on the longest path by duration, from first to last.
        critical_path_length: That path's duration: no number of threads makes the run shorter.
        parallelism: Nodes that ran at once on average: work over makespan.
        possible_parallelism: The most that the average can be: work over the critical path's length.
        at_once: The most nodes that ran at the same time.
        threads: Threads that executed its nodes.
        queued: How long nodes were ready and no thread had taken them, all together.
        waiting_for_gil: How long nodes waited for the interpreter lock, all together.
        makespan_of: Where the makespan went.
        simulated: What the simulated scheduler says for the durations as measured and `at_once` threads.
        what_if: What it says of changes.
        nodes: The executions, in order of start.
    """

    run: int
    workflow: str
    run_id: str
    status: str
    note: str | None
    makespan: float
    work: float
    critical_path: tuple[str, ...]
    critical_path_length: float
    parallelism: float
    possible_parallelism: float
    at_once: int
    threads: int
    queued: float
    waiting_for_gil: float
    makespan_of: Makespan
    simulated: float
    what_if: tuple[WhatIf, ...]
    nodes: tuple[NodeAnalysis, ...]

    @property
    def bound(self) -> Bound:
        """What bounds the makespan: what takes the most of it."""
        return self.makespan_of.bound

    @property
    def slack(self) -> dict[str, float]:
        """Seconds of slack by node id; of a node that ran several times the least."""
        found: dict[str, float] = {}
        for node in self.nodes:
            found[node.node_id] = min(node.slack, found.get(node.node_id, node.slack))
        return found

    def __str__(self) -> str:
        from nexus_core.tracing.analysis_text import run_as_text

        return run_as_text(self)


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """A node over all runs of its workflow; times in seconds.

    Attributes:
        node_id: The node's id.
        node_type: Its class.
        executions: How often it ran.
        failures: How often it failed.
        total: All durations together.
        mean: The average duration.
        max: The longest.
        queued: How long it was ready and no thread had taken it, all together.
        waiting_for_gil: How long it waited for the interpreter lock, all together.
        critical: How many of its executions were on the critical path.
        slack: The least slack of any execution.
    """

    node_id: str
    node_type: str
    executions: int
    failures: int
    total: float
    mean: float
    max: float
    queued: float
    waiting_for_gil: float
    critical: int
    slack: float


@dataclass(frozen=True, slots=True)
class WorkflowAnalysis:
    """All runs of one workflow, summed up; times in seconds.

    Attributes:
        workflow: The workflow's name.
        runs: How many.
        failed: How many of them failed.
        unknown: How many were executed by Kailash's own runtime, so that nothing is known of their nodes.
        makespan: Of the runs; quantiles are exact.
        work: All nodes' durations together.
        critical_path_length: All critical paths together.
        parallelism: Work over the makespans together.
        possible_parallelism: Work over the critical paths together.
        makespan_of: Where the makespans went, added up.
        bounds: How many runs were bounded by what.
        nodes: Every node that ran, those that were longest on critical paths first.
        simulated: As `RunAnalysis.simulated`, on average.
        what_if: On average, over the runs that were simulated.
        simulated_runs: How many that were.
    """

    workflow: str
    runs: int
    failed: int
    unknown: int
    makespan: Durations
    work: float
    critical_path_length: float
    parallelism: float
    possible_parallelism: float
    makespan_of: Makespan
    bounds: dict[Bound, int]
    nodes: tuple[NodeSummary, ...]
    simulated: float
    what_if: tuple[WhatIf, ...]
    simulated_runs: int

    @property
    def bound(self) -> Bound:
        """What takes the most of all makespans together."""
        return self.makespan_of.bound

    def __str__(self) -> str:
        from nexus_core.tracing.analysis_text import workflow_as_text

        return workflow_as_text(self)


@dataclass(frozen=True, slots=True)
class ThreadAnalysis:
    """What one thread did; times in seconds.

    Attributes:
        name: The thread's name.
        executions: How many nodes it executed.
        busy: How long it executed at least one.
        utilisation: The share of the time from the first run's beginning to the last one's end, 0 to 1.
        waiting_for_gil: How long its nodes waited for the interpreter lock.
    """

    name: str
    executions: int
    busy: float
    utilisation: float
    waiting_for_gil: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """What bounds the makespans of a trace's runs, and what would change them.

    `Trace.analyze()` makes it; ``print`` shows it as text.

    Attributes:
        runs: Each run.
        workflows: All runs of each workflow, summed up.
        threads: Each thread.
        span: Seconds from the first run's beginning to the last one's end.
        dropped: Executions that the trace had no room for; what it says of their runs is incomplete.
    """

    runs: tuple[RunAnalysis, ...]
    workflows: tuple[WorkflowAnalysis, ...]
    threads: tuple[ThreadAnalysis, ...]
    span: float
    dropped: int

    def as_dict(self) -> dict[str, Any]:
        """The same as dicts, lists, texts and numbers, for JSON.

        Returns:
            The attributes by their names, with each run's and workflow's `bound` beside them.
        """
        found = asdict(self)
        for kind in ("runs", "workflows"):
            for written, each in zip(found[kind], getattr(self, kind), strict=True):
                written["bound"] = each.bound
        return _plain(found)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        from nexus_core.tracing.analysis_text import as_text

        return as_text(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
