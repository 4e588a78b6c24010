"""What is said of the future, and of the policies."""

from __future__ import annotations

import math
from typing import Any

import pytest

from auto_scaler.support import Boxes, history_of
from nexus_core import AutoScaler
from nexus_core.scaling import ScalingPolicy, optimization
from nexus_core.scaling.optimization import compared
from nexus_core.scaling.prediction import predicted


def _with(scaler: AutoScaler, history: list[dict[str, Any]]) -> AutoScaler:
    scaler.metrics_history.extend(history)
    return scaler


def _levels(values: list[float]) -> list[dict[str, Any]]:
    return [
        {"timestamp": 1_000_000.0 + 60 * step, "level": value, "active_instances": 4}
        for step, value in enumerate(values)
    ]


@pytest.fixture
def scaler(app: Any, clock: Any) -> AutoScaler:
    made = AutoScaler(app, target=Boxes(4), clock=clock)
    made.monitor.collect("level", lambda: 1)
    made.configure_scaling_policy("levels", {"metric": "level"})
    return made


def test_too_little_is_known(scaler: AutoScaler) -> None:
    found = _with(scaler, _levels([1.0])).predict_scaling_needs()
    assert found["explanation"] == "1 check is too few; it takes 10"
    found = _with(scaler, _levels([1.0] * 8)).predict_scaling_needs()
    assert (found["prediction"], found["metrics_collected"]) == ("insufficient_data", 9)
    assert found["explanation"] == "9 checks are too few; it takes 10"


def test_a_rise_beyond_the_threshold(scaler: AutoScaler) -> None:
    found = _with(scaler, _levels([20 + step for step in range(40)])).predict_scaling_needs(12)
    assert list(found)[:4] == ["time_horizon_minutes", "metric_trends", "scaling_predictions", "recommendation"]
    assert (found["time_horizon_minutes"], found["recommendation"]) == (12, "monitor_closely")
    trend = found["metric_trends"]["level"]
    assert list(trend)[:4] == ["current", "projected", "trend_rate", "direction"]
    assert (trend["current"], trend["direction"]) == (59, "increasing")
    assert (trend["projected"], trend["trend_rate"]) == (pytest.approx(71), pytest.approx(1))
    (prediction,) = found["scaling_predictions"]
    assert list(prediction)[:5] == ["action", "policy", "metric", "projected_value", "confidence"]
    assert (prediction["action"], prediction["confidence"]) == ("scale_up", "high")
    assert (prediction["threshold"], prediction["in_minutes"]) == (70, 12)
    assert found["explanation"] == "level will be about 71 (71 to 71) in 12 minutes, above 70 of levels"


def test_a_fall_and_a_level(scaler: AutoScaler) -> None:
    found = _with(scaler, _levels([69 - step for step in range(40)])).predict_scaling_needs(5)
    assert [each["action"] for each in found["scaling_predictions"]] == ["scale_down"]
    scaler.metrics_history.clear()
    found = _with(scaler, _levels([50.0, 52.0] * 20)).predict_scaling_needs(30)
    assert (found["recommendation"], found["scaling_predictions"]) == ("stable", [])
    assert found["explanation"] == "no policy will ask for a change within 30 minutes"


def test_less_is_sure_the_further_ahead_it_is_than_what_is_known(scaler: AutoScaler) -> None:
    found = _with(scaler, _levels([40 + step for step in range(12)])).predict_scaling_needs(60)
    (prediction,) = found["scaling_predictions"]
    assert found["metric_trends"]["level"]["tested_minutes"] == 4
    assert prediction["confidence"] != "high"


def test_a_season_is_foreseen_before_it_comes(scaler: AutoScaler) -> None:
    wave = [50 + 30 * math.sin(math.tau * step / 24) for step in range(96)]
    found = _with(scaler, _levels(wave)).predict_scaling_needs(12)
    trend = found["metric_trends"]["level"]
    assert (trend["model"], trend["season_seconds"]) == ("Holt-Winters", 24 * 60)
    assert trend["highest"] == pytest.approx(80, abs=3)
    assert [each["action"] for each in found["scaling_predictions"]] == ["scale_up"]
    assert 3 <= found["scaling_predictions"][0]["in_minutes"] <= 8


