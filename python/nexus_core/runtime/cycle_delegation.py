"""Which workflows with cycles ``LocalRuntime`` leaves to Kailash's own runtime, and why."""

from __future__ import annotations

import logging
from typing import Any

from nexus_core.runtime import stock
from nexus_core.runtime.cycle_host import cycle_logger
from nexus_core.runtime.cycles import executor_is_stock
from nexus_core.runtime.delegation import MethodGuard
from nexus_core.runtime.log_visibility import is_visible

__all__ = ["reason_not_to_cycle"]

_cycle_methods = MethodGuard(
    stock.StockLocalRuntime,
    (
        "_execute_cyclic_workflow",
        "execute_node_with_enterprise_features",
        "execute_node_with_enterprise_features_sync",
    ),
)


def reason_not_to_cycle(runtime: Any) -> str | None:
    """Why Kailash has to run a workflow with cycles on this runtime; ``None`` if the native engine may.

    Args:
        runtime: A ``LocalRuntime``.
    """
    if not runtime.enable_cycles:
        return "enable_cycles=False leaves a workflow with cycles to Kailash"
    if not executor_is_stock(runtime.cyclic_executor):
        return "its executor of cycles is not Kailash's own"
    if runtime._retry_policy_engine is not None or runtime._circuit_breaker is not None:
        return "retry policies and circuit breakers of nodes in cycles are Kailash's"
    if runtime._resource_enforcer is not None:
        return "resource limits of nodes in cycles are enforced by Kailash"
    replaced = _cycle_methods.replaced(runtime)
    if replaced:
        return f"{replaced[0]} is replaced"
    if runtime.debug or is_visible(cycle_logger, logging.DEBUG):
        return "what Kailash's executor of cycles logs in detail is read"
    return None
