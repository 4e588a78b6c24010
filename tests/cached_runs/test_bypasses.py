"""Runs in which more than the inputs takes part are not cached, and it is said why."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import weakref
from pathlib import Path
from typing import Any

import pytest
from kailash.runtime.async_local import ExecutionContext
from kailash.tracking import TaskManager
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.credentials import get_credential_store

from nexus_core import ResultCache, last_cache_outcome
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

from .workflows import answer, code, counted, local, on_loop


def why(runtime: LocalRuntime, workflow: Any, **options: Any) -> str | None:
    """Why a run was bypassed that would have been a hit otherwise."""
    runtime.execute(workflow, **options)
    status, reason = answer()
    assert status == "bypass"
    return reason


def test_what_a_call_gives_beside_the_inputs(tmp_path: Path) -> None:
    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": 1})
    runtime.execute(workflow)
    assert why(runtime, workflow, task_manager=TaskManager()) == "a task manager is given"
    assert why(runtime, workflow, idempotency_key="k") == "an idempotency key is given"
    assert why(runtime, workflow, search_attributes={"a": "b"}) == "search attributes are given"
    context: dict[str, Any] = {}
    assert why(runtime, workflow, parameters={"workflow_context": context}) == "the caller gives a workflow context"
    assert context, "the context is filled"
    assert calls.count == 5
    runtime.enable_trace()
    assert why(runtime, workflow) == "the run is traced"
    assert runtime.last_trace()
    runtime.enable_trace(False)
    runtime.execute(workflow)
    assert answer()[0] == "hit"


def test_inputs_that_are_none_are_refused_as_without_a_cache() -> None:
    workflow = code("result = 1")

    async def run(runtime: AsyncLocalRuntime) -> None:
        for _ in range(3):
            await runtime.execute_workflow_async(workflow, {})
        with pytest.raises(TypeError, match="'NoneType' object is not iterable"):
            await runtime.execute_workflow_async(workflow, None)  # type: ignore[arg-type]

    asyncio.run(run(on_loop(None)))
    asyncio.run(run(on_loop(True)))


def test_credentials_for_the_run() -> None:
    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": 1})
    runtime.execute(workflow)
    store = get_credential_store()
    store._store["key"] = object()
    try:
        assert why(runtime, workflow) == "credentials are given for the run"
        assert not store._store, "the run has cleared them"
    finally:
        store.clear()
    assert calls.count == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"user_context": object()}, "the runtime runs for a user"),
        ({"secret_provider": object()}, "the runtime provides secrets"),
        ({"enable_audit": True}, "Kailash runs it: audit logging is Kailash's"),
        ({"retry_policy_config": {"default_strategy": {"type": "fixed_delay"}}}, None),
    ],
)
def test_what_a_runtime_does_beside(options: dict[str, Any], reason: str | None) -> None:
    cache = ResultCache()
    workflow, _calls = counted(lambda data: {"result": 1})
    local(cache).execute(workflow)
    runtime = local(cache, **options)
    runtime.execute(workflow)
    status, told = answer()
    if reason is None:
        assert status in ("bypass", "hit")
    else:
        assert (status, told) == ("bypass", reason)


def test_trust_and_replaced_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": 1})
    runtime.execute(workflow)
    from kailash.runtime.trust import RuntimeTrustContext, runtime_trust_context

    with runtime_trust_context(RuntimeTrustContext(trace_id="t")):
        assert why(runtime, workflow) == "Kailash runs it: trust verification is Kailash's"
    monkeypatch.setattr(LocalRuntime, "_should_skip_conditional_node", lambda *_: False)
    assert "is replaced" in str(why(runtime, workflow))
    assert calls.count == 3


def test_a_subclass_of_the_runtime_runs_as_it_does() -> None:
    class Own(LocalRuntime):
        pass

    runtime: Any = Own(enable_monitoring=False, cache=True).mark_externally_managed()
    try:
        workflow, _calls = counted(lambda data: {"result": 1})
        assert why(runtime, workflow) == "the runtime is of a subclass, which may run workflows in its own way"
    finally:
        runtime.close()


def test_a_given_execution_context_is_filled() -> None:
    runtime = on_loop(True)
    workflow, calls = counted(lambda data: {"result": 1})

    async def main() -> None:
        await runtime.execute_workflow_async(workflow, {})
        context = ExecutionContext()
        await runtime.execute_workflow_async(workflow, {}, context)
        assert answer() == ("bypass", "an execution context is given")
        assert context.metrics.total_duration > 0
        await runtime.execute_workflow_async(workflow, {}, idempotency_key="k")
        assert answer() == ("bypass", "an idempotency key is given")

    asyncio.run(main())
    assert calls.count == 3


def test_subscribers_are_told_of_every_node() -> None:
    runtime = on_loop(True)
    workflow, calls = counted(lambda data: {"result": 1})

    async def main() -> list[Any]:
        await runtime.execute_workflow_async(workflow, {})
        told: list[Any] = []

        async def tell(event: Any) -> None:
            told.append(event)

        runtime._hook_registry.register(tell)
        await runtime.execute_workflow_async(workflow, {})
        assert answer() == ("bypass", "somebody is told of every node")
        return told

    assert len(asyncio.run(main())) == 1
    assert calls.count == 2


def test_a_stateful_node_is_never_answered_from_the_cache() -> None:
    from kailash.workflow.graph import Workflow

    from differential.custom_nodes import CUSTOM

    runtime = local(True)
    workflow = Workflow("stateful", "stateful", metadata={"cacheable": True})
    workflow.add_node("node", CUSTOM["StatefulNode"]())
    results = [runtime.execute(workflow)[0] for _ in range(3)]
    assert results[0] != results[1] != results[2]
    assert answer() == ("miss", "the workflow changed while it ran")


def test_a_hit_is_one_line_of_run_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kailash" / "tracking").mkdir(parents=True)
    runtime = local(True, enable_monitoring=True)
    workflow = code()
    runs = [runtime.execute(workflow, parameters={"x": 1})[1] for _ in range(3)]
    assert answer()[0] == "hit"
    assert len(set(runs)) == 3
    assert runtime.flush_history(30)
    with sqlite3.connect(tmp_path / ".kailash" / "tracking" / "tracking.db") as database:
        rows = database.execute("SELECT run_id, status, workflow_name FROM workflow_runs").fetchall()
        tasks = database.execute("SELECT run_id FROM tasks").fetchall()
    database.close()
    assert sorted(rows) == sorted((run_id, "completed", workflow.name) for run_id in runs)
    assert tasks == [(runs[0],)]


def test_explaining_says_what_is_cached_and_why_not() -> None:
    runtime = local(ResultCache(name="mine", ttl=60))
    assert runtime.explain(code("result = 1")).notes[-1] == "results are cached for 60 s, in 'mine'"
    silent = runtime.explain(code("result = 1", cacheable=None)).notes[-1]
    assert silent == "results are not cached: the workflow does not say that it may be cached"
    keyless = code("result = 1")
    keyless._node_instances["node"].config["held"] = object()
    assert "['held'], of type object, has no key" in runtime.explain(keyless).notes[-1]
    changing = code("result = 1")
    changing._node_instances["node"].config["held"] = bytearray(b"x")
    assert "its key is computed anew for every run" in runtime.explain(changing).notes[-1]
    assert "results are cached" in on_loop(True).explain(code("result = 1")).notes[-1]
    assert runtime.engine_statistics()["cache"]["runs"]["bypassed"] == {}, "nothing has run"


def test_what_changes_unnoticed_is_still_noticed() -> None:
    runtime = local(True)
    held = bytearray(b"a")
    workflow, _calls = counted(lambda data: {"result": list(held)})
    workflow._node_instances["node"].config["held"] = held
    found = []
    for _ in range(2):
        found.append((runtime.execute(workflow)[0]["node"]["result"], answer()[0]))
    held[0] = 98
    found.append((runtime.execute(workflow)[0]["node"]["result"], answer()[0]))
    assert found == [([97], "miss"), ([97], "hit"), ([98], "miss")]


def test_workflows_that_are_gone_are_forgotten() -> None:
    runtime = local(True)
    assert runtime._cached_runs is not None
    for _ in range(5):
        workflow, _calls = counted(lambda data: {"result": 1})
        runtime.execute(workflow)
        gone = weakref.ref(workflow)
        del workflow
    gc.collect()
    assert gone() is None
    assert len(runtime._cached_runs._known) == 0


def test_a_runtime_with_a_cache_is_collected() -> None:
    runtime = AsyncLocalRuntime(cache=True)
    runtime.execute(code("result = 1"))
    runtime.close()
    gone = weakref.ref(runtime)
    del runtime
    gc.collect()
    assert gone() is None


def test_cycles_are_cached_by_the_local_runtime() -> None:
    builder = WorkflowBuilder()
    builder.add_node(
        "PythonCodeNode", "node", {"code": "try:\n    seen = n\nexcept NameError:\n    seen = 0\nresult = seen + 1"}
    )
    runtime = local(True)
    workflow = builder.build(cacheable=True)
    workflow.create_cycle("again").connect("node", "node", {"result": "n"}).max_iterations(3).build()
    first = runtime.execute(workflow, parameters={"node": {"n": 0}})[0]
    assert answer()[0] == "miss"
    assert runtime.execute(workflow, parameters={"node": {"n": 0}})[0] == first
    assert answer()[0] == "hit"


def test_nobody_has_run_anything_here() -> None:
    import threading

    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(last_cache_outcome()))
    thread.start()
    thread.join()
    assert seen == [None]