def test_how_many_instances_a_load_will_take(scaler: AutoScaler) -> None:
    history = history_of([2 + 0.5 * step for step in range(30)], instances=40)
    found = _with(scaler, history).predict_scaling_needs(10)
    needed = found["needed"]
    assert needed["request_rate"] == pytest.approx(21.5, rel=0.05)
    assert (needed["service_seconds"], needed["utilization"]) == (pytest.approx(0.5), 0.7)
    assert needed["instances"] == math.ceil(needed["request_rate"] * 0.5 / 0.7)
    assert f"need {needed['instances']} instances at 70% utilization; there are 40" in found["explanation"]


def _events(scaler: AutoScaler, clock: Any, actions: str, seconds: float) -> None:
    level = [0.0]
    scaler.monitor.stop_collecting("level")
    scaler.monitor.collect("level", lambda: level[0])
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0, "max_instances": 50})
    for action in actions:
        clock.pass_(seconds)
        level[0] = 90.0 if action == "u" else 10.0
        scaler.step()


def test_oscillation_as_the_guide_finds_it(scaler: AutoScaler, clock: Any) -> None:
    _events(scaler, clock, "ududud", 90)
    found = scaler.optimize_scaling_policies()
    (issue,) = found["optimization_recommendations"]
    assert list(issue)[:3] == ["issue", "recommendation", "suggested_cooldown"]
    assert issue["issue"] == "scaling_oscillation"
    assert (issue["suggested_cooldown"], issue["reversals"]) == (180, 5)
    assert "5 of the last 6 events undo the one before, 90 s after it" in issue["recommendation"]
    assert found["total_scaling_events"] == 6


def test_no_oscillation_in_what_goes_up_and_then_down(scaler: AutoScaler, clock: Any) -> None:
    _events(scaler, clock, "uuuuddddd", 90)
    assert scaler.optimize_scaling_policies()["optimization_recommendations"] == []


def test_over_sensitivity_as_the_guide_finds_it(scaler: AutoScaler, clock: Any) -> None:
    _events(scaler, clock, "uuuuuuuuuuu", 90)
    (issue,) = scaler.optimize_scaling_policies()["optimization_recommendations"]
    assert list(issue)[:5] == [
        "issue", "policy", "recommendation", "suggested_scale_up_threshold", "suggested_scale_down_threshold",
    ]  # fmt: skip
    assert (issue["issue"], issue["policy"]) == ("threshold_too_sensitive", "levels")
    assert (issue["suggested_scale_up_threshold"], issue["suggested_scale_down_threshold"]) == (80, 25)


def test_recorded_load_is_replayed_against_candidates(app: Any, clock: Any) -> None:
    scaler = AutoScaler(app, clock=clock)
    scaler.configure_scaling_policy("slow", {"metric": "utilization", "cooldown_period": 1800, "max_instances": 20})
    rates = [8 - 7 * math.cos(math.tau * step / 48) for step in range(96)]
    _with(scaler, history_of(rates, instances=[4] + [20] * 95, seconds=30.0))
    mine = {"mine": {"metric": "demand", "target": 70, "cooldown_period": 120, "max_instances": 20}}
    found = scaler.optimize_scaling_policies(latency_target_ms=2000, candidates=mine)["simulation"]
    by_name = {each["candidate"]: each for each in found["candidates"]}
    assert {"current", "mine", "slow: half the cooldown", "demand kept at 65 %"} <= by_name.keys()
    assert found["candidates"][0]["candidate"] == found["recommended"] != "current"
    best, now = by_name[found["recommended"]], by_name["current"]
    assert best["violation_share"] < now["violation_share"]
    for each in found["candidates"]:
        assert 0 <= each["violation_share"] <= 1
        assert each["instance_seconds"] == pytest.approx(30 * 96 * each["mean_instances"])
    assert found["recommended"] in found["explanation"]
    assert "as they are" in found["explanation"]
    assert (found["allowed_seconds"], found["service_seconds"]) == (2.0, pytest.approx(0.5))
    assert found["replay_of_what_happened"]["recorded_mean_response"] == pytest.approx(0.5)
    assert scaler.scaling_policies["slow"]["cooldown_period"] == 1800, "nothing is changed"


