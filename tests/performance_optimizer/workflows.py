"""Workflows that show how they are executed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Watched", "joined", "sleepers"]


def joined(*functions: Callable[..., Any], edges: tuple[tuple[int, int], ...] = (), **metadata: Any) -> Any:
    """A workflow of one node for each function, named by its place."""
    from kailash.nodes.code.python import PythonCodeNode
    from kailash.workflow.graph import Workflow

    built = Workflow("joined", "joined")
    for number, function in enumerate(functions):
        built.add_node(f"n{number}", PythonCodeNode.from_function(function, name=f"n{number}"))
    for source, target in edges:
        built.connect(f"n{source}", f"n{target}", {"result": f"from_{source}"})
    built.metadata.update(metadata)
    return built


def sleepers(count: int = 3, seconds: float = 0.03) -> Any:
    """Independent nodes that sleep."""
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    for number in range(count):
        builder.add_node(
            "PythonCodeNode", f"n{number}", {"code": f"import time\ntime.sleep({seconds})\nresult = {number}"}
        )
    return builder.build()


class Watched:
    """A function for nodes that counts its calls, and how many of them there are at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.go = threading.Event()
        self.begun: list[Any] = []
        self.now = self.most = 0

    def __enter__(self) -> Watched:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1

    def waiting(self) -> Callable[[Any], Any]:
        """A function that waits until the test lets it go on."""

        def wait(x: Any = None) -> Any:
            with self:
                self.begun.append(x)
                assert self.go.wait(60)
            return x

        return wait
