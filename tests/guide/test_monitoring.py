"""The guide's fifth block: what was slow, failed or idle is what the monitor, the trace and the report say."""

from __future__ import annotations

from typing import Any

import pytest

from apps import code_workflow
from nexus_core import PerformanceMonitor
from nexus_core._app_workflows import attached_runtime

from .flows import Observed, run, until

#: What the machine does meanwhile raises no alert here.
QUIET = {"cpu_usage_percent": 1e9, "memory_usage_percent": 1e9}

SLEEP = 0.06


def test_the_guides_flow_on_an_idle_app(app: Any) -> None:
    app.register("quick", code_workflow())
    monitor = PerformanceMonitor(app, thresholds=QUIET)
    assert (monitor.app, monitor.alerts, monitor.monitoring_active, monitor.monitor_thread) == (app, [], False, None)
    status = monitor.start_monitoring(0.02)
    assert (status["monitoring_started"], status["interval"]) == (True, 0.02)
    until(lambda: len(monitor.metrics["throughput_per_second"]) >= 5)
    summary = monitor.get_performance_summary(5)
    for metric in ("throughput_per_second", "error_rate_percent", "active_workflows", "queue_size"):
        assert (summary[metric]["min"], summary[metric]["max"], summary[metric]["current"]) == (0, 0, 0), metric
        assert summary[metric]["data_points"] >= 4
    # No run, no response time: none is made up.
    assert "response_time_ms" not in summary
    assert 0 < summary["memory_usage_percent"]["current"] < 100
    assert monitor.get_active_alerts() == monitor.get_active_alerts("critical") == []
    report = monitor.generate_performance_report()
    assert report["monitoring_status"] == "active"
    assert (report["alert_summary"]["total_alerts"], report["alert_summary"]["recent_alerts"]) == (0, [])
    assert report["recommendations"] == []
    assert report["workflows"] == {}
    assert monitor.stop_monitoring()["monitoring_stopped"] is True
    points = len(monitor.metrics["queue_size"])
    assert (monitor.monitoring_active, monitor.generate_performance_report()["monitoring_status"]) == (
        False,
        "inactive",
    )
    assert len(monitor.metrics["queue_size"]) == points


def test_a_known_sleep_shows_in_the_monitor_the_trace_and_the_report(app: Any) -> None:
    quick, slow = Observed(), Observed(SLEEP)
    app.register("quick", quick.workflow())
    app.register("slow", slow.workflow())
    monitor = PerformanceMonitor(app, thresholds={**QUIET, "response_time_ms": 1000 * SLEEP / 2})
    runtime = attached_runtime(app)
    run(app, "quick", 5)
    before = monitor.sample()["response_time_ms"]
    with runtime.trace() as recording:
        outside = run(app, "slow", 4)
    after = monitor.sample()["response_time_ms"]
    inside = [ended - began for began, ended in slow.calls]
    # Between what the node itself saw, and what its caller saw.
    assert 1000 * SLEEP <= 1000 * sum(inside) / 4 <= after <= 1000 * outside / 4
    assert before < after
    runs = recording.trace.analyze().runs
    assert len(runs) == 4
    for each, seconds in zip(runs, inside, strict=True):
        assert each.critical_path == ("node",)
        assert each.makespan >= each.work >= seconds >= SLEEP
    report = monitor.generate_performance_report()
    found = report["performance_summary"]["response_time_ms"]
    assert (found["current"], found["max"], found["min"]) == (after, after, before)
    assert found["avg"] == pytest.approx((5 * before + 4 * after) / 9)
    assert report["workflows"]["slow"]["mean_ms"] == pytest.approx(after)
    (alert,) = report["alert_summary"]["recent_alerts"]
    assert (alert["metric"], alert["current_value"], alert["severity"]) == ("response_time_ms", after, "critical")
    assert any("slow" in each for each in report["recommendations"])
    assert "slow" in report.to_markdown() and "slow" in report.to_html()


def test_failures_raise_the_error_rate_and_its_alert_and_successes_end_it(app: Any) -> None:
    app.register("shaky", Observed(fails=lambda number: number < 8 and number % 4 != 0).workflow())
    monitor = PerformanceMonitor(app, thresholds=QUIET)
    told: list[str] = []
    monitor.add_handler(lambda alert: told.append(alert["event"]))
    run(app, "shaky", 8)
    assert monitor.sample()["error_rate_percent"] == 75
    (alert,) = monitor.get_active_alerts("critical")
    assert list(alert)[:7] == [
        "alert_id", "metric", "current_value", "threshold", "severity", "timestamp", "message",
    ]  # fmt: skip
    assert (alert["metric"], alert["current_value"], alert["threshold"]) == ("error_rate_percent", 75, 5)
    assert alert["message"] == "error_rate_percent exceeded threshold: 75 > 5"
    report = monitor.generate_performance_report()
    assert report["alert_summary"]["critical_alerts"] == 1
    assert (report["workflows"]["shaky"]["runs"], report["workflows"]["shaky"]["failed"]) == (8, 6)
    assert any("75" in each and "shaky" in each for each in report["recommendations"])
    run(app, "shaky", 10)
    assert monitor.sample()["error_rate_percent"] == 0
    assert monitor.get_active_alerts() == []
    assert told == ["fired", "resolved"]
    assert [each["status"] for each in monitor.alerts] == ["resolved"]
    metrics = attached_runtime(app).metrics()
    assert (metrics.runs, sum(each.failed for each in metrics.workflows.values())) == (18, 6)
