"""The system's clock may be set: nothing is decided by that."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest

from auto_scaler.support import Boxes, until
from nexus_core import AutoScaler, PerformanceMonitor
from nexus_core.scaling import LoadRecord
from nexus_core.scaling.timestamp import Timestamp, moment_of

# Where the clock stands still, nothing gives up by itself.
pytestmark = pytest.mark.timeout(120)


class _Clocks:
    """The system's clock and the one that is never set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time, self.moment = 2_000_000.0, 500.0
        monkeypatch.setattr(time, "time", lambda: self.time)
        monkeypatch.setattr(time, "monotonic", lambda: self.moment)

    def pass_(self, seconds: float) -> None:
        self.time += seconds
        self.moment += seconds


@pytest.mark.parametrize("set_by", [-86_400.0, 86_400.0])
def test_cooldowns_are_as_long_as_they_are(app: Any, monkeypatch: pytest.MonkeyPatch, set_by: float) -> None:
    clocks = _Clocks(monkeypatch)
    scaler = AutoScaler(app, target=Boxes())
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 100})
    assert scaler.step().after == 2
    clocks.time += set_by
    clocks.pass_(60)
    assert scaler.step().action == "hold"
    clocks.pass_(60)
    decision = scaler.step()
    assert (decision.action, decision.after, decision.at) == ("scale_up", 3, clocks.time)
    assert scaler.scaling_events[-1]["timestamp"] == clocks.time


@pytest.mark.parametrize("set_by", [-86_400.0, 86_400.0])
def test_an_event_is_explained_by_what_was_decided_then(
    app: Any, monkeypatch: pytest.MonkeyPatch, set_by: float
) -> None:
    clocks, level = _Clocks(monkeypatch), [90]
    scaler = AutoScaler(app, target=Boxes())
    scaler.monitor.collect("level", lambda: level[0])
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    for value in (90, 80, 75):
        level[0] = value
        scaler.step()
        clocks.time += set_by
        clocks.pass_(10)
    reasons = [scaler.why(event["timestamp"]).splitlines()[0] for event in scaler.scaling_events]
    assert [reason.rsplit(": ")[-1] for reason in reasons] == [
        f"level is {value}, above 70" for value in (90, 80, 75)
    ]  # fmt: skip


@pytest.mark.parametrize("set_by", [-86_400.0, 86_400.0])
def test_how_busy_workers_are_does_not_depend_on_it(app: Any, monkeypatch: pytest.MonkeyPatch, set_by: float) -> None:
    class Busy(Boxes):
        seconds = 0.0

        def busy_seconds(self) -> float:
            return self.seconds

    clocks, busy = _Clocks(monkeypatch), Busy(2)
    scaler = AutoScaler(app, target=busy)
    scaler.step()
    clocks.time += set_by
    for _ in range(2):
        clocks.pass_(10)
        busy.seconds += 15
        assert scaler.step().metrics["utilization"] == pytest.approx(75)


@pytest.mark.parametrize("set_by", [-86_400.0, 86_400.0])
def test_a_monitor_is_read_on(app: Any, monkeypatch: pytest.MonkeyPatch, set_by: float) -> None:
    clocks = _Clocks(monkeypatch)
    monitor = PerformanceMonitor(app)
    values = iter(range(100))
    monitor.collect("level", lambda: next(values))
    scaler = AutoScaler(app, target=Boxes(), monitor=monitor)
    monitor.start_monitoring(3600)
    # The sample that its thread begins with.
    until(lambda: len(monitor.metrics["level"]) == 1)
    seen = []
    for change in (0.0, set_by, 0.0):
        clocks.time += change
        clocks.pass_(10)
        monitor.sample()
        seen.append((scaler.step().metrics["level"], monitor.metrics["level"][-1][1]))
    assert all(one == other for one, other in seen), seen
    monitor.stop_monitoring()


def test_the_load_is_recorded_as_it_was() -> None:
    stamps = [Timestamp(time, moment) for time, moment in ((1000, 0), (1060, 60), (87_520, 120), (1180, 180))]
    history = [
        {
            "timestamp": stamp, "request_rate": 2.0, "throughput_per_second": 2.0, "utilization": 50.0,
            "response_time": 500.0, "active_instances": 2,
        }
        for stamp in stamps
    ]  # fmt: skip
    load = LoadRecord.of(history)
    assert load is not None
    assert [(stretch.start, stretch.seconds) for stretch in load.stretches] == [(1000, 60), (1060, 60), (1120, 60)]
    copy = pickle.loads(pickle.dumps(stamps[2]))
    assert (copy, moment_of(copy), moment_of(5.0)) == (87_520, 120, 5)
