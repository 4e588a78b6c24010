"""What stops a run whose branches are pruned: the same, although its nodes share one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.nodes.logic.operations import SwitchNode
from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded
from kailash.workflow.graph import Workflow

from runtime.support import AwaitingNode, CallingNode

from .test_stopping import Gate

OnLoop = Callable[..., Any]
PRUNED = {"conditional_execution": "skip_branches"}


def gated(gate: Gate, awaited: AwaitingNode | None = None) -> Workflow:
    """A gate before a switch, and a node on the branch that is taken."""
    workflow = Workflow("gated", "gated")
    workflow.add_node("gate", CallingNode(gate.wait))
    workflow.add_node("switch", SwitchNode(operator="==", value="through"))
    workflow.add_node("after", CallingNode(gate.after))
    workflow.connect("gate", "switch", {"result": "input_data"})
    workflow.connect("switch", "after", {"true_output": "data"})
    if awaited is not None:
        workflow.add_node("awaited", awaited)
        workflow.connect("switch", "awaited", {"true_output": "data"})
    return workflow


async def nothing(node: Node, **_: Any) -> None:
    """For a workflow that needs the loop."""


@pytest.fixture(params=[False, True], ids=["on one thread", "with a node to await"])
def make(request: pytest.FixtureRequest) -> Callable[[Gate], Workflow]:
    return lambda gate: gated(gate, AwaitingNode(nothing) if request.param else None)


async def is_over(runtime: Any) -> None:
    """Waits until the threads have nothing to do any more."""
    await asyncio.get_running_loop().run_in_executor(runtime.thread_pool, lambda: None)


def test_it_runs_through_an_open_gate(on_loop: OnLoop, make: Any) -> None:
    async def body(runtime: Any) -> None:
        gate = Gate()
        gate.open.set()
        results, _ = await runtime.execute_workflow_async(make(gate), {})
        assert results["after"] == {"result": "after"}
        assert gate.later == ["ran"]

    on_loop(body, thread_pool_size=1, **PRUNED)


@pytest.mark.parametrize(
    ("options", "limits", "error"),
    [
        ({"execution_timeout": 0.05}, {}, TimeoutError),
        ({}, {"soft_time_limit": 0.05}, SoftTimeLimitExceeded),
        ({}, {"time_limit": 0.05}, HardTimeLimitExceeded),
    ],
    ids=["execution_timeout", "soft_time_limit", "time_limit"],
)
def test_when_time_is_up_nothing_more_starts_and_no_thread_is_waited_for(
    on_loop: OnLoop, make: Any, options: dict[str, Any], limits: dict[str, Any], error: type[Exception]
) -> None:
    async def body(runtime: Any) -> None:
        gate = Gate()
        with pytest.raises(error):
            await runtime.execute_workflow_async(make(gate), {}, **limits)
        gate.open.set()
        await is_over(runtime)
        assert gate.later == []

    on_loop(body, thread_pool_size=1, **PRUNED, **options)


def test_a_cancelled_run_starts_nothing_more_and_waits_for_no_thread(on_loop: OnLoop, make: Any) -> None:
    async def body(runtime: Any) -> None:
        gate = Gate()
        run = asyncio.ensure_future(runtime.execute_workflow_async(make(gate), {}))
        await gate.is_entered()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        gate.open.set()
        await is_over(runtime)
        assert gate.later == []

    on_loop(body, thread_pool_size=1, **PRUNED)


def test_a_run_that_is_cancelled_before_it_has_a_thread_never_begins(on_loop: OnLoop, make: Any) -> None:
    async def body(runtime: Any) -> None:
        first, second = Gate(), Gate()
        running = asyncio.ensure_future(runtime.execute_workflow_async(make(first), {}))
        await first.is_entered()
        waiting = asyncio.ensure_future(runtime.execute_workflow_async(make(second), {}))
        while not runtime.thread_pool._work_queue.qsize():
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        first.open.set()
        results, _ = await running
        assert results["after"] == {"result": "after"}
        await is_over(runtime)
        assert not second.entered.is_set()

    on_loop(body, thread_pool_size=1, **PRUNED)


def test_time_that_is_up_while_a_node_is_awaited_waits_for_no_thread(on_loop: OnLoop) -> None:
    async def body(runtime: Any) -> None:
        first, second = Gate(), Gate()
        second.open.set()

        async def until_time_is_up(node: Node, **_: Any) -> None:
            # Then the run's one thread is busy, and what comes next would have to wait for it.
            running.append(asyncio.ensure_future(runtime.execute_workflow_async(gated(first), {})))
            await first.is_entered()
            await asyncio.sleep(60)

        running: list[asyncio.Future[Any]] = []
        with pytest.raises(TimeoutError):
            await runtime.execute_workflow_async(gated(second, AwaitingNode(until_time_is_up)), {})
        assert not first.open.is_set()
        first.open.set()
        await asyncio.wait(running)

    on_loop(body, thread_pool_size=1, execution_timeout=1, **PRUNED)


def test_it_runs_after_a_clean_up(on_loop: OnLoop, make: Any) -> None:
    async def body(runtime: Any) -> None:
        gate = Gate()
        gate.open.set()
        await runtime.cleanup()
        results, _ = await runtime.execute_workflow_async(make(gate), {})
        assert results["after"] == {"result": "after"}

    on_loop(body, thread_pool_size=1, **PRUNED)


def test_a_loop_that_closes_while_a_thread_is_at_work_leaves_nothing_to_complain_of(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from nexus_core.runtime import AsyncLocalRuntime

    gate = Gate()
    with AsyncLocalRuntime(strict=True, thread_pool_size=1, **PRUNED) as runtime:

        async def body() -> None:
            run = asyncio.ensure_future(runtime.execute_workflow_async(make(gate), {}))
            await gate.is_entered()
            run.cancel()
            await asyncio.wait({run})

        asyncio.run(body())
        gate.open.set()
        runtime.thread_pool.submit(lambda: None).result(20)
    assert gate.later == []
    assert [record for record in caplog.records if record.name in ("asyncio", "concurrent.futures")] == []
