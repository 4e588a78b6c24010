"""Many batches at a time on real apps: each is a run, and one that fails stops no other."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from apps import code_workflow, function_workflow
from nexus_core import ParallelExecutionManager
from nexus_core.errors import NexusCoreError, UnknownWorkflow

_FOREVER = "import asyncio\nawait asyncio.sleep(600)\nresult = 1"


@pytest.fixture(params=["attached", "stock"])
def any_app(request: pytest.FixtureRequest, make_app: Callable[[], Any]) -> Any:
    made = make_app()
    if request.param == "attached":
        import nexus_core

        nexus_core.attach(made)
    return made


class Together:
    """A workflow's function that counts its calls, and how many of them there are at a time."""

    def __init__(self, until: int = 1) -> None:
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._until = until
        self.calls = self.now = self.most = 0

    def workflow(self) -> Any:
        def call() -> int:
            with self._lock:
                self.calls += 1
                self.now += 1
                self.most = max(self.most, self.now)
                if self.most >= self._until:
                    self._enough.set()
            assert self._enough.wait(60)
            with self._lock:
                self.now -= 1
            return 1

        return function_workflow(call)


def guides_workflow() -> Any:
    """Three independent functions that sleep, and one that is to put their results together, as the guide writes it."""
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    for name in ("data_validation", "data_enrichment", "data_quality_check"):
        code = f"def {name}(data):\n    import time\n    time.sleep(0.1)\n    return {{'{name}': len(data.get('records', []))}}"
        builder.add_node("PythonCodeNode", name, {"code": code, "function_name": name})
    code = "def combine_results(data):\n    return {'processing_complete': True, 'seen': sorted(data)}"
    builder.add_node("PythonCodeNode", "combine_results", {"code": code, "function_name": "combine_results"})
    return builder


def test_the_guides_usage(app: Any) -> None:
    app.register("parallel-processor", guides_workflow())
    parallel_manager = ParallelExecutionManager(app)

    async def test_parallel_execution() -> tuple[dict[str, Any], dict[str, Any]]:
        input_batches = [{"batch_id": f"batch_{i}", "data": {"records": [i] * i}} for i in range(10)]
        results = await parallel_manager.execute_concurrent_workflows("parallel-processor", input_batches)
        optimization = parallel_manager.optimize_for_throughput("parallel-processor", 50)
        return results, optimization

    results, optimization = asyncio.run(test_parallel_execution())
    assert list(results)[:5] == ["workflow_name", "total_batches", "execution_time", "throughput", "results"]
    assert (results["workflow_name"], results["total_batches"], results["completed"]) == ("parallel-processor", 10, 10)
    # 30 nodes that sleep for 0.1 s on four threads.
    assert results["execution_time"] >= 0.7
    assert results["throughput"] == pytest.approx(10 / results["execution_time"])
    assert [batch["batch_id"] for batch in results["results"]] == [f"batch_{i}" for i in range(10)]
    for number, batch in enumerate(results["results"]):
        assert batch["status"] == "completed"
        assert batch["seconds"] >= 0.1
        assert batch["result"]["data_validation"]["result"] == {"data_validation": number}
        assert batch["result"]["combine_results"]["result"]["processing_complete"] is True
    assert 0.1 <= results["percentiles"]["p50"] <= results["percentiles"]["p99"] <= results["percentiles"]["max"]
    assert list(optimization)[:3] == ["concurrent_executions", "resource_allocation", "caching_strategy"]
    assert list(optimization["resource_allocation"]) == ["cpu_cores", "memory_mb", "thread_pool_size"]
    assert list(optimization["caching_strategy"]) == [
        "result_cache_size", "metadata_cache_ttl", "enable_distributed_cache",
    ]  # fmt: skip
    # Three of its nodes sleep; all four are side by side.
    assert optimization["figures"]["threads_side_by_side"] == 4
    assert optimization["based_on"]["thread_pool_size"] == "measured"


def test_data_that_the_guides_functions_cannot_take_fails_and_says_why(app: Any) -> None:
    # The guide's own batches have a text for data, of which its functions ask .get().
    app.register("parallel-processor", guides_workflow())
    manager = ParallelExecutionManager(app)
    batches = [{"batch_id": "batch_0", "data": "test_data_0"}]
    (batch,) = asyncio.run(manager.execute_concurrent_workflows("parallel-processor", batches))["results"]
    assert batch["status"] == "failed"
    assert "'str' object has no attribute 'get'" in batch["error"]


