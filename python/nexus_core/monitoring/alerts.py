"""Alerts: when they begin, change and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_core.monitoring.thresholds import Threshold

__all__ = ["MOST_ALERTS", "SEVERITIES", "AlertBook"]

#: From the least to the most severe.
SEVERITIES = ("info", "warning", "critical")
#: Alerts that are kept, as in the guide: the last ones, and those that are active in any case.
MOST_ALERTS = 50


class _Watch:
    """What is known of one metric: its alert, and since when it is on the way into one or out of it."""

    __slots__ = ("alert", "began_at", "beyond_since", "clear_since", "last_beyond")

    def __init__(self) -> None:
        self.alert: dict[str, Any] | None = None
        self.began_at = 0.0
        self.beyond_since: float | None = None
        self.last_beyond = 0.0
        self.clear_since: float | None = None


class AlertBook:
    """All alerts of a monitor; not for several threads at a time.

    A metric has one alert at most. It begins when values were beyond the threshold for long enough, goes
    on until they reach the clear level, and stays in the book then.
    """

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}
        self._alerts: list[dict[str, Any]] = []

    def active(self) -> list[dict[str, Any]]:
        """Copies of those that have not ended, the oldest first."""
        return [dict(alert) for alert in self._alerts if alert["status"] == "firing"]

    def all(self) -> list[dict[str, Any]]:
        """Copies of all that are kept, the oldest first."""
        return [dict(alert) for alert in self._alerts]

    def check(
        self, thresholds: Mapping[str, Threshold], values: Mapping[str, float | None], timestamp: float, moment: float
    ) -> list[dict[str, Any]]:
        """Looks at a sample.

        Args:
            thresholds: By metric.
            values: By metric. ``None`` says that there was nothing to measure, as the response time of an
                idle app, and ends an alert when it has gone on for long enough; of a metric that is not there
                nothing is known, and nothing changes.
            timestamp: The time of the sample, in seconds since 1970.
            moment: The same by a clock that is never set, for durations.

        Returns:
            Copies of the alerts that began, grew more severe or ended, with that under ``event``:
            ``"fired"``, ``"escalated"`` or ``"resolved"``.
        """
        events: list[dict[str, Any]] = []
        for metric, watch in list(self._watches.items()):
            if metric not in thresholds:
                if watch.alert is not None:
                    events.append(self._resolve(watch.alert, timestamp, "the threshold was removed"))
                del self._watches[metric]
        for metric, threshold in thresholds.items():
            if metric not in values:
                continue
            watch = self._watches.setdefault(metric, _Watch())
            value = values[metric]
            if watch.alert is None:
                event = self._outside_alert(metric, threshold, watch, value, timestamp, moment)
            else:
                event = self._inside_alert(threshold, watch, watch.alert, value, timestamp, moment)
            if event is not None:
                events.append(event)
        self._trim()
        return events

    def _outside_alert(
        self, metric: str, threshold: Threshold, watch: _Watch, value: float | None, timestamp: float, moment: float
    ) -> dict[str, Any] | None:
        if value is None:
            # Where little happens, samples of nothing lie between those that count.
            if watch.beyond_since is not None and moment - watch.last_beyond >= threshold.for_seconds:
                watch.beyond_since = None
            return None
        if not threshold.exceeded(value):
            watch.beyond_since = None
            return None
        if watch.beyond_since is None:
            watch.beyond_since, watch.began_at = moment, timestamp
        watch.last_beyond = moment
        if moment - watch.beyond_since < threshold.for_seconds:
            return None
        severity = threshold.severity(value)
        watch.alert = {
            "alert_id": self._free_id(f"{metric}_{int(timestamp)}"),
            "metric": metric,
            "current_value": value,
            "threshold": threshold.value,
            "severity": severity,
            "timestamp": timestamp,
            "message": _message(metric, threshold, value),
            "status": "firing",
            "direction": threshold.direction,
            "highest_severity": severity,
            "worst_value": value,
            "began_at": watch.began_at,
            "updated_at": timestamp,
            "resolved_at": None,
            "resolution": None,
        }
        watch.beyond_since = watch.clear_since = None
        self._alerts.append(watch.alert)
        return {**watch.alert, "event": "fired"}

    def _inside_alert(
        self,
        threshold: Threshold,
        watch: _Watch,
        alert: dict[str, Any],
        value: float | None,
        timestamp: float,
        moment: float,
    ) -> dict[str, Any] | None:
        grown = False
        if value is not None:
            severity = threshold.severity(value)
            grown = SEVERITIES.index(severity) > SEVERITIES.index(alert["highest_severity"])
            worst = (max if threshold.direction == "above" else min)(alert["worst_value"], value)
            alert.update(
                current_value=value,
                threshold=threshold.value,
                direction=threshold.direction,
                severity=severity,
                worst_value=worst,
                updated_at=timestamp,
            )
            if grown:
                alert["highest_severity"] = severity
            if threshold.exceeded(value):
                alert["message"] = _message(alert["metric"], threshold, value)
        if value is not None and not threshold.cleared(value):
            watch.clear_since = None
            return {**alert, "event": "escalated"} if grown else None
        if watch.clear_since is None:
            watch.clear_since = moment
        keep = threshold.keep_firing_seconds if value is not None else threshold.silence_seconds
        if moment - watch.clear_since < keep:
            return None
        watch.alert = watch.clear_since = None
        why = "there was nothing to measure" if value is None else f"{_shown(value)} reached {_shown(threshold.clear)}"
        return self._resolve(alert, timestamp, why)

    def _resolve(self, alert: dict[str, Any], timestamp: float, why: str) -> dict[str, Any]:
        alert.update(status="resolved", updated_at=timestamp, resolved_at=timestamp, resolution=why)
        # What the last value says is that it is over.
        alert["severity"] = alert["highest_severity"]
        return {**alert, "event": "resolved"}

    def _free_id(self, wanted: str) -> str:
        taken = {alert["alert_id"] for alert in self._alerts}
        found, number = wanted, 2
        while found in taken:
            found, number = f"{wanted}_{number}", number + 1
        return found

    def _trim(self) -> None:
        extra = len(self._alerts) - MOST_ALERTS
        for alert in [alert for alert in self._alerts if alert["status"] == "resolved"][: max(0, extra)]:
            self._alerts.remove(alert)


def _message(metric: str, threshold: Threshold, value: float) -> str:
    if threshold.direction == "above":
        return f"{metric} exceeded threshold: {_shown(value)} > {_shown(threshold.value)}"
    return f"{metric} fell below threshold: {_shown(value)} < {_shown(threshold.value)}"


def _shown(value: float) -> str:
    return f"{value:.6g}"
