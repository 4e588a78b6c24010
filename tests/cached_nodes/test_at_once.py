"""Identical nodes that run at once run once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import NodeParameter
from kailash.nodes.base_async import AsyncNode
from kailash.runtime.cancellation import CancellationToken
from kailash.sdk_exceptions import WorkflowCancelledError
from kailash.workflow.graph import Workflow

from nexus_core.cached_runs import ResultCache
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

from .support import AsyncTraced, Traced, count, node_workflow, on_loop
from .waiting import auntil, until, waiting

KINDS = pytest.mark.parametrize("make", [Traced, AsyncTraced])


@KINDS
def test_threads_that_want_the_same_node_run_it_once(make: Any, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"

    def run(number: int) -> Any:
        with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
            inputs = {"a": {"trace": str(trace), "seconds": 0.3, "answer": [1]}}
            return runtime.execute(node_workflow(make()), parameters=inputs)[0]

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(run, range(16)))
    assert count(trace) == 1
    assert all(result == results[0] for result in results)
    assert len({id(result["a"]["answer"]) for result in results}) == 16
    told = cache.node_runs.as_dict()
    assert (told["misses"], told["hits"] + told["waited"]) == (1, 15)


@KINDS
def test_tasks_that_want_the_same_node_run_it_once(make: Any, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    workflow = node_workflow(make())

    async def body(runtime: Any) -> list[Any]:
        inputs = {"a": {"trace": str(trace), "seconds": 0.3, "answer": [1]}}
        return await asyncio.gather(*(runtime.execute_workflow_async(workflow, inputs) for _ in range(100)))

    results = on_loop(body, cache, thread_pool_size=2)
    assert count(trace) == 1
    assert len({id(result["a"]["answer"]) for result, _ in results}) == 100
    told = cache.node_runs.as_dict()
    assert (told["misses"], told["hits"] + told["waited"]) == (1, 99)


@KINDS
def test_both_runtimes_share_what_they_run(make: Any, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    inputs = {"a": {"trace": str(trace), "seconds": 0.4, "answer": [1]}}

    def local() -> Any:
        with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
            return runtime.execute(node_workflow(make()), parameters=inputs)[0]

    async def body(runtime: Any) -> Any:
        return (await runtime.execute_workflow_async(node_workflow(make()), inputs))[0]

    with ThreadPoolExecutor(6) as pool:
        results = [pool.submit(local) for _ in range(3)] + [pool.submit(on_loop, body, cache) for _ in range(3)]
        answers = [result.result(60) for result in results]
    assert count(trace) == 1
    assert all(answer == answers[0] for answer in answers)


@KINDS
def test_nodes_that_are_the_same_in_one_run_run_once(make: Any, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={f"n{i}": True for i in range(6)}), tmp_path / "trace"
    workflow = Workflow("same", "same")
    for number in range(6):
        workflow.add_node(f"n{number}", make(trace=str(trace), seconds=0.2, answer=[1]))
    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
        results, _ = runtime.execute(workflow)
    assert list(results) == [f"n{number}" for number in range(6)]
    assert count(trace) == 1

    async def body(runtime: Any) -> Any:
        return (await runtime.execute_workflow_async(workflow, {}))[0]

    cache.clear()
    assert on_loop(body, cache) == results
    assert count(trace) == 2


@KINDS
def test_a_failure_reaches_all_and_is_not_kept(make: Any, tmp_path: Path) -> None:
    cache, trace, gate = ResultCache(nodes={"a": True}), tmp_path / "trace", tmp_path / "gate"
    workflow = node_workflow(make())
    inputs = {"a": {"trace": str(trace), "gate": str(gate), "fails": "on purpose"}}

    async def body(runtime: Any) -> list[Any]:
        runs = [asyncio.create_task(runtime.execute_workflow_async(workflow, inputs)) for _ in range(8)]
        await auntil(lambda: waiting(cache) == 7)
        gate.touch()
        return await asyncio.gather(*runs, return_exceptions=True)

    failures = on_loop(body, cache)
    assert all("on purpose" in str(failure) and isinstance(failure, Exception) for failure in failures)
    assert count(trace) == 1
    assert len(cache) == 0

    async def again(runtime: Any) -> None:
        with pytest.raises(Exception, match="on purpose"):
            await runtime.execute_workflow_async(workflow, inputs)

    on_loop(again, cache)
    assert count(trace) == 2


def test_a_failure_reaches_threads_too(tmp_path: Path) -> None:
    cache, trace, gate = ResultCache(nodes={"a": True}), tmp_path / "trace", tmp_path / "gate"
    inputs = {"a": {"trace": str(trace), "gate": str(gate), "fails": "on purpose"}}

    def run() -> str:
        with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
            record = runtime.execute(node_workflow(Traced()), parameters=inputs)[0]["a"]
        assert record["failed"] is True
        return str(record["error"])

    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(run) for _ in range(8)]
        until(lambda: waiting(cache) == 7)
        gate.touch()
        failures = {each.result(60) for each in runs}
    assert len(failures) == 1
    assert "on purpose" in failures.pop()
    assert count(trace) == 1


@KINDS
def test_what_nobody_can_copy_is_run_by_each(make: Any, tmp_path: Path) -> None:
    class Locks(make):  # type: ignore[misc]
        def validate_outputs(self, outputs: Any) -> Any:
            import threading

            return {"lock": threading.Lock(), **outputs}

    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    workflow = node_workflow(Locks())

    async def body(runtime: Any) -> list[Any]:
        inputs = {"a": {"trace": str(trace), "seconds": 0.1}}
        return await asyncio.gather(*(runtime.execute_workflow_async(workflow, inputs) for _ in range(5)))

    results = on_loop(body, cache)
    assert len({id(result["a"]["lock"]) for result, _ in results}) == 5
    assert count(trace) == 5


def test_a_cancelled_leader_hands_over(tmp_path: Path) -> None:
    cache, trace, gate = ResultCache(nodes={"a": True}), tmp_path / "trace", tmp_path / "gate"
    workflow = node_workflow(AsyncTraced())

    async def body(runtime: Any) -> Any:
        inputs = {"a": {"trace": str(trace), "gate": str(gate), "answer": 1}}
        leader = asyncio.create_task(runtime.execute_workflow_async(workflow, inputs))
        await auntil(lambda: count(trace) == 1)
        others = [asyncio.create_task(runtime.execute_workflow_async(workflow, inputs)) for _ in range(5)]
        await auntil(lambda: waiting(cache) == 5)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        await auntil(lambda: count(trace) == 2)
        gate.touch()
        return await asyncio.gather(*others)

    results = on_loop(body, cache)
    assert [result["a"]["answer"] for result, _ in results] == [1] * 5
    assert count(trace) == 2


@KINDS
def test_whoever_waits_may_be_cancelled_and_keeps_its_time_limits(make: Any, tmp_path: Path) -> None:
    cache, trace, gate = ResultCache(nodes={"a": True}), tmp_path / "trace", tmp_path / "gate"
    workflow = node_workflow(make())

    async def body(runtime: Any) -> Any:
        inputs = {"a": {"trace": str(trace), "gate": str(gate), "answer": 1}}
        leader = asyncio.create_task(runtime.execute_workflow_async(workflow, inputs))
        await auntil(lambda: count(trace) == 1)
        passenger = asyncio.create_task(runtime.execute_workflow_async(workflow, inputs))
        await auntil(lambda: waiting(cache) == 1)
        passenger.cancel()
        with pytest.raises(asyncio.CancelledError):
            await passenger
        async with AsyncLocalRuntime(execution_timeout=0.2, cache=cache) as impatient:
            with pytest.raises(TimeoutError):
                await impatient.execute_workflow_async(workflow, inputs)
        assert not leader.done()
        gate.touch()
        return (await leader)[0]

    assert on_loop(body, cache)["a"]["answer"] == 1
    assert count(trace) == 1


def test_a_thread_that_waits_heeds_its_token_and_its_time_limit(tmp_path: Path) -> None:
    cache, trace, gate = ResultCache(nodes={"a": True}), tmp_path / "trace", tmp_path / "gate"
    inputs = {"a": {"trace": str(trace), "gate": str(gate), "answer": 1}}

    def run(**options: Any) -> Any:
        with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
            return runtime.execute(node_workflow(Traced()), parameters=inputs, **options)[0]

    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(run)
        until(lambda: count(trace) == 1)
        token = CancellationToken()
        cancelled = pool.submit(run, cancellation_token=token)
        until(lambda: waiting(cache) == 1)
        token.cancel("no longer wanted")
        with pytest.raises(WorkflowCancelledError):
            cancelled.result(60)
        limited = pool.submit(run, soft_time_limit=0.3)
        with pytest.raises(Exception, match="soft"):
            limited.result(60)
        assert not leader.done()
        assert waiting(cache) == 0
        gate.touch()
        assert leader.result(60)["a"]["answer"] == 1
    assert count(trace) == 1


def test_a_run_on_a_loop_that_must_not_be_blocked_runs_the_node_itself(tmp_path: Path) -> None:
    cache, trace, gate = ResultCache(nodes={"a": True}), tmp_path / "trace", tmp_path / "gate"
    inputs = {"a": {"trace": str(trace), "gate": str(gate), "answer": 1}}

    def open_for_both() -> None:
        until(lambda: count(trace) == 2)
        gate.touch()

    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime, ThreadPoolExecutor(2) as pool:
        leader = pool.submit(runtime.execute, node_workflow(Traced()), parameters=inputs)
        until(lambda: count(trace) == 1)
        opened = pool.submit(open_for_both)

        async def main() -> Any:
            return (await runtime.execute_async(node_workflow(Traced()), parameters=inputs))[0]

        assert asyncio.run(main())["a"]["answer"] == 1
        opened.result(60)
        leader.result(60)
    assert count(trace) == 2
    assert any("does not wait" in reason for reason in cache.node_runs.as_dict()["bypassed"])


#: What the node below calls; no part of its key.
CALLED: list[Any] = []


class CallsBack(AsyncNode):
    """Has another workflow run on the runtime that it is in."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {}

    async def async_run(self, **inputs: Any) -> dict[str, Any]:
        import importlib

        return {"answer": await importlib.import_module("cached_nodes.test_at_once").CALLED[0]()}


def test_awaited_nodes_that_wait_hold_no_place_that_the_one_needs_that_runs(tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    inner = node_workflow(AsyncTraced(answer=1), "inner")
    inner._node_instances["a"].cacheable = False

    workflow = node_workflow(CallsBack())

    async def body(runtime: Any) -> Any:
        async def once_others_wait() -> Any:
            await auntil(lambda: waiting(cache) == 2)
            return (await runtime.execute_workflow_async(inner, {"a": {"trace": str(trace)}}))[0]["a"]["answer"]

        CALLED[:] = [once_others_wait]
        runs = (runtime.execute_workflow_async(workflow, {}) for _ in range(3))
        return await asyncio.wait_for(asyncio.gather(*runs), 60)

    results = on_loop(body, cache, max_concurrent_nodes=3)
    assert [result["a"]["answer"] for result, _ in results] == [1] * 3
    assert count(trace) == 1  # of the inner workflow
