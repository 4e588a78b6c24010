"""What stops a run: time-outs, limits, cancellation, failure. Nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded, WorkflowExecutionError
from tests.runtime.support import AwaitingNode, CallingNode, node_workflow

from nexus_core.runtime import AsyncLocalRuntime

OnLoop = Callable[..., Any]


class Gate:
    """A synchronous node that waits until it is let go, and what ran after it."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.later: list[str] = []

    def wait(self, node: Node, **_: Any) -> str:
        self.entered.set()
        assert self.open.wait(30)
        return "through"

    def after(self, node: Node, **_: Any) -> str:
        self.later.append("ran")
        return "after"

    def workflow(self) -> Any:
        return node_workflow({"gate": CallingNode(self.wait), "after": CallingNode(self.after)}, [("gate", "after")])

    async def is_entered(self) -> None:
        while not self.entered.is_set():
            await asyncio.sleep(0.001)


async def is_idle(runtime: AsyncLocalRuntime) -> None:
    """Waits until no node runs any more."""
    while runtime._places.occupancy() != (0, 0):
        await asyncio.sleep(0.001)


def test_a_cancelled_run_starts_nothing_more_and_waits_for_no_thread(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        gate = Gate()
        run = asyncio.ensure_future(runtime.execute_workflow_async(gate.workflow(), {}))
        await gate.is_entered()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not gate.open.is_set()
        gate.open.set()
        await is_idle(runtime)
        assert gate.later == []

    on_loop(body)


def test_a_cancelled_run_cancels_the_nodes_that_it_awaits_and_lets_them_clean_up(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        began, cleaned = asyncio.Event(), []

        async def awaited(node: Node, **_: Any) -> None:
            began.set()
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                cleaned.append("cleaned up")

        run = asyncio.ensure_future(runtime.execute_workflow_async(node_workflow({"a": AwaitingNode(awaited)}), {}))
        await began.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert cleaned == ["cleaned up"]
        await is_idle(runtime)

    on_loop(body)


def test_a_run_that_waits_for_a_place_leaves_the_line_when_it_is_cancelled(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        gate, other = Gate(), Gate()
        running = asyncio.ensure_future(runtime.execute_workflow_async(gate.workflow(), {}))
        await gate.is_entered()
        waiting = asyncio.ensure_future(runtime.execute_workflow_async(other.workflow(), {}))
        while runtime._places.occupancy() != (1, 1):
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert runtime._places.occupancy() == (1, 0)
        gate.open.set()
        results, _ = await running
        assert results["after"] == {"result": "after"}
        assert not other.entered.is_set()

    on_loop(body, max_concurrent_nodes=1, thread_pool_size=1)


def test_the_execution_timeout_raises_while_a_node_blocks(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        runtime.execution_timeout = 0.05
        gate = Gate()
        with pytest.raises(TimeoutError):
            await runtime.execute_workflow_async(gate.workflow(), {})
        gate.open.set()
        await is_idle(runtime)
        assert gate.later == []

    on_loop(body)


def test_after_the_soft_limit_what_runs_may_end_and_nothing_starts(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        ended: list[str] = []

        async def awaited(node: Node, **_: Any) -> None:
            await asyncio.sleep(0.15)
            ended.append("first")

        async def later(node: Node, **_: Any) -> None:
            ended.append("second")

        workflow = node_workflow({"a": AwaitingNode(awaited), "b": AwaitingNode(later)}, [("a", "b")])
        with pytest.raises(SoftTimeLimitExceeded, match=r"soft_time_limit=0\.05s"):
            await runtime.execute_workflow_async(workflow, {}, soft_time_limit=0.05)
        assert ended == ["first"]

    on_loop(body)


def test_after_the_hard_limit_and_its_grace_the_run_fails_in_any_case(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        gate = Gate()
        with pytest.raises(HardTimeLimitExceeded, match=r"time_limit=0\.05s \+ grace_seconds=1\.0s"):
            await runtime.execute_workflow_async(gate.workflow(), {}, time_limit=0.05)
        gate.open.set()
        await is_idle(runtime)
        assert gate.later == []

    on_loop(body)


def test_a_failure_cancels_what_is_awaited_beside_it_and_comes_later_in_order(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        began, ended = asyncio.Event(), []

        async def failing(node: Node, **_: Any) -> None:
            await began.wait()
            raise ValueError("first")

        async def later(node: Node, **_: Any) -> None:
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        workflow = node_workflow({"a": AwaitingNode(failing), "b": AwaitingNode(later)})
        with pytest.raises(WorkflowExecutionError, match="'a' execution failed"):
            await runtime.execute_workflow_async(workflow, {})
        assert ended == ["cancelled"]

    on_loop(body)


def test_the_first_failure_in_topological_order_is_reported_whatever_fails_first(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        for _ in range(5):
            failed = threading.Event()

            async def first(node: Node, failed: threading.Event = failed, **_: Any) -> None:
                while not failed.is_set():
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.01)
                raise ValueError("fails last")

            def second(node: Node, failed: threading.Event = failed, **_: Any) -> None:
                failed.set()
                raise ValueError("fails first")

            workflow = node_workflow({"a": AwaitingNode(first), "b": CallingNode(second)})
            with pytest.raises(WorkflowExecutionError, match="fails last"):
                await runtime.execute_workflow_async(workflow, {})

    on_loop(body)


def test_a_failure_does_not_wait_for_a_thread_that_comes_later_in_order(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        gate = Gate()

        async def failing(node: Node, **_: Any) -> None:
            await gate.is_entered()
            raise ValueError("at once")

        workflow = node_workflow({"a": AwaitingNode(failing), "gate": CallingNode(gate.wait)})
        with pytest.raises(WorkflowExecutionError, match="at once"):
            await runtime.execute_workflow_async(workflow, {})
        assert not gate.open.is_set()
        gate.open.set()
        await is_idle(runtime)

    on_loop(body)


def test_a_node_that_interrupts_ends_the_run_with_its_own_exception(on_loop: OnLoop) -> None:
    def interrupting(node: Node, **_: Any) -> None:
        raise SystemExit("from a node")

    async def body(runtime: AsyncLocalRuntime) -> None:
        for _ in range(3):
            with pytest.raises(SystemExit, match="from a node"):
                await runtime.execute_workflow_async(node_workflow({"s": CallingNode(interrupting)}), {})
        await is_idle(runtime)

    on_loop(body)


@pytest.mark.own_process
def test_many_runs_cancelled_at_any_moment_leave_no_place_taken(on_loop: OnLoop) -> None:
    async def awaited(node: Node, **_: Any) -> int:
        await asyncio.sleep(0.0005)
        return 1

    def blocking(node: Node, **_: Any) -> int:
        time.sleep(0.0005)
        return 2

    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = node_workflow(
            {
                "a": AwaitingNode(awaited),
                "s": CallingNode(blocking),
                "b": AwaitingNode(awaited),
                "t": CallingNode(blocking),
            },
            [("a", "t"), ("s", "b")],
        )
        await runtime.execute_workflow_async(workflow, {})
        before, turns = threading.active_count(), 40
        for turn in range(turns):
            runs = [asyncio.ensure_future(runtime.execute_workflow_async(workflow, {})) for _ in range(8)]
            await asyncio.sleep(turn * 0.0001)
            for run in runs[::2]:
                run.cancel()
            outcomes = await asyncio.gather(*runs, return_exceptions=True)
            for outcome in outcomes[1::2]:
                assert not isinstance(outcome, BaseException), outcome
            await is_idle(runtime)
        # Now and then a worker that is just leaving one run is missing to the next; a leak would be one a turn.
        assert threading.active_count() <= before + turns // 4, threading.enumerate()

    on_loop(body, max_concurrent_nodes=3, thread_pool_size=2)
