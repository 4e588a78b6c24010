"""Many executions of nodes in little memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, SupportsIndex, get_args, overload

__all__ = ["STATUSES", "EventColumns", "NodeEvent", "Status", "queued"]

Status = Literal["completed", "failed", "skipped", "cached", "cancelled"]

STATUSES: tuple[Status, ...] = get_args(Status)
_NUMBER_OF = {name: number for number, name in enumerate(STATUSES)}


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One execution of a node; times in seconds since the trace began.

    Attributes:
        run: Which run of the trace, from 0.
        node: Which node of that run, from 0.
        thread: Which thread of the trace, from 0.
        ready: When all that it depends on was done; ``nan`` where that is unknown.
        start: When it began to execute.
        end: When it had finished.
        waiting_for_gil: Seconds right before the start that its thread waited for the interpreter lock; 0.0 where that is
            unknown. What a node waits for it while it executes is not seen.
        status: How it ended.
        error: The exception's type, of a node that failed.
    """

    run: int
    node: int
    thread: int
    ready: float
    start: float
    end: float
    waiting_for_gil: float = 0.0
    status: Status = "completed"
    error: str | None = None

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start

    @property
    def queued(self) -> float:
        """Seconds that it was ready and no thread had taken it; 0.0 where that is unknown."""
        return queued(self.ready, self.start, self.waiting_for_gil)


def queued(ready: float, start: float, waiting_for_gil: float) -> float:
    """How long a node was ready and no thread had taken it.

    Args:
        ready: When it was ready, in seconds; ``nan`` where that is unknown.
        start: When it began.
        waiting_for_gil: How long its thread waited for the interpreter lock before that.

    Returns:
        Seconds; 0.0 where it is unknown.
    """
    return max(start - waiting_for_gil - ready, 0.0) if math.isfinite(ready) else 0.0


class EventColumns(Sequence[NodeEvent]):
    """A sequence of `NodeEvent` that holds a column each of numbers: some 50 bytes an event.

    Attributes:
        run, node, thread: Columns of unsigned 32-bit numbers.
        ready, start, end, waiting_for_gil: Columns of doubles, in seconds.
        status: A column of positions in `STATUSES`.
        error: A column of positions in `errors`.
        errors: Names of exception types; the first is empty, for no error.
    """

    __slots__ = (
        "_numbers",
        "end",
        "error",
        "errors",
        "node",
        "ready",
        "run",
        "start",
        "status",
        "thread",
        "waiting_for_gil",
    )

    def __init__(self, events: Iterable[NodeEvent] = ()) -> None:
        self.run, self.node, self.thread, self.error = (array("I") for _ in range(4))
        self.ready, self.start, self.end, self.waiting_for_gil = (array("d") for _ in range(4))
        self.status = array("B")
        self.errors: list[str] = [""]
        self._numbers = {"": 0}
        for event in events:
            self.append(event)

    @classmethod
    def from_columns(
        cls,
        *,
        run: array[int],
        node: array[int],
        thread: array[int],
        ready: array[float],
        start: array[float],
        end: array[float],
        waiting_for_gil: array[float],
        status: array[int],
        error: array[int],
        errors: Sequence[str] = ("",),
    ) -> EventColumns:
        """Takes columns as they are, without a copy.

        Args:
            run: Which run, a number an event; type code ``I``, as for `node`, `thread` and `error`.
            node: Which node of the run.
            thread: Which thread.
            ready: Seconds, type code ``d``, as for `start`, `end` and `waiting_for_gil`.
            start: When it began.
            end: When it had finished.
            waiting_for_gil: How long it waited for the interpreter lock.
            status: Positions in `STATUSES`, type code ``B``.
            error: Positions in `errors`.
            errors: Names of exception types, the first of them empty.

        Returns:
            The events.

        Raises:
            ValueError: If the columns differ in length, or a number is beyond its table.
        """
        events = cls()
        events.run, events.node, events.thread, events.status, events.error = run, node, thread, status, error
        events.ready, events.start, events.end, events.waiting_for_gil = ready, start, end, waiting_for_gil
        lengths = {name: len(getattr(events, name)) for name in _COLUMNS}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a trace must be equally long, not {lengths}")
        events.errors = list(errors) or [""]
        events._numbers = {name: number for number, name in enumerate(events.errors)}
        if len(run) and max(status) >= len(STATUSES):
            raise ValueError(f"status {max(status)} is none of the {len(STATUSES)} in STATUSES")
        if len(run) and max(error) >= len(events.errors):
            raise ValueError(f"error {max(error)} is beyond the {len(events.errors)} names given")
        return events

    def append(self, event: NodeEvent) -> None:
        """Adds one.

        Args:
            event: What is added.

        Raises:
            ValueError: If its status is unknown, or its times are not finite or out of order.
        """
        if event.status not in _NUMBER_OF:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, not {event.status!r}")
        if not (math.isfinite(event.start) and math.isfinite(event.end) and event.start <= event.end):
            raise ValueError(f"an execution cannot last from {event.start!r} to {event.end!r} s")
        error = self._numbers.setdefault(event.error or "", len(self.errors))
        if error == len(self.errors):
            self.errors.append(event.error or "")
        self.run.append(event.run)
        self.node.append(event.node)
        self.thread.append(event.thread)
        self.ready.append(event.ready)
        self.start.append(event.start)
        self.end.append(event.end)
        self.waiting_for_gil.append(event.waiting_for_gil)
        self.status.append(_NUMBER_OF[event.status])
        self.error.append(error)

    def __len__(self) -> int:
        return len(self.run)

    @overload
    def __getitem__(self, index: SupportsIndex) -> NodeEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[NodeEvent]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> NodeEvent | list[NodeEvent]:
        if isinstance(index, slice):
            return [self._at(i) for i in range(*index.indices(len(self)))]
        number = index.__index__()
        if not -len(self) <= number < len(self):
            raise IndexError(f"event {number} of {len(self)}")
        return self._at(number % len(self))

    def __iter__(self) -> Iterator[NodeEvent]:
        return map(self._at, range(len(self)))

    def _at(self, i: int) -> NodeEvent:
        return NodeEvent(
            self.run[i],
            self.node[i],
            self.thread[i],
            self.ready[i],
            self.start[i],
            self.end[i],
            self.waiting_for_gil[i],
            STATUSES[self.status[i]],
            self.errors[self.error[i]] or None,
        )

    def __repr__(self) -> str:
        return f"<{len(self):,} node events>"


_COLUMNS = ("run", "node", "thread", "ready", "start", "end", "waiting_for_gil", "status", "error")
