"""Runtimes side by side, and workflows whose nodes are of either kind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncRuntime
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from nexus_core.runtime import AsyncLocalRuntime
from runtime.support import AwaitingNode, CallingNode, code_workflow, node_workflow

__all__ = [
    "PLANS",
    "AsyncLocalRuntime",
    "StockAsyncRuntime",
    "both",
    "builder_of",
    "code_workflow",
    "node_workflow",
    "outcome",
    "plan_of",
]

#: A test that holds for Kailash's class as well shows what the drop-in has to do.
both = pytest.mark.parametrize("cls", [StockAsyncRuntime, AsyncLocalRuntime], ids=["stock", "ours"])
PLANS = ("sync", "async", "mixed")


async def _echo(node: Node, **inputs: Any) -> Any:
    await asyncio.sleep(0)
    return inputs.get("x")


def _returned(node: Node, **inputs: Any) -> Any:
    return inputs.get("x")


def plan_of(kind: str) -> Workflow:
    """Two independent nodes, of which both or one await; each returns its input ``x``."""
    first = AwaitingNode(_echo) if kind != "sync" else CallingNode(_returned)
    second = AwaitingNode(_echo) if kind == "async" else CallingNode(_returned)
    return node_workflow({"a": first, "b": second})


def builder_of(code: str = "result = 1") -> WorkflowBuilder:
    """A builder of one code node, not yet built."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "n", {"code": code})
    return builder


def outcome(error: BaseException) -> list[tuple[type, str]]:
    """Types and texts of an error and its causes."""
    chain: list[tuple[type, str]] = []
    current: BaseException | None = error
    while current is not None:
        chain.append((type(current), str(current)))
        current = current.__cause__
    return chain
