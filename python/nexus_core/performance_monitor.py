"""``PerformanceMonitor``: what an app does over time, and alerts when it does not do well."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from nexus_core._app_workflows import attached_runtime, checked_app
from nexus_core._checks import checked_seconds, checked_whole
from nexus_core.cache_tiers.forks import after_fork
from nexus_core.errors import NexusCoreError
from nexus_core.monitoring import prometheus
from nexus_core.monitoring.alerts import SEVERITIES
from nexus_core.monitoring.app_plugin import join
from nexus_core.monitoring.app_watch import AppWatch
from nexus_core.monitoring.intervals import Intervals
from nexus_core.monitoring.measurements import OF_PROCESS, OF_RUNS, unseen_of
from nexus_core.monitoring.report import MonitoringReport
from nexus_core.monitoring.report_contents import made_report
from nexus_core.monitoring.summary import summary_of
from nexus_core.monitoring.thresholds import Threshold, Thresholds

__all__ = ["PerformanceMonitor"]

_log = logging.getLogger("nexus_core.monitor")

_open: weakref.WeakSet[PerformanceMonitor] = weakref.WeakSet()


class PerformanceMonitor:
    """Measures an app at intervals, keeps what it measured, and tells of what is beyond a threshold.

    Each sample is about the time since the sample before, or since the monitor was made:

    - ``response_time_ms``: the mean duration of the runs that ended; nothing where none did.
    - ``error_rate_percent``: the share of them that failed; 0 where none ended.
    - ``throughput_per_second``: runs that ended, a second.
    - ``active_workflows``: runs that are under way now. What the guide counts under this name, the
      workflows that are registered, is ``registered_workflows``.
    - ``queue_size``: runs that stand in line for a place on the runtime now.
    - ``event_loop_lag_ms``: by how much the event loop was late on average; nothing where none runs.
    - ``cpu_usage_percent``: processor time of the process, of what its container or the machine gives it.
    - ``memory_usage_percent``: its resident memory, of what its container or the machine gives it.
    - ``container_memory_percent``: what its whole container uses of its limit; nothing without a limit.

    Of an app that is not attached (``nexus_core.attach``, before or after), only the process and
    ``registered_workflows`` can be seen. The monitor ends with the app.

    Args:
        nexus_app: An open ``nexus.Nexus``.
        max_points: Points that are kept of each metric.
        thresholds: By metric, numbers or ``nexus_core.monitoring.Threshold``; they replace or extend the guide's.
        clock: Tells the time in seconds instead of the system's clocks; for tests.

    Attributes:
        app: The app.
        metrics: By metric the last points, a deque of pairs of time and value.
        thresholds: By metric; assign a number or a ``Threshold``, ``del`` one to have no such alert.

    Raises:
        TypeError: If ``nexus_app`` is no Nexus app, or a threshold no number.
        ValueError: If a number is out of range or a metric unknown.
        NexusCoreError: If the app is closed.

    Example:
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> from nexus import Nexus
        >>> import asyncio, nexus_core
        >>> from nexus_core import PerformanceMonitor
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "half", {"code": "result = 1 / x"})
        >>> app = Nexus(enable_durability=False)
        >>> app.register("half", builder)
        >>> runtime = nexus_core.attach(app).runtime
        >>> monitor = PerformanceMonitor(app)
        >>> for x in (1, 2, 0):
        ...     try:
        ...         _ = asyncio.run(runtime.execute_workflow_async(app._workflows["half"], {"x": x}))
        ...     except Exception:
        ...         pass
        >>> _ = monitor.sample()
        >>> round(monitor.get_performance_summary()["error_rate_percent"]["current"], 1)
        33.3
        >>> [(alert["metric"], alert["severity"]) for alert in monitor.get_active_alerts()]
        [('error_rate_percent', 'critical')]
        >>> app.close()
    """

    def __init__(
        self,
        nexus_app: Any,
        *,
        max_points: int = 100,
        thresholds: Mapping[str, float | Threshold] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.app = checked_app(nexus_app, "PerformanceMonitor")
        kept = checked_whole("max_points", max_points, 1)
        if kept > sys.maxsize:
            raise ValueError(f"max_points must be at most {sys.maxsize}, got {max_points!r}")
        if thresholds is not None and not isinstance(thresholds, Mapping):
            raise TypeError(f"thresholds must be a mapping of metrics to numbers, got {thresholds!r}")
        if clock is not None and not callable(clock):
            raise TypeError(f"clock must be a function, got {clock!r}")
        self._watch = AppWatch(self.app, kept, thresholds or {}, clock)
        self.metrics = self._watch.series
        self._intervals = Intervals("monitoring", "stop_monitoring()", "a collector or handler of the monitor", _log)
        self._plugin = join(self.app, self)
        prometheus.show(self, self.app_name)
        after_fork(self)
        _open.add(self)

    # --- what the guide has -----------------------------------------------------------

    @property
    def thresholds(self) -> Thresholds:
        """By metric, from where on a value is worth an alert."""
        return self._watch.thresholds

    @thresholds.setter
    def thresholds(self, given: Mapping[str, float | Threshold]) -> None:
        if not isinstance(given, Mapping):
            raise TypeError(f"thresholds must be a mapping of metrics to numbers, got {given!r}")
        self._watch.replace_thresholds(given)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """The last 50 alerts, active and resolved ones, the oldest first."""
        with self._watch.lock:
            return self._watch.alerts.all()

    @property
    def monitoring_active(self) -> bool:
        """Whether samples are taken at intervals."""
        return self._intervals.is_running

    @property
    def monitor_thread(self) -> threading.Thread | None:
        """The thread that takes them, or took them last; ``None`` before the first."""
        return self._intervals.thread

    def start_monitoring(self, interval_seconds: float = 10) -> dict[str, Any]:
        """Takes samples at intervals from now on, on a thread that keeps nothing alive.

        Started again with the same interval, it goes on as it does.

        Args:
            interval_seconds: From one sample to the next; the first is taken at once.

        Returns:
            ``monitoring_started`` (``True``), ``interval``, ``already_running``, ``attached``, and
            ``not_visible``: by metric why it cannot be seen of this app.

        Raises:
            TypeError: If the interval is no number.
            ValueError: If it is not more than 0.
            NexusCoreError: If it runs with another interval, the app is closed, or there is no thread to be had.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app)
            ...     started = monitor.start_monitoring(5)
            ...     active = monitor.monitoring_active
            ...     stopped = monitor.stop_monitoring()
            >>> started["monitoring_started"], started["interval"], active, monitor.monitoring_active
            (True, 5, True, False)
        """
        interval = checked_seconds("interval_seconds", interval_seconds)
        was_running = self._intervals.start(
            self, PerformanceMonitor._sample_aside, interval, check_open=self._watch.check_open
        )
        return {
            "monitoring_started": True,
            "interval": interval_seconds,
            "already_running": was_running,
            "attached": attached_runtime(self.app) is not None,
            "not_visible": self.not_visible(),
        }

    def stop_monitoring(self) -> dict[str, Any]:
        """Takes no more samples; what was measured, and the alerts, stay. Not started, it does nothing.

        A sample that is being taken is waited for, for 5 s at most.

        Returns:
            ``monitoring_stopped`` (``True``), ``was_running``, and ``sample_pending``: whether a collector or
            handler still holds up the last sample.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     PerformanceMonitor(app).stop_monitoring()
            {'monitoring_stopped': True, 'was_running': False, 'sample_pending': False}
        """
        was_running, pending = self._intervals.stop()
        return {"monitoring_stopped": True, "was_running": was_running, "sample_pending": pending}

    def get_performance_summary(self, time_window_minutes: float = 10) -> dict[str, dict[str, Any]]:
        """What was measured in the last minutes.

        Args:
            time_window_minutes: How many.

        Returns:
            By metric ``avg`` (of response times and error rates, over all runs, however many each interval
            had), ``min``, ``max``, ``current``, ``data_points`` and ``trend``: ``"increasing"``,
            ``"decreasing"``, ``"stable"`` or ``"insufficient_data"``, as ``nexus_core.monitoring.trend_of``
            finds; its ``slope_per_minute`` and ``confidence``; and ``measured_at``, when ``current`` was. A
            metric without a point in that time is not there.

        Raises:
            TypeError: If the window is no number.
            ValueError: If it is not more than 0.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app)
            ...     _ = monitor.sample()
            ...     memory = monitor.get_performance_summary(5)["memory_usage_percent"]
            >>> memory["data_points"], 0 < memory["current"] < 100, memory["trend"]
            (1, True, 'insufficient_data')
        """
        minutes = checked_seconds("time_window_minutes", time_window_minutes, what="a number of minutes")
        return summary_of(self._watch.points(minutes))

    def get_active_alerts(self, severity_filter: str | None = None) -> list[dict[str, Any]]:
        """Alerts that have not been resolved, the oldest first; one at most for each metric.

        Args:
            severity_filter: ``"info"``, ``"warning"`` or ``"critical"``: only those that are so severe now.

        Returns:
            For each ``alert_id``, ``metric``, ``current_value``, ``threshold``, ``severity``, ``timestamp`` (when
            it began) and ``message``; ``status``, ``direction``, ``highest_severity``, ``worst_value``,
            ``began_at`` (when the first value was beyond the threshold), ``updated_at``, ``resolved_at`` and
            ``resolution``.

        Raises:
            ValueError: If there is no such severity.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app, thresholds={"memory_usage_percent": 0})
            ...     for _ in range(3):
            ...         _ = monitor.sample()
            ...     [alert["metric"] for alert in monitor.get_active_alerts("critical")]
            ['memory_usage_percent']
        """
        if severity_filter is not None and severity_filter not in SEVERITIES:
            raise ValueError(f"a severity is one of {', '.join(SEVERITIES)}, got {severity_filter!r}")
        with self._watch.lock:
            active = self._watch.alerts.active()
        return [alert for alert in active if severity_filter in (None, alert["severity"])]

    def generate_performance_report(self) -> MonitoringReport:
        """What was measured in the last 30 minutes, the alerts, and what to do.

        Returns:
            A dict with ``report_timestamp``, ``monitoring_status`` (``"active"`` or ``"inactive"``),
            ``performance_summary``, ``alert_summary`` (``total_alerts`` and ``critical_alerts``: active ones,
            ``resolved_alerts``, and ``recent_alerts``: the last five of either) and ``recommendations``; and
            ``app``, ``window_minutes``, ``attached``, ``not_visible``, ``problems``, and ``workflows``: what each has
            come to since the last sample that is older than that, or since the monitor was made or the app attached.
            ``to_markdown()``, ``to_html()`` and ``save(path)`` show it.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     PerformanceMonitor(app).generate_performance_report()["recommendations"][1]
            'Runs cannot be seen, as the app is not attached: nexus_core.attach(app)'
        """
        return made_report(self, self._watch)

    # --- beyond the guide -------------------------------------------------------------

    @property
    def problems(self) -> dict[str, dict[str, object]]:
        """Collectors and handlers that have raised: how often, and the last error."""
        return self._watch.problems.as_dict()

    @property
    def app_name(self) -> str:
        """What the app calls itself; a label in its metrics."""
        return str(getattr(self.app, "name", None) or "nexus")

    @property
    def closed(self) -> bool:
        """Whether the monitor was closed, or the app."""
        return self._watch.closed

    def sample(self) -> dict[str, Any]:
        """Takes a sample now, beside those at intervals: measures, looks at the thresholds, tells the handlers.

        If another thread is just telling the handlers, it tells them of this sample, too.

        Returns:
            ``timestamp``, and by metric what was measured; ``None`` where there was nothing to measure or it
            cannot be seen. A rate is not there if no time has passed since the sample before, nor the
            processor's share if it was less than 20 ms.

        Raises:
            NexusCoreError: If the app is closed, or a collector or handler calls it.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     seen = PerformanceMonitor(app).sample()
            >>> seen["registered_workflows"], seen["response_time_ms"]
            (0, None)
        """
        return self._watch.sample()

    def collect(self, name: str, function: Callable[[], float | None]) -> None:
        """Has a metric of one's own in each sample.

        Args:
            name: The metric's name.
            function: Returns its value, or ``None`` if there is none now. It is called on the monitor's thread. If it
                raises, the sample has no value, alerts stay as they are, and it is logged once.

        Raises:
            TypeError: If the name is no string, or the function cannot be called or would have to be awaited.
            ValueError: If there is such a metric already.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> orders = [1, 2, 3]
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app)
            ...     monitor.collect("open_orders", lambda: len(orders))
            ...     monitor.thresholds["open_orders"] = 2
            ...     _ = monitor.sample()
            ...     monitor.get_active_alerts()[0]["message"]
            'open_orders exceeded threshold: 3 > 2'
        """
        with self._watch.lock:
            self._watch.collectors.add(name, function, (*OF_RUNS, *OF_PROCESS))

    def stop_collecting(self, name: str) -> None:
        """Undoes `collect`; the threshold of the metric goes, too, its points stay.

        Args:
            name: The metric's name.

        Raises:
            KeyError: If nothing of that name is collected.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app)
            ...     monitor.collect("one", lambda: 1)
            ...     monitor.stop_collecting("one")
        """
        with self._watch.lock:
            self._watch.collectors.remove(name)
            self._watch.thresholds.pop(name, None)

    def add_handler(self, handler: Any) -> None:
        """Tells somebody of alerts: when one begins, grows more severe, and ends.

        Args:
            handler: A function of an alert, which has that under ``event`` (``"fired"``, ``"escalated"``,
                ``"resolved"``); a ``logging.Logger``; or a ``kailash.monitoring.alerts.AlertManager``, whose channels are
                notified. It is called on the monitor's thread. If it raises, the others are told all the
                same, and it is logged once.

        Raises:
            TypeError: If it is none of these.
            ValueError: If it is told already.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app, thresholds={"memory_usage_percent": 0})
            ...     monitor.add_handler(lambda alert: print(alert["event"], alert["metric"]))
            ...     _ = monitor.sample()
            fired memory_usage_percent
        """
        with self._watch.lock:
            self._watch.notifications.add(handler, self.app_name)

    def remove_handler(self, handler: Any) -> None:
        """Undoes `add_handler`.

        Args:
            handler: What was given to it.

        Raises:
            ValueError: If it was not.

        Example:
            >>> import logging
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app)
            ...     monitor.add_handler(logging.getLogger("alerts"))
            ...     monitor.remove_handler(logging.getLogger("alerts"))
        """
        with self._watch.lock:
            self._watch.notifications.remove(handler)

    def not_visible(self) -> dict[str, str]:
        """What cannot be seen of this app now.

        Returns:
            By metric, why, and what to do.

        Example:
            >>> from nexus import Nexus
            >>> import nexus_core
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app)
            ...     before = monitor.not_visible()["response_time_ms"]
            ...     report = nexus_core.attach(app)
            ...     after = "response_time_ms" in monitor.not_visible()
            >>> before, after
            ('the app is not attached: nexus_core.attach(app)', False)
        """
        return unseen_of(self.app)

    def close(self) -> None:
        """Stops, and leaves the app and its ``/metrics``; the app does it when it closes. Waits for nothing.

        What was measured can still be read. A second call does nothing.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceMonitor
            >>> with Nexus(enable_durability=False) as app:
            ...     monitor = PerformanceMonitor(app)
            ...     monitor.close()
            ...     monitor.closed
            True
        """
        if not self._watch.close():
            return
        self._intervals.stop_soon()
        _open.discard(self)
        self._plugin.leave(self.app)
        prometheus.hide(self)

    # --- inside -----------------------------------------------------------------------

    def _sample_aside(self) -> None:
        """On the monitor's thread: the next sample is not to miss for what this one has met."""
        if self.app.runtime is None:
            self.close()
        else:
            self._watch.problems.call("a sample", self._sample_while_open)

    def _sample_while_open(self) -> None:
        try:
            self.sample()
        except NexusCoreError:
            if not self.closed:
                raise

    def _after_fork(self) -> None:
        prometheus.begin_anew()
        self._watch.begin_anew()
        self._intervals.begin_anew()


@atexit.register
def _close_all() -> None:
    """No thread is to be inside of native code that comes back to an interpreter which is going down."""
    for monitor in list(_open):
        monitor.close()
