"""What `runtime.metrics()` and Prometheus say of runs that a cache has answered."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kailash.runtime.cancellation import CancellationToken
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from cached_runs.workflows import counted
from nexus_core import ResultCache
from nexus_core.metrics import hide, show
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import code_workflow


def squares(name: str = "squares") -> Workflow:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = x * x"})
    return builder.build(name=name, cacheable=True)


def local(**options: Any) -> LocalRuntime:
    return LocalRuntime(enable_monitoring=False, **options)


def counts(runtime: Any, workflow: Workflow) -> tuple[int, int, int]:
    """Runs, executions of the node, and runs that were not needed."""
    found = runtime.metrics().workflows[workflow.name]
    return found.runs, found.nodes["a"].executions, found.cached


@pytest.mark.parametrize("options", [{}, {"cancellation_token": CancellationToken()}], ids=["one call", "looked at"])
def test_hits_are_counted_beside_runs(options: dict[str, Any]) -> None:
    workflow, other = squares(), code_workflow({"b": "result = 1"})
    with local(cache=True) as runtime:
        for x in [1, 2, 1, 1, 2, 3]:
            runtime.execute(workflow, parameters={"x": x}, **options)
        runtime.execute(other)
        assert counts(runtime, workflow) == (3, 3, 3)
        seen = runtime.metrics()
    assert (seen.runs, seen.cached, seen.workflows[other.name].cached) == (4, 3, 0)
    assert seen.workflows[workflow.name].duration.count == 3
    told = json.loads(json.dumps(seen.as_dict(), default=str))
    assert (told["cached"], told["workflows"][workflow.name]["cached"]) == (3, 3)


def test_hits_of_tasks_are_counted() -> None:
    workflow = squares()

    async def main() -> None:
        async with AsyncLocalRuntime(cache=True) as runtime:
            for x in [1, 2, 1, 1, 2, 3]:
                await runtime.execute_workflow_async(workflow, {"x": x})
            assert counts(runtime, workflow) == (3, 3, 3)
            await runtime.execute_workflow_async(workflow, {"x": 3}, cache=False)
            await runtime.execute_workflow_async(workflow, {"x": 3}, refresh=True)
            assert counts(runtime, workflow) == (5, 5, 3)

    asyncio.run(main())


def test_hits_are_counted_with_run_history() -> None:
    workflow = squares()
    with LocalRuntime(cache=True) as runtime:
        for _ in range(4):
            runtime.execute(workflow, parameters={"x": 1})
        assert counts(runtime, workflow) == (1, 1, 3)


def test_who_waits_for_another_run_needs_none() -> None:
    entered, go = threading.Event(), threading.Event()

    def act(_: Any) -> dict[str, Any]:
        entered.set()
        assert go.wait(30)
        return {"result": 1}

    workflow, _ = counted(act)
    with local(cache=True) as runtime, ThreadPoolExecutor(9) as threads:
        first = threads.submit(runtime.execute, workflow)
        assert entered.wait(30)
        others = [threads.submit(runtime.execute, workflow) for _ in range(8)]
        # Whoever has not come by now finds the results.
        go.set()
        for each in [first, *others]:
            each.result(30)
        found, of_cache = runtime.metrics().workflows["counted"], runtime.engine_statistics()["cache"]["runs"]
    assert (found.runs, found.nodes["node"].executions, found.cached) == (1, 1, 8)
    assert of_cache["hits"] + of_cache["waited"] == 8


def test_a_runtime_that_only_takes_what_another_has_kept() -> None:
    cache, workflow = ResultCache(), squares()
    with local(cache=cache) as one, local(cache=cache) as other:
        one.execute(workflow, parameters={"x": 1})
        for _ in range(3):
            other.execute(workflow, parameters={"x": 1})
        mine, theirs = one.metrics(), other.metrics()
    assert (mine.runs, mine.cached) == (1, 0)
    assert (theirs.runs, theirs.cached) == (0, 3)
    assert theirs.workflows[workflow.name].nodes["a"].executions == 0


def test_what_was_counted_outlives_the_workflow() -> None:
    with local(cache=True) as runtime:
        for _ in range(3):
            # Built anew, it is the same to the cache and to whoever counts.
            for _ in range(2):
                runtime.execute(squares(), parameters={"x": 1})
        found = runtime.metrics().workflows["squares"]
    assert (found.runs, found.cached) == (1, 5)


def test_prometheus_has_a_series_of_its_own() -> None:
    client = pytest.importorskip("prometheus_client")
    labels = {"runtime": "r", "workflow": "squares"}
    with local(cache=True) as runtime:
        assert show(runtime, "r")
        try:
            for x in [1, 1, 2, 1]:
                runtime.execute(squares(), parameters={"x": x})
            cached = client.REGISTRY.get_sample_value("nexus_core_workflow_cached_runs_total", labels)
            runs = client.REGISTRY.get_sample_value(
                "nexus_core_workflow_runs_total", {**labels, "outcome": "completed"}
            )
        finally:
            hide(runtime)
    assert (cached, runs) == (2, 2)
