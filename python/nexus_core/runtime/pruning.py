"""Which workflows are pruned natively in ``skip_branches`` mode, and why not the others."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from nexus_core.runtime import stock
from nexus_core.runtime.branches import BranchPlan, NotPrunable, analysis_is_stock, read_branches
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.delegation import MethodGuard
from nexus_core.runtime.log_visibility import is_visible

__all__ = ["PRUNING_NOTE", "PruningOnce", "is_pruned", "reasons_not_to_prune"]

PRUNING_NOTE = "skip_branches: the switches run first, then what they have decided for"

_methods = MethodGuard(
    stock.StockLocalRuntime,
    (
        "_has_conditional_patterns",
        "_workflow_has_cycles",
        "_should_use_hierarchical_execution",
        "_execute_conditional_approach",
        "_execute_switch_nodes",
        "_execute_pruned_plan",
        "_validate_conditional_execution_prerequisites",
        "_validate_switch_results",
        "_validate_conditional_execution_results",
        "_track_conditional_execution_performance",
        "_record_execution_metrics",
        "_log_conditional_execution_failure",
        "_track_fallback_usage",
        "_check_performance_switch",
    ),
    # Stock's, where they decide.
    still_called=frozenset(
        {"_validate_switch_results", "_validate_conditional_execution_results", "_log_conditional_execution_failure"}
    ),
)
_loggers = tuple(
    logging.getLogger(name)
    for name in (
        "kailash.runtime.async_local",
        "kailash.analysis.conditional_branch_analyzer",
        "kailash.planning.dynamic_execution_planner",
        "kailash.runtime.hierarchical_switch_executor",
    )
)


#: The runtime and the workflow whose branches Kailash is pruning around here.
_inside: ContextVar[tuple[Any, Any] | None] = ContextVar("nexus_core_pruning", default=None)


class PruningOnce(stock.StockLocalRuntime):
    """Keeps Kailash's fallback to unpruned execution from falling back into itself.

    It does so until Python's recursion limit stops it, and runs the workflow unpruned then.
    """

    async def _execute_conditional_approach(
        self, workflow: Any, inputs: dict[str, Any] | None = None, **kwargs: Any
    ) -> dict[str, dict[str, Any]]:
        outer = _inside.get()
        if outer is not None and outer[0] is self and outer[1] is workflow:
            raise RecursionError("maximum recursion depth exceeded")
        token = _inside.set((self, workflow))
        try:
            results: dict[str, dict[str, Any]] = await super()._execute_conditional_approach(workflow, inputs, **kwargs)
            return results
        finally:
            _inside.reset(token)


_methods.stands_in(PruningOnce._execute_conditional_approach)


def is_pruned(runtime: Any, plan: CompiledWorkflow) -> bool:
    """Whether a runtime prunes a workflow's branches.

    Args:
        runtime: The runtime.
        plan: The workflow's plan.
    """
    return (
        runtime.conditional_execution == "skip_branches"
        and plan.switch_count > 0
        and not (plan.cycles or plan.one_pass)
    )


def reasons_not_to_prune(runtime: Any, workflow: Any, plan: CompiledWorkflow) -> tuple[str, ...]:
    """Why Kailash has to prune a workflow's branches; empty if the native engine may.

    Args:
        runtime: A runtime that prunes the workflow.
        workflow: The workflow.
        plan: Its plan.
    """
    reasons = [f"{name} is replaced" for name in _methods.replaced(runtime)]
    if runtime._enable_performance_monitoring:
        reasons.append("performance monitoring of pruned runs is Kailash's")
    if not analysis_is_stock():
        reasons.append("what branches are analysed with is replaced")
    if runtime.debug or any(is_visible(logger, logging.DEBUG) for logger in (runtime.logger, *_loggers)):
        reasons.append("somebody reads every detail that is logged while branches are pruned")
    branches = _branches_of(workflow, plan)
    if isinstance(branches, NotPrunable):
        reasons.append(str(branches))
    return tuple(reasons)


def _branches_of(workflow: Any, plan: CompiledWorkflow) -> BranchPlan | NotPrunable:
    if plan.branches is None:
        programs = [node.program for node in plan.explanations]
        try:
            plan.branches = read_branches(workflow, plan.plan, plan.node_ids, programs)
        except NotPrunable as refused:
            plan.branches = refused
    return plan.branches
