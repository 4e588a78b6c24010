"""What a trace holds: threads, runs, and when each node was ready, ran and ended."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from nexus_core.tracing.events import STATUSES, EventColumns, NodeEvent, Status

if TYPE_CHECKING:
    from nexus_core.tracing.analysis import Analysis

__all__ = ["NodeEvent", "RunTrace", "Status", "Trace", "TracedThread"]


class TracedThread(NamedTuple):
    """A thread that executed nodes.

    Attributes:
        name: As Python names it.
        native_id: The operating system's number; 0 where it is unknown.
    """

    name: str
    native_id: int = 0


@dataclass(frozen=True, slots=True)
class RunTrace:
    """One run of a workflow; times in seconds since the trace began.

    Attributes:
        workflow: The workflow's name.
        run_id: The id that the runtime gave the run.
        began: When it began.
        ended: When it had ended.
        status: ``completed``, ``failed``, ``cancelled``, or ``cached`` for one that a cache has answered.
        nodes: ``(node_id, node_type)`` each. Runs of one workflow may share the same tuple.
        edges: Pairs of positions in `nodes`: the second waits for the first.
        note: Why nothing is known of the nodes, of a run that Kailash's own runtime executed, or a
            cache has answered.
    """

    workflow: str
    run_id: str
    began: float
    ended: float
    status: str = "completed"
    nodes: Sequence[tuple[str, str]] = ()
    edges: Sequence[tuple[int, int]] = ()
    note: str | None = None

    @property
    def makespan(self) -> float:
        """Seconds from beginning to end."""
        return self.ended - self.began


class Trace:
    """What ran when, and on which thread.

    A runtime's `trace()` makes it; `Trace.read` gets it back from a file.

    Attributes:
        threads: The threads, in the order in which they were first seen.
        runs: The runs, in the order in which they began.
        events: Every execution of a node: a sequence of `NodeEvent`, kept as columns of numbers.
        dropped: Executions that were not kept because the trace was full.
        began: When the trace began, in seconds since 1970.
        process_id: The process that was traced.

    Example:
        >>> from nexus_core.tracing import NodeEvent, RunTrace, Trace, TracedThread
        >>> run = RunTrace("sums", "run-1", 0.0, 0.3, nodes=[("load", "Code"), ("sum", "Code")], edges=[(0, 1)])
        >>> events = [NodeEvent(0, 0, 0, 0.0, 0.0, 0.2), NodeEvent(0, 1, 0, 0.2, 0.2, 0.3)]
        >>> trace = Trace([TracedThread("MainThread")], [run], events)
        >>> print(trace.gantt(width=56))
        load │███████████████████▌         │  200 ms  MainThread
        sum  │                   ▐█████████│  100 ms  MainThread
             └┴──────────────────┴─────────┘
              0                  200 ms
        2 nodes on 1 thread in 300 ms, 1.0 at once on average
    """

    __slots__ = ("began", "dropped", "events", "process_id", "runs", "threads")

    def __init__(
        self,
        threads: Iterable[TracedThread | tuple[str, int]] = (),
        runs: Iterable[RunTrace] = (),
        events: Iterable[NodeEvent] = (),
        *,
        dropped: int = 0,
        began: float = 0.0,
        process_id: int | None = None,
    ) -> None:
        self.threads = tuple(TracedThread(*thread) for thread in threads)
        self.runs = tuple(runs)
        self.events = events if isinstance(events, EventColumns) else EventColumns(events)
        self.dropped = dropped
        self.began = began
        self.process_id = os.getpid() if process_id is None else process_id
        self._check()

    def _check(self) -> None:
        columns = self.events
        if not len(columns):
            return
        if (thread := max(columns.thread)) >= len(self.threads):
            raise ValueError(f"an event is on thread {thread}, and there are {len(self.threads)} threads")
        if (run := max(columns.run)) >= len(self.runs):
            raise ValueError(f"an event belongs to run {run}, and there are {len(self.runs)} runs")
        sizes = array("I", (len(run.nodes) for run in self.runs))
        for number, node in zip(columns.run, columns.node, strict=True):
            if node >= sizes[number]:
                raise ValueError(f"an event is of node {node} of run {number}, which has {sizes[number]} nodes")

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        dropped = f", {self.dropped:,} dropped" if self.dropped else ""
        return (
            f"<Trace of {_counted(len(self.runs), 'run')}, {_counted(len(self.events), 'node event')}"
            f" on {_counted(len(self.threads), 'thread')}{dropped}>"
        )

    def node_id(self, event: NodeEvent) -> str:
        """The id of the node that an event is of.

        Args:
            event: One of the trace's.

        Returns:
            The id in its workflow.
        """
        return self.runs[event.run].nodes[event.node][0]

    def events_of(self, run: int) -> list[NodeEvent]:
        """What happened in one run.

        Args:
            run: Its position among the runs.

        Returns:
            Its events, by their start.

        Raises:
            IndexError: If there is no such run.
        """
        if not 0 <= run < len(self.runs):
            raise IndexError(f"run {run} of {len(self.runs)}")
        found = [self.events[i] for i, number in enumerate(self.events.run) if number == run]
        return sorted(found, key=lambda event: (event.start, event.end))

    def gantt(
        self,
        width: int = 80,
        *,
        run: int | None = None,
        by: Literal["node", "thread"] = "node",
        max_rows: int = 40,
    ) -> str:
        """Draws the trace as a Gantt chart of text.

        Args:
            width: Columns that no line goes beyond; at least 32.
            run: Only this run, by its position, with times from its beginning; by default all of them.
            by: A row for each execution of a node, or a row for each thread.
            max_rows: Rows beyond this number are counted in the last line instead of drawn.

        Returns:
            Lines without a newline at the end.

        Raises:
            IndexError: If there is no such run.
            ValueError: As `nexus_core.gantt.render`.
        """
        from nexus_core.gantt import render

        events: Iterable[NodeEvent] = self.events if run is None else self.events_of(run)
        began = 0.0 if run is None else self.runs[run].began
        skipped = STATUSES.index("skipped")
        if run is None and len(self.events):
            began = min(self.events.start)
        spans = (
            (
                self.node_id(event),
                self.threads[event.thread].name,
                max(event.start - began, 0.0),
                max(event.end - began, 0.0),
            )
            for event in events
            if event.status != STATUSES[skipped]
        )
        return render(spans, width, by=by, max_rows=max_rows)

    def analyze(self, threads: Sequence[int] = (), faster: Mapping[str, float] | None = None) -> Analysis:
        """Says what bounds the makespan, and what would change it.

        Args:
            threads: Numbers of threads to answer for; by default half, twice and four times those that were used.
            faster: How many times as fast to take a node, by id; by default twice, for the longest on the critical
                path.

        Returns:
            The analysis; ``print`` shows it as text.

        Raises:
            ValueError: If a number of threads is below 1, a factor not positive, or no run has such a node.
        """
        from nexus_core.tracing.analysis import analyze

        return analyze(self, threads, faster)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the trace to a file, in the form that its name asks for.

        Args:
            path: ``.json`` or ``.json.gz`` for Perfetto, Chrome's ``about:tracing`` and `Trace.read`; ``.html`` for a
                page that needs nothing but a browser.

        Returns:
            The path.

        Raises:
            ValueError: If the name ends otherwise.
            OSError: If the file cannot be written; what was there before stays then.
        """
        name = os.fspath(path)
        if name.endswith((".json", ".json.gz")):
            from nexus_core.tracing.chrome import write_chrome

            return write_chrome(self, path)
        if name.endswith((".html", ".htm")):
            from nexus_core.tracing.html import write_html

            return write_html(self, path)
        raise ValueError(f"a trace is written as .json, .json.gz or .html, not as {Path(path).name!r}")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Trace:
        """Reads what `write` has written as ``.json`` or ``.json.gz``.

        Args:
            path: The file.

        Returns:
            The trace; its times are rounded to the nanosecond.

        Raises:
            ValueError: If the file is not a trace that nexus-core has written.
            OSError: If it cannot be read.
        """
        from nexus_core.tracing.reading import read_chrome

        return read_chrome(path)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
