"""What is known of a workflow's plan for runs on a cluster: its description, its costs, its groups."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from nexus_core._core import _grouped
from nexus_core.distributed.messages import OVERHEAD
from nexus_core.distributed.placement import (
    Placement,
    Where,
    annotations_of,
    may_run_again,
    needs_this_process,
    stays_together,
)
from nexus_core.errors import NotShippable
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.shipping import ShippedWorkflow, ship

__all__ = ["MUCH", "OVERHEAD", "ClusterPlan", "Group", "cluster_plan"]

#: How much of a node's known duration a new measurement replaces.
_NEW_SHARE = 0.5

#: Groups are made anew when a node's duration has changed by such a factor.
_NOTABLE = 2.0

#: So many bytes are worth a task that leaves them where they are.
MUCH = 2**20

#: Groups whose sizes are remembered; groupings change with what is measured.
_MOST_SIZES = 4096

#: What an unmeasured or instant node counts as, where durations are compared.
_SHORTEST = 1e-6

#: Nodes whose programs are described in full by what a plan watches.
_FIXED = frozenset({"code", "named function"})


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that one task runs.

    Attributes:
        number: Its place among the groups.
        members: The nodes, by their places in topological order.
        inputs: Places of nodes of other groups that members wait for.
        exports: Places of members that other groups wait for.
        sources: The numbers of the groups that it waits for.
        label: Names the nodes, for the dashboard.
        annotation: What Dask is told of the task.
        may_run_again: Whether it may begin a second time.
    """

    number: int
    members: tuple[int, ...]
    inputs: tuple[int, ...]
    exports: tuple[int, ...]
    sources: tuple[int, ...]
    label: str
    annotation: Mapping[str, Any]
    may_run_again: bool


class ClusterPlan:
    """One workflow's.

    Args:
        workflow: The workflow.
        plan: Its plan.
    """

    def __init__(self, workflow: Any, plan: CompiledWorkflow) -> None:
        self._plan = weakref.ref(plan)
        self._is_fixed = all(node.program in _FIXED for node in plan.explanations)
        self._shipped: ShippedWorkflow | NotShippable | None = None
        self._token = uuid4().bytes
        places = {node_id: place for place, node_id in enumerate(plan.node_ids)}
        self._edges = [(places[source], places[target]) for source, target in set(workflow.graph.edges())]
        #: What each node waits for, by places.
        self.sources: tuple[tuple[int, ...], ...] = _sources(self._edges, len(plan.node_ids))
        self._seconds: list[float | None] = [None] * len(plan.node_ids)
        #: Groups whose outputs that no other one needs were large, by their members.
        self._keeps_much: set[tuple[int, ...]] = set()
        self._grouped_by: tuple[Any, ...] | None = None
        self._grouped_at: list[float | None] = []
        self._groups: tuple[Group, ...] = ()
        self._lock = threading.Lock()

    def is_of(self, plan: CompiledWorkflow) -> bool:
        """Whether it belongs to a plan."""
        return self._plan() is plan

    def shipped(self, workflow: Any) -> ShippedWorkflow | NotShippable:
        """The workflow's description, or why it has none.

        Args:
            workflow: The workflow.
        """
        # What code nodes do is in what their plan watches; objects may change without being noticed.
        if self._shipped is None or not self._is_fixed:
            try:
                shipped = ship(workflow)
                # Nodes may keep something in themselves, which is not another workflow's, however alike they are.
                own = shipped if self._is_fixed else replace(shipped, digest=self._own(shipped.digest))
                self._shipped = own
            except NotShippable as refused:
                self._shipped = refused
        return self._shipped

    def _own(self, digest: str) -> str:
        return blake2b(digest.encode(), key=self._token, digest_size=32).hexdigest()

    def placement(self, runtime: Any, workflow: Any, plan: CompiledWorkflow) -> Placement:
        """Where the workflow runs, as far as that does not depend on a run's arguments.

        Args:
            runtime: The runtime.
            workflow: The workflow.
            plan: Its plan.
        """
        here = needs_this_process(runtime, plan)
        if here is None:
            shipped = self.shipped(workflow)
            here = str(shipped) if isinstance(shipped, NotShippable) else None
        if here is not None:
            return Placement(Where.HERE, here)
        together = stays_together(plan)
        return Placement(Where.GROUPS) if together is None else Placement(Where.WHOLE, together)

    def learn(self, seconds: Mapping[int, float]) -> None:
        """Takes over what a run has measured.

        Args:
            seconds: What nodes have added to their groups' time, by place.
        """
        with self._lock:
            for place, took in seconds.items():
                before = self._seconds[place]
                self._seconds[place] = took if before is None else before + _NEW_SHARE * (took - before)

    def learn_sizes(self, kept: Mapping[tuple[int, ...], int]) -> None:
        """Takes over how much groups have kept.

        Args:
            kept: Bytes of outputs that no other group needs, by the group's members.
        """
        with self._lock:
            for members, size in kept.items():
                if size < MUCH:
                    self._keeps_much.discard(members)
                elif len(self._keeps_much) < _MOST_SIZES:
                    self._keeps_much.add(members)

    def keeps_much(self, group: Group) -> bool:
        """Whether a group's outputs that no other one needs were large when it last ran.

        Args:
            group: The group.
        """
        with self._lock:
            return group.members in self._keeps_much

    @property
    def seconds(self) -> list[float | None]:
        """What nodes take, by place; ``None`` for those that were not measured."""
        with self._lock:
            return list(self._seconds)

    def groups(
        self,
        workflow: Any,
        plan: CompiledWorkflow,
        slots: int,
        annotations: Mapping[str, Mapping[str, Any]],
        rerun: bool | Collection[str],
        batches: bool,
    ) -> tuple[Group, ...]:
        """The groups that the workflow's nodes run in.

        Args:
            workflow: The workflow.
            plan: Its plan.
            slots: How many groups the cluster can run at the same time.
            annotations: By node id, or ``"workflow/node"``.
            rerun: As of ``may_run_again``.
            batches: ``False`` for one group a node.
        """
        name = getattr(workflow, "name", "") or ""
        told = annotations_of(workflow, plan, annotations)
        again = [
            may or bool(annotation.get("retries"))
            for may, annotation in zip(may_run_again(rerun, workflow, plan), told, strict=True)
        ]
        asked = (slots, repr(told), again, batches)
        seconds = self.seconds
        with self._lock:
            if self._grouped_by == asked and not _differ(self._grouped_at, seconds):
                return self._groups
        if batches:
            described = _grouped(self._edges, seconds, _kinds(told, again), OVERHEAD, slots)
        else:
            described = _singles(self._edges, len(seconds))
        group_of = {place: number for number, (members, _, _) in enumerate(described) for place in members}
        groups = tuple(
            Group(
                number,
                tuple(members),
                tuple(inputs),
                tuple(exports),
                tuple(sorted({group_of[place] for place in inputs})),
                _label(name, [plan.node_ids[place] for place in members]),
                told[members[0]],
                again[members[0]],
            )
            for number, (members, inputs, exports) in enumerate(described)
        )
        with self._lock:
            self._grouped_by, self._grouped_at, self._groups = asked, seconds, groups
        return groups


