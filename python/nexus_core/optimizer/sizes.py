"""How many nodes run at once: as many as the workflows ask for that are to be optimized."""

from __future__ import annotations

from nexus_core.optimizer.changes import Change, Refused, Target, no_change
from nexus_core.optimizer.loading import checked_order, order_is_elsewhere
from nexus_core.parallel_execution.runtime_sizes import RuntimeSizes, ask_for, is_asked_for
from nexus_core.runtime.workflow_rules import add_rule, rule_of

__all__ = ["has_room", "one_at_a_time", "room_for"]


def _needed(target: Target, nodes: int | None = None) -> RuntimeSizes:
    from nexus_core.best_practices.workflow_facts import facts_of

    if nodes is not None:
        return RuntimeSizes(nodes, nodes)
    facts = facts_of(target.name, target.workflow)
    return RuntimeSizes(max(1, facts.widest), max(1, facts.synchronous_side_by_side))


def has_room(target: Target) -> bool:
    """Whether the nodes of a workflow that are independent may overlap.

    Args:
        target: The workflow.
    """
    now = RuntimeSizes.of(target.runtime)
    if order_is_elsewhere(target) is not None or rule_of(target.runtime, target.workflow).one_at_a_time:
        return False
    return now.at_least(_needed(target)) == now


def room_for(target: Target, nodes: int | None = None) -> Change:
    """Lets the workflow's independent nodes overlap.

    Args:
        target: The workflow.
        nodes: How many; by default as many as do not depend on one another.

    Raises:
        Refused: If it has no nodes that could, or it is not the engine that says which do.
    """
    checked_order(target)
    needed = _needed(target, nodes)
    if nodes is None and needed.max_concurrent_nodes == 1:
        raise Refused("no two of its nodes are independent of one another, so none can overlap")
    if rule_of(target.runtime, target.workflow).one_at_a_time:
        raise Refused("its nodes are held to one at a time; enable parallel_execution first")
    now = RuntimeSizes.of(target.runtime)
    room = now.at_least(needed)
    if room == now and not is_asked_for(target.runtime):
        return no_change(
            f"the runtime has room already: {now.max_concurrent_nodes} nodes at once, {now.thread_pool_size} of them "
            f"on threads; this workflow can use {needed.max_concurrent_nodes} and {needed.thread_pool_size}"
        )
    changed = ", ".join(
        f"{name} from {sizes['before']} to {sizes['after']}" for name, sizes in room.changes_from(now).items()
    )
    detail = f"{changed}, for all workflows on the runtime" if changed else "the runtime stays as large as it is"
    return Change(detail, lambda: ask_for(target.runtime, needed), is_measured=True)


def one_at_a_time(target: Target) -> Change:
    """Has no two nodes of a run of the workflow overlap.

    Args:
        target: The workflow.

    Raises:
        Refused: If it is not the engine that says which do.
    """
    checked_order(target)
    return Change(
        "no two nodes of a run overlap", lambda: add_rule(target.runtime, target.workflow, one_at_a_time=True)
    )
