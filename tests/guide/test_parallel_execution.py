"""The guide's second block: batches are runs, side by side, and recommendations follow from what they took."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from nexus_core import ParallelExecutionManager
from nexus_core._app_workflows import attached_runtime

from .flows import Observed

BATCHES = [{"batch_id": f"batch_{number}", "data": {"records": [number] * number}} for number in range(10)]


def three_side_by_side() -> Any:
    """Three functions of a known sleep and one that is to combine them, each of the one argument ``data``."""
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    nap = "import time\n    time.sleep(0.1)"
    codes = {
        "data_validation": f"def validate(data):\n    {nap}\n    return {{'count': len(data.get('records', []))}}",
        "data_enrichment": f"def enrich(data):\n    {nap}\n    return {{'fields': ['timestamp']}}",
        "data_quality_check": f"def check(data):\n    {nap}\n    return {{'quality_score': 0.95}}",
        "combine_results": "def combine(data):\n    return {'complete': True, 'validation': data.get('validation', '?')}",
    }
    for node, code in codes.items():
        name = code.split()[1].partition("(")[0]
        builder.add_node("PythonCodeNode", node, {"code": code, "function_name": name})
    return builder


def test_batches_are_runs_and_the_figures_are_theirs(app: Any) -> None:
    app.register("parallel-processor", three_side_by_side())
    manager = ParallelExecutionManager(app)
    runtime = attached_runtime(app)
    began = time.perf_counter()
    with runtime.trace() as recording:
        reply = asyncio.run(manager.execute_concurrent_workflows("parallel-processor", BATCHES))
    outside = time.perf_counter() - began
    assert (reply["workflow_name"], reply["total_batches"]) == ("parallel-processor", 10)
    # 30 sleeps of 0.1 s on four threads, and the fifth that runs itself.
    assert 30 * 0.1 / 5 <= reply["execution_time"] <= outside
    assert reply["throughput"] == pytest.approx(10 / reply["execution_time"])
    for number, batch in enumerate(reply["results"]):
        assert (batch["batch_id"], batch["status"]) == (f"batch_{number}", "completed")
        assert batch["result"]["data_validation"]["result"] == {"count": number}
        assert batch["result"]["combine_results"]["result"] == {"complete": True, "validation": "?"}
    # The trace saw the same runs: each of three sleeps.
    analysed = recording.trace.analyze()
    assert len(analysed.runs) == 10
    assert all(run.work >= 0.3 and run.status == "completed" for run in analysed.runs)
    assert sum(run.makespan for run in analysed.runs) <= 10 * reply["execution_time"]
    assert runtime.metrics().runs == 10


def test_the_guides_own_batches_fail_as_their_functions_say(app: Any) -> None:
    # It gives a text for data, of which its functions ask .get(): a simulation cannot notice.
    app.register("parallel-processor", three_side_by_side())
    manager = ParallelExecutionManager(app)
    batches = [{"batch_id": f"batch_{number}", "data": f"test_data_{number}"} for number in range(3)]
    reply = asyncio.run(manager.execute_concurrent_workflows("parallel-processor", batches))
    assert [batch["status"] for batch in reply["results"]] == ["failed"] * 3
    assert all("'str' object has no attribute 'get'" in batch["error"] for batch in reply["results"])
    assert reply["throughput"] == 0


def test_as_many_run_at_once_as_may(app: Any) -> None:
    observed = Observed(0.03)
    app.register("observed", observed.workflow())
    manager = ParallelExecutionManager(app)
    reply = asyncio.run(manager.execute_concurrent_workflows("observed", [{}] * 12, max_concurrency=3))
    assert len(observed.calls) == reply["completed"] == 12
    assert observed.most_at_once() <= 3
    assert reply["percentiles"]["p50"] >= 0.03


def test_recommendations_by_the_guides_formulas_until_something_was_measured(app: Any) -> None:
    observed = Observed(0.03)
    app.register("observed", observed.workflow())
    manager = ParallelExecutionManager(app)
    assert manager.execution_stats == {}
    guessed = manager.optimize_for_throughput("observed", 50)
    assert set(guessed["based_on"].values()) == {"guide"}
    assert guessed["concurrent_executions"] == 50
    assert guessed["resource_allocation"] == {"cpu_cores": 5, "memory_mb": 4096, "thread_pool_size": 20}
    assert guessed["caching_strategy"] == {
        "result_cache_size": 500, "metadata_cache_ttl": 300, "enable_distributed_cache": False,
    }  # fmt: skip
    asyncio.run(manager.execute_concurrent_workflows("observed", [{}] * 20, max_concurrency=1))
    measured = manager.optimize_for_throughput("observed", 50)
    assert measured["based_on"]["thread_pool_size"] == "measured"
    # By the utilization law 50 runs a second of 0.03 s keep one and a half threads busy at least.
    assert measured["resource_allocation"]["thread_pool_size"] >= 2
    assert measured["figures"] != guessed["figures"]
    assert manager.execution_stats["observed"]["completed"] == len(observed.calls) == 20
