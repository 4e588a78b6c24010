"""What is in a monitor's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_core._app_workflows import attached_runtime
from nexus_core.metrics.process import process_metrics
from nexus_core.monitoring.recommendations import Seen, recommend
from nexus_core.monitoring.report import MonitoringReport
from nexus_core.monitoring.summary import summary_of

if TYPE_CHECKING:
    from nexus_core.monitoring.measurements import WorkflowTotals
    from nexus_core.performance_monitor import PerformanceMonitor

__all__ = ["MINUTES", "made_report"]

#: What a report is about, as the guide's.
MINUTES = 30.0
_RECENT_ALERTS = 5
_MOST_WORKFLOWS = 20


def made_report(
    monitor: PerformanceMonitor,
    timestamp: float,
    points: dict[str, list[tuple[float, float]]],
    workflows: dict[str, WorkflowTotals],
) -> MonitoringReport:
    """Makes a report.

    Args:
        monitor: The monitor.
        timestamp: Now.
        points: By metric those of the time that it is about.
        workflows: What they have come to.
    """
    summary = summary_of(points)
    alerts = monitor.alerts
    active = [alert for alert in alerts if alert["status"] == "firing"]
    runtime = attached_runtime(monitor.app)
    metrics = None if runtime is None else runtime.metrics()
    seen = Seen(summary, active, dict(monitor.thresholds), workflows, metrics, process_metrics(), MINUTES)
    found: dict[str, Any] = {
        "report_timestamp": timestamp,
        "monitoring_status": "active" if monitor.monitoring_active else "inactive",
        "performance_summary": summary,
        "alert_summary": {
            "total_alerts": len(active),
            "critical_alerts": sum(alert["severity"] == "critical" for alert in active),
            "resolved_alerts": len(alerts) - len(active),
            "recent_alerts": alerts[-_RECENT_ALERTS:],
        },
        "recommendations": recommend(seen),
        "app": monitor.app_name,
        "window_minutes": MINUTES,
        "attached": runtime is not None,
        "not_visible": monitor.not_visible(),
        "workflows": _workflows(workflows),
        "problems": monitor.problems,
    }
    return MonitoringReport(found, points)


def _workflows(totals: dict[str, WorkflowTotals]) -> dict[str, dict[str, Any]]:
    """Those that took the most time, the first of them first."""
    ran = [(name, found) for name, found in totals.items() if found.runs]
    ran.sort(key=lambda item: item[1].seconds, reverse=True)
    return {
        name: {
            "runs": found.runs,
            "failed": found.failed,
            "failures": dict(found.failures),
            "mean_ms": 1000 * found.seconds / found.runs,
        }
        for name, found in ran[:_MOST_WORKFLOWS]
    }
