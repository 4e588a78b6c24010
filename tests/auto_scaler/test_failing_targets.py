"""Targets that raise, refuse and lie: nothing is scaled, and the app runs on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from auto_scaler.support import Boxes, until
from nexus_core import AutoScaler
from nexus_core.errors import TargetError
from performance_monitor.support import run


def _by_level(app: Any, clock: Any, target: Any, **options: Any) -> AutoScaler:
    scaler = AutoScaler(app, target=target, clock=clock, **options)
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    return scaler


@pytest.mark.parametrize("error", [RuntimeError("full"), OSError("gone"), asyncio.CancelledError()])
def test_a_target_that_refuses(app: Any, clock: Any, caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    class Refuses(Boxes):
        def scale(self, n: int) -> None:
            raise error

    refuses = Refuses(2)
    scaler = _by_level(app, clock, refuses)
    for _ in range(3):
        clock.pass_(1)
        decision = scaler.step()
    assert (decision.outcome, decision.after) == ("failed", 3)
    assert type(error).__name__ in (decision.error or "")
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert (scaler.scaling_events, scaler.problems["the target"]["count"]) == ([], 3)
    assert "failed" in scaler.why()
    _runs_on(app)


def test_a_target_that_does_it_and_then_refuses_has_its_cooldown(app: Any, clock: Any) -> None:
    class Late(Boxes):
        def scale(self, n: int) -> None:
            super().scale(n)
            raise TimeoutError("no answer")

    late = Late(2)
    scaler = AutoScaler(app, target=late, clock=clock)
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 300})
    assert scaler.step().error == "TimeoutError: no answer (it has 3 now)"
    for _ in range(4):
        clock.pass_(60)
        assert scaler.step().action == "hold"
    clock.pass_(60)
    scaler.step()
    assert late.told == [3, 4]


@pytest.mark.parametrize("count", [None, "3", -1, 2.5, True])
def test_a_target_that_does_not_tell_how_many(app: Any, clock: Any, count: Any) -> None:
    boxes = Boxes(2)
    scaler = _by_level(app, clock, boxes)
    boxes.count = count
    with pytest.raises(TargetError, match=rf"current\(\) must be a number of workers, got {count!r}"):
        scaler.start_auto_scaling(60)
    assert not scaler.is_running
    decision = scaler.step()
    assert (decision.outcome, boxes.told) == ("held", [])
    assert f"must be a number of workers, got {count!r}" in decision.reason
    _runs_on(app)


def test_a_target_that_raises_when_asked(app: Any, clock: Any) -> None:
    class Silent(Boxes):
        def current(self) -> int:
            raise ConnectionError("nobody there")

    scaler = _by_level(app, clock, Silent())
    with pytest.raises(ConnectionError, match="nobody there"):
        scaler.start_auto_scaling(60)
    assert scaler.step().reason == "ConnectionError: nobody there"
    assert scaler.instances == {}
    _runs_on(app)


def test_a_target_that_fails_again_and_again_is_left_alone(
    app: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Silent(Boxes):
        asked = 0
        answers = False

        def current(self) -> int:
            self.asked += 1
            if not self.answers:
                raise ConnectionError("nobody there")
            return self.count

        def busy_seconds(self) -> float:
            assert self.answers, "one that does not even say how many it has is asked nothing else"
            return 0.0

    silent = Silent(2)
    scaler = _by_level(app, clock, silent)
    asked = []
    for second in range(0, 1000, 10):
        before = silent.asked
        scaler.step()
        if silent.asked > before:
            asked.append(second)
        clock.pass_(10)
    assert asked == [0, 10, 20, 40, 80, 160, 320, 620, 920]
    assert scaler.why() == (
        "0 instances stay: ConnectionError: nobody there (9 times in a row within 990 s; it is asked again in 230 s)"
    )
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    silent.answers = True
    clock.pass_(230)
    assert scaler.step().outcome == "applied"
    clock.pass_(10)
    assert scaler.step().outcome == "applied"


def test_a_target_that_refuses_to_grow_may_shrink(app: Any, clock: Any) -> None:
    class Full(Boxes):
        def scale(self, n: int) -> None:
            self.told.append(n)
            if n > self.count:
                raise RuntimeError("no more to be had")
            self.count = n

    full, level = Full(4), [90]
    scaler = AutoScaler(app, target=full, clock=clock)
    scaler.monitor.collect("level", lambda: level[0])
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    outcomes = []
    for _ in range(6):
        outcomes.append(scaler.step().outcome)
        clock.pass_(10)
    assert outcomes == ["failed", "failed", "failed", "held", "failed", "held"]
    assert scaler.why().startswith(
        "4 instances stay: level is 90, above 70, but the target has refused it: RuntimeError: no more to be had "
        "(4 times in a row within 50 s; it is asked again in 30 s)"
    )
    level[0] = 10
    assert scaler.step().outcome == "applied"
    assert full.count == 3


def test_who_starts_it_again_does_not_wait(app: Any, clock: Any) -> None:
    class Refuses(Boxes):
        def scale(self, n: int) -> None:
            self.told.append(n)
            raise OSError("not now")

    refuses = Refuses(2)
    scaler = _by_level(app, clock, refuses)
    for _ in range(4):
        scaler.step()
        clock.pass_(10)
    assert len(refuses.told) == 3
    scaler.start_auto_scaling(3600)
    until(lambda: len(refuses.told) == 4)


def test_a_refusal_of_hours_ago_does_not_count(app: Any, clock: Any) -> None:
    class Refuses(Boxes):
        def scale(self, n: int) -> None:
            self.told.append(n)
            raise RuntimeError("full")

    level, refuses = [90], Refuses(2)
    scaler = AutoScaler(app, target=refuses, clock=clock)
    scaler.monitor.collect("level", lambda: level[0])
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0})
    scaler.step()
    level[0] = 50
    clock.pass_(7200)
    assert scaler.step().outcome == "held"
    level[0] = 90
    for _ in range(2):
        clock.pass_(1)
        assert scaler.step().outcome == "failed", scaler.why()
    assert refuses.told == [3, 3, 3]


def test_a_target_that_lies(app: Any, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Lies(Boxes):
        def scale(self, n: int) -> None:
            self.told.append(n)

    lies = Lies(2)
    scaler = _by_level(app, clock, lies, settle_seconds=10)
    assert scaler.step().outcome == "applied"
    clock.pass_(10)
    decision = scaler.step()
    assert (decision.before, decision.after) == (3, 4), "it may still get there"
    assert scaler.get_scaling_status()["wanted_instances"] == 4
    clock.pass_(11)
    decision = scaler.step()
    assert (decision.before, decision.after) == (2, 3), "from then on what it says counts"
    assert "  ! the target was told to have 4 workers" in scaler.why()
    says = "was told to have 4 workers, and says after 11 s that it has 2"
    assert says in str(scaler.problems["the target"]["last_error"])
    clock.pass_(11)
    scaler.step()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert says in str(warnings[0].exc_info)
    _runs_on(app)


def _runs_on(app: Any) -> None:
    app.register("quick", _quick())
    assert run(app, "quick") == [None]


def _quick() -> Callable[..., Any]:
    from apps import code_workflow

    return code_workflow()


@pytest.mark.parametrize(
    "lie", [float("nan"), float("inf"), "much", -1.0, True, 10**400], ids=lambda lie: repr(lie)[:5]
)
@pytest.mark.parametrize("what", ["busy_seconds", "queued"])
def test_a_target_that_tells_no_figures(app: Any, clock: Any, what: str, lie: Any) -> None:
    class Lies(Boxes):
        told_figure: Any = 0.0

    setattr(Lies, what, lambda self: self.told_figure)
    metric = "utilization" if what == "busy_seconds" else "queue_per_instance"
    lies = Lies(4)
    scaler = AutoScaler(app, target=lies, clock=clock)
    scaler.configure_scaling_policy("shared", {"metric": metric, "cooldown_period": 0, "scale_down_threshold": 1})
    lies.told_figure = lie
    for _ in range(3):
        clock.pass_(10)
        scaler.step()
    assert lies.told == []
    assert f"the target's {what}() must be a number from 0 on" in str(scaler.problems[f"the target's {what}()"])


def test_workers_that_begin_to_count_anew_have_not_been_idle(app: Any, clock: Any) -> None:
    class Restarted(Boxes):
        seconds = 0.0

        def busy_seconds(self) -> float:
            return self.seconds

    restarted = Restarted(4)
    scaler = AutoScaler(app, target=restarted, clock=clock)
    scaler.configure_scaling_policy("busy", {"metric": "utilization", "cooldown_period": 0})
    for seconds in (100.0, 120.0, 5.0, 25.0):
        clock.pass_(10)
        restarted.seconds = seconds
        decision = scaler.step()
        assert decision.action == "hold", decision.explain()
    assert decision.metrics["utilization"] == 50
    assert restarted.told == []


def test_a_target_that_says_it_has_thousands_of_millions(app: Any, clock: Any) -> None:
    many = Boxes(10**9)
    scaler = AutoScaler(app, target=many, clock=clock)
    scaler.monitor.collect("level", lambda: 90)
    scaler.configure_scaling_policy("levels", {"metric": "level", "max_instances": 6})
    assert scaler.step().after == 6
    assert many.told == [6]
    many.count = 10**9
    status = scaler.get_scaling_status()
    assert (status["current_instances"], len(status["instances"])) == (10**9, 10_000)
