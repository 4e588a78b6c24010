"""What holds of every replay, whatever the load and the policies are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auto_scaler.support import history_of
from nexus_core.scaling import LoadRecord, Outcome, ScalingPolicy, simulated

_SECONDS = 20.0

_rates = st.lists(st.sampled_from([0.0, 0.2, 1.0, 2.5, 6.0]), min_size=3, max_size=25).filter(lambda rates: any(rates))
_cooldowns = st.sampled_from([0, 15, 20, 21, 60, 100])
_limits = st.tuples(st.integers(1, 4), st.integers(0, 6)).map(
    lambda found: {"min_instances": found[0], "max_instances": sum(found)}
)


@st.composite
def _thresholds(draw: st.DrawFn) -> dict[str, Any]:
    metric, down, up = draw(
        st.sampled_from(
            [("utilization", 30, 70), ("demand", 20, 90), ("queue_size", 1, 5), ("response_time", 400, 900)]
        )
    )
    return {
        "metric": metric,
        "scale_down_threshold": down,
        "scale_up_threshold": up,
        "cooldown_period": draw(_cooldowns),
        "scale_up_cooldown": draw(st.none() | _cooldowns),
        "scale_up_increment": draw(st.integers(1, 3)),
        "scale_down_increment": draw(st.integers(1, 3)),
        "samples": draw(st.integers(1, 2)),
        "window": draw(st.sampled_from([0, 40])),
        **draw(_limits),
    }


@st.composite
def _tracking(draw: st.DrawFn) -> dict[str, Any]:
    goal = draw(
        st.sampled_from(
            [{"metric": "demand", "target": 60}, {"metric": "utilization", "target": 50},
             {"metric": "request_rate", "target_per_instance": 1.5}]
        )
    )  # fmt: skip
    return {
        **goal,
        "cooldown_period": draw(_cooldowns),
        "scale_up_cooldown": draw(st.none() | _cooldowns),
        "scale_up_increment": draw(st.none() | st.integers(1, 3)),
        "window": draw(st.sampled_from([0, 40])),
        **draw(_limits),
    }


_configs = _thresholds() | _tracking()
_variabilities = st.sampled_from([0.0, 1.0, 4.0])


def _outcome(rates: list[float], configs: list[dict[str, Any]], start: int, variability: float, seed: int) -> Outcome:
    load = LoadRecord.of(history_of(rates, 4, 0.5, _SECONDS))
    assert load is not None
    policies = [ScalingPolicy.of(f"p{number}", config) for number, config in enumerate(configs)]
    return simulated(
        load,
        policies,
        allowed_seconds=1.0,
        start_instances=start,
        variability=variability,
        seed=seed,
        start_seconds=5.0,
    )


def _check(outcome: Outcome, rates: list[float], least: int, most: int, start: int) -> None:
    assert outcome.runs == sum(int(rate * _SECONDS + 1e-6) for rate in rates), "no run is lost and none comes twice"
    assert sum(step.ended for step in outcome.steps) <= outcome.runs
    assert 0 <= outcome.violations <= outcome.runs
    counts = [step.instances for step in outcome.steps]
    assert counts[0] == start
    assert all(least <= count <= most for count in counts[1:]), counts
    assert outcome.instance_seconds == pytest.approx(_SECONDS * sum(counts))
    # Workers change when it was decided, and only then.
    changes = {decision.at: (decision.before, decision.after) for decision in outcome.decisions}
    assert len(changes) == outcome.changes
    for before, after in pairwise(outcome.steps):
        assert changes.get(before.at, (before.instances,) * 2) == (before.instances, after.instances)


@settings(max_examples=300)
@given(_rates, _configs, st.integers(1, 12), _variabilities, st.integers(0, 2**64 - 1))
def test_one_policy(rates: list[float], config: dict[str, Any], start: int, variability: float, seed: int) -> None:
    outcome = _outcome(rates, [config], start, variability, seed)
    _check(outcome, rates, config["min_instances"], config["max_instances"], start)
    assert outcome == _outcome(rates, [config], start, variability, seed), "the same seed gives the same"
    policy = ScalingPolicy.of("p0", config)
    followed = [decision for decision in outcome.decisions if policy.clamped(decision.before) == decision.before]
    for before, after in pairwise(followed):
        is_up = after.after > after.before
        cooldown = policy.up_cooldown if is_up else policy.down_cooldown
        if is_up or not policy.is_tracking or before.after > before.before:
            # Only a target may let go of workers bit by bit: what was needed within its cooldown it keeps.
            assert after.at - before.at >= cooldown - 1e-6, (before, after)


@settings(max_examples=300)
@given(_rates, st.lists(_configs, min_size=2, max_size=4), st.integers(1, 12), st.integers(0, 2**64 - 1))
def test_several_policies(rates: list[float], configs: list[dict[str, Any]], start: int, seed: int) -> None:
    outcome = _outcome(rates, configs, start, 1.0, seed)
    least = max(config["min_instances"] for config in configs)
    most = max(least, *(config["max_instances"] for config in configs))
    _check(outcome, rates, least, most, start)
    assert outcome == _outcome(rates, configs, start, 1.0, seed)
    for decision in outcome.decisions:
        if decision.after < decision.before and decision.before <= most:
            voices = [each.wanted for each in decision.proposals if each.wanted is not None]
            assert all(wanted <= decision.after for wanted in voices), "workers go only where no policy needs them"