def test_without_a_load_there_is_nothing_to_replay(scaler: AutoScaler) -> None:
    found = _with(scaler, _levels([1.0] * 20)).optimize_scaling_policies()["simulation"]
    assert found["candidates"] == []
    assert "no load was recorded" in found["reason"]


def test_what_the_replay_cannot_know_is_said(app: Any, clock: Any) -> None:
    scaler = AutoScaler(app, clock=clock)
    scaler.configure_scaling_policy("cpu", {"metric": "cpu_usage"})
    _with(scaler, history_of([8.0] * 48, instances=8, seconds=30.0))
    found = scaler.optimize_scaling_policies(latency_target_ms=2000)["simulation"]
    known = {each["candidate"]: each["not_simulated"] for each in found["candidates"]}
    assert (known["current"], known["demand kept at 65 %"]) == (["cpu_usage"], [])
    assert "as if there were no policy by cpu_usage, which cannot be simulated" in found["explanation"]


def test_so_far_ahead_that_nothing_can_be_said(scaler: AutoScaler) -> None:
    _with(scaler, _levels([20.0 + step for step in range(40)]))
    with pytest.raises(ValueError, match=r"1e\+09 minutes ahead is too far, with a value every 60 s: 1e\+06 minutes"):
        scaler.predict_scaling_needs(1e9)


def test_what_is_foreseen_when_the_clock_was_set_back(scaler: AutoScaler) -> None:
    back = [{**each, "timestamp": each["timestamp"] - 1800} for each in _levels([50.0] * 50)[40:]]
    found = _with(scaler, _levels([50.0] * 40) + back).predict_scaling_needs(10)
    assert found["recommendation"] == "stable"


@pytest.mark.parametrize(
    "values",
    [
        [5.0] * 50, [0.0] * 40, [math.nan] * 40, [5.0, math.nan] * 30, [math.inf, 1.0] * 30, [None] * 40, [None, 5.0] * 20,
        [1e308] * 40, [5e-324] * 40, [-1e300] * 40, [0.0, 1e308] * 20, [math.nan] * 39 + [5.0], [1e-9] * 20, [1e200] * 20,
    ],
)  # fmt: skip
def test_whatever_was_measured_there_is_an_answer(values: list[float | None]) -> None:
    history: list[dict[str, Any]] = [
        {
            "timestamp": 1e6 + 60 * number, "active_instances": 3, "m": value, "request_rate": value,
            "throughput_per_second": value, "utilization": 50.0, "response_time": 100.0,
        }
        for number, value in enumerate(values)
    ]  # fmt: skip
    policies = [ScalingPolicy.of("m", {"metric": "m"}), ScalingPolicy.of("t", {"metric": "m", "target": 50})]
    found = predicted(history, policies, 30, 3)
    for trend in found["metric_trends"].values():
        assert all(math.isfinite(trend[name]) for name in ("current", "projected", "trend_rate", "backtest_error"))
    if any(value is not None and math.isfinite(value) and abs(value) < 1e100 for value in values[-20:-10]):
        assert "m" in found["metric_trends"]
    assert compared(history, policies, None, {})["candidates"] or "no load was recorded" in str(
        compared(history, policies, None, {})["reason"]
    )


def test_many_policies_do_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimization, "_MOST_PROPOSALS", 100_000)
    policies = [ScalingPolicy.of(f"p{number}", {"metric": "utilization"}) for number in range(400)]
    found = compared(history_of([2.0] * 100), policies, None, {})
    assert len(found["candidates"]) + found["variants_left_out"] == 1 + 3 + 6 * 400
    assert len(found["candidates"]) == 4 + 100_000 // (400 * 100)


def test_a_candidate_is_not_taken_for_what_there_is(scaler: AutoScaler) -> None:
    with pytest.raises(ValueError, match="must not be called 'current'"):
        scaler.optimize_scaling_policies(candidates={"current": {}})
