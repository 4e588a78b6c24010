"""The guide's calls as they stand, with what is scaled and measured behind them real."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import nexus_core
from auto_scaler.support import until
from nexus_core import AutoScaler, PerformanceBestPractices

_CPU = {
    "metric": "cpu_usage",
    "scale_up_threshold": 75,
    "scale_down_threshold": 25,
    "min_instances": 1,
    "max_instances": 8,
    "cooldown_period": 300,
}
_MEMORY = {
    "metric": "memory_usage",
    "scale_up_threshold": 80,
    "scale_down_threshold": 40,
    "min_instances": 1,
    "max_instances": 6,
    "cooldown_period": 420,
}


def _uses(app: Any) -> AutoScaler:
    """The usage that the guide shows, and what it prints."""
    autoscaler = AutoScaler(app)
    assert autoscaler.app is app
    assert autoscaler.scaling_policies == {}
    assert autoscaler.scaling_events == []
    assert isinstance(autoscaler.metrics_history, deque)
    assert (autoscaler.auto_scaling_enabled, autoscaler.scaling_thread) == (True, None)
    assert autoscaler.instances["nexus-1"]["status"] == "running"

    cpu_policy = autoscaler.configure_scaling_policy("cpu_based", _CPU)
    memory_policy = autoscaler.configure_scaling_policy("memory_based", _MEMORY)
    assert cpu_policy == {
        "policy_configured": "cpu_based",
        "policy": {"name": "cpu_based", **_CPU, "scale_up_increment": 1, "scale_down_increment": 1, "enabled": True},
    }
    assert memory_policy["policy"]["max_instances"] == 6
    assert list(autoscaler.scaling_policies) == ["cpu_based", "memory_based"]

    scaling_start = autoscaler.start_auto_scaling(30)
    assert (scaling_start["auto_scaling_started"], scaling_start["check_interval"]) == (True, 30)
    until(lambda: autoscaler.decisions)
    assert isinstance(autoscaler.scaling_thread, threading.Thread)
    assert autoscaler.scaling_thread.daemon

    status = autoscaler.get_scaling_status()
    assert list(status)[:6] == [
        "auto_scaling_enabled", "current_instances", "instances", "active_policies", "recent_events", "metrics_collected",
    ]  # fmt: skip
    assert (status["auto_scaling_enabled"], status["active_policies"], status["metrics_collected"]) == (True, 2, 1)
    for instance in status["instances"].values():
        assert list(instance)[:3] == ["status", "created_at", "policy"]
        assert instance["created_at"] <= time.time()

    predictions = autoscaler.predict_scaling_needs(45)
    assert predictions["prediction"] == "insufficient_data"

    optimization = autoscaler.optimize_scaling_policies()
    assert list(optimization)[:3] == ["analysis_period", "total_scaling_events", "optimization_recommendations"]
    assert optimization["analysis_period"] == "last_100_events"
    assert optimization["optimization_recommendations"] == []

    scaling_stop = autoscaler.stop_auto_scaling()
    assert scaling_stop["auto_scaling_stopped"] is True
    assert not autoscaler.auto_scaling_enabled
    return autoscaler


def test_the_guides_usage(make_app: Any) -> None:
    """As it stands there: the app is not attached, and its process is the one instance that it has."""
    app = make_app()
    autoscaler = _uses(app)
    (instance,) = autoscaler.instances.values()
    assert (instance["worker"], autoscaler.scaling_events) == ("process", [])
    assert autoscaler.get_scaling_status()["not_scaled"] == "the app is not attached: nexus_core.attach(app)"


def test_the_guides_usage_on_an_attached_app(make_app: Any) -> None:
    app = make_app()
    runtime = nexus_core.attach(app, thread_pool_size=3).runtime
    autoscaler = _uses(app)
    assert autoscaler.get_scaling_status()["current_instances"] == runtime.thread_pool_size
    assert len(autoscaler.decisions[0].proposals) == 2


def test_the_guides_defaults(app: Any) -> None:
    assert AutoScaler(app).configure_scaling_policy("plain", {})["policy"] == {
        "name": "plain",
        "metric": "cpu_usage",
        "scale_up_threshold": 70,
        "scale_down_threshold": 30,
        "min_instances": 1,
        "max_instances": 10,
        "cooldown_period": 300,
        "scale_up_increment": 1,
        "scale_down_increment": 1,
        "enabled": True,
    }


def test_events_and_metrics_have_the_guides_keys(app: Any, clock: Any) -> None:
    autoscaler = AutoScaler(app, clock=clock)
    level = [100.0]
    autoscaler.monitor.collect("level", lambda: level[0])
    autoscaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    autoscaler.step()
    clock.pass_(1)
    level[0] = 0.0
    autoscaler.step()
    up, down = autoscaler.scaling_events
    assert list(up)[:7] == [
        "timestamp", "action", "policy", "metric_value", "threshold", "instances_added", "total_instances",
    ]  # fmt: skip
    assert list(down)[5:7] == ["instances_removed", "total_instances"]
    assert (up["action"], up["metric_value"], up["threshold"], up["total_instances"]) == ("scale_up", 100, 70, 5)
    assert (down["action"], down["threshold"], down["instances_removed"]) == ("scale_down", 30, 1)
    names = {
        "timestamp", "cpu_usage", "memory_usage", "request_rate", "queue_size", "response_time", "active_instances",
    }  # fmt: skip
    # The processor's share is told once some time has passed.
    assert {*autoscaler.metrics_history[-1], "cpu_usage"} >= names
    assert autoscaler.metrics_history[-1]["active_instances"] == 5


def test_the_checklist_sees_it(app: Any) -> None:
    def checked() -> dict[str, Any]:
        found = PerformanceBestPractices.workflow_optimization_checklist(app)["scaling_configuration"]
        return {item.name: item for item in found}

    assert not checked()["scaling_policies"].holds
    autoscaler = AutoScaler(app)
    assert not checked()["scaling_policies"].holds
    autoscaler.configure_scaling_policy("cpu_based", _CPU)
    for name in ("scaling_policies", "scaling_events"):
        assert checked()[name].holds
        assert "nexus-core-auto-scaler" in checked()[name].evidence
    autoscaler.close()
    assert not checked()["scaling_policies"].holds
