"""Cached nodes with what else runs have: checkpoints, subscribers, tiers, resources, the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from kailash.resources import ResourceRegistry
from kailash.runtime.durable import NodeCompletionEvent
from kailash.sdk_exceptions import SoftTimeLimitExceeded
from kailash.workflow.graph import Workflow

from durable.support import RecordingStore
from nexus_core.cache_tiers import SQLiteTier
from nexus_core.cached_runs import ResultCache
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

from .support import AsyncTraced, Kind, Traced, both, code_workflow, count, node_workflow, on_loop, runs_on
from .waiting import auntil

KINDS = pytest.mark.parametrize("make", [Traced, AsyncTraced])


def chain(make: Any, trace: Path, seconds: float = 0.0) -> Workflow:
    """The node ``a``, which is traced, and ``b``, which follows it."""
    workflow = Workflow("chain", "chain")
    workflow.add_node("a", make(trace=str(trace), answer=[1], seconds=seconds))
    workflow.add_node("b", Traced(trace=str(trace.with_name("after"))))
    workflow.connect("a", "b", {"answer": "x"})
    return workflow


@KINDS
def test_durable_runs_share_nodes_and_save_each_of_their_own(make: Any, tmp_path: Path) -> None:
    cache, store, trace = ResultCache(nodes={"a": True}), RecordingStore(), tmp_path / "trace"
    workflow = chain(make, trace, 0.3)

    async def body(runtime: Any) -> Any:
        runs = (runtime.execute_workflow_async(workflow, {}, idempotency_key=f"run {n}") for n in range(12))
        return await asyncio.gather(*runs)

    results = on_loop(body, cache, checkpoint_store=store, checkpoint_after_each_node=True, thread_pool_size=2)
    assert all(result["b"]["x"] == [1] for result, _ in results)
    assert count(trace) == 1
    assert count(trace.with_name("after")) == 12
    assert len(store.kept) == 12


@KINDS
@both
def test_subscribers_hear_of_nodes_that_were_kept(kind: Kind, make: Any, tmp_path: Path) -> None:
    cache, trace, heard = ResultCache(nodes={"a": True}), tmp_path / "trace", []
    workflow = chain(make, trace)

    def hear(event: NodeCompletionEvent) -> None:
        heard.append((event.node_id, dict(event.outputs), event.error))

    for _ in range(2):
        if kind == "local":
            with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
                runtime.on_node_complete(hear)
                runtime.execute(workflow)
        else:

            async def body(runtime: Any) -> None:
                runtime.on_node_complete(hear)
                await runtime.execute_workflow_async(workflow, {})

            on_loop(body, cache)
    assert heard[:2] == heard[2:]
    assert [node_id for node_id, *_ in heard] == ["a", "b"] * 2
    assert count(trace) == 1


@KINDS
@both
def test_nodes_are_shared_through_a_tier(kind: Kind, make: Any, tmp_path: Path) -> None:
    trace, workflow = tmp_path / "trace", node_workflow(make(trace=str(tmp_path / "trace"), answer={"rows": [1, 2.5]}))
    answers = []
    for _ in range(3):
        with ResultCache(nodes={"a": True}, tier=SQLiteTier(tmp_path / "tier.db")) as cache:
            answers += [runs_on(kind, cache)(workflow) for _ in range(2)]
    assert all(answer == answers[0] for answer in answers)
    assert count(trace) == 1


def test_other_resources_are_another_key(tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    workflow = node_workflow(AsyncTraced(trace=str(trace)))

    async def body(runtime: Any) -> None:
        await runtime.execute_workflow_async(workflow, {})

    one, other = ResourceRegistry(), ResourceRegistry()
    for registry in (one, other, one, other):
        on_loop(body, cache, resource_registry=registry)
    assert count(trace) == 2


def test_runs_that_are_given_credentials_or_a_user_cache_no_nodes(tmp_path: Path) -> None:
    from kailash.access_control import UserContext

    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    workflow = node_workflow(Traced(trace=str(trace)))
    user = UserContext(user_id="ada", tenant_id="t", email="ada@example.org")
    for _ in range(2):
        runs_on("local", cache, user_context=user)(workflow)
    assert count(trace) == 2
    assert cache.node_runs.as_dict()["bypassed"] == {"the runtime runs for a user": 2}


@both
def test_whole_runs_and_nodes_are_cached_together(kind: Kind, tmp_path: Path) -> None:
    cache, trace = ResultCache(workflows={"both": True}, nodes={"a": True}), tmp_path / "trace"
    from .support import TRACE

    workflow = code_workflow(TRACE + "result = y", "both")
    run = runs_on(kind, cache)
    for _ in range(3):
        assert run(workflow, y=1, trace=str(trace)) == {"a": {"result": 1}}
    assert count(trace) == 1
    cache.clear()
    assert run(workflow, y=1, trace=str(trace)) == {"a": {"result": 1}}
    assert count(trace) == 2


def test_caches_and_workflows_are_collected_after_their_last_use(tmp_path: Path) -> None:
    kept = Traced(trace=str(tmp_path / "trace"))
    lasting = node_workflow(kept)
    cache = ResultCache(nodes={"a": True})
    passing = node_workflow(Traced(trace=str(tmp_path / "trace")))
    for workflow in (lasting, passing):
        for kind in ("local", "async"):
            runs_on(kind, cache)(workflow)
    gone = [weakref.ref(passing), weakref.ref(passing._node_instances["a"])]
    del passing, workflow
    for _ in range(3):
        gc.collect()
    assert [reference() for reference in gone] == [None, None]
    gone = [weakref.ref(cache)]
    del cache
    for _ in range(3):
        gc.collect()
    assert [reference() for reference in gone] == [None]
    assert lasting._node_instances["a"] is kept


def test_what_is_kept_is_taken_on_the_loop_and_what_is_missing_runs_elsewhere() -> None:
    cache, here = ResultCache(nodes={"a": True}), threading.main_thread().name
    workflow = code_workflow("result = [x]")

    async def body(runtime: Any) -> tuple[list[str], Any]:
        threads = []
        runtime.enable_trace()
        for x in [0] * 40 + [1]:
            assert (await runtime.execute_workflow_async(workflow, {"x": x}))[0]["a"]["result"] == [x]
            threads.append(runtime.last_trace()[0][1])
        return threads, runtime.explain(workflow)

    threads, explained = on_loop(body, cache)
    assert "loop's own thread" in str(explained)
    assert threads[0] != here
    assert threads[20:40] == [here] * 20
    assert threads[40] != here
    assert cache.node_runs.as_dict()["misses"] == 2


def test_an_impatient_runtime_leaves_a_parked_node(tmp_path: Path) -> None:
    cache, trace, gate = ResultCache(nodes={"a": True}), tmp_path / "trace", tmp_path / "gate"
    workflow = node_workflow(Traced(trace=str(trace), gate=str(gate)))

    async def main() -> None:
        async with AsyncLocalRuntime(cache=cache) as runtime:
            leader = asyncio.create_task(runtime.execute_workflow_async(workflow, {}))
            await auntil(lambda: count(trace) == 1)
            with pytest.raises(SoftTimeLimitExceeded):
                await runtime.execute_workflow_async(workflow, {}, soft_time_limit=0.1)
            assert not leader.done()
            gate.touch()
            await leader

    asyncio.run(main())
    assert count(trace) == 1
