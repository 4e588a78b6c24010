"""Workflows of which it can be told how often each node has run, on runtimes with a cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node, NodeParameter
from kailash.nodes.base_async import AsyncNode
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.cached_runs import ResultCache
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

__all__ = ["AsyncTraced", "Kind", "RunsOn", "Traced", "code_workflow", "count", "node_workflow", "on_loop", "runs_on"]

#: Appends a line to a file, in a workflow's code.
TRACE = "import os\nhandle = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\nos.write(handle, b'.')\nos.close(handle)\n"

Kind = str
RunsOn = Callable[..., dict[str, Any]]


def leave_trace(path: str) -> None:
    """Notes in a file that a node has run."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, b".")
    os.close(handle)


def is_open(gate: str | None) -> bool:
    """Whether there is a file, or none is named."""
    return gate is None or os.path.exists(gate)


def count(path: Path) -> int:
    """How often a node has left a trace."""
    return path.stat().st_size if path.exists() else 0


class Traced(Node):
    """Leaves a trace, waits, for a file to be there if one is named, and returns or raises what it is configured to."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {
            name: NodeParameter(name=name, type=object, required=False, default=None)
            for name in ("trace", "x", "seconds", "gate", "fails", "answer")
        }

    def run(self, **inputs: Any) -> dict[str, Any]:
        import time

        leave_trace(inputs["trace"])
        time.sleep(inputs.get("seconds") or 0)
        while not is_open(inputs.get("gate")):
            time.sleep(0.002)
        if inputs.get("fails"):
            raise ValueError(inputs["fails"])
        return {"answer": inputs.get("answer"), "x": inputs.get("x")}


class AsyncTraced(AsyncNode):
    """The same, awaited."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {
            name: NodeParameter(name=name, type=object, required=False, default=None)
            for name in ("trace", "x", "seconds", "gate", "fails", "answer")
        }

    async def async_run(self, **inputs: Any) -> dict[str, Any]:
        import asyncio

        leave_trace(inputs["trace"])
        await asyncio.sleep(inputs.get("seconds") or 0)
        while not is_open(inputs.get("gate")):
            await asyncio.sleep(0.002)
        if inputs.get("fails"):
            raise ValueError(inputs["fails"])
        return {"answer": inputs.get("answer"), "x": inputs.get("x")}


def code_workflow(code: str, name: str = "cached", **config: Any) -> Any:
    """A workflow of the node ``a`` with this code."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": code, **config})
    return builder.build(name=name)


def node_workflow(node: Node, name: str = "cached") -> Any:
    """A workflow of the node ``a``."""
    from kailash.workflow.graph import Workflow

    workflow = Workflow(name, name)
    workflow.add_node("a", node)
    return workflow


def on_loop(body: Callable[[AsyncLocalRuntime], Any], cache: ResultCache, **options: Any) -> Any:
    """Runs a coroutine function with an async runtime that has a cache."""
    import asyncio

    async def main() -> Any:
        async with AsyncLocalRuntime(cache=cache, **options) as runtime:
            return await body(runtime)

    return asyncio.run(main())


def runs_on(kind: Kind, cache: ResultCache | None, **options: Any) -> RunsOn:
    """A function that executes a workflow, with inputs for its node ``a``, on a runtime of a kind."""
    if kind == "local":

        def local(workflow: Any, asks: dict[str, bool] | None = None, **inputs: Any) -> dict[str, Any]:
            with LocalRuntime(enable_monitoring=False, cache=cache, **options) as runtime:
                return runtime.execute(workflow, parameters={"a": inputs}, **(asks or {}))[0]

        return local

    def awaited(workflow: Any, asks: dict[str, bool] | None = None, **inputs: Any) -> dict[str, Any]:
        async def body(runtime: Any) -> dict[str, Any]:
            return (await runtime.execute_workflow_async(workflow, {"a": inputs}, **(asks or {})))[0]

        return on_loop(body, cache, **options)  # type: ignore[arg-type]

    return awaited


both = pytest.mark.parametrize("kind", ["local", "async"])
