"""What a run of ``LocalRuntime`` leaves in the books: a task manager's, or the run history."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from kailash.tracking import TaskManager
from kailash.tracking.storage.deferred import DeferredStorageBackend

from nexus_core._core import WorkflowRun
from nexus_core.runtime import history
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.cycle_tasks import HistoryTasks
from nexus_core.runtime.log_visibility import is_visible

__all__ = ["RecordedRun"]

_manager_logger = logging.getLogger("kailash.tracking.manager")


class RecordedRun:
    """The part of a run that is recorded; follows ``LocalRuntime._execute_async``.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
        task_manager: Told of the run, or ``None``.
        search_attributes: As given to ``execute``.
    """

    __slots__ = (
        "_cycle_rows",
        "_deferred",
        "_history_id",
        "_manager_id",
        "_run",
        "_search_attributes",
        "plan",
        "run_id",
        "runtime",
        "task_manager",
        "workflow",
    )

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        task_manager: Any,
        search_attributes: dict[str, Any] | None,
    ) -> None:
        self.runtime = runtime
        self.workflow = workflow
        self.plan = plan
        self.task_manager = task_manager
        self.run_id: str | None = None
        self._search_attributes = search_attributes
        self._run: WorkflowRun | None = None
        self._history_id: str | None = None
        self._manager_id: str | None = None
        self._deferred: DeferredStorageBackend | None = None
        self._cycle_rows: HistoryTasks | None = None

    def _tells_of_nodes(self) -> bool:
        """Whether a task manager would be told of each node, here and now."""
        return True

    def _begin_tracking(self, processed: dict[str, Any] | None) -> None:
        runtime, workflow = self.runtime, self.workflow
        reads_book = runtime.enable_monitoring and is_visible(_manager_logger, logging.INFO)
        if self.task_manager is None and reads_book and self._tells_of_nodes():
            # Somebody reads what stock's own book-keeping logs.
            self._deferred = DeferredStorageBackend()
            self.task_manager = TaskManager(storage_backend=self._deferred)
        if self.task_manager is None:
            if runtime.enable_monitoring:
                if workflow.name:
                    self.run_id = self._history_id = str(uuid4())
                    self._log_history(reads_book)
                else:
                    runtime.logger.warning("Failed to create task run: Workflow name is required")
            return
        try:
            self.run_id = self._manager_id = self.task_manager.create_run(
                workflow_name=workflow.name,
                metadata={
                    "parameters": processed,
                    "debug": runtime.debug,
                    "runtime": "unified_enterprise",
                    "enterprise_features": runtime._execution_context,
                    "user_context": runtime._serialize_user_context(),
                },
            )
            if self._search_attributes and self.run_id:
                try:
                    self.task_manager.set_search_attributes(self.run_id, self._search_attributes)
                except Exception as refused:
                    runtime.logger.warning(f"Failed to set search attributes: {refused}")
        except Exception as refused:
            runtime.logger.warning(f"Failed to create task run: {refused}")

    def _log_history(self, reads_book: bool) -> None:
        """Logs what stock's book-keeping says of a run that has begun."""
        if reads_book:
            _manager_logger.info("Created workflow run: %s", self.run_id)
        if self._search_attributes:
            # Kailash's buffered history has no place for them.
            _manager_logger.warning("Storage backend does not support search attributes")
            if reads_book:
                count = len(self._search_attributes)
                _manager_logger.info("Set %d search attributes on run %s", count, self.run_id)

    def _end_tracking(
        self,
        status: str,
        error: str | None,
        processed: dict[str, Any] | None,
        began: datetime,
    ) -> None:
        if self._manager_id is not None:
            try:
                if error is None:
                    self.task_manager.update_run_status(self._manager_id, status)
                else:
                    self.task_manager.update_run_status(self._manager_id, status, error=error)
            except Exception as refused:
                if error is None:
                    self.runtime.logger.warning(f"Failed to update run status: {refused}")
        if self._history_id is not None:
            self._submit_history(status, error, processed, began)
        elif self._deferred is not None:
            self.runtime._flush_deferred_storage_sqlite(self._deferred, log_warning=status == "completed")

    def _submit_history(
        self,
        status: str,
        error: str | None,
        processed: dict[str, Any] | None,
        began: datetime,
    ) -> None:
        runtime = self.runtime
        try:
            metadata = history.run_metadata_json(
                processed,
                runtime.debug,
                runtime._execution_context,
                runtime._serialize_user_context(),
            )
            size, tasks, ids = self._node_rows()
            cancelled = status == "cancelled"
            history.history_writer().submit(
                history.RunRecord(
                    run_id=self._history_id or "",
                    workflow_name=self.workflow.name,
                    # Stock cannot store a cancelled run; it stays as it was.
                    status="running" if cancelled else status,
                    started_at=began.timestamp(),
                    ended_at=None if cancelled else datetime.now(UTC).timestamp(),
                    metadata_json=metadata,
                    error=None if cancelled else error,
                    tasks=tasks,
                    size=size + len(metadata) + 200 * (len(tasks) + 1),
                    ids=ids,
                )
            )
        except Exception as refused:
            if status == "completed":
                runtime.logger.warning(history.PERSIST_WARNING, refused)

    def _node_rows(self) -> tuple[int, list[Any], dict[int, str]]:
        """Rows of the nodes, with the length of their texts before, and ids of some of them behind."""
        if self._cycle_rows is not None:
            return self._cycle_rows.size, self._cycle_rows.rows, self._cycle_rows.ids
        rows = None
        if self._run is not None:
            rows = self._run.history_rows(
                history.result_json, history.skipped_metadata_json(None), self._taken_metadata, self._own_metadata()
            )
        return (0, [], {}) if rows is None else (rows[1], rows[2], {})

    def _taken_metadata(self, node_id: str, seconds: float) -> str:
        """Metadata of a node whose output was kept in the cache."""
        config = self.workflow._node_instances[node_id].config
        return history.taken_metadata_json(history.node_metadata_prefix(config), seconds)

    def _own_metadata(self) -> dict[str, Callable[[float | None], str | None]]:
        """Metadata of nodes whose configuration holds some, as functions of the duration."""
        own: dict[str, Callable[[float | None], str | None]] = {}
        for node_id, node in zip(self.plan.node_ids, self.plan.instances, strict=True):
            if "metadata" in node.config:
                prefix = history.node_metadata_prefix(node.config)
                if prefix is not None:
                    own[node_id] = partial(history.task_metadata_json, prefix)
        return own
