"""What native rounds of a workflow with cycles ask of Kailash."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.node_host import NodeHost

if TYPE_CHECKING:
    from nexus_core.runtime.cycle_tasks import CycleTasks

__all__ = ["CycleHost", "cycle_logger"]

cycle_logger = logging.getLogger("kailash.workflow.cyclic_runner")
_local_logger = logging.getLogger("kailash.runtime.local")


class CycleHost(NodeHost):
    """The Python side of a run of a workflow with cycles.

    Follows ``CyclicWorkflowExecutor._execute_node``.
    """

    __slots__ = ("tasks",)

    def __init__(self, runtime: Any, workflow: Any, compiled: CompiledWorkflow, tasks: CycleTasks | None) -> None:
        super().__init__(runtime, workflow, compiled, None)
        self.tasks = tasks

    def without_none(self, value: Any) -> Any:
        """``CyclicWorkflowExecutor._filter_none_values``."""
        return self.runtime.cyclic_executor._filter_none_values(value)

    def skipped_in_round(self, index: int) -> None:
        """Before a node is skipped, because no switch routed anything to it."""
        cycle_logger.info(f"Skipping node {self.compiled.node_ids[index]} - all conditional inputs are None")

    def round_keywords(self, context: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        """What a node's own ``execute`` is called with; fails where a name is given twice."""
        return dict(context=context, **inputs)

    def execute_in_round(self, index: int, keywords: dict[str, Any]) -> Any:
        """Runs a node that has no native program, as stock does: on a loop of its own."""
        node = self.compiled.instances[index]
        return self.runtime.execute_node_with_enterprise_features_sync(node, self.compiled.node_ids[index], keywords)

    def failed_in_round(self, index: int, error: Exception) -> None:
        """After a native program has failed; stock logs it where it calls the node."""
        _local_logger.error(f"Standard node execution failed for {self.compiled.node_ids[index]}: {error}")

    def node_started(self, index: int) -> None:
        """Before a node, if anybody watches."""
        if self.tasks is not None:
            self.tasks.node_started(index)

    def node_ended(
        self,
        index: int,
        inputs: Mapping[str, Any] | None,
        output: Any,
        error: BaseException | None,
        seconds: float,
    ) -> None:
        """After a node, if anybody watches."""
        if self.tasks is not None:
            self.tasks.node_ended(index, output, error, seconds)
