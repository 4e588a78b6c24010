"""Samples of an app: what is measured, what is kept of it, and what is made of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from nexus_core._app_workflows import attached_runtime, checked_app
from nexus_core._problems import Problems
from nexus_core.errors import NexusCoreError
from nexus_core.metrics.totals import WorkflowTotals
from nexus_core.monitoring.alerts import AlertBook
from nexus_core.monitoring.collectors import Collectors
from nexus_core.monitoring.measurements import OF_PROCESS, OF_RUNS, Measurements, Reading
from nexus_core.monitoring.notifications import Notifications
from nexus_core.monitoring.series import Point, SeriesByName
from nexus_core.monitoring.thresholds import GUIDE, Threshold, Thresholds

__all__ = ["REPORT_MINUTES", "AppWatch"]

#: What a report is about, as the guide's.
REPORT_MINUTES = 30.0


class AppWatch:
    """Takes samples of an app, and knows what they have found.

    Args:
        app: An open app.
        max_points: Points that are kept of each metric.
        thresholds: By metric, beside the guide's.
        clock: Tells the time, instead of the system's clocks.

    Attributes:
        lock: Guards `alerts`, and is held while measured; reentrant, as what is collected as garbage meanwhile may
            ask, too. Code of others runs without it.
    """

    def __init__(
        self,
        app: Any,
        max_points: int,
        thresholds: Mapping[str, float | Threshold],
        clock: Callable[[], float] | None,
    ) -> None:
        self.app = app
        self.problems = Problems(logging.getLogger("nexus_core.monitor"))
        self.collectors = Collectors(self.problems)
        self.notifications = Notifications(self.problems)
        self.thresholds = Thresholds(self._known_metrics, {**GUIDE, **thresholds})
        self.series = SeriesByName(max_points)
        self.alerts = AlertBook()
        self.closed = False
        self.lock = threading.RLock()
        self._busy = threading.local()
        self.now, self.moment = (time.time, time.monotonic) if clock is None else (clock, clock)
        self._measurements = Measurements(app, self.moment(), 60 * REPORT_MINUTES)
        self._last: tuple[bool, dict[str, WorkflowTotals]] | None = None

    def replace_thresholds(self, given: Mapping[str, float | Threshold]) -> None:
        """Has these thresholds and no others."""
        rules = given.rules() if isinstance(given, Thresholds) else given
        self.thresholds = Thresholds(self._known_metrics, rules)

    def check_open(self) -> None:
        """Does nothing, if the watch and the app are open.

        Raises:
            NexusCoreError: If they are not.
        """
        if self.closed:
            raise NexusCoreError("the monitor is closed, as its app may be; make a new one")
        checked_app(self.app, "PerformanceMonitor")

    def sample(self) -> dict[str, Any]:
        """Takes a sample, as of ``PerformanceMonitor.sample``."""
        if getattr(self._busy, "sampling", False):
            raise NexusCoreError("a collector or handler of a monitor must not call sample(): it would not end")
        self._busy.sampling = True
        try:
            self.check_open()
            own = self.collectors.take()
            with self.lock:
                # It may have been closed while a collector took its time.
                self.check_open()
                timestamp, values = self._take(own)
            self.notifications.deliver()
        finally:
            self._busy.sampling = False
        return {"timestamp": timestamp, **values}

    def _take(self, own: Mapping[str, Reading | None]) -> tuple[float, dict[str, float | None]]:
        timestamp, moment = self.now(), self.moment()
        readings = {**self._measurements.take(moment), **own}
        for name, reading in readings.items():
            if reading is not None:
                self.series.add(name, Point(timestamp, reading.value, reading.runs, moment))
        values = {name: None if reading is None else reading.value for name, reading in readings.items()}
        # A rate of no runs at all is no reason to say that it has become better.
        judged = {
            name: None if reading is None or reading.runs == 0 else reading.value for name, reading in readings.items()
        }
        events = self.alerts.check(self.thresholds.rules(), judged, timestamp, moment)
        self.notifications.put({name: value for name, value in values.items() if value is not None}, events)
        return timestamp, values

    def points(self, minutes: float) -> dict[str, list[tuple[float, float]]]:
        """By metric the points of the last minutes, where there are any."""
        return self.series.since(self.moment() - 60 * minutes)

    def seen(self) -> tuple[bool, dict[str, WorkflowTotals]]:
        """Whether runs can be seen, and what workflows came to in the last `REPORT_MINUTES`, by their own names.

        Once it is closed, how that was at its end.
        """
        with self.lock:
            return self._seen() if self._last is None else self._last

    def _seen(self) -> tuple[bool, dict[str, WorkflowTotals]]:
        return attached_runtime(self.app) is not None, self._measurements.workflows(self.moment())

    def close(self) -> bool:
        """Takes no more samples.

        Returns:
            Whether it did so far.
        """
        with self.lock:
            if self.closed:
                return False
            self.closed = True
            self._last = self.problems.call("the last look", self._seen)
        self.notifications.leave()
        return True

    def begin_anew(self) -> None:
        """For a forked child: whoever held a lock is not there."""
        self.lock = threading.RLock()
        self._busy = threading.local()
        self.notifications.begin_anew()
        self._measurements.begin_anew()

    def _known_metrics(self) -> list[str]:
        return [*OF_RUNS, *OF_PROCESS, *self.collectors.names()]
