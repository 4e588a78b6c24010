"""What goes between a pool and its workers."""

from __future__ import annotations

from contextvars import ContextVar
from enum import IntEnum
from typing import Any, NamedTuple

from nexus_core.shipping.exceptions import Carried
from nexus_core.shipping.workflows import ShippedWorkflow

__all__ = ["Failed", "NodeTask", "NotTold", "Phase", "RaisedInNode", "Reply", "Unknown"]


class Phase(IntEnum):
    """How far a worker is with a task; it says so in memory that it shares with its parent."""

    #: It has nothing to do, or has begun to read what it was sent.
    READING = 0
    #: What it was sent may have run, in part.
    RUNNING = 1
    #: That has ended, and the reply is on its way.
    REPLYING = 2


class NodeTask(NamedTuple):
    """A node to run.

    Attributes:
        workflow: The workflow of which the node is one, once a worker; later only its digest.
        digest: Of the workflow.
        node_id: Which node.
        dialect: Whose rules the run follows: ``"local"``, ``"async"`` or ``"cyclic"``.
        own_execute: Whether the node's own ``execute`` is called whatever it is.
        logs: Whether somebody reads what Kailash's ``Node.execute`` logs.
        inputs: The node's inputs.
        context: The run's workflow context, as far as it can go.
        withheld: Keys of the context that cannot go, and why.
        variables: Context variables.
        levels: What is logged; ``None`` for no change.
        handled: The exception that the run's caller handles: the context of those that the node raises. A plain
            ``RuntimeError`` is its text.
        state: Attributes of the node, of one that changes itself.
    """

    workflow: ShippedWorkflow | None
    digest: str
    node_id: str
    dialect: str
    own_execute: bool
    logs: bool
    inputs: dict[str, Any]
    context: dict[str, Any]
    withheld: dict[str, str]
    variables: dict[ContextVar[Any], Any]
    levels: tuple[int, dict[str, int]] | None
    handled: Carried | str | None
    state: dict[str, Any] | None


class RaisedInNode(Exception):
    """A node has raised, after it may have set something."""

    def __init__(
        self, error: BaseException, context: dict[str, Any], state: tuple[dict[str, Any], list[str]] | None
    ) -> None:
        self.error = error
        self.context = context
        self.state = state


class Failed(NamedTuple):
    """What was run has raised."""

    error: Carried


class NotTold(NamedTuple):
    """What was run has an outcome that cannot be pickled.

    Attributes:
        path: Where in it the part is that cannot.
        type_name: The type of that part.
        reason: Why.
        what: In what it is.
    """

    path: str
    type_name: str
    reason: str
    what: str = "output"


class Unknown(NamedTuple):
    """The worker does not have the workflow any more; nothing has run."""


class Reply(NamedTuple):
    """What a worker says of a task.

    Attributes:
        outcome: A tuple of what was returned; or why there is nothing.
        work: Seconds of processor time.
        elapsed: Seconds that it took.
        waited: Seconds of those in which it waited of its own accord.
        variables: Context variables that were set.
        context: Entries of the workflow context that were set.
        records: What was logged.
        state: Attributes of the node that were set, and those that were deleted.
    """

    outcome: tuple[Any] | Failed | NotTold | Unknown
    work: float = 0.0
    elapsed: float = 0.0
    waited: float = 0.0
    variables: dict[ContextVar[Any], Any] | None = None
    context: dict[str, Any] | None = None
    records: list[dict[str, Any]] | None = None
    state: tuple[dict[str, Any], list[str]] | None = None
