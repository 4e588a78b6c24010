"""What makes no sense is refused with the value and the way out, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import PerformanceMonitor
from nexus_core.errors import NexusCoreError
from nexus_core.monitoring import Threshold


@pytest.fixture
def monitor(app: Any) -> PerformanceMonitor:
    return PerformanceMonitor(app)


def test_apps(app: Any) -> None:
    plugins = dict(app._plugins)
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins\.str"):
        PerformanceMonitor("app")
    for max_points in (0, -1):
        with pytest.raises(ValueError, match="max_points must be at least 1"):
            PerformanceMonitor(app, max_points=max_points)
    with pytest.raises(ValueError, match=r"max_points must be at most [0-9]+, got 1000"):
        PerformanceMonitor(app, max_points=10**30)
    with pytest.raises(TypeError, match=r"thresholds must be a mapping of metrics to numbers, got \[1\]"):
        PerformanceMonitor(app, thresholds=[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"did you mean 'queue_size'\?"):
        PerformanceMonitor(app, thresholds={"queue_sizes": 3})
    with pytest.raises(TypeError, match="clock must be a function, got 5"):
        PerformanceMonitor(app, clock=5)  # type: ignore[arg-type]
    assert app._plugins == plugins
    app.close()
    with pytest.raises(NexusCoreError, match="the app is closed"):
        PerformanceMonitor(app)


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_intervals(monitor: PerformanceMonitor, interval: float) -> None:
    with pytest.raises(ValueError, match="interval_seconds must be a number of seconds, more than 0, got"):
        monitor.start_monitoring(interval)
    assert (monitor.monitoring_active, monitor.monitor_thread) == (False, None)


def test_numbers_that_are_too_large(monitor: PerformanceMonitor) -> None:
    with pytest.raises(ValueError, match="interval_seconds must be a number of seconds, got one that is too large"):
        monitor.start_monitoring(10**400)
    with pytest.raises(ValueError, match="the threshold of queue_size must be finite, got one that is too large"):
        monitor.thresholds["queue_size"] = 10**400


@pytest.mark.parametrize("interval", ["5", None, True])
def test_intervals_that_are_no_numbers(monitor: PerformanceMonitor, interval: Any) -> None:
    with pytest.raises(TypeError, match="interval_seconds must be a number of seconds, got"):
        monitor.start_monitoring(interval)
    assert monitor.monitor_thread is None


def test_windows(monitor: PerformanceMonitor) -> None:
    with pytest.raises(ValueError, match="time_window_minutes must be a number of minutes, more than 0, got 0"):
        monitor.get_performance_summary(0)
    with pytest.raises(TypeError, match="time_window_minutes must be a number of minutes, got '10'"):
        monitor.get_performance_summary("10")  # type: ignore[arg-type]


def test_severities(monitor: PerformanceMonitor) -> None:
    with pytest.raises(ValueError, match="a severity is one of info, warning, critical, got 'fatal'"):
        monitor.get_active_alerts("fatal")


@pytest.mark.parametrize("value", ["5", None, True, [5]])
def test_thresholds_of_the_wrong_type(monitor: PerformanceMonitor, value: Any) -> None:
    before = dict(monitor.thresholds)
    with pytest.raises(TypeError, match="the threshold of queue_size must be a number, got"):
        monitor.thresholds["queue_size"] = value
    with pytest.raises(TypeError, match="the threshold of queue_size must be a number, got"):
        monitor.thresholds = {"queue_size": value}  # type: ignore[assignment]
    assert dict(monitor.thresholds) == before


def test_thresholds(monitor: PerformanceMonitor) -> None:
    with pytest.raises(ValueError, match="the threshold of queue_size must be finite, got nan"):
        monitor.thresholds["queue_size"] = float("nan")
    with pytest.raises(ValueError, match=r"no metric is called 'orders'; there are .* call collect\(name, ...\) first"):
        monitor.thresholds["orders"] = 5
    with pytest.raises(ValueError, match="direction must be 'above' or 'below', got 'over'"):
        Threshold(5, "over")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="levels in the order clear 6, threshold 5"):
        Threshold(5, clear=6)
    with pytest.raises(ValueError, match="needs its levels in the order"):
        Threshold(5, warning=9, critical=8)
    with pytest.raises(ValueError, match="needs its levels in the order"):
        Threshold(5, "below", clear=4)
    with pytest.raises(TypeError, match="the critical level must be a number, got '9'"):
        Threshold(5, critical="9")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"for_seconds must be .* got -1"):
        Threshold(5, for_seconds=-1)
    with pytest.raises(TypeError, match="keep_firing_seconds must be a number of seconds, got '1'"):
        Threshold(5, keep_firing_seconds="1")  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        monitor.thresholds["active_workflows"]


def test_thresholds_as_a_mapping(monitor: PerformanceMonitor) -> None:
    monitor.thresholds.update(queue_size=7, active_workflows=Threshold(3, for_seconds=5))
    assert monitor.thresholds["active_workflows"] == 3
    assert monitor.thresholds.rule("active_workflows").for_seconds == 5
    assert "'queue_size': 7" in repr(monitor.thresholds)
    monitor.thresholds = {"queue_size": 1}
    assert monitor.thresholds == {"queue_size": 1}
    assert len(monitor.thresholds) == 1


def test_collectors(monitor: PerformanceMonitor) -> None:
    async def later() -> float:
        return 1

    class Later:
        async def __call__(self) -> float:
            return 1

    with pytest.raises(TypeError, match="a metric's name must be a string that is not empty, got 5"):
        monitor.collect(5, lambda: 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a metric's name must be a string that is not empty, got ''"):
        monitor.collect("", lambda: 1)
    with pytest.raises(TypeError, match="the collector of 'x' must be a function, got 5"):
        monitor.collect("x", 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="where nobody awaits it"):
        monitor.collect("x", later)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="where nobody awaits it"):
        monitor.collect("x", Later())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'timestamp' is in each sample its time"):
        monitor.collect("timestamp", lambda: 1)
    with pytest.raises(ValueError, match="there is a metric 'queue_size' already"):
        monitor.collect("queue_size", lambda: 1)
    monitor.collect("x", lambda: 1)
    with pytest.raises(ValueError, match="there is a metric 'x' already"):
        monitor.collect("x", lambda: 2)
    monitor.thresholds["x"] = 0
    assert monitor.sample()["x"] == 1
    monitor.stop_collecting("x")
    assert "x" not in monitor.thresholds
    assert "x" not in monitor.sample()
    with pytest.raises(KeyError, match="nothing is collected under 'x'"):
        monitor.stop_collecting("x")


def test_handlers(monitor: PerformanceMonitor) -> None:
    import logging

    async def later(alert: dict[str, Any]) -> None:
        pass

    class Later:
        async def __call__(self, alert: dict[str, Any]) -> None:
            pass

    bad: list[Any] = [5, "log", None, logging, logging.Logger]
    for handler in bad:
        with pytest.raises(TypeError, match=r"a function of an alert, a logging\.Logger or Kailash's AlertManager"):
            monitor.add_handler(handler)
    for coroutine in (later, Later()):
        with pytest.raises(TypeError, match="where nobody awaits"):
            monitor.add_handler(coroutine)
    function: Callable[[Any], None] = lambda alert: None  # noqa: E731
    monitor.add_handler(function)
    with pytest.raises(ValueError, match="is told of alerts already"):
        monitor.add_handler(function)
    monitor.remove_handler(function)
    with pytest.raises(ValueError, match="is not told of alerts"):
        monitor.remove_handler(function)
