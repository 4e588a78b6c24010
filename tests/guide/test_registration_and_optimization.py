"""The guide's first block: registrations are timed as they are, and what optimizing gains is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import PerformanceOptimizer
from nexus_core._app_workflows import attached_runtime

SLEEP = 0.04


def sleepers(count: int = 4) -> Any:
    """Independent nodes that sleep for a known time, as a guide's "parallel" workflow has them."""
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    for number in range(count):
        code = f"def nap(data):\n    import time\n    time.sleep({SLEEP})\n    return {{'number': {number}}}"
        builder.add_node("PythonCodeNode", f"nap_{number}", {"code": code, "function_name": "nap"})
    return builder


def test_registrations_take_the_time_that_they_took(app: Any) -> None:
    register = app.register
    outside: list[float] = []

    def registering(*arguments: Any) -> None:
        began = time.perf_counter()
        register(*arguments)
        # One that is made slower has to be the slowest in the reply.
        time.sleep(0.03 if len(outside) == 4 else 0)
        outside.append(time.perf_counter() - began)

    app.register = registering
    began = time.perf_counter()
    found = PerformanceOptimizer(app).benchmark_workflow_registration()
    total = time.perf_counter() - began
    assert found["total_workflows"] == len(outside) == 10
    assert found["max_registration_time"] >= outside[4] >= 0.03
    assert found["min_registration_time"] >= min(outside)
    assert found["min_registration_time"] <= found["avg_registration_time"] <= found["max_registration_time"]
    assert 10 * found["avg_registration_time"] <= total
    assert found["performance_score"] == ("excellent" if found["max_registration_time"] < 0.1 else "good")


def test_nothing_is_promised_and_what_was_gained_is_measured(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("data-processor", sleepers())
    optimizer = PerformanceOptimizer(app)
    reply = optimizer.optimize_workflow_execution("data-processor")
    assert reply["workflow_name"] == "data-processor"
    for promise in ("expected_improvement", "memory_savings", "throughput_increase"):
        assert reply[promise] == "not measured: pass sample_inputs"
    assert attached_runtime(app) is not None
    optimizer.revert()
    import nexus_core

    nexus_core.attach(app, thread_pool_size=1, max_concurrent_nodes=1)
    reply = optimizer.optimize_workflow_execution("data-processor", {}, runs=3)
    assert "parallel_nodes" in reply["optimizations_applied"]
    figures = reply["figures"]
    # One after the other at least four sleeps, side by side at least one.
    assert (figures.before.nodes_at_once, figures.after.nodes_at_once) == (1, 4)
    assert min(figures.before.seconds) >= 4 * SLEEP
    assert min(figures.after.seconds) >= SLEEP
    assert "%" in reply["expected_improvement"]
    optimizer.revert()
    assert attached_runtime(app).thread_pool_size == 1


@pytest.mark.parametrize("strategy", [
    "workflow_caching", "parallel_execution", "resource_pooling", "intelligent_scheduling", "result_streaming",
    "lazy_loading",
])  # fmt: skip
def test_every_strategy_is_told_and_has_a_switch(app: Any, strategy: str) -> None:
    app.register("data-processor", sleepers())
    optimizer = PerformanceOptimizer(app)
    assert len(optimizer.optimization_strategies[strategy]) > 10
    before = optimizer.enabled(strategy, "data-processor")
    optimizer.disable(strategy, "data-processor")
    assert optimizer.enabled(strategy, "data-processor") is False
    optimizer.revert()
    assert optimizer.enabled(strategy, "data-processor") == before
