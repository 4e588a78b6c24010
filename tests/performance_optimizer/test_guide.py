"""The guide's calls as they stand, on real apps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps import code_workflow
from nexus_core import PerformanceBestPractices, PerformanceOptimizer
from nexus_core._app_workflows import attached_runtime
from nexus_core.errors import NexusCoreError, UnknownWorkflow


def test_the_guides_usage(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("data-processor", PerformanceBestPractices.create_optimized_workflow())
    optimizer = PerformanceOptimizer(app)
    assert optimizer.app is app
    assert optimizer.performance_metrics == {}
    assert list(optimizer.optimization_strategies) == [
        "workflow_caching", "parallel_execution", "resource_pooling", "intelligent_scheduling", "result_streaming",
        "lazy_loading",
    ]  # fmt: skip

    registration_benchmark = optimizer.benchmark_workflow_registration()
    assert list(registration_benchmark)[:5] == [
        "total_workflows", "avg_registration_time", "min_registration_time", "max_registration_time", "performance_score",
    ]  # fmt: skip

    execution_optimization = optimizer.optimize_workflow_execution("data-processor")
    assert [key for key in execution_optimization if key in _GUIDE_KEYS] == _GUIDE_KEYS
    assert execution_optimization["workflow_name"] == "data-processor"
    # It does not say that it may be cached, and asks for no resource.
    assert set(execution_optimization["not_applied"]) == {"enable_caching", "resource_pooling"}
    assert execution_optimization["optimizations_applied"] == [
        "parallel_nodes", "result_streaming", "memory_optimization", "execution_timeout", "max_concurrent_executions",
    ]  # fmt: skip
    assert execution_optimization["expected_improvement"] == "not measured: pass sample_inputs"
    assert execution_optimization["figures"] is None
    assert execution_optimization["attached"] is True
    assert optimizer.performance_metrics == {
        "workflow_registration": registration_benchmark,
        "workflow_execution": {"data-processor": execution_optimization},
    }
    assert attached_runtime(app) is not None
    optimizer.revert()
    assert attached_runtime(app) is None


_GUIDE_KEYS = [
    "workflow_name", "optimizations_applied", "expected_improvement", "memory_savings", "throughput_increase",
]  # fmt: skip


@pytest.mark.parametrize("is_attached", [True, False])
def test_registrations_are_real_and_removed_again(make_app: Callable[[], Any], is_attached: bool) -> None:
    app = make_app()
    if is_attached:
        import nexus_core

        nexus_core.attach(app)
    app.register("perf-test-3", code_workflow())
    seen: list[str] = []
    register = app.register

    def registering(name: str, workflow: Any) -> None:
        register(name, workflow)
        assert name in app._workflows
        assert any(getattr(route, "path", None) == f"/workflows/{name}" for route in app.fastapi_app.routes)
        seen.append(name)

    app.register = registering
    workflows, routes = dict(app._workflows), list(app.fastapi_app.routes)
    found = PerformanceOptimizer(app).benchmark_workflow_registration()
    assert seen == [f"perf-test-{number}" for number in range(11) if number != 3]
    assert app._workflows == workflows
    assert list(app.fastapi_app.routes) == routes
    assert (found["total_workflows"], found["left_registered"]) == (10, [])
    times = found["registration_times"]
    assert found["min_registration_time"] == min(times) > 0
    assert found["max_registration_time"] == max(times)
    assert found["avg_registration_time"] == pytest.approx(sum(times) / 10)
    assert found["performance_score"] == ("excellent" if max(times) < 0.1 else "good")


def test_a_slow_registration_is_seen(app: Any) -> None:
    import time

    register = app.register

    def registering(name: str, workflow: Any) -> None:
        register(name, workflow)
        if name == "perf-test-1":
            time.sleep(0.12)

    app.register = registering
    found = PerformanceOptimizer(app).benchmark_workflow_registration(3)
    assert found["max_registration_time"] >= 0.12
    assert found["performance_score"] == "good"


def test_a_registration_that_fails_leaves_nothing(app: Any) -> None:
    register = app.register

    def registering(name: str, workflow: Any) -> None:
        if name == "perf-test-2":
            raise RuntimeError("of the app")
        register(name, workflow)

    app.register = registering
    with pytest.raises(RuntimeError, match="of the app"):
        PerformanceOptimizer(app).benchmark_workflow_registration()
    assert not app._workflows


def test_bad_input_is_refused_and_changes_nothing(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)

    def refused(error: type[Exception], said: str, *arguments: Any, **options: Any) -> None:
        with pytest.raises(error, match=said):
            optimizer.optimize_workflow_execution(*arguments, **options)

    refused(UnknownWorkflow, r"did you mean 'quick'\?", "quikc")
    refused(TypeError, "a workflow's name must be a string, got None", None)
    refused(TypeError, "sample_inputs must be a mapping of inputs, or a list of such, got 3", "quick", 3)
    refused(TypeError, r"sample_inputs\[1\] must be a mapping, got 7", "quick", [{}, 7])
    refused(ValueError, "sample_inputs is an empty list", "quick", [])
    refused(ValueError, "runs must be at least 1, got 0", "quick", {}, runs=0)
    refused(ValueError, "runs must be at least 1, got -3", "quick", {}, runs=-3)
    refused(TypeError, "runs must be a whole number, got 2.5", "quick", {}, runs=2.5)
    refused(TypeError, "unexpected keyword argument 'enable_magic'", "quick", enable_magic=True)
    refused(TypeError, "enable_caching must be True or False, got 1", "quick", enable_caching=1)
    refused(TypeError, "cacheable must be True, False, None or a CachePolicy, got 'yes'", "quick", cacheable="yes")
    refused(ValueError, "parallel_nodes must be at least 1, got 0", "quick", parallel_nodes=0)
    refused(ValueError, "execution_timeout must be .* more than 0, got -1", "quick", execution_timeout=-1)
    refused(ValueError, "max_concurrent_executions must be at least 1, got 0", "quick", max_concurrent_executions=0)

    for switching in (optimizer.enable, optimizer.disable, optimizer.enabled):
        with pytest.raises(ValueError, match="no strategy 'magic'; there are 'workflow_caching'"):
            switching("magic")
        with pytest.raises(UnknownWorkflow):
            switching("result_streaming", "quikc")
    with pytest.raises(TypeError, match="result_streaming has no option 'cacheable'; it has none"):
        optimizer.enable("result_streaming", cacheable=True)
    with pytest.raises(ValueError, match="nodes must be at least 1, got 0"):
        optimizer.enable("parallel_execution", nodes=0)
    with pytest.raises(TypeError, match="name must be a string, got 5"):
        optimizer.revert(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        optimizer.benchmark_workflow_registration(0)
    assert optimizer.revert() == {}
    assert attached_runtime(app) is None
    assert optimizer.performance_metrics == {}

    app.close()
    refused(NexusCoreError, "the app is closed", "quick")
    with pytest.raises(NexusCoreError, match="the app is closed"):
        PerformanceOptimizer(app)
    with pytest.raises(TypeError, match="not a Nexus app"):
        PerformanceOptimizer(object())
