"""Small workflows and a task manager that takes notes, for the readable examples."""

from __future__ import annotations

from typing import Any

from kailash.tracking import TaskManager
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from .custom_nodes import Declares


def built(*codes: str, chained: bool = True) -> Workflow:
    """Build a workflow of code nodes ``n0``, ``n1``, …, each fed by the one before."""
    builder = WorkflowBuilder()
    for number, code in enumerate(codes):
        builder.add_node("PythonCodeNode", f"n{number}", {"code": code})
        if number and chained:
            builder.add_connection(f"n{number - 1}", "result", f"n{number}", "data")
    return builder.build()


class HookNode(Declares):
    """Calls back while it runs."""

    def __init__(self, hook: Any, **more: Any) -> None:
        self.hook = hook
        super().__init__(**more)
        self.config.pop("hook", None)

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"result": self.hook()}


def hooked(*hooks: Any) -> Workflow:
    """Build a chain of nodes that call these functions."""
    workflow = Workflow("hooked", "hooked")
    for number, hook in enumerate(hooks):
        workflow.add_node(f"n{number}", HookNode(hook))
        if number:
            workflow.connect(f"n{number - 1}", f"n{number}", {"result": "data"})
    return workflow


class RecordingTaskManager(TaskManager):
    """Notes each call and passes it on."""

    def __init__(self, storage: Any) -> None:
        super().__init__(storage)
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if callable(value) and name in {
            "create_run", "create_task", "update_run_status", "update_task_status", "update_task_metrics",
            "set_search_attributes",
        }:  # fmt: skip
            self.calls.append(name)
        return value