def test_results_are_in_the_order_of_the_batches(any_app: Any) -> None:
    any_app.register("double", code_workflow("result = 2 * x"))
    manager = ParallelExecutionManager(any_app)
    reply = asyncio.run(manager.execute_concurrent_workflows("double", ({"x": number} for number in range(25))))
    assert [batch["result"]["node"]["result"] for batch in reply["results"]] == [2 * number for number in range(25)]
    assert [batch["batch_id"] for batch in reply["results"]] == list(range(25))
    assert (reply["completed"], reply["failed"], reply["cancelled"]) == (25, 0, 0)


def test_one_that_fails_stops_no_other(any_app: Any) -> None:
    any_app.register("inverse", code_workflow("result = 1 / x"))
    manager = ParallelExecutionManager(any_app)
    reply = asyncio.run(manager.execute_concurrent_workflows("inverse", [{"x": number % 3} for number in range(9)]))
    assert (reply["total_batches"], reply["completed"], reply["failed"]) == (9, 6, 3)
    assert [batch["status"] for batch in reply["results"]] == ["failed", "completed", "completed"] * 3
    failed = reply["results"][0]
    assert failed["error_type"] == "kailash.sdk_exceptions.WorkflowExecutionError"
    assert "division by zero" in failed["error"]
    assert failed["result"] is None
    assert failed["seconds"] > 0
    assert reply["results"][1]["error"] is None


def test_a_workflow_that_always_fails(app: Any) -> None:
    app.register("failing", code_workflow("result = 1 / 0"))
    manager = ParallelExecutionManager(app)
    reply = asyncio.run(manager.execute_concurrent_workflows("failing", [{}] * 5))
    assert (reply["failed"], reply["throughput"], reply["percentiles"]["max"]) == (5, 0.0, 0.0)


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_run_at_once_than_may(app: Any, limit: int) -> None:
    together = Together(until=limit)
    app.register("together", together.workflow())
    manager = ParallelExecutionManager(app)
    reply = asyncio.run(manager.execute_concurrent_workflows("together", [{}] * 12, max_concurrency=limit))
    assert (together.calls, together.most, reply["max_concurrency"]) == (12, limit, limit)


def test_no_batches(app: Any) -> None:
    app.register("quick", code_workflow())
    reply = asyncio.run(ParallelExecutionManager(app).execute_concurrent_workflows("quick", []))
    assert (reply["total_batches"], reply["results"], reply["throughput"]) == (0, [], 0.0)


def test_a_batch_that_takes_too_long_fails_alone(app: Any) -> None:
    code = "import asyncio\nawait asyncio.sleep(600 if slow else 0)\nresult = 1"
    app.register("slow", code_workflow(code, "AsyncPythonCodeNode"))
    manager = ParallelExecutionManager(app)
    batches = [{"slow": False}, {"slow": True}, {"slow": False}]
    reply = asyncio.run(manager.execute_concurrent_workflows("slow", batches, timeout=2.0))
    assert [batch["status"] for batch in reply["results"]] == ["completed", "failed", "completed"]
    assert (reply["results"][1]["error_type"], reply["results"][1]["error"]) == (
        "TimeoutError", "no result within 2 s",
    )  # fmt: skip


def test_cancelling_ends_what_runs_and_begins_nothing_else(app: Any) -> None:
    app.register("forever", code_workflow(_FOREVER, "AsyncPythonCodeNode"))
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)

    async def main() -> dict[str, Any]:
        running = asyncio.ensure_future(manager.execute_concurrent_workflows("forever", [{}] * 8, max_concurrency=3))
        while not manager._active:
            await asyncio.sleep(0)
        assert manager.cancel("quick") == 0
        assert await asyncio.to_thread(manager.cancel, "forever") == 1
        return await running

    reply = asyncio.run(main())
    assert (reply["completed"], reply["failed"], reply["cancelled"]) == (0, 0, 8)
    assert {batch["status"] for batch in reply["results"]} == {"cancelled"}
    assert manager.execution_stats["forever"]["cancelled"] == 8
    assert manager.cancel() == 0


