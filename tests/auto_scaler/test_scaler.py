"""A scaler on an app, step by step: what it scales, remembers and says."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import nexus_core
from apps import code_workflow
from auto_scaler.support import Boxes, until
from nexus_core import AutoScaler, PerformanceMonitor
from nexus_core.errors import NexusCoreError
from performance_monitor.support import run


def _scaler(app: Any, clock: Any, target: Any, level: list[Any], **options: Any) -> AutoScaler:
    """One that scales by a metric that the test sets."""
    scaler = AutoScaler(app, target=target, clock=clock, **options)

    def read() -> Any:
        if isinstance(level[0], Exception):
            raise level[0]
        return level[0]

    scaler.monitor.collect("level", read)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 60})
    return scaler


def test_a_step_measures_decides_and_scales(app: Any, clock: Any) -> None:
    boxes, level = Boxes(2), [90.0]
    scaler = _scaler(app, clock, boxes, level)
    decision = scaler.step()
    assert (decision.action, decision.before, decision.after, decision.outcome) == ("scale_up", 2, 3, "applied")
    assert (boxes.told, boxes.count) == ([3], 3)
    clock.pass_(59)
    assert scaler.step().reason == "levels: level is 90, above 70, but its cooldown has 1 s left"
    clock.pass_(1)
    assert scaler.step().after == 4
    clock.pass_(60)
    level[0] = 10.0
    assert scaler.step().after == 3
    assert boxes.told == [3, 4, 3]
    assert [event["action"] for event in scaler.scaling_events] == ["scale_up", "scale_up", "scale_down"]
    assert len(scaler.metrics_history) == len(scaler.decisions) == 4
    assert [each["active_instances"] for each in scaler.metrics_history] == [2, 3, 3, 4]


def test_the_places_of_the_runtime_are_what_it_scales(app: Any, clock: Any) -> None:
    level = [90.0]
    scaler = _scaler(app, clock, None, level)
    runtime = nexus_core.nexus_app.attaching._attachment(app).runtime  # type: ignore[attr-defined]
    assert runtime.thread_pool_size == 4
    scaler.step()
    assert (runtime.thread_pool_size, runtime.max_concurrent_nodes) == (5, 10)
    status = scaler.get_scaling_status()
    assert list(status["instances"]) == ["nexus-1", "nexus-2", "nexus-3", "nexus-4", "nexus-5"]
    assert status["instances"]["nexus-5"]["policy"] == "levels"
    assert status["instances"]["nexus-4"]["policy"] is None
    assert status["instances"]["nexus-4"]["created_at"] <= status["instances"]["nexus-5"]["created_at"]
    clock.pass_(60)
    level[0] = 0.0
    scaler.step()
    assert list(scaler.instances) == ["nexus-1", "nexus-2", "nexus-3", "nexus-4"]


def test_an_app_that_is_attached_later_is_scaled_from_then_on(make_app: Any, clock: Any) -> None:
    app = make_app()
    scaler = _scaler(app, clock, None, [90.0])
    assert scaler.step().outcome == "held"
    assert scaler.scaling_events == []
    runtime = nexus_core.attach(app, thread_pool_size=2).runtime
    assert scaler.get_scaling_status()["not_scaled"] is None
    assert scaler.step().after == 3
    assert runtime.thread_pool_size == 3
    nexus_core.detach(app)
    clock.pass_(60)
    assert scaler.step().reason.startswith("there is nothing to scale")
    other = nexus_core.attach(app, thread_pool_size=7).runtime
    clock.pass_(60)
    assert scaler.step().after == other.thread_pool_size == 8


def test_a_dry_run_scales_nothing(app: Any, clock: Any) -> None:
    boxes = Boxes(2)
    scaler = _scaler(app, clock, boxes, [90.0], dry_run=True)
    decision = scaler.step()
    assert (decision.outcome, decision.after, boxes.told) == ("dry_run", 3, [])
    assert scaler.scaling_events[0]["dry_run"] is True
    assert decision.explain().startswith("dry run: would go from 2 to 3 instances")
    clock.pass_(30)
    assert "cooldown" in scaler.step().reason
    scaler.dry_run = False
    clock.pass_(30)
    scaler.step()
    assert boxes.told == [3]


def test_events_and_decisions_are_bounded(app: Any, clock: Any) -> None:
    boxes, level = Boxes(2), [90.0]
    scaler = _scaler(app, clock, boxes, level, max_events=3, history=5)
    for number in range(10):
        level[0] = 90.0 if number % 2 else 10.0
        clock.pass_(60)
        scaler.step()
    assert len(boxes.told) == 10
    assert (len(scaler.scaling_events), len(scaler.decisions), len(scaler.metrics_history)) == (3, 3, 5)
    assert scaler.optimize_scaling_policies()["analysis_period"] == "last_3_events"
    scaler.scaling_events[0]["action"] = "changed"
    assert scaler.scaling_events[0]["action"] != "changed"


def test_why(app: Any, clock: Any) -> None:
    boxes, level = Boxes(2), [90.0]
    scaler = _scaler(app, clock, boxes, level)
    assert scaler.why() == "nothing has been decided yet"
    scaler.configure_scaling_policy("cpu", {"metric": "queue_size", "scale_down_threshold": -1})
    scaler.step()
    first = clock.now
    clock.pass_(60)
    level[0] = 50.0
    scaler.step()
    assert scaler.why(first).splitlines() == [
        "from 2 to 3 instances: level is 90, above 70",
        "  * levels: wants 3: level is 90, above 70",
        "  - cpu: wants 2: queue_size is 0, between -1 and 70",
    ]
    assert scaler.why().startswith("3 instances stay: levels: level is 50, between 30 and 70; cpu: ")
    assert scaler.why(first - 1) == "nothing is known of what was decided until then"


def test_who_is_told_of_events(app: Any, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    told: list[dict[str, Any]] = []

    def tell(event: dict[str, Any]) -> None:
        told.append(event)
        raise RuntimeError("not now")

    level = [90.0]
    scaler = _scaler(app, clock, Boxes(2), level, on_event=tell)
    with caplog.at_level(logging.INFO, "nexus_core.scaling"):
        for _ in range(3):
            scaler.step()
            clock.pass_(60)
    assert [event["total_instances"] for event in told] == [3, 4, 5]
    assert len([record for record in caplog.records if "handler of events failed" in record.message]) == 1
    assert "scaled from 2 to 3 instances: level is 90, above 70" in caplog.text
    assert scaler.problems["the handler of events"]["count"] == 3


def test_a_metric_that_raises_is_logged_once_and_lets_nobody_go(
    app: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    boxes, level = Boxes(3), [RuntimeError("no level")]
    scaler = _scaler(app, clock, boxes, level)
    for _ in range(3):
        clock.pass_(60)
        assert scaler.step().reason == "levels: level could not be measured, so nothing is let go"
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert boxes.told == []
    level[0] = 90.0  # type: ignore[call-overload]
    clock.pass_(60)
    assert scaler.step().after == 4


def test_a_monitor_of_the_users_own_is_read_while_it_samples(app: Any, clock: Any) -> None:
    monitor = PerformanceMonitor(app, clock=clock)
    monitor.collect("level", lambda: level[0])
    level = [10.0]
    scaler = AutoScaler(app, target=Boxes(3), monitor=monitor, clock=clock)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    assert scaler.step().after == 2, "it does not sample by itself, so the scaler has it sample"
    before = len(monitor.metrics["level"])
    monitor.start_monitoring(3600)
    until(lambda: len(monitor.metrics["level"]) > before)
    scaler.step()
    clock.pass_(10)
    assert "could not be measured" in scaler.step().reason, "nothing new since the last check"
    for value in (80.0, 90.0, 100.0):
        clock.pass_(1)
        level[0] = value
        monitor.sample()
    decision = scaler.step()
    assert decision.proposals[0].value == pytest.approx(90)
    assert decision.action == "scale_up"
    scaler.close()
    assert not monitor.closed


def test_figures_of_the_target_and_of_runs(app: Any, clock: Any) -> None:
    app.register("sleeps", code_workflow("import time\ntime.sleep(0.02)\nresult = 1"))
    run(app, "sleeps")  # read and compiled
    scaler = AutoScaler(app, clock=clock)
    scaler.step()
    run(app, "sleeps", 10)
    clock.pass_(1)
    seen = scaler.step().metrics
    # Ten times 20 ms on four workers within what passes for a second.
    assert seen["request_rate"] == seen["throughput_per_second"] == 10
    utilization = seen["utilization"]
    assert utilization is not None
    assert 5 <= utilization < 50
    assert seen["demand"] == pytest.approx(utilization)
    assert (seen["queue_per_instance"], seen["active_instances"]) == (0, 4)
    assert seen["response_time"] == seen["response_time_ms"]
    assert seen["response_time"] is not None
    assert seen["response_time"] >= 20
    (instance, *_) = scaler.instances.values()
    assert instance["state"] == "idle"
    assert 0 <= instance["load"] <= 1


def test_a_target_that_calls_the_scaler_is_refused(app: Any, clock: Any) -> None:
    class Calls(Boxes):
        def scale(self, n: int) -> None:
            scaler.step()

    scaler = _scaler(app, clock, Calls(2), [90.0])
    decision = scaler.step()
    assert decision.outcome == "failed"
    assert decision.error is not None
    assert "must not call step()" in decision.error


def test_arguments(app: Any) -> None:
    plugins = dict(app._plugins)
    for options, kind, says in (
        ({"dry_run": 1}, TypeError, "dry_run must be True or False, got 1"),
        ({"monitor": "mine"}, TypeError, "monitor must be a PerformanceMonitor, got 'mine'"),
        ({"max_events": 0}, ValueError, "max_events must be at least 1, got 0"),
        ({"history": 1}, ValueError, "history must be at least 2, got 1"),
        ({"settle_seconds": -1}, ValueError, "settle_seconds must be a number of seconds, not negative, got -1"),
        (
            {"latency_target_ms": 0},
            ValueError,
            "latency_target_ms must be a number of milliseconds, more than 0, got 0",
        ),
        ({"on_event": 5}, TypeError, "on_event must be a function, got 5"),
        ({"clock": 5}, TypeError, "clock must be a function, got 5"),
    ):
        with pytest.raises(kind, match=says):
            AutoScaler(app, **options)  # type: ignore[arg-type]
    assert app._plugins == plugins
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins\.str"):
        AutoScaler("app")
    scaler = AutoScaler(app)
    with pytest.raises(ValueError, match="time_horizon_minutes must be a number of minutes, more than 0, got 0"):
        scaler.predict_scaling_needs(0)
    with pytest.raises(TypeError, match="candidates must be a mapping of names to configurations, got 5"):
        scaler.optimize_scaling_policies(candidates=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="policy 'odd': no metric is called 'moon'"):
        scaler.optimize_scaling_policies(candidates={"odd": {"metric": "moon"}})
    app.close()
    with pytest.raises(NexusCoreError, match="the app is closed"):
        AutoScaler(app)
