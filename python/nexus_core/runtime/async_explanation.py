"""How ``AsyncLocalRuntime`` runs a workflow."""

from __future__ import annotations

from typing import Any

from nexus_core.cached_runs.nodes import notes_on_cached_nodes
from nexus_core.runtime.async_delegation import LOST, reasons_to_delegate
from nexus_core.runtime.compiler import NotNative, compiled
from nexus_core.runtime.durability import how_it_is_durable
from nexus_core.runtime.explain import Explanation
from nexus_core.runtime.pruning import PRUNING_NOTE

__all__ = ["explain_async"]


def explain_async(runtime: Any, workflow: Any) -> Explanation:
    """Which parts of a workflow run natively on an ``AsyncLocalRuntime``, and why the others do not.

    Args:
        runtime: The runtime.
        workflow: A built workflow.

    Returns:
        The explanation.
    """
    reasons = list(reasons_to_delegate(runtime, workflow, {}))
    try:
        plan = compiled(workflow, runtime._awaits())
    except NotNative as refused:
        return Explanation(False, (*reasons, str(refused)), notes=LOST)
    except Exception as broken:
        return Explanation(False, (*reasons, f"it cannot be read: {broken!r}"))
    pruned = runtime._plan_to_prune(workflow, plan)
    if isinstance(pruned, tuple):
        reasons.extend(pruned)
    if reasons:
        notes = (*LOST, *notes_on_cached_nodes(runtime, workflow, plan, delegated=True))
        return Explanation(False, tuple(reasons), plan.explanations, notes)
    if pruned is not None and not isinstance(pruned, tuple):
        notes = (PRUNING_NOTE, *notes_on_cached_nodes(runtime, workflow, pruned))
        return Explanation(True, (), pruned.explanations, notes)
    if plan.needs_loop:
        where = "asynchronous nodes are awaited on the loop, the others run on worker threads"
    elif runtime.run_short_on_loop and plan.fits_on_loop and plan.plan.is_short():
        where = "it has proved to be short, and runs on the loop's own thread"
    elif plan.plan.has_blocked():
        where = "it runs on worker threads; a run has taken long, so none will be taken for short"
    else:
        where = "it runs on worker threads"
    more = [where]
    if plan.one_pass:
        more.append("it has cycles, of which one pass is made, as by Kailash's AsyncLocalRuntime")
    more.extend(how_it_is_durable(runtime))
    if runtime._cached_runs is not None:
        more.append(runtime._cached_runs.explain(runtime, workflow))
    more.extend(notes_on_cached_nodes(runtime, workflow, plan))
    return Explanation(not reasons, tuple(reasons), plan.explanations, tuple(more))