def test_a_task_that_is_cancelled_cancels_its_batches(app: Any) -> None:
    app.register("forever", code_workflow(_FOREVER, "AsyncPythonCodeNode"))
    manager = ParallelExecutionManager(app)

    async def main() -> None:
        running = asyncio.ensure_future(manager.execute_concurrent_workflows("forever", [{}] * 4))
        while not manager._active:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert manager.execution_stats["forever"]["cancelled"] == 4
    assert manager._active == {}


def test_each_batch_is_told_of(app: Any) -> None:
    app.register("inverse", code_workflow("result = 1 / x"))
    told: list[dict[str, Any]] = []
    manager = ParallelExecutionManager(app)
    reply = asyncio.run(
        manager.execute_concurrent_workflows(
            "inverse", [{"x": 1}, {"x": 0}, {"x": 2}], on_batch=told.append, keep_results=False
        )
    )
    assert sorted(told, key=lambda batch: batch["batch_id"]) == reply["results"]
    assert all(batch["result"] is None for batch in told)


def test_a_callback_that_raises_is_logged_once(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    app.register("quick", code_workflow())

    def fail(batch: dict[str, Any]) -> None:
        raise ValueError("of the caller")

    manager = ParallelExecutionManager(app)
    with caplog.at_level(logging.ERROR, "nexus_core.parallel_execution"):
        reply = asyncio.run(manager.execute_concurrent_workflows("quick", [{}] * 3, on_batch=fail))
    assert reply["completed"] == 3
    said = [record.message for record in caplog.records if record.name == "nexus_core.parallel_execution"]
    assert said == ["on_batch failed, and is not called again"]


def test_the_statistics_add_up(app: Any) -> None:
    app.register("inverse", code_workflow("result = 1 / x"))
    manager = ParallelExecutionManager(app)
    assert manager.execution_stats == {}
    seconds = 0.0
    for _ in range(2):
        reply = asyncio.run(manager.execute_concurrent_workflows("inverse", [{"x": 1}, {"x": 0}, {"x": 3}]))
        seconds += reply["execution_time"]
    stats = manager.execution_stats["inverse"]
    assert {key: stats[key] for key in ("executions", "total_batches", "completed", "failed", "cancelled")} == {
        "executions": 2, "total_batches": 6, "completed": 4, "failed": 2, "cancelled": 0,
    }  # fmt: skip
    assert stats["execution_time"] == pytest.approx(seconds)
    assert stats["throughput"] == pytest.approx(4 / seconds)
    assert stats["percentiles"]["max"] > 0


def test_bad_input_is_refused_before_anything_runs(app: Any) -> None:
    together = Together()
    app.register("together", together.workflow())
    manager = ParallelExecutionManager(app)

    def refused(error: type[Exception], said: str, *arguments: Any, **options: Any) -> None:
        with pytest.raises(error, match=said):
            asyncio.run(manager.execute_concurrent_workflows(*arguments, **options))

    refused(UnknownWorkflow, r"did you mean 'together'\?", "togehter", [{}])
    refused(TypeError, "a workflow's name must be a string, got None", None, [{}])
    refused(TypeError, "input_batches must be a list of mappings, got 3", "together", 3)
    refused(TypeError, "input_batches must be a list of mappings, got 'ab'", "together", "ab")
    refused(TypeError, "input_batches must be a list of mappings, got {'x': 1}", "together", {"x": 1})
    refused(TypeError, r"input_batches\[1\] must be a mapping, got 7", "together", [{}, 7])
    refused(ValueError, "max_concurrency must be at least 1, got 0", "together", [{}], max_concurrency=0)
    refused(TypeError, "max_concurrency must be a whole number, got 1.5", "together", [{}], max_concurrency=1.5)
    refused(ValueError, "timeout must be .* got -1", "together", [{}], timeout=-1)
    refused(ValueError, "timeout must be .* got nan", "together", [{}], timeout=float("nan"))
    refused(TypeError, "on_batch must be a function, got 5", "together", [{}], on_batch=5)
    assert (together.calls, manager.execution_stats) == (0, {})
    app.close()
    refused(NexusCoreError, "the app is closed", "together", [{}])
    with pytest.raises(NexusCoreError, match="the app is closed"):
        ParallelExecutionManager(app)
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins\.object"):
        ParallelExecutionManager(object())
