"""The guide's calls as they stand, with the figures behind them real."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from apps import code_workflow, function_workflow
from nexus_core import PerformanceBestPractices
from nexus_core.best_practices import PerformanceTest
from nexus_core.errors import NexusCoreError, UnknownWorkflow

_LOAD_TEST_KEYS = [
    "workflow_name", "test_duration", "total_requests", "error_count", "error_rate", "requests_per_second",
    "avg_response_time", "min_response_time", "max_response_time",
]  # fmt: skip
_CATEGORIES = ["workflow_design", "resource_management", "scaling_configuration", "monitoring_setup"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's default of 30 s for each load would be minutes."""
    defaults = PerformanceTest.run_benchmark_suite.__kwdefaults__
    assert defaults["duration_seconds"] == 30
    monkeypatch.setitem(defaults, "duration_seconds", 0.3)


def test_the_guides_usage(app: Any, short: None) -> None:
    best_practices = PerformanceBestPractices()

    checklist = best_practices.workflow_optimization_checklist()
    assert list(checklist) == _CATEGORIES
    assert all(len(items) == 5 and all(item.startswith("✅ ") for item in items) for items in checklist.values())

    optimized_workflow = best_practices.create_optimized_workflow()
    app.register("optimized-processor", optimized_workflow)

    performance_tester = best_practices.performance_testing_framework(app)
    test_results = performance_tester.run_benchmark_suite(["optimized-processor"])
    found = test_results["optimized-processor"]
    assert list(found)[:4] == ["light_load", "medium_load", "heavy_load", "performance_grade"]
    for load in ("light_load", "medium_load", "heavy_load"):
        assert list(found[load])[:9] == _LOAD_TEST_KEYS
        assert found[load]["total_requests"] > 0
        assert found[load]["error_rate"] == 0.0
    assert found["performance_grade"] in ("A", "B", "C")  # a machine may be slow, but nothing failed

    optimization_recommendations = ["Cache what is asked for again", "Pool connections"]
    performance_report = best_practices.generate_performance_report(test_results, optimization_recommendations)
    assert list(performance_report) == [
        "report_timestamp", "executive_summary", "detailed_results", "optimization_recommendations", "next_steps",
    ]  # fmt: skip
    summary = performance_report["executive_summary"]
    assert summary["total_workflows_tested"] == 1
    assert summary["average_performance_grade"] == found["performance_grade"]
    assert summary["optimization_opportunities"] == 2
    assert performance_report["detailed_results"] == test_results


def test_a_load_test_executes_the_workflow(app: Any) -> None:
    numbers = itertools.count(1)
    calls = 0

    def call() -> int:
        nonlocal calls
        calls = next(numbers)
        return calls

    app.register("called", function_workflow(call))
    tester = PerformanceBestPractices.performance_testing_framework(app)
    found = tester.run_load_test("called", 3, 0.4, think_time=0.01)
    assert found["total_requests"] + found["warmup_requests"] == calls
    assert found["warmup_requests"] > 0
    assert found["test_duration"] >= 0.4
    assert found["requests_per_second"] == pytest.approx(found["total_requests"] / found["test_duration"])
    assert [result.requests for result in tester.test_results] == [found["total_requests"]]


def test_a_node_that_sleeps_shows_it_in_the_percentiles(app: Any) -> None:
    app.register("sleeping", code_workflow("import time\ntime.sleep(0.03)\nresult = 1"))
    found = PerformanceTest(app).run_load_test("sleeping", 2, 0.3, think_time=0, warmup_seconds=0)
    percentiles = found["percentiles"]
    assert list(percentiles) == ["p50", "p90", "p95", "p99", "p999", "max"]
    assert 0.03 <= found["min_response_time"] <= percentiles["p50"] <= percentiles["p999"] <= percentiles["max"]
    assert found["min_response_time"] <= found["avg_response_time"] <= found["max_response_time"]