def _kinds(told: list[Mapping[str, Any]], again: list[bool]) -> list[int]:
    """A number for each way to be treated by Dask."""
    numbers: dict[tuple[str, bool], int] = {}
    return [
        numbers.setdefault((repr(sorted(annotation.items())), may), len(numbers))
        for annotation, may in zip(told, again, strict=True)
    ]


def _sources(edges: list[tuple[int, int]], count: int) -> tuple[tuple[int, ...], ...]:
    sources: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        sources[target].append(source)
    return tuple(map(tuple, sources))


def _singles(edges: list[tuple[int, int]], count: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Each node alone."""
    inputs: list[list[int]] = [[] for _ in range(count)]
    leads_on = [False] * count
    for source, target in edges:
        inputs[target].append(source)
        leads_on[source] = True
    return [([place], sorted(inputs[place]), [place] if leads_on[place] else []) for place in range(count)]


def _differ(before: list[float | None], now: list[float | None]) -> bool:
    """Whether some node's duration is another one than it was."""
    for one, other in zip(before, now, strict=True):
        if (one is None) != (other is None):
            return True
        if one is not None and other is not None:
            low, high = sorted((max(one, _SHORTEST), max(other, _SHORTEST)))
            # Below what a message costs, all durations are alike.
            if high > OVERHEAD / 10 and high > _NOTABLE * low:
                return True
    return False


def _label(workflow: str, nodes: list[str]) -> str:
    """A task's name on the dashboard, which leaves off what follows a hyphen."""
    shown = nodes[0] if len(nodes) == 1 else f"{nodes[0]}..{nodes[-1]} ({len(nodes)})"
    text = f"{workflow}: {shown}" if workflow else shown
    text = text.replace("-", "_")
    return text if text[:1].isalpha() else f"nexus {text}"


_known: dict[int, ClusterPlan] = {}
_known_lock = threading.Lock()


def cluster_plan(workflow: Any, plan: CompiledWorkflow) -> ClusterPlan:
    """What is known of a plan.

    Args:
        workflow: The workflow.
        plan: Its plan.
    """
    key = id(plan)
    with _known_lock:
        known = _known.get(key)
    if known is not None and known.is_of(plan):
        return known
    made = ClusterPlan(workflow, plan)
    weakref.finalize(plan, _known.pop, key, None)
    with _known_lock:
        _known[key] = made
    return made
