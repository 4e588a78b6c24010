"""All failures of a workflow, where stock reports whichever comes first in time."""

from __future__ import annotations

from typing import Any

from kailash.sdk_exceptions import WorkflowExecutionError

from differential.snapshot import Picture

from .description import AsyncDescription
from .observe import error_picture, observe
from .subject import StockAsyncRuntime

__all__ = ["possible_failures"]


def _collecting(failures: dict[str, Picture]) -> type[Any]:
    class Collecting(StockAsyncRuntime):
        """Stock, except that a node's failure is noted and only what depends on it is left out."""

        async def _execute_node_async(self, workflow: Any, node_id: str, tracker: Any, context: Any) -> None:
            if all(before in tracker.node_outputs for before in workflow.graph.predecessors(node_id)):
                try:
                    await super()._execute_node_async(workflow, node_id, tracker, context)
                except WorkflowExecutionError as error:
                    failures[node_id] = error_picture(error)

        async def _execute_sync_node_async(self, workflow: Any, node_id: str, tracker: Any, context: Any) -> None:
            if all(before in tracker.node_outputs for before in workflow.graph.predecessors(node_id)):
                try:
                    await super()._execute_sync_node_async(workflow, node_id, tracker, context)
                except WorkflowExecutionError as error:
                    failures[node_id] = error_picture(error)

    return Collecting


def possible_failures(description: AsyncDescription) -> dict[str, list[Picture]]:
    """Return each node that fails if it runs, with its error at each run."""
    found: dict[str, list[Picture]] = {}
    failures: dict[str, Picture] = {}

    class EachRun(_collecting(failures)):  # type: ignore[misc]
        async def _execute_workflow_internal(self, *args: Any, **kwargs: Any) -> Any:
            failures.clear()
            try:
                return await super()._execute_workflow_internal(*args, **kwargs)
            finally:
                for node_id, picture in failures.items():
                    found.setdefault(node_id, []).append(picture)

    observe(EachRun, description)
    return found
