"""A run's events, as they happen, to one reader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.sdk_exceptions import WorkflowExecutionError
from kailash.workflow.builder import WorkflowBuilder
from tests.runtime.support import AwaitingNode, CallingNode, code_workflow, node_workflow

from nexus_core.runtime import (
    AsyncLocalRuntime,
    DelegationError,
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    RunFailed,
    RunFinished,
    RunStarted,
)

OnLoop = Callable[..., Any]


async def _all(events: Any) -> list[Any]:
    return [event async for event in events]


def test_events_tell_of_every_node_in_order_with_its_output_thread_and_duration(on_loop: OnLoop) -> None:
    async def awaited(node: Node, **_: Any) -> int:
        await asyncio.sleep(0.01)
        return 1

    def blocking(node: Node, **_: Any) -> int:
        return 2

    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = node_workflow({"a": AwaitingNode(awaited), "s": CallingNode(blocking)}, [("a", "s")])
        events = await _all(runtime.stream(workflow))
        assert [type(event) for event in events] == [
            RunStarted, NodeStarted, NodeFinished, NodeStarted, NodeFinished, RunFinished,
        ]  # fmt: skip
        assert events[0].node_ids == ("a", "s")
        assert [event.node_id for event in events[1:5]] == ["a", "a", "s", "s"]
        assert events[2].output == {"result": 1}
        assert events[2].duration >= 0.01
        assert events[2].thread == threading.main_thread().name
        assert events[4].thread.startswith("nexus-core-worker-")
        assert events[5].results == {"a": {"result": 1}, "s": {"result": 2}}
        times = [event.time for event in events]
        assert times == sorted(times)
        assert len({event.run_id for event in events}) == 1

    on_loop(body)


def test_a_failure_is_told_and_ends_the_stream(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({"a": "1 / 0", "b": "result = 1"}, [("a", "b")])
        events = await _all(runtime.stream(workflow))
        assert [type(event) for event in events] == [RunStarted, NodeStarted, NodeFailed, RunFailed]
        assert events[2].node_id == "a"
        assert "division by zero" in str(events[2].error)
        with pytest.raises(WorkflowExecutionError) as raised:
            await runtime.execute_workflow_async(workflow, {})
        assert str(events[3].error) == str(raised.value)

    on_loop(body)


def test_a_node_of_a_branch_that_is_not_taken_is_told_as_skipped(on_loop: OnLoop) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "source", {"code": "result = {'side': 'left'}"})
    builder.add_node("SwitchNode", "switch", {"condition_field": "side", "operator": "==", "value": "left"})
    builder.add_node("PythonCodeNode", "left", {"code": "result = 'left'"})
    builder.add_node("PythonCodeNode", "right", {"code": "result = 'right'"})
    builder.add_connection("source", "result.result", "switch", "input_data")
    builder.add_connection("switch", "true_output", "left", "data")
    builder.add_connection("switch", "false_output", "right", "data")

    async def body(runtime: AsyncLocalRuntime) -> None:
        results, _ = await runtime.execute_workflow_async(builder.build(), {})
        skipped = [node_id for node_id, output in results.items() if output is None]
        assert skipped, results
        events = await _all(runtime.stream(builder.build()))
        assert [event.node_id for event in events if isinstance(event, NodeSkipped)] == skipped
        started = {event.node_id for event in events if isinstance(event, NodeStarted)}
        assert started.isdisjoint(skipped)
        assert events[-1].results == results

    on_loop(body)


def test_a_reader_that_does_not_keep_up_pauses_its_own_run_and_no_other(on_loop: OnLoop) -> None:
    ran: list[int] = []

    async def body(runtime: AsyncLocalRuntime) -> None:
        def count(node: Node, **_: Any) -> None:
            ran.append(1)

        workflow = node_workflow({f"n{i}": CallingNode(count) for i in range(300)})
        events = runtime.stream(workflow, buffer=10)
        assert isinstance(await anext(events), RunStarted)
        assert isinstance(await anext(events), NodeStarted)
        held = -1
        while held != len(ran):  # until nothing moves any more
            held = len(ran)
            await asyncio.sleep(0.05)
        # Two events a node, and what each of the four threads was at.
        assert held <= 5 + 4, held
        other, _ = await runtime.execute_workflow_async(code_workflow({"n": "result = 1"}), {})
        assert other == {"n": {"result": 1}}
        assert len(ran) == held
        rest = await _all(events)
        assert len(ran) == 300
        assert isinstance(rest[-1], RunFinished)
        assert len(rest) == 2 * 300 - 1 + 1

    on_loop(body)


def test_a_reader_that_leaves_cancels_its_run(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        ended: list[str] = []

        async def awaited(node: Node, **_: Any) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        events = runtime.stream(node_workflow({"a": AwaitingNode(awaited)}))
        async for event in events:
            if isinstance(event, NodeStarted):
                break
        await events.aclose()
        assert ended == ["cancelled"]

    on_loop(body)


def test_streams_run_beside_each_other(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        workflow = code_workflow({f"n{i}": f"result = {i}" for i in range(30)})
        streams = await asyncio.gather(*(_all(runtime.stream(workflow, buffer=4)) for _ in range(10)))
        for events in streams:
            assert len(events) == 62
            assert events[-1].results == {f"n{i}": {"result": i} for i in range(30)}

    on_loop(body)


def test_a_workflow_that_kailash_has_to_run_yields_its_end_alone() -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = 1"})
    workflow = builder.build()

    async def body() -> None:
        async with AsyncLocalRuntime() as runtime:
            runtime._should_skip_conditional_node = lambda *_, **__: False  # as a subclass would
            events = await _all(runtime.stream(workflow))
            assert [type(event) for event in events] == [RunStarted, RunFinished]
        async with AsyncLocalRuntime(strict=True) as runtime:
            runtime._should_skip_conditional_node = lambda *_, **__: False
            with pytest.raises(DelegationError):
                await anext(runtime.stream(workflow))

    asyncio.run(body())


def test_a_buffer_that_could_hold_nothing_is_refused(on_loop: OnLoop) -> None:
    async def body(runtime: AsyncLocalRuntime) -> None:
        with pytest.raises(ValueError, match="buffer is 0"):
            await anext(runtime.stream(code_workflow({"n": "result = 1"}), buffer=0))

    on_loop(body)
