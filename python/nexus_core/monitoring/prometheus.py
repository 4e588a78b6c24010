"""Active alerts in ``/metrics``: one collector on prometheus_client's default registry for all monitors."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nexus_core.monitoring.alerts import SEVERITIES

if TYPE_CHECKING:
    from nexus_core.performance_monitor import PerformanceMonitor

__all__ = ["begin_anew", "hide", "show"]

_lock = threading.RLock()
_monitors: list[tuple[weakref.ref[PerformanceMonitor], str]] = []
"""Each with the label of its app, which no other has and which it keeps."""
_collector: Any = None


def show(monitor: PerformanceMonitor, app_name: str) -> bool:
    """Has the alerts of a monitor appear, if prometheus_client is installed, until it is hidden or gone.

    Args:
        monitor: The monitor.
        app_name: The value of its label ``app``, with a number where another has it.

    Returns:
        Whether they do.
    """
    global _collector
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return False
    with _lock:
        _forget(None)
        taken = {label for _, label in _monitors}
        numbered = (f"{app_name}-{number}" for number in itertools.count(2))
        label = next(label for label in itertools.chain([app_name], numbered) if label not in taken)
        _monitors.append((weakref.ref(monitor), label))
        if _collector is None:
            _collector = _Collector()
            REGISTRY.register(_collector)
    return True


def hide(monitor: PerformanceMonitor) -> None:
    """Has them disappear, and the collector with the last of them.

    Args:
        monitor: The monitor.
    """
    global _collector
    with _lock:
        _forget(monitor)
        if _monitors or _collector is None:
            return
        collector, _collector = _collector, None
    from prometheus_client import REGISTRY

    REGISTRY.unregister(collector)


def begin_anew() -> None:
    """For a forked child: whoever held the lock is not there."""
    global _lock
    _lock = threading.RLock()


def _forget(gone: PerformanceMonitor | None) -> None:
    _monitors[:] = [entry for entry in _monitors if (monitor := entry[0]()) is not None and monitor is not gone]


class _Collector:
    """Reads the alerts when they are asked for."""

    def describe(self) -> list[Any]:
        """Nothing in advance: asked for names, the registry would collect."""
        return []

    def collect(self) -> Iterator[Any]:
        """One for each threshold and severity: 1 while such an alert is active, else 0."""
        from prometheus_client.core import GaugeMetricFamily

        with _lock:
            monitors = [(monitor, label) for entry, label in _monitors if (monitor := entry()) is not None]
        family = GaugeMetricFamily(
            "nexus_core_monitor_active_alerts",
            "Alerts of a PerformanceMonitor that are active",
            labels=["app", "metric", "severity"],
        )
        for monitor, label in monitors:
            active = {(alert["metric"], alert["severity"]) for alert in monitor.get_active_alerts()}
            # Of a threshold that was just removed, the alert is still there until the next sample.
            for metric in sorted({*monitor.thresholds, *(metric for metric, _ in active)}):
                for severity in SEVERITIES:
                    family.add_metric([label, metric, severity], float((metric, severity) in active))
        yield family
