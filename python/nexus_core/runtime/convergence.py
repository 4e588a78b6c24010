"""When a cycle has converged: Kailash's conditions, with their expressions compiled once."""

from __future__ import annotations

import functools
import logging
from types import CodeType
from typing import Any

from kailash.workflow.convergence import ExpressionCondition, create_convergence_condition

from nexus_core.runtime.log_visibility import is_visible

__all__ = ["has_converged", "make_condition"]

_logger = logging.getLogger("kailash.workflow.convergence")
_evaluate = ExpressionCondition.evaluate
_FUNCTIONS = {"abs": abs, "min": min, "max": max, "sum": sum, "len": len, "all": all, "any": any}
_SCALARS = (int, float, str, bool)


def make_condition(spec: Any) -> Any:
    """Kailash's condition for what an edge says under ``convergence_check``.

    Args:
        spec: An expression, a number of iterations, a callable, or a dict of these; nothing for no condition.

    Raises:
        ValueError: If it is none of these.
    """
    return create_convergence_condition(spec) if spec else None


def has_converged(condition: Any, results: dict[str, Any], state: Any) -> Any:
    """What ``condition.evaluate`` would say.

    Args:
        condition: Kailash's condition.
        results: Outputs of the iteration by node id.
        state: The cycle's ``CycleState``.
    """
    ordinary = type(condition) is ExpressionCondition and ExpressionCondition.evaluate is _evaluate
    if not ordinary or "evaluate" in vars(condition) or is_visible(_logger, logging.DEBUG):
        return condition.evaluate(results, state)
    try:
        return bool(eval(_compiled(condition.expression), {"__builtins__": {}}, _names(results, state)))
    except Exception as broken:
        _logger.warning(f"Expression evaluation failed: {broken}. Expression: {condition.expression}")
        return True


@functools.lru_cache(maxsize=1024)
def _compiled(expression: str) -> CodeType:
    # As ``eval`` does with a string.
    return compile(expression.lstrip(" \t"), "<string>", "eval", dont_inherit=True)


def _names(results: dict[str, Any], state: Any) -> dict[str, Any]:
    """What an expression may name: follows ``ExpressionCondition.evaluate``."""
    names = {
        "results": results,
        "iteration": state.iteration,
        "history": state.history,
        "elapsed_time": state.elapsed_time,
        **_FUNCTIONS,
    }
    for node_id, output in results.items():
        if not (isinstance(node_id, str) and node_id.isidentifier()):
            continue
        names[node_id] = output
        if not isinstance(output, dict):
            continue
        inner = output.get("result")
        values = inner if isinstance(inner, dict) else output
        for key, value in values.items():
            if isinstance(value, _SCALARS) and isinstance(key, str) and key.isidentifier():
                names[key] = value
    return names
