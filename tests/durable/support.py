"""Stores that remember every checkpoint, and both kinds of runtime under one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncRuntime
from kailash.runtime.durable import NodeCompletionEvent
from kailash.runtime.local import LocalRuntime as StockLocalRuntime
from kailash.workflow.graph import Workflow

from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import AwaitingNode, CallingNode

__all__ = [
    "KINDS",
    "SIDES",
    "LooseNode",
    "RecordingStore",
    "Side",
    "blob_content",
    "both_kinds",
    "chain",
    "completed_in",
    "events_of",
    "more",
    "one",
    "sides",
]


class RecordingStore:
    """Keeps checkpoints in memory, and every blob that was ever saved.

    Args:
        fail_on: The number of the save, from one, that raises ``error``.
        error: What it raises.
    """

    def __init__(self, fail_on: int = 0, error: BaseException | None = None) -> None:
        self.kept: dict[str, bytes] = {}
        self.blobs: list[bytes] = []
        self.saves = 0
        self.loads = 0
        self.fail_on = fail_on
        self.error = error

    async def save(self, key: str, data: bytes) -> None:
        self.saves += 1
        if self.error is not None and self.saves == self.fail_on:
            raise self.error
        await asyncio.sleep(0)
        self.kept[key] = data
        self.blobs.append(data)

    async def load(self, key: str) -> bytes | None:
        self.loads += 1
        return self.kept.get(key)


def blob_content(blob: bytes) -> dict[str, Any]:
    """A checkpoint without the time at which it was saved."""
    content: dict[str, Any] = json.loads(blob)
    del content["saved_at"]
    return content


def completed_in(blob: bytes) -> list[str]:
    """The nodes that a checkpoint holds, in the order in which they were recorded."""
    nodes: list[str] = json.loads(blob)["tracker"]["completed_nodes"]
    return nodes


def events_of(runtime: Any) -> list[NodeCompletionEvent]:
    """The events of a runtime from now on."""
    events: list[NodeCompletionEvent] = []
    runtime.on_node_complete(events.append)
    return events


class Side:
    """One runtime class, called the same way whichever kind it is."""

    def __init__(self, cls: type[Any], is_async: bool) -> None:
        self.cls = cls
        self.is_async = is_async
        self.is_ours = cls.__module__.startswith("nexus_core")

    def make(self, **options: Any) -> Any:
        """A runtime; ours refuses to delegate."""
        if self.is_ours:
            options.setdefault("strict", True)
        if not self.is_async:
            options.setdefault("enable_monitoring", False)
        runtime = self.cls(**options)
        return runtime if self.is_async else runtime.mark_externally_managed()

    def run(self, runtime: Any, workflow: Workflow, inputs: dict[str, Any] | None = None, **more: Any) -> Any:
        """Results of a run."""
        if self.is_async:
            return asyncio.run(runtime.execute_workflow_async(workflow, inputs or {}, **more))[0]
        return runtime.execute(workflow, parameters=inputs, **more)[0]


SIDES = {
    "local-stock": Side(StockLocalRuntime, False),
    "local-ours": Side(LocalRuntime, False),
    "async-stock": Side(StockAsyncRuntime, True),
    "async-ours": Side(AsyncLocalRuntime, True),
}
KINDS = ("local", "async")

#: A test that holds for Kailash's classes as well shows what the drop-in has to do.
sides = pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
#: For what Kailash does not promise.
both_kinds = pytest.mark.parametrize("side", [SIDES[f"{kind}-ours"] for kind in KINDS], ids=KINDS)


def one(node: Node, **_: Any) -> int:
    """The body of a source."""
    return 1


def more(node: Node, data: Any, **_: Any) -> int:
    """One more than its predecessor, whose whole output an edge delivers on ``AsyncLocalRuntime``."""
    value: int = data["result"] if isinstance(data, dict) else data
    return value + 1


class LooseNode(CallingNode):
    """May return what is no JSON."""

    def validate_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return outputs


def chain(*functions: Callable[..., Any], awaits: bool = False) -> Workflow:
    """Nodes ``n0`` to ``nN`` one after the other, each calling a function with its predecessor's result."""
    kind: Callable[..., Node] = AwaitingNode if awaits else CallingNode
    workflow = Workflow("chain", "chain", metadata={"created_at": "2020-01-01"})
    for place, function in enumerate(functions):
        workflow.add_node(f"n{place}", kind(function))
        if place:
            workflow.connect(f"n{place - 1}", f"n{place}", {"result": "data"})
    return workflow
