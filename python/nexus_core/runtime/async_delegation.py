"""Which runs of ``AsyncLocalRuntime`` are left to Kailash's own runtime, and why."""

from __future__ import annotations

from typing import Any

from kailash.runtime.trust.context import TrustVerificationMode, get_runtime_trust_context

from nexus_core.runtime import stock
from nexus_core.runtime.delegation import MethodGuard
from nexus_core.runtime.known_sources import ASYNC_RUNTIME, reasons_not_known

__all__ = ["LOST", "reasons_to_delegate", "watch_of_methods"]

_methods = MethodGuard(
    stock.StockAsyncLocalRuntime,
    (
        "_execute_workflow_internal",
        "_execute_fully_async_workflow",
        "_execute_mixed_workflow",
        "_execute_sync_workflow",
        "_execute_sync_workflow_internal",
        "_execute_node_async",
        "_execute_sync_node_async",
        "_execute_sync_node_in_thread",
        "_prepare_sync_node_inputs",
        "_prepare_async_node_inputs",
        "_should_skip_conditional_node",
        "_verify_workflow_trust",
        "_verify_node_trust",
        "_get_effective_trust_context",
        "_w1_emit_node_completion",
        "_w1_resume_short_circuit",
    ),
)


watch_of_methods = _methods.watch_of

#: Why every run is left to a Kailash that the engine does not recognise.
_NOT_KNOWN = reasons_not_known(ASYNC_RUNTIME)

#: What a user does not get in a delegated run.
LOST = (
    "delegated: no node has a native program",
    "delegated: synchronous nodes run one after the other, or level by level beside asynchronous ones",
    "delegated: time limits are looked at when the workflow has ended",
)


def reasons_to_delegate(runtime: Any, workflow: Any, inputs: Any) -> tuple[str, ...]:
    """Why Kailash has to run this; empty if the native engine may.

    Args:
        runtime: The runtime.
        workflow: What is to run.
        inputs: The run's inputs.

    Returns:
        Reasons, one sentence each.
    """
    trusted = (
        runtime._trust_verification_mode is TrustVerificationMode.DISABLED
        and runtime._trust_context is None
        and get_runtime_trust_context() is None
    )
    features = (
        (type(workflow) is not stock.Workflow, "it is not a built Workflow"),
        (type(inputs) is not dict, "its inputs are not a dict"),
        (not trusted, "trust verification is Kailash's"),
    )
    found = (reason for applies, reason in features if applies)
    return (*_NOT_KNOWN, *found, *(f"{name} is replaced" for name in _methods.replaced(runtime)))
