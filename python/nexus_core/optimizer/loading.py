"""When a workflow is read into a plan: at its first run, or ahead of it."""

from __future__ import annotations

from typing import Any

from nexus_core.optimizer.changes import Change, Refused, Target
from nexus_core.runtime.pruning import is_pruned
from nexus_core.runtime.workflow_rules import add_rule, rule_of

__all__ = ["checked_order", "is_lazy", "order_is_elsewhere", "read", "read_ahead"]


def _plan(target: Target) -> Any:
    """The plan of a workflow, or why Kailash runs it."""
    found = target.runtime._async_plan_for(target.workflow, {}, None)
    return f"Kailash runs it: {found[0]}" if isinstance(found, tuple) else found


def order_is_elsewhere(target: Target) -> str | None:
    """Why the engine does not say which of a workflow's nodes start when; ``None`` if it does.

    Args:
        target: The workflow.
    """
    plan = _plan(target)
    if isinstance(plan, str):
        return plan
    if is_pruned(target.runtime, plan):
        return "conditional_execution='skip_branches' runs it in phases of its own"
    return None


def checked_order(target: Target) -> None:
    """Makes sure that the engine says which of a workflow's nodes start when.

    Args:
        target: The workflow.

    Raises:
        Refused: If it does not.
    """
    reason = order_is_elsewhere(target)
    if reason is not None:
        raise Refused(f"the order of its nodes is not the engine's: {reason}")


def read(target: Target) -> str | None:
    """Makes the plan of a workflow, and what its cached results are found by.

    Args:
        target: The workflow.

    Returns:
        Why it has none; ``None`` if it has.
    """
    plan = _plan(target)
    if isinstance(plan, str):
        return plan
    runs = target.runtime._cached_runs
    if runs is not None:
        runs.read(target.runtime, target.workflow)
    return None


def is_lazy(target: Target) -> bool:
    """Whether a workflow is read at its first run only.

    Args:
        target: The workflow.
    """
    return not rule_of(target.runtime, target.workflow).is_ahead


def read_ahead(target: Target) -> Change:
    """Reads a workflow now.

    Args:
        target: The workflow.

    Raises:
        Refused: If there is nothing to read, because Kailash will run it.
    """
    refused = read(target)
    if refused is not None:
        raise Refused(f"it has no plan, since {refused}")
    return Change(
        "its plan was made ahead of its first run",
        lambda: add_rule(target.runtime, target.workflow, is_ahead=True),
    )
