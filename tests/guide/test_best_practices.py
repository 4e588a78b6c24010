"""The guide's last block: load tests execute the workflow, and grade and report follow from what they measured."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_core import PerformanceBestPractices, PerformanceMonitor
from nexus_core._app_workflows import attached_runtime
from nexus_core.best_practices import PerformanceTest

from .flows import Observed

_LOADS = {"light_load": 5, "medium_load": 10, "heavy_load": 20}
SLEEP = 0.03


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's default of 30 s for each load would be minutes."""
    monkeypatch.setitem(PerformanceTest.run_benchmark_suite.__kwdefaults__, "duration_seconds", 0.6)


def test_the_guides_flow(app: Any) -> None:
    practices = PerformanceBestPractices()
    checklist = practices.workflow_optimization_checklist()
    assert [len(items) for items in checklist.values()] == [5, 5, 5, 5]
    app.register("optimized-processor", practices.create_optimized_workflow())
    runtime = attached_runtime(app)
    tester = practices.performance_testing_framework(app)
    assert (tester.app, tester.test_results) == (app, [])
    results = tester.run_benchmark_suite(["optimized-processor"])
    found = results["optimized-processor"]
    sent = sum(found[load]["total_requests"] + found[load]["warmup_requests"] for load in _LOADS)
    assert runtime.metrics().runs == sent > 0
    for load, users in _LOADS.items():
        measured = found[load]
        assert measured["load"] == f"{users} users who think for 0.1 s (constant)"
        assert (measured["error_count"], measured["error_rate"]) == (0, 0)
        assert measured["requests_per_second"] == pytest.approx(measured["total_requests"] / measured["test_duration"])
        times = [measured[f"{which}_response_time"] for which in ("min", "avg", "max")]
        # A machine that stands still for the whole of a load has nothing to show.
        assert 0 < times[0] <= times[1] <= times[2] or measured["total_requests"] == 0
    recommendations = ["Cache what is asked for again", "Pool connections", "Scale by the queue"]
    report = practices.generate_performance_report(results, recommendations)
    summary = report["executive_summary"]
    assert summary["average_performance_grade"] == found["performance_grade"]
    assert (summary["total_workflows_tested"], summary["optimization_opportunities"]) == (1, 3)
    assert report["detailed_results"] == results
    assert report["optimization_recommendations"] == recommendations
    assert report["next_steps"]


def test_a_slower_and_a_failing_workflow_show_in_every_figure(app: Any) -> None:
    slow, failing = Observed(SLEEP), Observed(fails=lambda number: number % 2 == 0)
    app.register("slow", slow.workflow())
    app.register("failing", failing.workflow())
    monitor = PerformanceMonitor(app, thresholds={"cpu_usage_percent": 1e9, "memory_usage_percent": 1e9})
    results = PerformanceBestPractices.performance_testing_framework(app).run_benchmark_suite(["slow", "failing"])
    measured = [results["slow"][load] for load in _LOADS if results["slow"][load]["total_requests"]]
    assert measured and min(each["min_response_time"] for each in measured) >= SLEEP
    for load in _LOADS:
        # Every second call fails, whoever makes it.
        found = results["failing"][load]
        assert abs(found["error_count"] - found["total_requests"] / 2) <= 1 + found["warmup_requests"]
        assert all(each["example"].endswith("was to fail") for each in found["errors"])
    assert results["failing"]["performance_grade"] == "D"
    report = PerformanceBestPractices.generate_performance_report(results, [])
    issues = report["executive_summary"]["critical_issue_details"]
    assert len([each for each in issues if each.startswith("failing, ")]) == 3
    assert any("was to fail" in each for each in issues)
    assert report["executive_summary"]["critical_issues"] == len(issues)
    # The monitor saw the same runs.
    seen = monitor.sample()
    runs, failed = len(slow.calls) + len(failing.calls), (len(failing.calls) + 1) // 2
    assert seen["error_rate_percent"] == pytest.approx(100 * failed / runs)
    assert [alert["metric"] for alert in monitor.get_active_alerts("critical")] == ["error_rate_percent"]
