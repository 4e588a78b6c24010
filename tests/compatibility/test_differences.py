"""Where the drop-in differs on purpose, and no other test shows it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from kailash.nodes.base_async import AsyncNode
from kailash.nodes.code.python import PythonCodeNode
from kailash.runtime.async_local import ExecutionContext
from kailash.sdk_exceptions import WorkflowExecutionError
from kailash.workflow.graph import Workflow

from .cases import calling, chain
from .table import OURS, STOCK

STOCK_ASYNC, OUR_ASYNC = STOCK["AsyncLocalRuntime"], OURS["AsyncLocalRuntime"]


class _Awaited(AsyncNode):
    """Waits, and may fail."""

    def __init__(self, seconds: float = 0.0, fails: bool = False, **config: Any) -> None:
        self._seconds, self._fails = seconds, fails
        super().__init__(**config)
        for name in ("seconds", "fails"):
            self.config.pop(name, None)

    def get_parameters(self) -> dict[str, Any]:
        return {}

    async def async_run(self, **inputs: Any) -> dict[str, Any]:
        await asyncio.sleep(self._seconds)
        if self._fails:
            raise ValueError("no")
        return {"result": self._seconds}


def run_async(cls: type[Any], workflow: Workflow, **call: Any) -> Any:
    """The results of one run."""

    async def main() -> Any:
        async with cls() as runtime:
            return (await runtime.execute_workflow_async(workflow, {}, **call))[0]

    return asyncio.run(main())


def test_a_synchronous_node_may_run_an_event_loop() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    workflow = calling(lambda node: asyncio.run(answer()))
    with OURS["LocalRuntime"](enable_monitoring=False, strict=True) as runtime:
        assert runtime.execute(workflow)[0] == {"n": {"result": 42}}


def test_results_of_a_mixed_workflow_are_in_topological_order() -> None:
    workflow = Workflow("mixed", "mixed")
    workflow.add_node("slow", _Awaited(0.05))
    workflow.add_node("quick", _Awaited())
    workflow.add_node("code", PythonCodeNode(name="code", code="result = 1"))
    results = run_async(OUR_ASYNC, workflow)
    assert list(results) == list(workflow.get_execution_order())
    assert results == run_async(STOCK_ASYNC, workflow)


def test_a_failing_node_is_not_logged_by_the_async_runtime(caplog: pytest.LogCaptureFixture) -> None:
    logged = []
    for cls in (STOCK_ASYNC, OUR_ASYNC):
        workflow = Workflow("failing", "failing")
        workflow.add_node("n", _Awaited(fails=True))
        caplog.clear()
        with caplog.at_level(logging.ERROR, logger="kailash"), pytest.raises(WorkflowExecutionError):
            run_async(cls, workflow)
        logged.append([record for record in caplog.records if record.name == "kailash.runtime.async_local"])
    assert logged[0]
    assert not logged[1]


def test_a_changed_workflow_is_read_anew_by_the_async_runtime() -> None:
    workflow = chain()

    async def main() -> list[Any]:
        async with OUR_ASYNC(strict=True) as runtime:
            seen = [list((await runtime.execute_workflow_async(workflow, {}))[0])]
            workflow.add_node("late", PythonCodeNode(name="late", code="result = x"))
            workflow.connect("b", "late", {"result": "x"})
            return [*seen, list((await runtime.execute_workflow_async(workflow, {}))[0])]

    assert asyncio.run(main()) == [["a", "b"], ["a", "b", "late"]]


def test_durations_leave_out_the_wait_for_a_place() -> None:
    workflow = Workflow("waiting", "waiting")
    for name in "abc":
        workflow.add_node(name, _Awaited(0.05))
    context = ExecutionContext()

    async def main() -> None:
        async with OUR_ASYNC(max_concurrent_nodes=1, strict=True) as runtime:
            await runtime.execute_workflow_async(workflow, {}, context=context)

    asyncio.run(main())
    durations = context.metrics.node_durations
    assert sorted(durations) == ["a", "b", "c"]
    # One after the other: with the time that they waited they would come to more than the run.
    assert sum(durations.values()) <= context.metrics.total_duration
