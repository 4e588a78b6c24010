"""What the tests do with every argument and situation that the table lists for ``LocalRuntime``."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

from kailash.access_control import UserContext
from kailash.nodes.base_async import AsyncNode
from kailash.runtime.cancellation import CancellationToken
from kailash.runtime.execution_tracker import ExecutionTracker
from kailash.runtime.secret_provider import EnvironmentSecretProvider
from kailash.runtime.trust.audit import RuntimeAuditGenerator
from kailash.runtime.trust.context import RuntimeTrustContext
from kailash.runtime.trust.verifier import TrustVerifier, TrustVerifierConfig
from kailash.tracking import TaskManager
from kailash.tracking.storage.deferred import DeferredStorageBackend
from kailash.workflow.graph import Workflow

from .cases import Case, calling, cyclic, reader, switch, unsuccessful

__all__ = [
    "CASES",
    "ELSEWHERE",
    "OPTIONS",
    "Checkpoints",
    "History",
    "awaited",
    "cancelled",
    "heard",
    "hooked",
    "manager",
    "tracked",
    "user",
]


def user() -> UserContext:
    """Somebody whom no rule mentions."""
    return UserContext(user_id="u", tenant_id="t", email="u@example.org", roles=["reader"])


class Checkpoints:
    """A store that keeps checkpoints in memory."""

    def __init__(self) -> None:
        self.saved: list[str] = []
        self._blobs: dict[str, bytes] = {}

    async def save(self, key: str, blob: bytes) -> None:
        self.saved.append(key)
        self._blobs[key] = blob

    async def load(self, key: str) -> bytes | None:
        return self._blobs.get(key)


class History:
    """A history store that keeps the nodes that it is told of."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, dict[str, Any]]] = []

    async def record_event(self, event: Any) -> None:
        self.nodes.append((event.node_id, dict(event.outputs)))


class _Awaited(AsyncNode):
    def get_parameters(self) -> dict[str, Any]:
        return {}

    async def async_run(self, **inputs: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"result": "awaited"}


def awaited() -> Workflow:
    """One asynchronous node."""
    workflow = Workflow("awaited", "awaited")
    workflow.add_node("a", _Awaited())
    return workflow


def _completed(runtime: Any, run_id: Any, call: dict[str, Any]) -> Any:
    """What a task manager knows of a run."""
    manager = call["task_manager"]
    tasks = [(task.node_id, task.node_type, task.status, task.result) for task in manager.get_run_tasks(run_id)]
    return manager.get_run(run_id).status, tasks


def _history_row(runtime: Any, run_id: Any, call: dict[str, Any]) -> Any:
    """What the run history has of a run: nothing where its metadata is not JSON."""
    from kailash.tracking.storage.database import SQLiteStorage

    storage = SQLiteStorage()
    try:
        found = storage.load_run(run_id)
        tasks = storage.list_tasks(run_id)
    finally:
        storage.close()
    if found is None:
        return "nothing"
    metadata = {key: value for key, value in found.metadata.items() if key != "enterprise_features"}
    return found.workflow_name, found.status, metadata, sorted((task.node_id, str(task.status)) for task in tasks)


_LIMITS = {"max_memory_mb": 1_000_000, "enforcement_policy": "warn"}

_CONTEXT: contextvars.ContextVar[str] = contextvars.ContextVar("compatibility", default="unset")


def _with_tracker() -> dict[str, Any]:
    tracker = ExecutionTracker()
    tracker.record_completion("a", {"result": 77})
    return {"parameters": {"workflow_context": {"execution_tracker": tracker}}}


def _trusting(mode: str = "permissive") -> TrustVerifier:
    return TrustVerifier(config=TrustVerifierConfig(mode=mode))


def _replaced(runtime: Any) -> None:
    original = runtime._prepare_node_inputs

    def prepared(*args: Any, **kwargs: Any) -> Any:
        inputs = original(*args, **kwargs)
        return {**inputs, "x": "replaced"} if kwargs["node_id"] == "b" else inputs

    runtime._prepare_node_inputs = prepared


def hooked(runtime: Any) -> None:
    runtime.heard = []
    runtime.on_node_complete(lambda event: runtime.heard.append((event.node_id, dict(event.outputs))))


def heard(runtime: Any, run_id: Any, call: dict[str, Any]) -> Any:
    return runtime.heard


def cancelled() -> dict[str, Any]:
    token = CancellationToken()
    token.cancel("enough")
    return {"cancellation_token": token}


def tracked() -> dict[str, Any]:
    tracker = ExecutionTracker()
    tracker.record_completion("a", {"result": 77})
    return {"execution_tracker": tracker}


def manager() -> TaskManager:
    return TaskManager(DeferredStorageBackend())


def _observed(runtime: Any) -> None:
    runtime.set_performance_monitoring(True)


def _report(runtime: Any, run_id: Any, call: dict[str, Any]) -> Any:
    return runtime.get_performance_report()["status"] if runtime._performance_monitor is None else "measured"


def _thread_of(node: Any) -> str:
    return "main" if threading.current_thread() is threading.main_thread() else "other"


