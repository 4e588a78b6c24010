"""A workflow with async nodes as plain data, and how it is to be run."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from kailash.nodes.base import Node
from kailash.nodes.base_async import AsyncNode
from kailash.nodes.code.async_python import AsyncPythonCodeNode

from differential.code_samples import MUTATING
from differential.custom_nodes import CUSTOM
from differential.description import STOCK_NODES, Description, Edge, NodeSpec

from .async_nodes import ASYNC_NODES, ENDING, ORDER_MATTERS, SYNC_NODES

__all__ = ["ENTRIES", "AsyncDescription", "AsyncSpec", "Edge", "NodeSpec"]

ENTRIES = ("execute_workflow_async", "execute_async", "execute")


@dataclass
class AsyncSpec(NodeSpec):
    """One node; kinds that the synchronous suite does not have are ``async code`` and ``own``."""

    def make(self, node_id: str) -> Node:
        """Construct the node; raises what Kailash raises for a bad config."""
        if self.kind == "async code":
            return AsyncPythonCodeNode(code=self.what, **copy.deepcopy(self.config))
        if self.kind == "own":
            return (ASYNC_NODES | SYNC_NODES | ENDING)[self.what](**copy.deepcopy(self.config))
        return super().make(node_id)

    @property
    def is_async(self) -> bool:
        """Whether stock counts the node among the async ones."""
        if self.kind in {"code", "function", "class", "file"}:
            return False
        found = (CUSTOM | STOCK_NODES | ASYNC_NODES | SYNC_NODES | ENDING).get(self.what)
        return self.kind == "async code" or (found is not None and issubclass(found, AsyncNode))

    @property
    def order_matters(self) -> bool:
        """Whether others see in which order it ran."""
        return self.what in ORDER_MATTERS or any(code in self.what for code in MUTATING)


@dataclass
class AsyncDescription(Description):
    """Everything that one comparison needs.

    Attributes:
        runs: How often it runs on one runtime, whose engine may change strategy meanwhile.
        entry: Which of ``ENTRIES`` is called.
        one_loop: Whether all runs share an event loop; else each has a loop of its own.
        context: ``"none"``, ``"fresh"`` for each run, or ``"shared"`` by all runs.
        variables: What a given context holds beforehand.
        caller: The value of the caller's context variable.
        registry: Whether the runtime has a resource registry.
        limits: Keyword arguments of the call.
    """

    options: dict[str, Any] = field(default_factory=dict)
    runs: int = 6
    parameters: Any = field(default_factory=dict)
    entry: str = "execute_workflow_async"
    one_loop: bool = True
    context: str = "none"
    variables: dict[str, Any] = field(default_factory=dict)
    caller: str | None = None
    registry: bool = False
    limits: dict[str, Any] = field(default_factory=dict)

    def ancestors(self, node_id: str) -> set[str]:
        """Return all nodes that must have run before ``node_id``."""
        found: set[str] = set()
        waiting = [node_id]
        while waiting:
            target = waiting.pop()
            for edge in self.edges:
                if edge.target == target and edge.source not in found:
                    found.add(edge.source)
                    waiting.append(edge.source)
        return found

    def descendants(self, node_id: str) -> set[str]:
        """Return all nodes that may only run after ``node_id``."""
        return {other for other in self.nodes if node_id in self.ancestors(other)}

    @property
    def is_chain(self) -> bool:
        """Whether no two nodes may run beside one another."""
        return all(
            other == node_id or other in self.ancestors(node_id) or node_id in self.ancestors(other)
            for node_id in self.nodes
            for other in self.nodes
        )

    @property
    def is_sequential(self) -> bool:
        """Whether stock runs the nodes one after the other, in topological order."""
        return not self.options.get("enable_analysis", True) or not any(
            isinstance(spec, AsyncSpec) and spec.is_async for spec in self.nodes.values()
        )
