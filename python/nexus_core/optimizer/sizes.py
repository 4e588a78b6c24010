"""How many nodes run at once: as many as the workflows ask for that are to be optimized."""

from __future__ import annotations

from typing import Any

from nexus_core.optimizer.changes import Change, Refused, Target, no_change
from nexus_core.parallel_execution.runtime_sizes import RuntimeSizes
from nexus_core.runtime.workflow_rules import rule_of, set_rule

__all__ = ["Sizes", "has_room", "one_at_a_time", "room_for"]


class Sizes:
    """A runtime's sizes: its own, or what is asked for where that is more.

    Sizes that somebody else sets meanwhile count as the runtime's own from then on.
    """

    def __init__(self) -> None:
        self._asked: dict[str, RuntimeSizes] = {}
        self._own: RuntimeSizes | None = None
        self._given: RuntimeSizes | None = None

    def ask(self, runtime: Any, name: str, sizes: RuntimeSizes) -> None:
        """Makes a runtime at least so large.

        Args:
            runtime: The runtime.
            name: Who asks.
            sizes: At least these.
        """
        self._asked[name] = sizes
        self._update(runtime)

    def let_go(self, runtime: Any, name: str) -> None:
        """Takes back what somebody has asked for.

        Args:
            runtime: The runtime.
            name: Who.
        """
        self._asked.pop(name, None)
        self._update(runtime)

    def _update(self, runtime: Any) -> None:
        now = RuntimeSizes.of(runtime)
        if self._own is None or now != self._given:
            self._own = now
        wanted = self._own
        for sizes in self._asked.values():
            wanted = wanted.at_least(sizes)
        if wanted != now:
            wanted.apply(runtime)
        self._given = wanted if self._asked else None


def _needed(target: Target, nodes: int | None = None) -> RuntimeSizes:
    from nexus_core.best_practices.workflow_facts import facts_of

    facts = facts_of(target.name, target.workflow)
    if nodes is not None:
        return RuntimeSizes(nodes, nodes)
    return RuntimeSizes(max(1, facts.widest), max(1, facts.synchronous_side_by_side))


def has_room(target: Target) -> bool:
    """Whether the nodes of a workflow that are independent may overlap.

    Args:
        target: The workflow.
    """
    now = RuntimeSizes.of(target.runtime)
    rule = rule_of(target.runtime, target.workflow)
    return now.at_least(_needed(target)) == now and not rule.one_at_a_time


def room_for(target: Target, sizes: Sizes, nodes: int | None = None) -> Change:
    """Lets the workflow's independent nodes overlap.

    Args:
        target: The workflow.
        sizes: Of the runtime.
        nodes: How many; by default as many as do not depend on one another.

    Raises:
        Refused: If it has no nodes that could.
    """
    needed = _needed(target, nodes)
    if nodes is None and needed.max_concurrent_nodes == 1:
        raise Refused("no two of its nodes are independent of one another, so none can overlap")
    if rule_of(target.runtime, target.workflow).one_at_a_time:
        raise Refused("its nodes are held to one at a time; enable parallel_execution first")
    now = RuntimeSizes.of(target.runtime)
    room = now.at_least(needed)
    if room == now:
        return no_change(
            f"the runtime has room already: {now.max_concurrent_nodes} nodes at once, {now.thread_pool_size} of them "
            f"on threads; this workflow can use {needed.max_concurrent_nodes} and {needed.thread_pool_size}"
        )
    changed = ", ".join(
        f"{name} from {sizes['before']} to {sizes['after']}" for name, sizes in room.changes_from(now).items()
    )
    return Change(
        f"{changed}, for all workflows on the runtime",
        lambda: sizes.ask(target.runtime, target.name, needed),
        lambda: sizes.let_go(target.runtime, target.name),
        is_measured=True,
    )


def one_at_a_time(target: Target) -> Change:
    """Has no two nodes of a run of the workflow overlap.

    Args:
        target: The workflow.
    """
    return Change(
        "no two nodes of a run overlap",
        lambda: set_rule(target.runtime, target.workflow, one_at_a_time=True),
        lambda: set_rule(target.runtime, target.workflow, one_at_a_time=False),
    )
