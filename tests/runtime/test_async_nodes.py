"""Nodes that are awaited run beside each other and beside the synchronous ones."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest
from kailash.nodes.base import Node

from nexus_core.runtime import LocalRuntime

from .support import AwaitingNode, CallingNode, code_workflow, node_workflow


class Both:
    """Two awaited functions that go on only when both have begun."""

    def __init__(self) -> None:
        self._begun = 0
        self._all: asyncio.Event | None = None

    async def attend(self, node: Node, **_: Any) -> str:
        if self._all is None:
            self._all = asyncio.Event()
        self._begun += 1
        if self._begun == 2:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), 20)
        return threading.current_thread().name


def test_independent_awaited_nodes_overlap(runtime: Any) -> None:
    for _ in range(2):
        both = Both()
        workflow = node_workflow({"a": AwaitingNode(both.attend), "b": AwaitingNode(both.attend)})
        results, _ = runtime.execute(workflow)
        here = {"result": threading.current_thread().name}
        assert results == {"a": here, "b": here}


def test_synchronous_nodes_run_while_others_are_awaited(runtime: Any) -> None:
    ended = threading.Event()

    async def wait(node: Node, **_: Any) -> bool:
        for _ in range(2000):
            if ended.is_set():
                return True
            await asyncio.sleep(0.01)
        return False

    def work(node: Node, **_: Any) -> str:
        time.sleep(0.02)
        ended.set()
        return "worked"

    workflow = node_workflow({"a": AwaitingNode(wait), "sync": CallingNode(work)})
    for _ in range(2):
        ended.clear()
        results, _ = runtime.execute(workflow)
        assert results == {"a": {"result": True}, "sync": {"result": "worked"}}


def test_awaited_and_synchronous_nodes_feed_each_other_in_topological_order(runtime: Any) -> None:
    async def double(node: Node, a: Any = 0, b: Any = 0, data: Any = 0, **_: Any) -> Any:
        await asyncio.sleep(0.005)
        return 2 * (a + b + data)

    def add(node: Node, a: Any = 0, b: Any = 0, **_: Any) -> Any:
        return a + b + 1

    workflow = node_workflow(
        {"a": AwaitingNode(double), "b": CallingNode(add), "c": AwaitingNode(double), "d": CallingNode(add)},
        [("a", "b"), ("a", "c"), ("b", "c"), ("b", "d")],
    )
    for _ in range(2):
        results, _ = runtime.execute(workflow, parameters={"a": {"data": 1}})
        assert list(results) == list(workflow.get_execution_order())
        assert {n: output["result"] for n, output in results.items()} == {"a": 2, "b": 3, "c": 10, "d": 4}


def test_a_failed_awaited_leaf_is_recorded_and_one_with_dependents_ends_the_run(runtime: Any) -> None:
    async def fail(node: Node, **_: Any) -> None:
        await asyncio.sleep(0.002)
        raise ValueError("awaited in vain")

    async def fine(node: Node, **_: Any) -> str:
        await asyncio.sleep(0.004)
        return "fine"

    nodes = {"bad": AwaitingNode(fail), "good": AwaitingNode(fine), "after": CallingNode(lambda node, **_: "after")}
    results, _ = runtime.execute(node_workflow(nodes, [("good", "after")]))
    assert "awaited in vain" in results["bad"]["error"]
    assert (results["good"], results["after"]) == ({"result": "fine"}, {"result": "after"})
    with pytest.raises(Exception, match="Node 'bad' failed") as caught:
        runtime.execute(node_workflow(nodes, [("bad", "after")]))
    assert "awaited in vain" in str(caught.value)
    assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}


def test_execute_inside_a_running_loop(runtime: Any) -> None:
    async def nap(node: Node, **_: Any) -> str:
        await asyncio.sleep(0.002)
        return "woke"

    async def caller() -> list[Any]:
        awaited = runtime.execute(node_workflow({"a": AwaitingNode(nap), "b": CallingNode(lambda node, **_: 1)}))
        plain = runtime.execute(code_workflow({"n": "result = 1"}))
        return [awaited[0], plain[0]]

    assert asyncio.run(caller()) == [{"a": {"result": "woke"}, "b": {"result": 1}}, {"n": {"result": 1}}]


def test_execute_async_is_awaited_beside_the_callers_other_tasks(runtime: Any) -> None:
    ticks: list[int] = []

    async def wait(node: Node, **_: Any) -> int:
        seen = len(ticks)
        while len(ticks) < seen + 3:
            await asyncio.sleep(0.001)
        return threading.get_ident()

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0.001)

    async def caller() -> Any:
        ticking = asyncio.create_task(tick())
        results, run_id = await runtime.execute_async(node_workflow({"a": AwaitingNode(wait)}))
        ticking.cancel()
        return results, run_id

    assert asyncio.run(caller()) == ({"a": {"result": threading.get_ident()}}, None)
    assert runtime.engine_statistics()["native_runs"] == 1


def test_context_variables_of_the_caller_reach_awaited_nodes(runtime: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def read(node: Node, **_: Any) -> str:
        await asyncio.sleep(0)
        return variable.get()

    async def caller() -> Any:
        variable.set("task's")
        return await runtime.execute_async(node_workflow({"a": AwaitingNode(read), "b": AwaitingNode(read)}))

    assert asyncio.run(caller())[0] == {"a": {"result": "task's"}, "b": {"result": "task's"}}
    token = variable.set("caller's")
    try:
        results, _ = runtime.execute(node_workflow({"a": AwaitingNode(read)}))
    finally:
        variable.reset(token)
    assert results == {"a": {"result": "caller's"}}


def test_max_concurrency_one_awaits_one_node_after_the_other() -> None:
    inside: list[str] = []
    order: list[str] = []

    def node(name: str) -> AwaitingNode:
        async def run(node: Node, **_: Any) -> None:
            assert inside == []
            inside.append(name)
            order.append(name)
            await asyncio.sleep(0.003)
            inside.clear()

        return AwaitingNode(run)

    workflow = node_workflow({f"n{i}": node(f"n{i}") for i in range(4)})
    with LocalRuntime(enable_monitoring=False, strict=True, max_concurrency=1) as runtime:
        results, _ = runtime.execute(workflow)
    assert not [output for output in results.values() if "error" in output]
    assert order == list(results) == list(workflow.get_execution_order())


def test_an_awaited_node_may_run_workflows_itself(runtime: Any) -> None:
    inner = code_workflow({"n": "result = x"})

    async def nest(node: Node, data: Any = None, **_: Any) -> Any:
        awaited, _ = await runtime.execute_async(inner, parameters={"n": {"x": data}})
        called, _ = runtime.execute(inner, parameters={"n": {"x": -data}})
        return [awaited["n"]["result"], called["n"]["result"]]

    workflow = node_workflow({"a": AwaitingNode(nest), "b": AwaitingNode(nest)})
    results, _ = runtime.execute(workflow, parameters={"a": {"data": 1}, "b": {"data": 2}})
    assert results == {"a": {"result": [1, -1]}, "b": {"result": [2, -2]}}


def test_cancelling_the_awaiting_task_ends_the_run_and_leaves_the_runtime_usable(runtime: Any) -> None:
    began = asyncio.Event()
    after: list[int] = []

    async def wait(node: Node, **_: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    workflow = node_workflow(
        {"a": AwaitingNode(wait), "after": CallingNode(lambda node, **_: after.append(1))}, [("a", "after")]
    )

    async def caller() -> None:
        task = asyncio.create_task(runtime.execute_async(workflow))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(caller())
    assert after == []
    assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}


def test_threads_may_use_one_runtime_for_awaited_nodes() -> None:
    async def nap(node: Node, data: Any = None, **_: Any) -> Any:
        await asyncio.sleep(0.01)
        return data

    workflow = node_workflow({"a": AwaitingNode(nap)})
    found: dict[int, Any] = {}
    with LocalRuntime(enable_monitoring=False, strict=True) as runtime:

        def work(number: int) -> None:
            found[number] = runtime.execute(workflow, parameters={"a": {"data": number}})[0]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {number: {"a": {"result": number}} for number in range(8)}
