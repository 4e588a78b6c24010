"""Workflows that are cached, and what counts how often they run."""

from __future__ import annotations

import threading
import time
from typing import Any

from kailash.nodes.base import Node, NodeParameter
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from nexus_core import last_cache_outcome
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

__all__ = ["Calls", "Observed", "answer", "close_runtimes", "code", "counted", "local", "on_loop"]

_open: list[Any] = []


def local(cache: Any, **options: Any) -> LocalRuntime:
    """A runtime that is closed after the test."""
    options = {"enable_monitoring": False, **options}
    runtime: LocalRuntime = LocalRuntime(cache=cache, **options).mark_externally_managed()
    _open.append(runtime)
    return runtime


def on_loop(cache: Any, **options: Any) -> AsyncLocalRuntime:
    """The same for tasks."""
    runtime = AsyncLocalRuntime(cache=cache, **options)
    _open.append(runtime)
    return runtime


def close_runtimes() -> None:
    """Closes what the test has made."""
    while _open:
        _open.pop().close()


def answer() -> tuple[str, str | None]:
    """How the last run was answered, and why."""
    outcome = last_cache_outcome()
    assert outcome is not None
    return outcome.status, outcome.reason


class Calls:
    """How often something was called; nodes refer to it by name, so that it is no part of their state."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self) -> int:
        """Counts a call."""
        with self._lock:
            self.count += 1
            return self.count


#: By the number that a node's configuration has.
_observed: dict[int, tuple[Calls, Any]] = {}


def _look_up(number: int) -> tuple[Calls, Any]:
    return _observed[number]


class Observed(Node):
    """Counts its calls and then does what it is told."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        """Takes anything."""
        return {
            "number": NodeParameter(name="number", type=int, required=False, default=0),
            "data": NodeParameter(name="data", type=object, required=False, default=None),
        }

    def run(self, **inputs: Any) -> dict[str, Any]:
        """Counts, waits for what it is to wait for, and returns what it was given."""
        calls, act = globals()["_look" + "_up"](self.config["number"])
        calls.add()
        return act(inputs.get("data"))


def counted(act: Any = None, *, seconds: float = 0.0, **metadata: Any) -> tuple[Workflow, Calls]:
    """A cacheable workflow of one node, and what counts its runs.

    Args:
        act: Called with the input ``data`` for what the node returns.
        seconds: How long the node sleeps.
        **metadata: Of the workflow.
    """
    calls = Calls()

    def does(data: Any) -> Any:
        if seconds:
            time.sleep(seconds)
        return {"result": data} if act is None else act(data)

    number = len(_observed) + 1
    _observed[number] = (calls, does)
    workflow = Workflow("counted", "counted", metadata={"cacheable": True, **metadata})
    workflow.add_node("node", Observed(number=number))
    return workflow, calls


def code(text: str = "result = x + 1", **metadata: Any) -> Workflow:
    """A cacheable workflow of one code node."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": text})
    return builder.build(**{"cacheable": True, **metadata})
