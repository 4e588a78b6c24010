"""What is in a monitor's report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nexus_core._app_workflows import attached_runtime
from nexus_core.metrics.process import process_metrics
from nexus_core.monitoring.app_watch import REPORT_MINUTES, AppWatch
from nexus_core.monitoring.measurements import registered_names
from nexus_core.monitoring.recommendations import Seen, recommend
from nexus_core.monitoring.report import MonitoringReport
from nexus_core.monitoring.summary import summary_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_core.metrics.totals import WorkflowTotals
    from nexus_core.performance_monitor import PerformanceMonitor

__all__ = ["made_report"]

_RECENT_ALERTS = 5
_MOST_WORKFLOWS = 20


def made_report(monitor: PerformanceMonitor, watch: AppWatch) -> MonitoringReport:
    """Makes a report.

    Args:
        monitor: The monitor.
        watch: What it knows.
    """
    timestamp, points = watch.now(), watch.points(REPORT_MINUTES)
    attached, workflows = watch.seen()
    names = registered_names(monitor.app, workflows)
    summary = summary_of(points)
    alerts = monitor.alerts
    active = [alert for alert in alerts if alert["status"] == "firing"]
    runtime = attached_runtime(monitor.app)
    metrics = None if runtime is None else runtime.metrics()
    seen = Seen(summary, active, dict(monitor.thresholds), workflows, names, metrics, process_metrics())
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
        "recommendations": [*recommend(seen), *([] if monitor.closed else _of_sight(summary, attached))],
        "app": monitor.app_name,
        "window_minutes": REPORT_MINUTES,
        "attached": attached,
        "not_visible": monitor.not_visible(),
        "workflows": _workflows({names.get(own, own): found for own, found in workflows.items()}),
        "problems": monitor.problems,
    }
    return MonitoringReport(found, points)


def _of_sight(summary: Mapping[str, Any], attached: bool) -> Iterator[str]:
    if not summary:
        yield f"Nothing was measured in the last {REPORT_MINUTES:g} minutes: start_monitoring()"
    if not attached:
        yield "Runs cannot be seen, as the app is not attached: nexus_core.attach(app)"


def _workflows(totals: Mapping[str, WorkflowTotals]) -> dict[str, dict[str, Any]]:
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
