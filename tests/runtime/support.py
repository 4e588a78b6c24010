"""Workflows to run, nodes that call back, and programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kailash.nodes.base import Node, NodeParameter
from kailash.nodes.base_async import AsyncNode
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

LIMIT = 240  # seconds: what may hang gets no more

Edge = tuple[str, str]


def code_workflow(codes: dict[str, str | dict[str, Any]], edges: Iterable[Edge] = ()) -> Workflow:
    """Code nodes by id; an edge hands a node's result on under the id of its source."""
    builder = WorkflowBuilder()
    for node_id, code in codes.items():
        builder.add_node("PythonCodeNode", node_id, {"code": code} if isinstance(code, str) else code)
    for source, target in edges:
        builder.add_connection(source, "result", target, source)
    return builder.build()


def named(code: str, function_name: str, **config: Any) -> dict[str, Any]:
    """The configuration of a code node that calls a function."""
    return {"code": textwrap.dedent(code), "function_name": function_name, **config}


def function_workflow(functions: dict[str, Callable[..., Any]], edges: Iterable[Edge] = ()) -> Workflow:
    """Nodes made from functions, which run in this process's modules."""
    workflow = Workflow("functions", "functions")
    for node_id, function in functions.items():
        workflow.add_node(node_id, PythonCodeNode.from_function(function, name=node_id))
    for source, target in edges:
        workflow.connect(source, target, {"result": source})
    return workflow


class CallingNode(Node):
    """Calls a function with itself and its inputs; any input is taken."""

    def __init__(self, function: Callable[..., Any], **config: Any) -> None:
        self.function = function
        super().__init__(**config)
        self.config.pop("function", None)

    def get_parameters(self) -> dict[str, NodeParameter]:
        names = ("data", "x", "y", "a", "b", "c")
        return {name: NodeParameter(name=name, type=Any, required=False, description=name) for name in names}

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"result": self.function(self, **inputs)}


class AwaitingNode(AsyncNode):
    """Awaits a function of itself and its inputs."""

    def __init__(self, function: Callable[..., Any], **config: Any) -> None:
        self.function = function
        super().__init__(**config)
        self.config.pop("function", None)

    def get_parameters(self) -> dict[str, NodeParameter]:
        names = ("data", "x", "y", "a", "b", "c")
        return {name: NodeParameter(name=name, type=Any, required=False, description=name) for name in names}

    async def async_run(self, **inputs: Any) -> dict[str, Any]:
        return {"result": await self.function(self, **inputs)}


def node_workflow(nodes: dict[str, Node], edges: Iterable[Edge] = ()) -> Workflow:
    """Node instances by id."""
    workflow = Workflow("nodes", "nodes")
    for node_id, node in nodes.items():
        workflow.add_node(node_id, node)
    for source, target in edges:
        workflow.connect(source, target, {"result": source})
    return workflow


class Meeting:
    """Lets nodes prove that they ran at the same time: each waits for all of them."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties)
        self.threads: dict[str, str] = {}

    def of(self, name: str) -> Callable[[], str]:
        """The function of the node ``name``; it fails if it is left alone."""

        def attend() -> str:
            self.threads[name] = threading.current_thread().name
            self._barrier.wait(20)
            return name

        return attend


def run_python(
    code: str, home: Path, *, timeout: float = LIMIT, prelude: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program that has the prelude's names."""
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    program = textwrap.dedent(PRELUDE if prelude is None else prelude) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", program],
        env=env, capture_output=True, text=True, timeout=timeout, check=False, start_new_session=True,
    )  # fmt: skip


PRELUDE = """
    import os, signal, sys, threading, time
    from kailash.nodes.code.python import PythonCodeNode
    from kailash.workflow.builder import WorkflowBuilder
    from kailash.workflow.graph import Workflow
    from nexus_core.runtime import LocalRuntime

    def code_workflow(codes, edges=()):
        builder = WorkflowBuilder()
        for node_id, code in codes.items():
            builder.add_node("PythonCodeNode", node_id, {"code": code})
        for source, target in edges:
            builder.add_connection(source, "result", target, source)
        return builder.build()

    def function_workflow(functions, edges=()):
        workflow = Workflow("functions", "functions")
        for node_id, function in functions.items():
            workflow.add_node(node_id, PythonCodeNode.from_function(function, name=node_id))
        for source, target in edges:
            workflow.connect(source, target, {"result": source})
        return workflow

"""
