"""Alerts and measured values in Kailash's ``AlertManager``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

__all__ = ["ManagerHandler"]

_COLLECTOR = "nexus-core"


def _end(theirs: Any) -> None:
    from kailash.monitoring.alerts import AlertStatus

    theirs.resolve()
    if theirs.status is AlertStatus.SILENCED:
        # Silenced was this one, not the next.
        theirs.status = AlertStatus.RESOLVED


class ManagerHandler:
    """Hands alerts to a ``kailash.monitoring.alerts.AlertManager``, and values to its metrics registry.

    An alert of a metric is one alert there, under the same id whenever it comes back, so that the
    manager's bound on how often it notifies holds. Its rule is disabled: when it fires is decided by
    the monitor's threshold. Channels are notified at once, whether the manager was started or not.

    Args:
        manager: The manager.
        app_name: The app's.
    """

    def __init__(self, manager: Any, app_name: str) -> None:
        self.given = manager
        self.name = "Kailash's AlertManager"
        self._app = app_name
        self._names: dict[str, str] = {}
        self._has_left = False

    def observe(self, values: Mapping[str, float]) -> None:
        """Writes the values as gauges of a collector of the manager's registry, for rules of its own."""
        from kailash.monitoring.metrics import MetricsCollector

        registry = self.given.metrics_registry
        collector = registry.get_collector(_COLLECTOR)
        if collector is None:
            collector = MetricsCollector()
            registry.register_collector(_COLLECTOR, collector)
        for name, value in values.items():
            collector.set_gauge(name, value, {"app": self._app})

    def alert(self, alert: dict[str, Any]) -> None:
        """Fires or resolves the manager's alert."""
        from kailash.monitoring.alerts import AlertStatus

        manager = self.given
        with manager._lock:
            theirs = self._theirs(alert)
            if alert["event"] == "resolved":
                _end(theirs)
                return
            if theirs.status is AlertStatus.SILENCED:
                return
            theirs.fire()
            if alert["event"] == "escalated":
                theirs.last_notification = None
            if self._has_left:
                # Just now, and it waits for nothing: not for this lock either.
                _end(theirs)
        manager._process_notifications()

    def leave(self) -> None:
        """Ends the alerts: nobody would otherwise, and the manager would tell of them for ever."""
        self._has_left = True
        for name in list(self._names.values()):
            theirs = self.given.alerts.get(name)
            if theirs is not None:
                _end(theirs)
        # If the manager is busy the rules stay, which are disabled: another handler has names of its own then.
        if self.given._lock.acquire(blocking=False):
            try:
                for name in self._names.values():
                    self.given.rules.pop(name, None)
            finally:
                self.given._lock.release()

    def _theirs(self, alert: dict[str, Any]) -> Any:
        from kailash.monitoring.alerts import Alert, AlertRule, AlertSeverity

        manager, metric = self.given, alert["metric"]
        name = self._name(metric)
        severity = AlertSeverity(alert["severity"])
        if name not in manager.rules:
            manager.add_rule(
                AlertRule(
                    name=name,
                    description=f"{metric} of {self._app}, as its PerformanceMonitor judges it",
                    severity=severity,
                    metric_name=metric,
                    condition=f"{'>' if alert['direction'] == 'above' else '<'} {alert['threshold']}",
                    threshold=alert["threshold"],
                    labels={"app": self._app},
                    enabled=False,
                )
            )
        theirs = manager.alerts.get(name)
        if theirs is None:
            theirs = manager.alerts[name] = Alert(name, name, severity, f"{metric} ({self._app})", alert["message"])
        theirs.severity, theirs.description = severity, alert["message"]
        theirs.labels.update(app=self._app, metric=metric, collector=_COLLECTOR, alert_id=alert["alert_id"])
        return theirs

    def _name(self, metric: str) -> str:
        """A name that no other app's alert has, whatever the app is called."""
        if metric not in self._names:
            wanted = f"{_COLLECTOR} {self._app} {metric}"
            names = itertools.chain([wanted], (f"{wanted} {number}" for number in itertools.count(2)))
            self._names[metric] = next(name for name in names if name not in self.given.rules)
        return self._names[metric]