def test_a_workflow_that_always_fails_has_an_error_rate_and_the_last_grade(app: Any) -> None:
    app.register("failing", code_workflow("result = 1 / 0"))
    tester = PerformanceTest(app)
    found = tester.run_benchmark_suite(["failing"], duration_seconds=0.2)["failing"]
    assert found["light_load"]["error_rate"] == 100.0
    assert found["light_load"]["error_count"] == found["light_load"]["total_requests"] > 0
    assert found["performance_grade"] == "D"
    assert "100.00 % failed" in found["grade_reason"]
    report = PerformanceBestPractices.generate_performance_report({"failing": found}, [])
    assert report["executive_summary"]["critical_issues"] == 3
    assert all("division by zero" in issue for issue in report["executive_summary"]["critical_issue_details"])


def test_an_open_loop(app: Any) -> None:
    app.register("quick", code_workflow())
    found = PerformanceTest(app).run_load_test(
        "quick", 50, 0.5, requests_per_second=100, arrivals="constant", warmup_seconds=0
    )
    assert found["load"] == "100 requests a second (constant)"
    assert found["total_requests"] + found["generator"]["not_sent"] == 50


def test_a_suite_tells_how_it_goes_and_takes_inputs_by_name(app: Any) -> None:
    seen: list[int] = []

    def keep(x: int) -> int:
        seen.append(x)
        return x

    app.register("keeping", function_workflow(keep))
    told: list[tuple[str, str, int]] = []
    results = PerformanceTest(app).run_benchmark_suite(
        ["keeping"],
        duration_seconds=0.15,
        inputs={"keeping": {"x": 5}},
        on_test=lambda name, load, found: told.append((name, load, found["error_count"])),
    )
    assert told == [("keeping", load, 0) for load in ("light_load", "medium_load", "heavy_load")]
    assert set(seen) == {5}
    assert len(seen) == sum(
        results["keeping"][load]["total_requests"] + results["keeping"][load]["warmup_requests"]
        for load in ("light_load", "medium_load", "heavy_load")
    )


def test_bad_input_is_refused_before_anything_runs(app: Any) -> None:
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        return 1

    app.register("called", function_workflow(call))
    tester = PerformanceTest(app)
    with pytest.raises(UnknownWorkflow, match=r"did you mean 'called'\?"):
        tester.run_load_test("calld", 1, 1)
    with pytest.raises(UnknownWorkflow, match=r"did you mean 'called'\?"):
        tester.run_benchmark_suite(["called", "calld"])
    with pytest.raises(UnknownWorkflow, match="no workflow 'other'"):
        tester.run_benchmark_suite(["called"], inputs={"other": {}})
    with pytest.raises(TypeError, match=r"workflow_names must be a list of names, got 'called'; pass \['called'\]"):
        tester.run_benchmark_suite("called")
    with pytest.raises(ValueError, match="concurrent_requests must be at least 1, got 0"):
        tester.run_load_test("called", 0, 1)
    with pytest.raises(TypeError, match="concurrent_requests must be a whole number, got '3'"):
        tester.run_load_test("called", "3", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"duration_seconds must be .* got -1"):
        tester.run_load_test("called", 1, -1)
    with pytest.raises(ValueError, match=r"duration_seconds must be .* got nan"):
        tester.run_benchmark_suite(["called"], duration_seconds=float("nan"))
    with pytest.raises(ValueError, match=r"think_time must be .* got -0.1"):
        tester.run_load_test("called", 1, 1, think_time=-0.1)
    with pytest.raises(ValueError, match=r"warmup_seconds must be .* got -2"):
        tester.run_load_test("called", 1, 1, warmup_seconds=-2)
    with pytest.raises(ValueError, match=r"requests_per_second must be .* got 0"):
        tester.run_load_test("called", 1, 1, requests_per_second=0)
    with pytest.raises(TypeError, match="duration is given by the arguments of the test"):
        tester.run_load_test("called", 1, 1, duration=3)
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins\.str"):
        PerformanceBestPractices.performance_testing_framework("app")
    assert (calls, tester.test_results) == ([], [])
    app.close()
    with pytest.raises(NexusCoreError, match="the app is closed"):
        tester.run_load_test("called", 1, 1)
    with pytest.raises(NexusCoreError, match="the app is closed"):
        PerformanceTest(app)
