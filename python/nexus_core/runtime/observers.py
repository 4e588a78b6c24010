"""What stock records of every node for whoever looks: a task manager, an audit trail, a tracer.

Made only for runs that somebody looks at.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kailash.tracking import TaskStatus
from kailash.tracking.metrics_collector import PerformanceMetrics
from kailash.tracking.models import TaskMetrics

from nexus_core.runtime import stock
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.spans import RunSpans

__all__ = ["RunObserver"]

_safe_serialize = stock.local_module._safe_serialize


def _now() -> datetime:
    return datetime.now(UTC)


class RunObserver:
    """Follows a run as ``LocalRuntime._execute_workflow_async`` does.

    Args:
        runtime: The runtime.
        workflow: The workflow that runs.
        compiled: Its plan.
        task_manager: Who is told of runs and tasks, or ``None``.
        run_id: The task manager's id of the run, or ``None``.
        audited: Whether audit events are kept.
        spans: The run's OpenTelemetry spans, or ``None``.
    """

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        compiled: CompiledWorkflow,
        task_manager: Any,
        run_id: str | None,
        audited: bool,
        spans: RunSpans | None = None,
    ) -> None:
        self._runtime = runtime
        self._workflow = workflow
        self._compiled = compiled
        self._task_manager: Any = task_manager if run_id else None
        self._manager_of_events = task_manager
        self._run_id = run_id
        self._audited = audited
        self._spans = spans
        self._tasks: dict[int, Any] = {}
        # Nodes end on several threads; a task manager expects one caller at a time.
        self._lock = threading.Lock()
        self.events: list[dict[str, Any]] = []
        self._completed = 0
        self._failed: list[int] = []
        self._began = _now()
        self._event(
            "WORKFLOW_STARTED",
            workflow_id=getattr(workflow, "workflow_id", "") or "",
            workflow_name=getattr(workflow, "name", "") or "",
            node_count=len(compiled.node_ids),
        )

    def _event(self, kind: str, **fields: Any) -> None:
        if self._audited:
            self.events.append({"type": kind, **fields, "timestamp": _now().isoformat()})

    def started(self, index: int) -> None:
        """Before a node."""
        node_id = self._compiled.node_ids[index]
        self._runtime.logger.info("Executing node: %s", node_id)
        self._start_task(index)
        if self._spans is not None:
            self._spans.started(index)

    def _start_task(self, index: int) -> None:
        if self._task_manager is None:
            return
        node_id = self._compiled.node_ids[index]
        node = self._compiled.instances[index]
        with self._lock:
            try:
                task = self._task_manager.create_task(
                    run_id=self._run_id,
                    node_id=node_id,
                    node_type=type(node).__name__,
                    started_at=_now(),
                    metadata=_node_metadata(node),
                )
                if task:
                    self._tasks[index] = task
                    self._task_manager.update_task_status(task.task_id, TaskStatus.RUNNING)
            except Exception as refused:
                self._runtime.logger.warning(f"Failed to create task for node '{node_id}': {refused}")

    def replayed(self) -> None:
        """A node was completed by an earlier run: it counts, and leaves no event of its own."""
        with self._lock:
            self._completed += 1

    def reported_failure(self, index: int, error: BaseException) -> None:
        """A node's output says that it failed; stock notes that before it raises."""
        with self._lock:
            self._update(index, TaskStatus.FAILED, error=str(error))

    def ended(
        self,
        index: int,
        inputs: Mapping[str, Any] | None,
        output: Any,
        error: BaseException | None,
        seconds: float,
        cached: bool = False,
    ) -> None:
        """After a node: it returned, was skipped (no output, no error), or failed; or its output was kept."""
        with self._lock:
            if error is not None:
                self._node_failed(index, inputs, error)
            elif output is None:
                self._update(
                    index,
                    TaskStatus.COMPLETED,
                    result=None,
                    metadata={"skipped": True, "reason": "conditional_routing"},
                )
            else:
                self._node_completed(index, inputs, output, seconds, {"cached": True} if cached else {})

    def _update(self, index: int, status: TaskStatus, **fields: Any) -> None:
        task = self._tasks.get(index)
        if task is not None:
            self._task_manager.update_task_status(task.task_id, status, ended_at=_now(), **fields)

    def _node_completed(
        self, index: int, inputs: Mapping[str, Any] | None, output: Any, seconds: float, marks: dict[str, bool]
    ) -> None:
        node_id = self._compiled.node_ids[index]
        node = self._compiled.instances[index]
        self._completed += 1
        self._update(
            index,
            TaskStatus.COMPLETED,
            result=dict(output) if output else None,
            metadata={"execution_time": seconds, **marks},
        )
        task = self._tasks.get(index)
        if task is not None:
            metrics = PerformanceMetrics(duration=seconds).to_task_metrics()
            self._task_manager.update_task_metrics(task.task_id, TaskMetrics(**metrics))
        self._runtime.logger.info(f"Node {node_id} completed successfully in {seconds:.3f}s")
        if self._audited:
            self._event(
                "NODE_EXECUTED",
                node_id=node_id,
                node_type=type(node).__name__,
                inputs=_safe_serialize(dict(inputs or {})),
                outputs=_safe_serialize(output),
                duration_ms=seconds * 1000,
                **marks,
            )
        if self._spans is not None:
            self._spans.completed(index, seconds, cached=bool(marks))

    def _node_failed(self, index: int, inputs: Mapping[str, Any] | None, error: BaseException) -> None:
        if self._spans is not None and isinstance(error, Exception):
            self._spans.failed(index, error)
        node_id = self._compiled.node_ids[index]
        self._failed.append(index)
        if self._audited:
            self._event(
                "NODE_FAILED",
                node_id=node_id,
                node_type=type(self._compiled.instances[index]).__name__,
                inputs=_safe_serialize(dict(inputs or {})),
                error=str(error),
            )
        self._update(index, TaskStatus.FAILED, error=str(error))

    def finished(self) -> None:
        """After the last node of a run that was not stopped."""
        total = (_now() - self._began).total_seconds() * 1000
        workflow_id = getattr(self._workflow, "workflow_id", "") or ""
        # In topological order, whatever order they failed in.
        failed = [self._compiled.node_ids[index] for index in sorted(self._failed)]
        if failed:
            self._event(
                "WORKFLOW_FAILED",
                workflow_id=workflow_id,
                error=f"Failed nodes: {failed}",
                nodes_completed=self._completed,
                failed_node_id=failed[-1],
                total_duration_ms=total,
            )
        else:
            self._event(
                "WORKFLOW_COMPLETED",
                workflow_id=workflow_id,
                total_duration_ms=total,
                nodes_executed=self._completed,
                nodes_skipped=len(self._compiled.node_ids) - self._completed,
            )
        self._save_events()
        if self._spans is not None:
            self._spans.finished(failed)

    def _save_events(self) -> None:
        storage = getattr(self._manager_of_events, "storage", None)
        save = getattr(storage, "save_audit_events", None)
        if save is None or not self._audited:
            return
        try:
            save(
                [
                    {
                        "event_id": str(uuid4()),
                        "event_type": event["type"],
                        "timestamp": event["timestamp"],
                        "trace_id": self._run_id or "",
                        "result": "failure" if event["type"].endswith("FAILED") else "success",
                        "workflow_id": event.get("workflow_id", ""),
                        "node_id": event.get("node_id"),
                        "context": event,
                    }
                    for event in self.events
                ]
            )
        except Exception as refused:
            self._runtime.logger.warning("Failed to persist execution audit trail: %s", refused)


def _node_metadata(node: Any) -> dict[str, Any]:
    """The ``metadata`` of a node's configuration, made JSON-serialisable."""
    config = getattr(node, "config", None)
    metadata = config.get("metadata", {}) if isinstance(config, dict) else {}
    if hasattr(metadata, "model_dump"):
        dumped: dict[str, Any] = metadata.model_dump()
        if "created_at" in dumped:
            dumped["created_at"] = str(dumped["created_at"])
        if isinstance(dumped.get("tags"), set):
            dumped["tags"] = list(dumped["tags"])
        return dumped
    return metadata if isinstance(metadata, dict) else {}
