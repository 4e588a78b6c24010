"""The guide's calls as they stand, with the figures behind them real."""

from __future__ import annotations

import copy
import pickle
import time
from collections import deque
from typing import Any

from apps import code_workflow
from nexus_core import PerformanceBestPractices, PerformanceMonitor
from performance_monitor.support import run, until

_METRICS = {
    "response_time_ms", "memory_usage_percent", "cpu_usage_percent", "error_rate_percent", "active_workflows",
    "queue_size", "throughput_per_second",
}  # fmt: skip


def test_the_guides_usage(app: Any) -> None:
    app.register("quick", code_workflow("import time\ntime.sleep(0.02)\nresult = 1"))
    monitor = PerformanceMonitor(app)
    assert (monitor.app, monitor.alerts, monitor.monitoring_active, monitor.monitor_thread) == (app, [], False, None)
    assert len(monitor.metrics) == 0
    assert monitor.thresholds == {
        "response_time_ms": 5000,
        "memory_usage_percent": 80,
        "cpu_usage_percent": 85,
        "error_rate_percent": 5,
        "queue_size": 100,
    }
    monitor.thresholds["cpu_usage_percent"] = 1000  # other tests may take all there is
    run(app, "quick", 3)

    monitoring_status = monitor.start_monitoring(5)
    assert (monitoring_status["monitoring_started"], monitoring_status["interval"]) == (True, 5)
    until(lambda: monitor.metrics["response_time_ms"] and monitor.metrics["cpu_usage_percent"])
    assert monitor.monitoring_active
    assert monitor.monitor_thread is not None and monitor.monitor_thread.daemon

    performance_summary = monitor.get_performance_summary(5)
    assert set(performance_summary) >= _METRICS
    for found in performance_summary.values():
        assert list(found)[:6] == ["avg", "min", "max", "current", "data_points", "trend"]
        assert found["min"] <= found["avg"] <= found["max"]
        assert found["trend"] == "insufficient_data"
    assert performance_summary["response_time_ms"]["current"] >= 20
    assert performance_summary["error_rate_percent"]["max"] == 0

    assert monitor.get_active_alerts() == []

    performance_report = monitor.generate_performance_report()
    assert list(performance_report)[:5] == [
        "report_timestamp", "monitoring_status", "performance_summary", "alert_summary", "recommendations",
    ]  # fmt: skip
    assert performance_report["monitoring_status"] == "active"
    assert abs(performance_report["report_timestamp"] - time.time()) < 60
    assert performance_report["alert_summary"] == {
        "total_alerts": 0, "critical_alerts": 0, "resolved_alerts": 0, "recent_alerts": [],
    }  # fmt: skip
    assert performance_report["workflows"]["quick"]["runs"] == 3

    stop_status = monitor.stop_monitoring()
    assert stop_status["monitoring_stopped"] is True
    assert not monitor.monitoring_active
    assert monitor.generate_performance_report()["monitoring_status"] == "inactive"


def test_a_series_reads_as_the_guides(app: Any, clock: Any) -> None:
    monitor = PerformanceMonitor(app, clock=clock)
    for _ in range(130):
        clock.pass_(1)
        monitor.sample()
    series = monitor.metrics["throughput_per_second"]
    assert isinstance(series, deque)
    assert len(series) == 100
    assert series[-1] == (clock.now, 0.0)
    (timestamp, value) = series[0]
    assert (timestamp, value) == (clock.now - 99, 0.0)
    assert len(monitor.metrics["no such metric"]) == 0
    assert "no such metric" not in monitor.metrics
    assert {name: len(points) for name, points in monitor.metrics.items()}["memory_usage_percent"] == 100


def test_a_series_may_be_read_while_it_grows(app: Any, clock: Any) -> None:
    monitor = PerformanceMonitor(app, clock=clock, max_points=3)
    monitor.sample()
    seen = []
    for point in monitor.metrics["queue_size"]:
        clock.pass_(1)
        monitor.sample()
        seen.append(point)
    assert len(seen) == 1
    for point in reversed(monitor.metrics["queue_size"]):
        clock.pass_(1)
        monitor.sample()
        seen.append(point)
    assert len(seen) == 3
    for name in monitor.metrics:
        monitor.collect(f"after {name}", lambda: 1)
        monitor.sample()
    assert len(monitor.metrics["queue_size"]) == 3


def test_series_can_be_copied_and_pickled(app: Any, clock: Any) -> None:
    monitor = PerformanceMonitor(app, clock=clock)
    for _ in range(3):
        clock.pass_(1)
        monitor.sample()
    for copied in (copy.deepcopy(monitor.metrics), pickle.loads(pickle.dumps(monitor.metrics))):
        assert dict(copied) == dict(monitor.metrics)
        (when, value) = point = copied["error_rate_percent"][-1]
        assert (when, value, point.runs) == (clock.now, 0, 0)
        assert copied["error_rate_percent"].maxlen == 100


def test_the_checklist_sees_it(app: Any) -> None:
    def checked() -> dict[str, Any]:
        found = PerformanceBestPractices.workflow_optimization_checklist(app)
        return {item.name: item for items in found.values() for item in items}

    monitor = PerformanceMonitor(app)
    before = checked()
    for name in ("monitoring", "alerts", "utilization"):
        assert before[name].status == "does_not_hold"
        assert before[name].evidence == "nexus-core-performance-monitor is bound to the app, and not started"
        assert before[name].advice == "start_monitoring()"
    monitor.start_monitoring(60)
    after = checked()
    for name in ("monitoring", "alerts", "utilization", "indicators"):
        assert after[name].holds, after[name]
        assert "nexus-core-performance-monitor" in after[name].evidence
    monitor.close()
    assert "nexus-core-performance-monitor" not in checked()["monitoring"].evidence
