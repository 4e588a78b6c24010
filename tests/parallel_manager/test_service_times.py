"""What counts as a workflow's service time, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

import nexus_core
from apps import code_workflow, function_workflow
from nexus_core import ParallelExecutionManager, PerformanceOptimizer

_SLEEP = "import time\ntime.sleep(0.02)\nresult = 1"


@pytest.fixture
def cached(make_app: Callable[[], Any]) -> Any:
    """An app that keeps the results of its workflow."""
    app = make_app()
    nexus_core.attach(app, cache=True)
    workflow = code_workflow(_SLEEP)
    workflow.metadata["cacheable"] = True
    app.register("kept", workflow)
    return app


def test_an_answer_from_the_cache_is_no_run(cached: Any) -> None:
    manager = ParallelExecutionManager(cached)
    reply = asyncio.run(manager.execute_concurrent_workflows("kept", [{}] * 30, max_concurrency=1))
    assert reply["completed"] == 30
    figures = manager.optimize_for_throughput("kept", 10)["figures"]
    assert figures["runs_measured"] == 1
    assert figures["service_time"] >= 0.02
    # Nor does it take CPU time of a run.
    assert manager._measured["kept"][2]._cpu_runs == 1


def test_what_the_caller_was_answered_before_is_nothing_to_a_batch(cached: Any) -> None:
    cached.register("other", code_workflow(_SLEEP))
    runtime, manager = cached.runtime, ParallelExecutionManager(cached)

    async def main() -> None:
        for _ in range(2):
            await runtime.execute_workflow_async(cached._workflows["kept"], {})
        assert nexus_core.last_cache_outcome().status == "hit"  # type: ignore[union-attr]
        await manager.execute_concurrent_workflows("other", [{}] * 5, max_concurrency=1)

    asyncio.run(main())
    assert manager.optimize_for_throughput("other", 10)["figures"]["runs_measured"] == 5


def test_measuring_passes_the_cache_by(cached: Any) -> None:
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        return 1

    workflow = function_workflow(call)
    workflow.metadata["cacheable"] = True
    cached.register("counted", workflow)
    manager = ParallelExecutionManager(cached)
    found = manager.optimize_for_throughput("counted", 10, sample_inputs={}, runs=7)
    assert (found["figures"]["runs_measured"], len(calls)) == (7, 8)


def test_runs_that_stand_in_line_for_their_turn_do_not_count(make_app: Callable[[], Any]) -> None:
    app = make_app()
    nexus_core.attach(app, max_concurrent_nodes=20, thread_pool_size=20)
    app.register("slow", code_workflow(_SLEEP))
    optimizer, manager = PerformanceOptimizer(app), ParallelExecutionManager(app)
    optimizer.optimize_workflow_execution("slow", max_concurrent_executions=2)
    asyncio.run(manager.execute_concurrent_workflows("slow", [{}] * 40, max_concurrency=20))
    found = manager.optimize_for_throughput("slow", 500)
    # Of twenty at once each takes ten times as long.
    assert found["figures"]["service_time_method"] == "utilization law"
    assert "at most 2 runs are under way at once" in found["explanation"][-1]
    optimizer.revert()
    assert "at most 2" not in manager.optimize_for_throughput("slow", 500)["explanation"][-1]


def test_another_workflow_under_the_name_is_measured_anew(app: Any) -> None:
    app.register("changing", code_workflow(_SLEEP))
    manager = ParallelExecutionManager(app)
    measured = manager.optimize_for_throughput("changing", 10, sample_inputs={}, runs=3)
    assert measured["based_on"]["thread_pool_size"] == "measured"
    app.deregister("changing")
    app.register("changing", code_workflow())
    assert manager.optimize_for_throughput("changing", 10)["based_on"]["thread_pool_size"] == "guide"


def test_another_runtime_is_measured_anew(app: Any) -> None:
    app.register("slow", code_workflow(_SLEEP))
    manager = ParallelExecutionManager(app)
    manager.optimize_for_throughput("slow", 10, sample_inputs={}, runs=3)
    nexus_core.detach(app)
    assert manager.optimize_for_throughput("slow", 10)["based_on"]["thread_pool_size"] == "guide"


def test_percentiles_are_those_of_the_batches(app: Any) -> None:
    app.register("sleeping", code_workflow("import time\ntime.sleep(x)\nresult = 1"))
    manager = ParallelExecutionManager(app)
    batches = [{"x": number % 17 / 2000} for number in range(300)]
    reply = asyncio.run(manager.execute_concurrent_workflows("sleeping", batches))
    seconds = sorted(batch["seconds"] for batch in reply["results"])
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)):
        place = max(0, -(-int(share * 3000) // 10) - 1)  # the nearest rank
        assert reply["percentiles"][name] == pytest.approx(seconds[place], rel=0.001), name


# --- cancelling -------------------------------------------------------------------------


def test_a_node_that_keeps_the_cancellation_for_itself_is_the_last(app: Any) -> None:
    begun: list[int] = []

    async def main(ways: str) -> dict[str, Any]:
        manager = ParallelExecutionManager(app)

        async def execute(batch: Any) -> dict[str, Any]:
            begun.append(1)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(600)
            return {"node": {"result": 1}}

        from nexus_core.parallel_execution.batch_run import BatchRun

        run = BatchRun(execute, [{}] * 6, 2, None, None, True)
        running = asyncio.ensure_future(manager._executed("slow", run, 2))
        while len(begun) < 2:
            await asyncio.sleep(0)
        manager.cancel() if ways == "manager" else running.cancel()
        try:
            return await running
        except asyncio.CancelledError:
            return {"results": run.replies()}

    app.register("slow", code_workflow())
    for ways in ("manager", "task"):
        begun.clear()
        reply = asyncio.run(main(ways))
        assert len(begun) == 2
        assert [batch["status"] for batch in reply["results"]] == ["completed"] * 2 + ["cancelled"] * 4


def test_a_batch_that_is_cancelled_has_taken_its_time_and_is_told_of(app: Any) -> None:
    app.register(
        "forever", code_workflow("import asyncio\nawait asyncio.sleep(600)\nresult = 1", "AsyncPythonCodeNode")
    )
    told: list[dict[str, Any]] = []
    manager = ParallelExecutionManager(app)

    async def main() -> dict[str, Any]:
        running = asyncio.ensure_future(
            manager.execute_concurrent_workflows("forever", [{}] * 5, max_concurrency=2, on_batch=told.append)
        )
        while not manager._active:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        manager.cancel()
        return await running

    reply = asyncio.run(main())
    assert [batch["seconds"] > 0 for batch in reply["results"]] == [True, True, False, False, False]
    assert [batch["batch_id"] for batch in told] == [0, 1]


def test_runs_inside_of_runs_wait_for_nobody(app: Any) -> None:
    manager, optimizer = ParallelExecutionManager(app), PerformanceOptimizer(app)

    def call() -> int:
        reply = asyncio.run(manager.execute_concurrent_workflows("inner", [{}] * 3, max_concurrency=1))
        return int(reply["completed"])

    app.register("inner", code_workflow())
    app.register("outer", function_workflow(call))
    for name in ("inner", "outer"):
        optimizer.optimize_workflow_execution(name, max_concurrent_executions=1)

    async def main() -> dict[str, Any]:
        return await asyncio.wait_for(
            manager.execute_concurrent_workflows("outer", [{}] * 6, max_concurrency=6), timeout=60
        )

    assert [batch["result"]["node"]["result"] for batch in asyncio.run(main())["results"]] == [3] * 6


# --- bad input --------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused(app: Any) -> None:
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)

    async def on_batch(batch: dict[str, Any]) -> None: ...

    with pytest.raises(TypeError, match="on_batch must be a function that is not async"):
        asyncio.run(manager.execute_concurrent_workflows("quick", [{}], on_batch=on_batch))
    with pytest.raises(TypeError, match="name must be a string, got 5"):
        manager.cancel(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"target_throughput must be at most 1,000,000,000, got 1e\+308"):
        manager.optimize_for_throughput("quick", 1e308)
    assert manager.optimize_for_throughput("quick", 1e9)["concurrent_executions"] == 50
    assert manager.execution_stats == {}


def test_a_batch_whose_id_cannot_be_read_stops_nothing_half_way(app: Any) -> None:
    class Hostile(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise RuntimeError("of the mapping")

    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)
    with pytest.raises(RuntimeError, match="of the mapping"):
        asyncio.run(manager.execute_concurrent_workflows("quick", [{}, Hostile()]))
    assert manager.execution_stats == {}
    assert manager.cancel() == 0
