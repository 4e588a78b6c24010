"""How ``LocalRuntime`` runs a workflow."""

from __future__ import annotations

from typing import Any

from nexus_core.cached_runs.nodes import notes_on_cached_nodes
from nexus_core.runtime.compiler import NotNative, compiled
from nexus_core.runtime.delegation import notes_on_delegation, reasons_to_delegate
from nexus_core.runtime.durability import how_it_is_durable
from nexus_core.runtime.explain import Explanation
from nexus_core.runtime.pruning import PRUNING_NOTE, is_pruned

__all__ = ["explain_locally"]


def explain_locally(runtime: Any, workflow: Any) -> Explanation:
    """Which parts of a workflow run natively on a ``LocalRuntime``, and why the others do not.

    Args:
        runtime: The runtime.
        workflow: A built workflow.

    Returns:
        The explanation.
    """
    reasons = reasons_to_delegate(runtime, workflow)
    try:
        plan = compiled(workflow, runtime._awaits())
    except NotNative as refused:
        return Explanation(False, (*reasons, str(refused)), notes=notes_on_delegation(runtime))
    except Exception as broken:
        return Explanation(False, (*reasons, f"it cannot be read: {broken!r}"))
    asked = runtime._plan_for(workflow, None)
    if isinstance(asked, tuple):
        delegated = (*notes_on_delegation(runtime), *notes_on_cached_nodes(runtime, workflow, plan, delegated=True))
        return Explanation(False, asked, plan.explanations, delegated)
    notes = []
    if plan.cycles is not None:
        notes.append("cycles: one iteration after the other; independent nodes of an iteration run together")
    if is_pruned(runtime, plan):
        notes.append(PRUNING_NOTE)
    if runtime.max_concurrency == 1:
        notes.append("max_concurrency=1: nodes run one after the other")
    if runtime.enable_monitoring:
        notes.append("run history is written in the background")
    notes.extend(how_it_is_durable(runtime))
    if runtime._cached_runs is not None:
        notes.append(runtime._cached_runs.explain(runtime, workflow))
    notes.extend(notes_on_cached_nodes(runtime, workflow, plan))
    return Explanation(True, (), plan.explanations, tuple(notes))
