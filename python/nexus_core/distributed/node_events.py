"""What happened to nodes on a worker, as it comes back with their group's outcome."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nexus_core._core import _TraceRecorder

__all__ = ["NodeEnd", "NodeEvents", "recorder_of_group"]

#: Of one group: a workflow with cycles may have any number. What comes later is counted alone.
_MOST_EVENTS = 100_000


def recorder_of_group() -> _TraceRecorder:
    """What takes down a group's nodes."""
    return _TraceRecorder(_MOST_EVENTS)


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """One execution of a node; times in seconds since 1970.

    Attributes:
        place: The node's place in topological order.
        thread: Which of the group's threads.
        ready: When all that it depends on in its group had ended, or the group had begun.
        start: When it began.
        end: When it had ended.
        waited: Seconds right before the start that its thread waited for the interpreter lock.
        status: Its position in ``nexus_core.tracing.events.STATUSES``.
        error: The exception's type, of a node that failed.
    """

    place: int
    thread: int
    ready: float
    start: float
    end: float
    waited: float
    status: int
    error: str | None


@dataclass(frozen=True, slots=True)
class NodeEvents:
    """All executions of a group, by their start.

    Attributes:
        worker: Names the worker.
        began: When they began to be taken down, in seconds since 1970 by the worker's clock.
        threads: Name and native id of each thread.
        errors: Names of exception types, the first of them empty.
        columns: Of each column its numbers as bytes, as ``_TraceRecorder.columns`` has them.
        dropped: Executions that there was no room for.
    """

    worker: str
    began: float
    threads: Sequence[tuple[str, int]]
    errors: Sequence[str]
    columns: Mapping[str, bytes]
    dropped: int

    @classmethod
    def of(cls, recorder: _TraceRecorder, worker: str, places: Sequence[int]) -> NodeEvents:
        """What was taken down of a group that has ended.

        Args:
            recorder: What has taken it down.
            worker: Names the worker.
            places: Where the client has the nodes that this worker has by number.
        """
        columns = recorder.columns()
        node = array("I", columns["node"])
        kept = {
            name: columns[name] for name in ("thread", "ready", "start", "end", "waiting_for_gil", "status", "error")
        }
        kept["place"] = array("I", (places[number] for number in node)).tobytes()
        return cls(worker, recorder.began, recorder.threads(), recorder.errors(), kept, recorder.dropped)

    def __iter__(self) -> Iterator[NodeEnd]:
        place, thread, error = (self._numbers("I", name) for name in ("place", "thread", "error"))
        ready, start, end, waited = (self._numbers("d", name) for name in ("ready", "start", "end", "waiting_for_gil"))
        for at, status in enumerate(self.columns["status"]):
            yield NodeEnd(
                place[at], thread[at], self.began + ready[at], self.began + start[at], self.began + end[at],
                waited[at], status, self.errors[error[at]] or None,
            )  # fmt: skip

    def _numbers(self, code: str, name: str) -> array[Any]:
        return array(code, self.columns[name])
