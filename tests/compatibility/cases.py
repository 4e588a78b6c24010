"""Runs of either runtime, and what a caller sees of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kailash.nodes.base import Node
from kailash.nodes.code.python import PythonCodeNode
from kailash.nodes.logic.operations import SwitchNode
from kailash.workflow.graph import Workflow

from .table import OURS, STOCK

Built = Callable[[], Workflow]


def chain() -> Workflow:
    """Two nodes, one after the other."""
    workflow = Workflow("chain", "chain")
    workflow.add_node("a", PythonCodeNode(name="a", code="result = 20"))
    workflow.add_node("b", PythonCodeNode(name="b", code="result = [x, 1]"))
    workflow.connect("a", "b", {"result": "x"})
    return workflow


def reader() -> Workflow:
    """A node that returns its input ``x``."""
    workflow = Workflow("reader", "reader")
    workflow.add_node("a", PythonCodeNode(name="a", code="result = x"))
    return workflow


def cyclic() -> Workflow:
    """A cycle of two nodes, twice through."""
    workflow = Workflow("cyclic", "cyclic")
    workflow.add_node("a", PythonCodeNode(name="a", code="result = 1"))
    workflow.add_node("b", PythonCodeNode(name="b", code="result = 2"))
    workflow.connect("a", "b", {"result": "x"})
    workflow.create_cycle("c").connect("b", "a", {"result": "y"}).max_iterations(2).build()
    return workflow


def switch() -> Workflow:
    """A switch with a branch on either side."""
    workflow = Workflow("switch", "switch")
    workflow.add_node("a", PythonCodeNode(name="a", code="result = {'kind': 'x'}"))
    workflow.add_node("s", SwitchNode(condition_field="kind", operator="==", value="x"))
    workflow.add_node("yes", PythonCodeNode(name="yes", code="result = ['yes', seen]"))
    workflow.add_node("no", PythonCodeNode(name="no", code="result = ['no', seen]"))
    workflow.connect("a", "s", {"result": "input_data"})
    workflow.connect("s", "yes", {"true_output": "seen"})
    workflow.connect("s", "no", {"false_output": "seen"})
    return workflow


def unsuccessful() -> Workflow:
    """A node whose output says that it failed."""
    workflow = Workflow("unsuccessful", "unsuccessful")
    workflow.add_node("a", PythonCodeNode(name="a", code="result = {'success': False, 'error': 'no'}; success = False"))
    return workflow


class Calling(Node):
    """Returns what a function returns."""

    def __init__(self, function: Callable[[Node], Any], **config: Any) -> None:
        self.function = function
        super().__init__(**config)
        self.config.pop("function", None)

    def get_parameters(self) -> dict[str, Any]:
        return {}

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"result": self.function(self)}


def calling(function: Callable[[Node], Any]) -> Workflow:
    """One node that calls a function with itself."""
    workflow = Workflow("calling", "calling")
    workflow.add_node("n", Calling(function))
    return workflow


@dataclass
class Case:
    """A runtime, and a run on it.

    Each field is made anew for every runtime.

    Attributes:
        options: Arguments of the constructor.
        call: Arguments of the method that runs the workflow.
        workflow: What runs.
        method: The method that runs it; the usual one of the runtime if empty.
        prepare: Called with the runtime before the run.
        seen: What else a caller sees afterwards: called with the runtime, the run's id, and ``call``.
    """

    options: Callable[[], dict[str, Any]] = dict
    call: Callable[[], dict[str, Any]] = dict
    workflow: Built = chain
    method: str = ""
    prepare: Callable[[Any], object] = field(default=lambda runtime: None)
    seen: Callable[[Any, Any, dict[str, Any]], Any] = field(default=lambda runtime, run_id, call: None)


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        seen: What a caller sees; equal on both runtimes.
        runtime: The runtime, closed.
        workflow: The workflow that ran.
        explained: What ``explain`` said before the run; ``None`` on Kailash's own.
    """

    seen: Any
    runtime: Any
    workflow: Workflow
    explained: Any = None


def run(kind: str, case: Case, ours: bool) -> Outcome:
    """Runs a case.

    Args:
        kind: ``"LocalRuntime"`` or ``"AsyncLocalRuntime"``.
        case: The case.
        ours: On the drop-in rather than on Kailash's own class.
    """
    runtime = (OURS if ours else STOCK)[kind](**{"enable_monitoring": False, **case.options()})
    runtime.mark_externally_managed()
    try:
        case.prepare(runtime)
        workflow, call = case.workflow(), case.call()
        explained = runtime.explain(workflow) if ours else None
        answer: Any
        run_id = None
        try:
            results, run_id = _executed(runtime, workflow, case.method or _USUAL[kind], call)
            answer = ("returned", _comparable(results), _form(run_id))
        except Exception as error:
            answer = ("raised", _chain(error))
        return Outcome((answer, case.seen(runtime, run_id, call)), runtime, workflow, explained)
    finally:
        runtime.close()


_USUAL = {"LocalRuntime": "execute", "AsyncLocalRuntime": "execute_workflow_async"}


def _executed(runtime: Any, workflow: Workflow, method: str, call: dict[str, Any]) -> Any:
    function = getattr(runtime, method)
    if method == "execute":
        return function(workflow, **call)
    if method == "execute_workflow_async":
        call = {"inputs": {}, **call}

    async def main() -> Any:
        return await function(workflow, **call)

    return asyncio.run(main())


def _comparable(value: Any) -> Any:
    """Results with exceptions as text."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if hasattr(value, "total_attempts"):  # of Kailash's retry engine, with times
        return _comparable(value.value), value.total_attempts
    return _chain(value) if isinstance(value, BaseException) else value


def _chain(error: BaseException | None) -> list[tuple[str, str]]:
    found = []
    while error is not None:
        found.append((type(error).__qualname__, str(error)))
        error = error.__cause__
    return found


def _form(run_id: Any) -> str:
    if isinstance(run_id, str):
        return "time" if re.fullmatch(r"run_\d{13}(_\w+)?", run_id) else re.sub(r"[0-9a-f]", "0", run_id)
    return repr(run_id)
