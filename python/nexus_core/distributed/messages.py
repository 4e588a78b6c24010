"""What goes to workers, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kailash import __version__ as kailash_version

from nexus_core._core import __version__
from nexus_core.distributed.carried_logs import Levels, LoggedThere
from nexus_core.distributed.node_events import NodeEvents
from nexus_core.shipping import Carried, Packed

__all__ = ["ALONE", "OVERHEAD", "VERSIONS", "Failure", "GroupTask", "Outcome", "RunTerms"]

#: Of nexus-core and of Kailash in this process.
VERSIONS: tuple[str, str] = (__version__, kailash_version)


#: What a task of Dask's costs, in seconds: the scheduler's part, and the client's and the worker's beside it
#: (docs/scaling.md has the measurement).
OVERHEAD = 0.001

#: Seconds from which on the core's grouping sends a node alone, for that overhead.
ALONE = 50 * OVERHEAD


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What all groups of a run have in common.

    Attributes:
        token: Names the run on the cluster; no other has it.
        client: The id of Dask's client.
        versions: Of nexus-core and of Kailash, which have to be the workers' too.
        run_id: The run's id, which nodes in cycles are told; ``None`` without history.
        keeps_history: Whether rows for the run history are wanted.
        options: Arguments of the runtime that a worker makes for it.
        process: Names the client's process, which may be a worker's own.
        levels: What is logged there.
    """

    token: str
    client: str
    versions: tuple[str, str]
    run_id: str | None
    keeps_history: bool
    options: tuple[tuple[str, Any], ...]
    process: str
    levels: Levels


@dataclass(frozen=True, slots=True)
class GroupTask:
    """Nodes that one worker runs.

    Attributes:
        terms: Of the run.
        number: The group's place among the run's groups.
        members: The nodes in topological order: their places in it, by their ids. On the worker they may have
            other places: where there is a choice, an order can depend on how a process hashes.
        is_whole: Whether it is a whole workflow that decides itself what comes when.
        inputs: Ids of nodes of other groups that members wait for.
        exports: Ids of members that other groups wait for.
        parameters: Of the members, by node id; ``None`` if there are none, or if they come apart.
        may_run_again: Whether another worker may begin it anew.
        raises: Whether a failure is Dask's to retry.
    """

    terms: RunTerms
    number: int
    members: Mapping[str, int]
    is_whole: bool = False
    inputs: tuple[str, ...] = ()
    exports: frozenset[str] = frozenset()
    parameters: Packed | None = None
    may_run_again: bool = False
    raises: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a group before its last node.

    Attributes:
        place: The node's place in topological order, or the first place that nothing is known of.
        error: The exception.
        ends_at_once: Whether the run does not wait for what comes before it.
    """

    place: int
    error: Carried
    ends_at_once: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a group.

    Attributes:
        exported: Outputs by node id that other groups wait for.
        kept: The other outputs.
        seconds: What each member has added to the group's time, by its place.
        failure: What ended it, or ended what it waits for; ``None`` if nothing did.
        failed: Places of nodes whose failure has not ended the run, or has.
        validated: Places of nodes whose inputs Kailash itself has validated.
        rows: For the run history: length of texts, rows, ids; or why they could not be made.
        run_id: The id that the run was given, if it had none.
        events: What has happened to the members; ``None`` if none of them was reached.
        records: What was logged, if anything was that the client wants.
    """

    exported: Packed
    kept: Packed
    seconds: Mapping[int, float] = field(default_factory=dict)
    failure: Failure | None = None
    failed: tuple[int, ...] = ()
    validated: tuple[int, ...] = ()
    rows: tuple[int, list[Any], dict[int, str]] | Carried = (0, [], {})
    run_id: str | None = None
    events: NodeEvents | None = None
    records: LoggedThere | None = None

    def __sizeof__(self) -> int:
        # Dask decides by it what to spill, and where to run what waits for it.
        return object.__sizeof__(self) + self.exported.size + self.kept.size
