"""Who is told of alerts: functions, loggers, and Kailash's real AlertManager."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import PerformanceMonitor
from nexus_core._problems import Problems
from nexus_core.monitoring import Threshold
from nexus_core.monitoring.notifications import Notifications
from performance_monitor.support import Clock, until


@pytest.fixture
def levels() -> list[float]:
    return []


@pytest.fixture
def monitor(app: Any, clock: Clock, levels: list[float]) -> PerformanceMonitor:
    made = PerformanceMonitor(app, clock=clock)
    for name in list(made.thresholds):
        del made.thresholds[name]
    made.collect("level", lambda: levels[-1])
    made.thresholds["level"] = 100
    return made


@pytest.fixture
def at(monitor: PerformanceMonitor, clock: Clock, levels: list[float]) -> Callable[..., None]:
    def sample(*values: float) -> None:
        for value in values:
            levels.append(value)
            clock.pass_(1)
            monitor.sample()

    return sample


def test_a_function_is_told(monitor: PerformanceMonitor, at: Callable[..., None]) -> None:
    told: list[dict[str, Any]] = []
    monitor.add_handler(told.append)
    at(50, 110, 111, 200, 10)
    assert [(alert["event"], alert["current_value"], alert["severity"]) for alert in told] == [
        ("fired", 110, "info"),
        ("escalated", 200, "critical"),
        ("resolved", 10, "critical"),
    ]
    assert len({alert["alert_id"] for alert in told}) == 1
    monitor.remove_handler(told.append)
    at(110)
    assert len(told) == 3


def test_a_logger_is_told(
    monitor: PerformanceMonitor, at: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("performance_monitor.alerts")
    monitor.add_handler(logger)
    with caplog.at_level(logging.INFO, logger.name):
        at(110, 130, 200, 10)
    seen = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == logger.name]
    assert seen == [
        ("INFO", "info: level exceeded threshold: 110 > 100"),
        ("WARNING", "warning: level exceeded threshold: 130 > 100"),
        ("CRITICAL", "critical: level exceeded threshold: 200 > 100"),
        ("INFO", "resolved: level exceeded threshold: 200 > 100 (10 reached 90)"),
    ]
    assert caplog.records[-1].__dict__["alert"]["metric"] == "level"


def test_one_that_raises_is_logged_once_and_the_others_are_told(
    monitor: PerformanceMonitor, at: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fails(alert: dict[str, Any]) -> None:
        alert["metric"] = "spoilt"
        raise RuntimeError("no such channel")

    monitor.add_handler(fails)
    monitor.add_handler(lambda alert: told.append(alert["metric"]))
    with caplog.at_level(logging.WARNING, "nexus_core.monitor"):
        at(110, 10, 110, 10)
    assert told == ["level"] * 4
    (record,) = [record for record in caplog.records if record.name == "nexus_core.monitor"]
    assert "fails failed" in record.getMessage()
    assert record.exc_info is not None and "no such channel" in str(record.exc_info[1])
    ((name, problem),) = monitor.problems.items()
    assert name.endswith("fails")
    assert problem == {"count": 4, "last_error": "RuntimeError: no such channel"}
    assert monitor.generate_performance_report()["problems"] == monitor.problems
    monitor.remove_handler(fails)
    assert monitor.problems == {}


def test_a_collector_that_raises_is_logged_once_and_the_others_are_read(
    monitor: PerformanceMonitor, at: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> float:
        raise SystemExit("not for a collector to say")

    monitor.collect("broken", fails)
    monitor.collect("text", lambda: "5")  # type: ignore[arg-type, return-value]
    monitor.collect("nan", lambda: float("nan"))
    monitor.collect("sound", lambda: 5)
    with caplog.at_level(logging.WARNING, "nexus_core.monitor"):
        at(1, 1, 1)
    assert [value for _, value in monitor.metrics["sound"]] == [5, 5, 5]
    assert {"broken", "text", "nan"}.isdisjoint(monitor.metrics)
    assert len(monitor.metrics["registered_workflows"]) == 3
    assert len([record for record in caplog.records if record.name == "nexus_core.monitor"]) == 3
    assert {name: found["count"] for name, found in monitor.problems.items()} == {
        "the collector of 'broken'": 3,
        "the collector of 'text'": 3,
        "the collector of 'nan'": 3,
    }
    assert monitor.problems["the collector of 'text'"]["last_error"] == (
        "TypeError: a metric's value must be a number or None, got '5'"
    )


def test_whatever_a_collector_raises(monitor: PerformanceMonitor, at: Callable[..., None]) -> None:
    class Strange(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Panic(BaseException):
        pass

    def raises(error: BaseException) -> Callable[[], float]:
        def collector() -> float:
            raise error

        return collector

    monitor.collect("strange", raises(Strange()))
    monitor.collect("panic", raises(Panic("of a native module")))
    monitor.collect("sound", lambda: 5)
    at(1, 1)
    assert len(monitor.metrics["sound"]) == 2
    assert {name: found["last_error"] for name, found in monitor.problems.items()} == {
        "the collector of 'strange'": "Strange",
        "the collector of 'panic'": "Panic: of a native module",
    }
    monitor.collect("stop", raises(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        at(1)


def test_what_would_have_to_be_awaited_is_a_problem(monitor: PerformanceMonitor, at: Callable[..., None]) -> None:
    async def later(*_: object) -> float:
        return 1

    told: list[str] = []
    monitor.collect("later", lambda: later())  # type: ignore[arg-type, return-value]
    monitor.add_handler(lambda alert: later(alert))
    monitor.add_handler(lambda alert: told.append(alert["metric"]))
    at(110)
    assert told == ["level"]
    assert [found["last_error"] for found in monitor.problems.values()] == [
        "TypeError: it returned 'coroutine', which nobody awaits on the monitor's thread"
    ] * 2


def test_they_are_told_in_the_order_of_the_samples(monitor: PerformanceMonitor, at: Callable[..., None]) -> None:
    told: list[str] = []
    entered, gate = threading.Event(), threading.Event()

    def slow(alert: dict[str, Any]) -> None:
        entered.set()
        assert gate.wait(60)

    monitor.add_handler(slow)
    monitor.add_handler(lambda alert: told.append(alert["event"]))
    thread = threading.Thread(target=at, args=(110,))
    thread.start()
    assert entered.wait(60)
    at(10, 200)  # does not wait for the slow one, and does not overtake it
    assert told == []
    gate.set()
    thread.join(60)
    assert told == ["fired", "resolved", "fired"]


def test_of_one_that_does_not_return_so_many_samples_wait(caplog: pytest.LogCaptureFixture) -> None:
    told: list[float] = []
    entered, gate = threading.Event(), threading.Event()

    def slow(alert: dict[str, Any]) -> None:
        told.append(alert["current_value"])
        entered.set()
        assert gate.wait(60)

    notifications = Notifications(Problems(logging.getLogger("nexus_core.monitor")))
    notifications.add(slow, "app")
    notifications.put({}, [{"event": "fired", "current_value": -1}])
    thread = threading.Thread(target=notifications.deliver)
    thread.start()
    assert entered.wait(60)
    with caplog.at_level(logging.WARNING, "nexus_core.monitor"):
        for number in range(1001):
            notifications.put({}, [{"event": "escalated", "current_value": number}])
            notifications.deliver()
    gate.set()
    thread.join(60)
    assert told == [-1, *range(1, 1001)]
    assert [record.getMessage() for record in caplog.records] == [
        "an alert handler does not return: it will not be told of the sample of 1000 ago"
    ]


def test_neither_may_sample(monitor: PerformanceMonitor, at: Callable[..., None]) -> None:
    monitor.collect("again", lambda: monitor.sample()["level"])
    monitor.add_handler(lambda alert: monitor.sample())
    at(110)
    assert [found["count"] for found in monitor.problems.values()] == [1, 1]
    assert all("must not call sample()" in str(found["last_error"]) for found in monitor.problems.values())
    assert len(monitor.metrics["level"]) == 1


def test_either_may_look(monitor: PerformanceMonitor, at: Callable[..., None]) -> None:
    seen: list[Any] = []
    monitor.collect("alerts", lambda: len(monitor.get_active_alerts()))
    monitor.add_handler(lambda alert: seen.append(monitor.generate_performance_report()["alert_summary"]))
    at(110, 110)
    assert [value for _, value in monitor.metrics["alerts"]] == [0, 1]
    assert seen[0]["total_alerts"] == 1


class TestKailashsAlertManager:
    @pytest.fixture
    def manager(self) -> Any:
        from kailash.monitoring.alerts import AlertManager
        from kailash.monitoring.metrics import MetricsRegistry

        return AlertManager(MetricsRegistry())

    @pytest.fixture
    def notified(self, manager: Any) -> list[tuple[Any, ...]]:
        from kailash.monitoring.alerts import NotificationChannel

        notified: list[tuple[Any, ...]] = []

        class Channel(NotificationChannel):  # type: ignore[misc]
            def send_notification(self, alert: Any, context: dict[str, Any]) -> bool:
                notified.append((alert.severity.value, alert.description, context["metric_value"]))
                return True

        manager.add_notification_channel(Channel())
        return notified

    def test_its_alerts_fire_and_resolve(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any, notified: list[Any]
    ) -> None:
        monitor.add_handler(manager)
        at(50)
        assert (manager.get_all_alerts(), notified) == ([], [])
        at(110)
        assert notified == [("info", "level exceeded threshold: 110 > 100", 110)]
        (alert,) = manager.get_active_alerts()
        assert (alert.labels["metric"], alert.labels["app"]) == ("level", monitor.app_name)
        assert alert.labels["alert_id"] == monitor.get_active_alerts()[0]["alert_id"]
        at(111, 112)
        assert len(notified) == 1
        at(200)
        assert notified[1:] == [("critical", "level exceeded threshold: 200 > 100", 200)]
        at(10)
        assert manager.get_active_alerts() == []
        assert [alert.status.value for alert in manager.get_all_alerts()] == ["resolved"]
        # The same alert there, so that it is not notified more often than its rule says.
        at(110)
        assert manager.get_active_alerts() == manager.get_all_alerts()
        assert (len(manager.get_all_alerts()), len(notified)) == (1, 2)
        assert monitor.problems == {}

    def test_its_own_evaluation_makes_no_second_one(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any, notified: list[Any]
    ) -> None:
        monitor.add_handler(manager)
        at(200)
        manager._evaluate_rules()
        manager._process_notifications()
        assert (len(manager.get_all_alerts()), len(notified)) == (1, 1)
        at(95)  # between the threshold and the clear level
        manager._evaluate_rules()
        assert len(manager.get_active_alerts()) == 1

    def test_its_own_rules_see_what_is_measured(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any, notified: list[Any]
    ) -> None:
        from kailash.monitoring.alerts import AlertRule, AlertSeverity

        manager.add_rule(AlertRule("own", "mine", AlertSeverity.ERROR, "registered_workflows", "== 0", 0))
        monitor.add_handler(manager)
        at(1)
        manager._evaluate_rules()
        manager._process_notifications()
        assert [severity for severity, *_ in notified] == ["error"]

    def test_a_silenced_one_stays_silent_until_it_is_over(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any, notified: list[Any]
    ) -> None:
        monitor.add_handler(manager)
        at(110)
        (alert,) = manager.get_all_alerts()
        manager.acknowledge_alert(alert.id)
        at(130, 200)
        assert (alert.status.value, len(notified)) == ("silenced", 1)
        at(10)
        assert alert.status.value == "resolved"
        at(110)
        assert alert.status.value == "firing"

    def test_two_apps_of_one_name_do_not_mix(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any, make_app: Callable[[], Any]
    ) -> None:
        other = PerformanceMonitor(make_app())
        assert other.app_name == monitor.app_name
        other.collect("level", lambda: 0)
        other.thresholds["level"] = Threshold(1, "below")
        monitor.add_handler(manager)
        other.add_handler(manager)
        other.sample()
        at(110, 10)
        assert [alert.description for alert in manager.get_active_alerts()] == ["level fell below threshold: 0 < 1"]

    def test_with_the_monitor_its_alerts_end(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any, notified: list[Any]
    ) -> None:
        monitor.add_handler(manager)
        at(110)
        monitor.close()
        assert manager.get_active_alerts() == []
        assert [alert.status.value for alert in manager.get_all_alerts()] == ["resolved"]
        for alert in manager.get_all_alerts():
            alert.last_notification = None
        manager._process_notifications()
        assert len(notified) == 1

    def test_taken_away_and_given_again_it_goes_on(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any
    ) -> None:
        monitor.add_handler(manager)
        at(110)
        (alert,) = manager.get_all_alerts()
        manager.acknowledge_alert(alert.id)
        monitor.remove_handler(manager)
        assert alert.status.value == "resolved"
        monitor.add_handler(manager)
        at(10, 110)
        assert manager.get_active_alerts() == manager.get_all_alerts() == [alert]

    def test_closing_does_not_wait_for_its_lock(
        self, monitor: PerformanceMonitor, at: Callable[..., None], manager: Any, notified: list[Any]
    ) -> None:
        held, gate = threading.Event(), threading.Event()

        def hold() -> None:
            with manager._lock:
                held.set()
                gate.wait(60)

        monitor.collect("late", lambda: levels["late"])
        monitor.thresholds["late"] = 100
        levels = {"late": 0}
        monitor.add_handler(manager)
        at(110)
        holding = threading.Thread(target=hold)
        holding.start()
        assert held.wait(60)
        levels["late"] = 200
        telling = threading.Thread(target=at, args=(110,))
        telling.start()
        until(lambda: len(monitor.get_active_alerts()) == 2)
        monitor.close()
        assert holding.is_alive() and telling.is_alive()
        gate.set()
        holding.join(60)
        telling.join(60)
        # Neither the one that was told before nor the one that was on its way.
        assert manager.get_active_alerts() == []
        assert len(notified) == 1
