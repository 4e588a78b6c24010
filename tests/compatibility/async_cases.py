"""What the tests do with every argument and situation that the table lists for ``AsyncLocalRuntime``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kailash.resources import ResourceRegistry
from kailash.runtime.async_local import ExecutionContext
from kailash.runtime.trust.verifier import TrustVerifier, TrustVerifierConfig

from . import local_cases
from .cases import Case, cyclic, reader, switch
from .local_cases import Checkpoints, History, awaited

__all__ = ["CASES", "ELSEWHERE"]


class _Inputs(Mapping[str, Any]):
    """Inputs that are not a dict."""

    def __getitem__(self, key: str) -> Any:
        return {"x": 5}[key]

    def __iter__(self) -> Any:
        return iter(["x"])

    def __len__(self) -> int:
        return 1


def _filled(runtime: Any, run_id: Any, call: dict[str, Any]) -> Any:
    context = call["context"]
    return dict(context.variables), sorted(context.metrics.node_durations), context.metrics.error_count


def _replaced(runtime: Any) -> None:
    original = runtime._prepare_sync_node_inputs

    def prepared(*args: Any, **kwargs: Any) -> Any:
        return {**original(*args, **kwargs), "x": "replaced"}

    runtime._prepare_sync_node_inputs = prepared


#: As on ``LocalRuntime``, also where they are without effect; run by ``execute_workflow_async``.
_SHARED = {
    name: Case(case.options, workflow=case.workflow)
    for name, case in local_cases.OPTIONS.items()
    if not name.startswith("enable_cycles")
}

_OWN: dict[str, Case] = {
    "resource_registry": Case(lambda: {"resource_registry": ResourceRegistry()}, workflow=awaited),
    "max_concurrent_nodes": Case(lambda: {"max_concurrent_nodes": 1}),
    "enable_analysis": Case(lambda: {"enable_analysis": False}, workflow=awaited),
    "enable_profiling": Case(lambda: {"enable_profiling": False}),
    "thread_pool_size": Case(lambda: {"thread_pool_size": 1}),
    "execution_timeout": Case(lambda: {"execution_timeout": 30}),
    "enable_cycles": Case(lambda: {"enable_cycles": True}, workflow=cyclic),
    'conditional_execution="route_data"': Case(workflow=switch),
    'conditional_execution="skip_branches"': Case(lambda: {"conditional_execution": "skip_branches"}, workflow=switch),
    "enable_monitoring": Case(lambda: {"enable_monitoring": True}),
    "user_context": Case(lambda: {"user_context": local_cases.user()}),
    "trust_verifier": Case(
        lambda: {
            "trust_verifier": TrustVerifier(config=TrustVerifierConfig(mode="permissive")),
            "trust_verification_mode": "permissive",
        }
    ),
    "checkpoint_store": Case(
        lambda: {"checkpoint_store": Checkpoints(), "checkpoint_after_each_node": True},
        lambda: {"idempotency_key": "key"},
        seen=lambda runtime, run_id, call: len(runtime._checkpoint_store.saved),
    ),
    "history_store": Case(
        lambda: {"history_store": History()},
        seen=lambda runtime, run_id, call: sorted(runtime._history_store.nodes),
    ),
}

_ARGUMENTS: dict[str, Case] = {
    "workflow": Case(),
    "inputs": Case(call=lambda: {"inputs": {"x": 5, "a": {"x": 6}}}, workflow=reader),
    "parameters": Case(call=lambda: {"parameters": {"x": 5}}, workflow=reader, method="execute_async"),
    "context": Case(call=lambda: {"context": ExecutionContext(), "inputs": {"x": 5}}, workflow=reader, seen=_filled),
    "soft_time_limit": Case(call=lambda: {"soft_time_limit": 30.0}),
    "time_limit": Case(call=lambda: {"soft_time_limit": 20.0, "time_limit": 30.0}),
    "idempotency_key": Case(call=lambda: {"idempotency_key": "key"}),
    "force_resume_with_drift": Case(call=lambda: {"idempotency_key": "key", "force_resume_with_drift": True}),
    "task_manager": Case(
        call=lambda: {"task_manager": local_cases.manager()},
        method="execute_async",
        seen=lambda runtime, run_id, call: len(call["task_manager"].list_runs()),
    ),
    "cancellation_token": Case(call=local_cases.cancelled, method="execute_async"),
    "execution_tracker": Case(call=local_cases.tracked, method="execute_async"),
    "search_attributes": Case(call=lambda: {"search_attributes": {"customer": "c"}}, method="execute"),
}

_SITUATIONS: dict[str, Case] = {
    "inputs that are not a dict": Case(call=lambda: {"inputs": _Inputs()}, workflow=reader),
    "node completion hooks (`on_node_complete`)": Case(prepare=local_cases.hooked, seen=local_cases.heard),
    "a runtime some of whose internal methods a subclass or a test has replaced": Case(prepare=_replaced),
}

CASES = {**_SHARED, **_OWN, **_ARGUMENTS, **_SITUATIONS}

#: Rows that a run beside one of Kailash's cannot show, and where they are shown.
ELSEWHERE = {
    "strict": "test_refusals.py",
    "run_short_on_loop": "test_concurrency.py",
    "OpenTelemetry spans, when a tracer provider is set": "test_spans.py",
    "OpenTelemetry metrics, when a meter provider is set": "test_spans.py",
}