OPTIONS: dict[str, Case] = {
    "debug": Case(lambda: {"debug": True}),
    "enable_cycles=True": Case(lambda: {"enable_cycles": True}, workflow=cyclic),
    "enable_cycles=False": Case(lambda: {"enable_cycles": False}, workflow=cyclic),
    "enable_async": Case(lambda: {"enable_async": True}, workflow=awaited),
    "max_concurrency": Case(lambda: {"max_concurrency": 1}, workflow=lambda: calling(_thread_of)),
    "enable_monitoring": Case(lambda: {"enable_monitoring": True}, seen=_history_row),
    "connection_validation": Case(lambda: {"connection_validation": "strict"}),
    'conditional_execution="route_data"': Case(lambda: {"conditional_execution": "route_data"}, workflow=switch),
    'conditional_execution="skip_branches"': Case(lambda: {"conditional_execution": "skip_branches"}, workflow=switch),
    "content_aware_success_detection": Case(lambda: {"content_aware_success_detection": True}, workflow=unsuccessful),
    "user_context": Case(lambda: {"user_context": user(), "enable_monitoring": True}, seen=_history_row),
    "sync_bridge_timeout": Case(lambda: {"sync_bridge_timeout": 30.0}),
    "enable_connection_sharing": Case(lambda: {"enable_connection_sharing": False}),
    "max_concurrent_workflows": Case(lambda: {"max_concurrent_workflows": 0}),
    "connection_pool_size": Case(lambda: {"connection_pool_size": 1}),
    "enable_resource_coordination": Case(lambda: {"enable_resource_coordination": False}),
    "connection_pool_config": Case(lambda: {"connection_pool_config": {"max_pools": 1}}),
    "audit_log_to_stdout": Case(lambda: {"audit_log_to_stdout": True}),
    "enable_security": Case(lambda: {"enable_security": True, "user_context": user()}),
    "enable_audit": Case(lambda: {"enable_audit": True}),
    "audit_generator": Case(lambda: {"audit_generator": RuntimeAuditGenerator()}),
    "resource_limits": Case(lambda: {"resource_limits": dict(_LIMITS)}),
    "enable_resource_limits": Case(lambda: {"enable_resource_limits": True, "resource_limits": dict(_LIMITS)}),
    "enable_enterprise_monitoring": Case(lambda: {"enable_enterprise_monitoring": True}),
    "enable_health_monitoring": Case(lambda: {"enable_health_monitoring": True}),
    "circuit_breaker_config": Case(lambda: {"circuit_breaker_config": {"failure_threshold": 2}}),
    "retry_policy_config": Case(lambda: {"retry_policy_config": {"max_attempts": 2}}),
    "secret_provider": Case(lambda: {"secret_provider": EnvironmentSecretProvider()}),
    "trust_context": Case(lambda: {"trust_context": RuntimeTrustContext(trace_id="trace")}),
    "trust_verifier": Case(lambda: {"trust_verifier": _trusting(), "trust_verification_mode": "permissive"}),
    "trust_verification_mode": Case(lambda: {"trust_verification_mode": "permissive"}),
    "persistent_mode": Case(lambda: {"persistent_mode": True}),
    "checkpoint_store": Case(
        lambda: {"checkpoint_store": Checkpoints(), "checkpoint_after_each_node": True},
        lambda: {"idempotency_key": "key"},
        seen=lambda runtime, run_id, call: len(runtime._checkpoint_store.saved),
    ),
    "checkpoint_after_each_node": Case(
        lambda: {"checkpoint_store": Checkpoints(), "checkpoint_after_each_node": True},
        seen=lambda runtime, run_id, call: runtime._checkpoint_store.saved,
    ),
    "history_store": Case(
        lambda: {"history_store": History()},
        seen=lambda runtime, run_id, call: runtime._history_store.nodes,
    ),
}

_ARGUMENTS: dict[str, Case] = {
    "workflow": Case(),
    "parameters": Case(call=lambda: {"parameters": {"a": {"x": [1, {"y": "<script>"}]}}}, workflow=reader),
    "task_manager": Case(call=lambda: {"task_manager": manager()}, seen=_completed),
    "cancellation_token": Case(call=cancelled),
    "soft_time_limit": Case(call=lambda: {"soft_time_limit": 30.0}),
    "time_limit": Case(call=lambda: {"soft_time_limit": 20.0, "time_limit": 30.0}),
    "search_attributes": Case(
        lambda: {"enable_monitoring": True}, lambda: {"search_attributes": {"customer": "c", "amount": 3}}
    ),
    "idempotency_key": Case(call=lambda: {"idempotency_key": "key"}),
    "force_resume_with_drift": Case(call=lambda: {"idempotency_key": "key", "force_resume_with_drift": True}),
    "execution_tracker": Case(call=tracked, method="execute_async"),
}

_SITUATIONS: dict[str, Case] = {
    "a workflow context that brings an `execution_tracker` (a resume)": Case(call=_with_tracker),
    "node completion hooks (`on_node_complete`)": Case(prepare=hooked, seen=heard),
    "performance monitoring (`set_performance_monitoring`), of a run whose branches are not pruned": Case(
        prepare=_observed, seen=_report
    ),
    "performance monitoring, of a run whose branches are pruned": Case(
        lambda: {"conditional_execution": "skip_branches"}, workflow=switch, prepare=_observed, seen=_report
    ),
    "a workflow with cycles, with a retry policy or circuit breaker": Case(
        lambda: {"retry_policy_config": {"max_attempts": 2}}, workflow=cyclic
    ),
    "a workflow with cycles, with `resource_limits`": Case(lambda: {"resource_limits": dict(_LIMITS)}, workflow=cyclic),
    "a runtime some of whose internal methods a subclass or a test has replaced": Case(prepare=_replaced),
}

CASES = {**OPTIONS, **_ARGUMENTS, **_SITUATIONS}

#: Rows that a run on a runtime cannot show, and where they are shown.
ELSEWHERE = {
    "node": "test_methods.py",
    "node_id": "test_methods.py",
    "inputs": "test_methods.py",
    "OpenTelemetry spans, when a tracer provider is set": "test_spans.py",
    "OpenTelemetry metrics, when a meter provider is set": "test_spans.py",
}
