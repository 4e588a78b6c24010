"""What ``explain()`` says of where nodes run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nexus_core.errors import IsolationError, NotShippable
from nexus_core.processes.interpreter_lock import has_lock
from nexus_core.processes.isolation import Isolation

if TYPE_CHECKING:
    from nexus_core.runtime.compiler import CompiledWorkflow
    from nexus_core.runtime.explain import NodeExplanation

__all__ = ["placed"]


def placed(runtime: Any, workflow: Any, plan: CompiledWorkflow) -> tuple[tuple[NodeExplanation, ...], tuple[str, ...]]:
    """The nodes of a plan with where they run, and why, a sentence each.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
    """
    isolation: Isolation = runtime._isolation
    if isolation.is_idle and not plan.isolated_nodes:
        return plan.explanations, ()
    if not has_lock():
        return plan.explanations, ("this interpreter runs threads in parallel: nodes overlap without processes",)
    try:
        nodes = isolation.nodes_of(workflow, plan)
    except (IsolationError, NotShippable) as refused:
        return plan.explanations, (f"a run fails: {refused}",)
    unknown = isolation.unknown(workflow.name, plan.node_ids)
    if nodes is None:
        return plan.explanations, unknown
    explanations = (replace(node, place=nodes.place(index)) for index, node in enumerate(plan.explanations))
    told = nodes.explain()
    if any(nodes.place(index) != "here" for index in range(len(plan.node_ids))):
        told = (*told, "progress, cancellation tokens and signals of the run do not reach nodes in processes")
    return tuple(explanations), (*told, *unknown)
