"""What happens during a run, as typed events, for whoever follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "NodeFailed",
    "NodeFinished",
    "NodeSkipped",
    "NodeStarted",
    "RunEvent",
    "RunFailed",
    "RunFinished",
    "RunStarted",
]


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run.

    Attributes:
        run_id: The run's id.
        time: When, in seconds since the run began.
    """

    run_id: str
    time: float


@dataclass(frozen=True, slots=True)
class RunStarted(RunEvent):
    """The run has begun.

    Attributes:
        node_ids: Its nodes, in topological order.
    """

    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeStarted(RunEvent):
    """A node has started.

    Attributes:
        node_id: Which.
        thread: The name of the thread that runs it.
    """

    node_id: str
    thread: str


@dataclass(frozen=True, slots=True)
class NodeFinished(RunEvent):
    """A node has returned.

    Attributes:
        node_id: Which.
        thread: The name of the thread that ran it.
        duration: Seconds that it took.
        output: What it returned.
        cached: Whether it has not run: its output was kept in the runtime's cache.
    """

    node_id: str
    thread: str
    duration: float
    output: Any
    cached: bool = False


@dataclass(frozen=True, slots=True)
class NodeFailed(RunEvent):
    """A node has raised.

    Attributes:
        node_id: Which.
        thread: The name of the thread that ran it.
        duration: Seconds that it took.
        error: What it raised.
    """

    node_id: str
    thread: str
    duration: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class NodeSkipped(RunEvent):
    """A node was left out, because the branch that leads to it was not taken.

    Attributes:
        node_id: Which.
    """

    node_id: str


@dataclass(frozen=True, slots=True)
class RunFinished(RunEvent):
    """All nodes have run; the last event of a run that succeeds.

    Attributes:
        results: Results by node id, in topological order.
    """

    results: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunFailed(RunEvent):
    """The run has failed; the last event of one that does.

    Attributes:
        error: What ``execute_workflow_async`` would have raised.
    """

    error: BaseException
