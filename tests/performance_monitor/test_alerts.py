"""Alerts: when they begin, how severe they are, and when they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import PerformanceMonitor
from nexus_core.monitoring import Threshold
from performance_monitor.support import Clock


class Level:
    """A metric that a test sets, and samples of it a second apart."""

    def __init__(self, app: Any, clock: Clock, threshold: Any) -> None:
        self.clock = clock
        self.value: float | None = None
        self.monitor = PerformanceMonitor(app, clock=clock)
        for name in list(self.monitor.thresholds):
            del self.monitor.thresholds[name]
        self.monitor.collect("level", self._read)
        self.monitor.thresholds["level"] = threshold
        self.events: list[str] = []
        self.monitor.add_handler(lambda alert: self.events.append(alert["event"]))

    def _read(self) -> float | None:
        if self.value == -1:
            raise RuntimeError("it cannot be read")
        return self.value

    def at(self, *values: float | None) -> list[str]:
        """What happened at samples of these values."""
        self.events.clear()
        for self.value in values:
            self.clock.pass_(1)
            self.monitor.sample()
        return list(self.events)

    def alert(self) -> dict[str, Any]:
        (alert,) = self.monitor.get_active_alerts()
        return alert


@pytest.fixture
def make(app: Any, clock: Clock) -> Callable[[Any], Level]:
    return lambda threshold: Level(app, clock, threshold)


def test_an_alert_has_the_guides_keys(make: Callable[[Any], Level]) -> None:
    level = make(100)
    assert level.at(101) == ["fired"]
    now = level.clock.now
    assert list(level.alert().items())[:7] == [
        ("alert_id", f"level_{int(now)}"),
        ("metric", "level"),
        ("current_value", 101),
        ("threshold", 100),
        ("severity", "info"),
        ("timestamp", now),
        ("message", "level exceeded threshold: 101 > 100"),
    ]


@pytest.mark.parametrize(
    ("value", "severity"), [(100.1, "info"), (120, "info"), (120.1, "warning"), (150, "warning"), (150.1, "critical")]
)
def test_severities_are_the_guides(make: Callable[[Any], Level], value: float, severity: str) -> None:
    level = make(100)
    level.at(value)
    assert level.alert()["severity"] == severity
    assert level.monitor.get_active_alerts(severity) == [level.alert()]
    others = {"info", "warning", "critical"} - {severity}
    assert [level.monitor.get_active_alerts(other) for other in others] == [[], []]


def test_at_the_threshold_is_not_beyond_it(make: Callable[[Any], Level]) -> None:
    assert make(100).at(100, 99, 100) == []


def test_it_stays_one_alert_until_the_clear_level(make: Callable[[Any], Level]) -> None:
    level = make(100)
    assert level.at(101, 102, 99, 101, 91, 103) == ["fired"]
    alert = level.alert()
    assert (alert["current_value"], alert["worst_value"]) == (103, 103)
    assert level.at(90) == ["resolved"]
    assert level.monitor.get_active_alerts() == []
    (kept,) = level.monitor.alerts
    assert (kept["alert_id"], kept["status"], kept["resolved_at"]) == (alert["alert_id"], "resolved", level.clock.now)
    assert kept["resolution"] == "90 reached 90"
    assert level.at(95) == []
    assert level.at(101) == ["fired"]
    assert [each["status"] for each in level.monitor.alerts] == ["resolved", "firing"]


def test_it_says_when_it_grows_more_severe_and_not_when_it_wavers(make: Callable[[Any], Level]) -> None:
    level = make(100)
    assert level.at(110, 125, 110, 130, 160, 110, 170) == ["fired", "escalated", "escalated"]
    level.at(115)
    alert = level.alert()
    assert (alert["severity"], alert["highest_severity"], alert["worst_value"]) == ("info", "critical", 170)
    assert alert["message"] == "level exceeded threshold: 115 > 100"


def test_a_duration(make: Callable[[Any], Level]) -> None:
    level = make(Threshold(100, for_seconds=3))
    assert level.at(101, 101, 101) == []
    assert level.at(99) == []
    assert level.at(101, 102, 103) == []
    began = level.clock.now - 2
    assert level.at(101) == ["fired"]
    assert (level.alert()["began_at"], level.alert()["timestamp"]) == (began, began + 3)


def test_a_duration_where_little_happens(make: Callable[[Any], Level]) -> None:
    level = make(Threshold(100, for_seconds=5))
    assert level.at(101, None, None, 101, None) == []
    assert level.at(101) == ["fired"]
    assert level.alert()["timestamp"] - level.alert()["began_at"] == 5
    # It does not end and begin again with every run.
    assert level.at(None, None, None, None, None, 101, None, None, None, None, None) == []
    assert level.at(None) == ["resolved"]
    assert level.at(101, None, None, None, None, None) == []
    assert level.at(101) == []  # it was quiet for as long: this is the first
    assert level.at(None, 50, None, 101, None, None, None, None) == []
    assert level.at(101) == ["fired"]
    assert level.at(90) == ["resolved"]


def test_it_may_be_kept_beyond_its_end(make: Callable[[Any], Level]) -> None:
    level = make(Threshold(100, keep_firing_seconds=3))
    assert level.at(101, 10, 10, 10, 95, 10, 10, 10) == ["fired"]
    assert level.at(10) == ["resolved"]


def test_the_longer_of_both_durations_counts_while_there_is_nothing_to_measure(make: Callable[[Any], Level]) -> None:
    level = make(Threshold(100, for_seconds=1, keep_firing_seconds=3))
    assert level.at(101, 101, None, None, None) == ["fired"]
    assert level.at(None) == ["resolved"]
    level.monitor.thresholds["level"] = Threshold(100, for_seconds=3, keep_firing_seconds=1)
    assert level.at(101, 101, 101, 101, None, None, None) == ["fired"]
    assert level.at(None) == ["resolved"]
    assert level.at(101, 101, 101, 101, 10) == ["fired"]
    assert level.at(10) == ["resolved"]


def test_values_below(make: Callable[[Any], Level]) -> None:
    level = make(Threshold(10, "below"))
    assert level.at(11, 10) == []
    assert level.at(9, 7.9, 4.9) == ["fired", "escalated", "escalated"]
    assert level.alert()["message"] == "level fell below threshold: 4.9 < 10"
    assert (level.alert()["severity"], level.alert()["worst_value"]) == ("critical", 4.9)
    assert level.at(10.9) == []
    assert level.at(11) == ["resolved"]


def test_a_threshold_of_zero(make: Callable[[Any], Level]) -> None:
    level = make(0)
    assert level.at(0) == []
    assert level.at(0.1) == ["fired"]
    assert level.alert()["severity"] == "critical"
    assert level.at(0) == ["resolved"]


def test_levels_of_ones_own(make: Callable[[Any], Level]) -> None:
    level = make(Threshold(85, clear=70, warning=90, critical=97))
    level.at(86)
    assert level.alert()["severity"] == "info"
    level.at(91)
    assert level.alert()["severity"] == "warning"
    level.at(98)
    assert level.alert()["severity"] == "critical"
    assert level.at(71) == []
    assert level.at(70) == ["resolved"]


def test_nothing_to_measure_ends_it_and_not_knowing_does_not(make: Callable[[Any], Level]) -> None:
    level = make(100)
    assert level.at(101, -1, -1) == ["fired"]
    assert level.at(None) == ["resolved"]
    assert level.monitor.alerts[0]["resolution"] == "there was nothing to measure"


def test_a_threshold_that_goes_takes_its_alert_along(make: Callable[[Any], Level]) -> None:
    level = make(100)
    level.at(101)
    del level.monitor.thresholds["level"]
    assert level.at(101) == ["resolved"]
    assert level.monitor.alerts[0]["resolution"] == "the threshold was removed"
    assert level.at(101) == []


def test_a_threshold_that_is_changed_holds_for_the_alert_there_is(make: Callable[[Any], Level]) -> None:
    level = make(100)
    level.at(110)
    level.monitor.thresholds["level"] = 50
    assert level.at(110) == ["escalated"]
    assert level.alert()["threshold"] == 50
    level.monitor.thresholds["level"] = 200
    assert level.at(110) == ["resolved"]


def test_the_last_fifty_are_kept(make: Callable[[Any], Level]) -> None:
    level = make(100)
    level.at(*[101, 0] * 60)
    kept = level.monitor.alerts
    assert len(kept) == 50
    assert kept[-1]["resolved_at"] == level.clock.now
    assert len({alert["alert_id"] for alert in kept}) == 50


def test_ids_differ_within_a_second(make: Callable[[Any], Level]) -> None:
    level = make(100)
    level.at(101, 0)
    level.clock.pass_(-1.5)
    level.at(101)
    ids = [alert["alert_id"] for alert in level.monitor.alerts]
    assert ids[1] in (f"{ids[0]}_2", f"level_{int(level.clock.now)}")
    assert len(set(ids)) == 2


def test_what_is_handed_out_is_a_copy(make: Callable[[Any], Level]) -> None:
    level = make(100)
    level.at(101)
    level.monitor.get_active_alerts()[0]["status"] = level.monitor.alerts[0]["status"] = "mine"
    level.monitor.alerts.clear()
    assert level.alert()["status"] == "firing"
