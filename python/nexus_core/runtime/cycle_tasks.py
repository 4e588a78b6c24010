"""What stock records of a run with cycles: a task for each group, iteration and node execution."""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

from kailash.tracking import TaskStatus
from kailash.tracking.metrics_collector import PerformanceMetrics
from kailash.tracking.models import TaskMetrics

from nexus_core._core import WorkflowRun
from nexus_core.runtime import history
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.cycles import CycleGroup

__all__ = ["CycleTasks", "HistoryTasks", "ManagerTasks"]

_logger = logging.getLogger("kailash.workflow.cyclic_runner")


class CycleTasks(Protocol):
    """Told of what happens in a run with cycles, in order."""

    def group_started(self, group: CycleGroup, max_iterations: Any) -> None: ...
    def iteration_started(self, group: CycleGroup, iteration: int) -> None: ...
    def node_started(self, index: int) -> None: ...
    def node_ended(self, index: int, output: Any, error: BaseException | None, seconds: float) -> None: ...
    def round_ended(self, run: WorkflowRun) -> None: ...
    def iteration_ended(self, results: dict[str, Any], converged: Any, terminated: bool) -> None: ...
    def group_ended(self, results: dict[str, Any], iterations: int, converged: Any, state: Any) -> None: ...


class _Place:
    """Where in the run a node runs now, and what its task is called there."""

    __slots__ = ("group", "iteration")

    def __init__(self) -> None:
        self.group: CycleGroup | None = None
        self.iteration = 0

    def name(self, node_id: str) -> str:
        if self.group is None:
            return node_id
        return f"{node_id}_cycle_{self.group.cycle_id}_iteration_{self.iteration}"

    def metadata(self, node_type: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {"node_type": node_type}
        if self.group is not None:
            metadata.update(cycle_id=self.group.cycle_id, iteration=self.iteration, in_cycle=True)
        return metadata


def _group_metadata(group: CycleGroup, max_iterations: Any) -> dict[str, Any]:
    return {
        "cycle_id": group.cycle_id,
        "max_iterations": max_iterations,
        "nodes_in_cycle": list(group.members),
    }


class ManagerTasks:
    """Tells a task manager, with the calls that stock makes.

    Args:
        manager: The task manager.
        run_id: Its id of the run.
        compiled: The workflow's plan.
    """

    def __init__(self, manager: Any, run_id: str, compiled: CompiledWorkflow) -> None:
        self._manager = manager
        self._run_id = run_id
        self._compiled = compiled
        self._place = _Place()
        self._group: str | None = None
        self._iteration: str | None = None
        self._nodes: dict[int, Any] = {}
        # Nodes end on several threads; a task manager expects one caller at a time.
        self._lock = threading.Lock()

    def _create(self, what: str, node_id: str, node_type: str, metadata: dict[str, Any]) -> Any:
        try:
            task = self._manager.create_task(
                run_id=self._run_id,
                node_id=node_id,
                node_type=node_type,
                started_at=datetime.now(UTC),
                metadata=metadata,
            )
            if task:
                self._manager.update_task_status(task.task_id, TaskStatus.RUNNING)
            return task
        except Exception as refused:
            _logger.warning(f"Failed to create {what}: {refused}")
            return None

    def _complete(self, what: str, task_id: str, result: dict[str, Any], metadata: dict[str, Any]) -> None:
        try:
            self._manager.update_task_status(
                task_id, TaskStatus.COMPLETED, ended_at=datetime.now(UTC), result=result, metadata=metadata
            )
        except Exception as refused:
            _logger.warning(f"Failed to update {what}: {refused}")

    def group_started(self, group: CycleGroup, max_iterations: Any) -> None:
        """A cycle begins."""
        metadata = _group_metadata(group, max_iterations)
        task = self._create("cycle group task", f"cycle_group_{group.cycle_id}", "CycleGroup", metadata)
        self._group = task.task_id if task else None

    def iteration_started(self, group: CycleGroup, iteration: int) -> None:
        """An iteration of it begins, counted from one."""
        self._place.group, self._place.iteration = group, iteration
        metadata = {"cycle_id": group.cycle_id, "iteration": iteration, "parent_task": self._group}
        name = f"cycle_{group.cycle_id}_iteration_{iteration}"
        task = self._create("iteration task", name, "CycleIteration", metadata)
        self._iteration = task.task_id if task else None

    def node_started(self, index: int) -> None:
        """Before a node."""
        node_id = self._compiled.node_ids[index]
        node_type = type(self._compiled.instances[index]).__name__
        with self._lock:
            metadata = self._place.metadata(node_type)
            task = self._create(f"task for node '{node_id}'", self._place.name(node_id), node_type, metadata)
            if task:
                self._nodes[index] = task

    def node_ended(self, index: int, output: Any, error: BaseException | None, seconds: float) -> None:
        """After a node: it returned, was skipped (no output, no error), or failed."""
        with self._lock:
            task = self._nodes.pop(index, None)
            if task is None:
                return
            now = datetime.now(UTC)
            if error is not None:
                try:
                    self._manager.update_task_status(task.task_id, TaskStatus.FAILED, error=str(error), ended_at=now)
                except Exception as refused:
                    _logger.warning(f"Failed to update task status on error: {refused}")
                return
            if output is None:
                self._manager.update_task_status(
                    task.task_id,
                    TaskStatus.COMPLETED,
                    result=None,
                    ended_at=now,
                    metadata={"skipped": True, "reason": "conditional_routing"},
                )
                return
            try:
                metrics = TaskMetrics(**PerformanceMetrics(duration=seconds).to_task_metrics())
                self._manager.update_task_status(
                    task.task_id,
                    TaskStatus.COMPLETED,
                    result=output,
                    ended_at=now,
                    metadata={"execution_time": seconds},
                )
                self._manager.update_task_metrics(task.task_id, metrics)
            except Exception as refused:
                _logger.warning(f"Failed to update task for node '{self._compiled.node_ids[index]}': {refused}")

    def round_ended(self, run: WorkflowRun) -> None:
        """Nothing to do: nodes were told of one by one."""

    def iteration_ended(self, results: dict[str, Any], converged: Any, terminated: bool) -> None:
        """An iteration has ended."""
        self._place.group = None
        if self._iteration is not None:
            metadata = {"converged": converged, "terminated": terminated}
            self._complete("iteration task", self._iteration, results, metadata)

    def group_ended(self, results: dict[str, Any], iterations: int, converged: Any, state: Any) -> None:
        """A cycle has ended."""
        if self._group is not None:
            metadata = {"total_iterations": iterations, "converged": converged, "summary": state.get_summary()}
            self._complete("cycle group task", self._group, results, metadata)


class HistoryTasks:
    """Keeps rows for the run history."""

    def __init__(self) -> None:
        self.rows: list[history.TaskTuple] = []
        #: Ids of rows that others refer to, by the row's place.
        self.ids: dict[int, str] = {}
        self.size = 0
        self._place = _Place()
        self._open: list[tuple[int, float, dict[str, Any]]] = []

    def _begin(self, node_id: str, node_type: str, metadata: dict[str, Any]) -> None:
        now = time.time()
        self._open.append((len(self.rows), now, metadata))
        # As stock leaves it if the run fails meanwhile.
        self._add(node_id, node_type, "running", now, None, None, metadata)

    def _add(
        self,
        node_id: str,
        node_type: str,
        status: str,
        started: float,
        ended: float | None,
        result: str | None,
        metadata: dict[str, Any],
    ) -> None:
        text = json.dumps(metadata)
        self.rows.append((node_id, node_type, status, started, ended, result, None, text, None, None))
        self.size += len(text) + len(result or "")

    def _end(self, results: dict[str, Any], metadata: dict[str, Any]) -> None:
        place, started, begun = self._open.pop()
        node_id, node_type = self.rows[place][:2]
        text = json.dumps(begun | metadata)
        result = history.result_json(results)
        self.rows[place] = (
            node_id, node_type, "completed", started, time.time(), result, None, text, None, None,
        )  # fmt: skip
        self.size += len(text) + len(result or "")

    def group_started(self, group: CycleGroup, max_iterations: Any) -> None:
        """A cycle begins."""
        self.ids[len(self.rows)] = str(uuid4())
        self._begin(f"cycle_group_{group.cycle_id}", "CycleGroup", _group_metadata(group, max_iterations))

    def iteration_started(self, group: CycleGroup, iteration: int) -> None:
        """An iteration of it begins, counted from one."""
        self._place.group, self._place.iteration = group, iteration
        parent = self.ids[self._open[-1][0]]
        metadata = {"cycle_id": group.cycle_id, "iteration": iteration, "parent_task": parent}
        self._begin(f"cycle_{group.cycle_id}_iteration_{iteration}", "CycleIteration", metadata)

    def node_started(self, index: int) -> None:
        """Nothing to do: the native run keeps rows of its nodes."""

    def node_ended(self, index: int, output: Any, error: BaseException | None, seconds: float) -> None:
        """Nothing to do: the native run keeps rows of its nodes."""

    def round_ended(self, run: WorkflowRun) -> None:
        """Takes over the rows of a round's nodes, whether it succeeded or not."""
        found = run.history_rows(history.result_json, None, None, {})
        if found is None:
            return
        _, size, rows = found
        self.size += size
        for node_id, node_type, status, started, ended, result, error, metadata, seconds, _ in rows:
            own = self._place.metadata(node_type)
            if seconds is not None:
                own["execution_time"] = seconds
            elif status == "completed":
                own.update(skipped=True, reason="conditional_routing")
            text = json.dumps(own)
            del metadata
            self.rows.append(
                (
                    self._place.name(node_id), node_type, status, started, ended, result, error, text, seconds,
                    None if seconds is None else (None, None, None),
                )
            )  # fmt: skip

    def iteration_ended(self, results: dict[str, Any], converged: Any, terminated: bool) -> None:
        """An iteration has ended."""
        self._place.group = None
        self._end(results, {"converged": converged, "terminated": terminated})

    def group_ended(self, results: dict[str, Any], iterations: int, converged: Any, state: Any) -> None:
        """A cycle has ended."""
        summary = state.get_summary()
        self._end(results, {"total_iterations": iterations, "converged": converged, "summary": summary})
