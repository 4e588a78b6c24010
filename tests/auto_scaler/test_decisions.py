"""What policies make of values: by a clock that is given, without an app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.scaling import Decider, ScalingPolicy
from nexus_core.scaling.policy import check_together


def _policy(name: str = "a", **config: Any) -> ScalingPolicy:
    return ScalingPolicy.of(name, {"metric": "level", "cooldown_period": 0, **config})


def _goes(
    policies: Sequence[ScalingPolicy], values: Sequence[float | None], count: int = 4, every: float = 60
) -> list[int]:
    """The number of workers after each check, if all that is decided is done."""
    decider, counts = Decider(), []
    for number, value in enumerate(values):
        decision = decider.decide(every * number, {"level": value}, count, policies)
        if decision.action != "hold":
            decider.acted(decision, every * number)
        count = decision.after
        counts.append(count)
    return counts


def test_thresholds_as_in_the_guide() -> None:
    policy = _policy(scale_up_threshold=75, scale_down_threshold=25)
    assert _goes([policy], [75, 75.1, 50, 25, 24.9, 0, 0, 0, 0]) == [4, 5, 5, 5, 4, 3, 2, 1, 1]
    policy = _policy(scale_up_increment=3, scale_down_increment=2, max_instances=8)
    assert _goes([policy], [90, 90, 90, 0, 0, 0, 0]) == [7, 8, 8, 6, 4, 2, 1]


def test_a_cooldown_holds_what_it_is_for() -> None:
    policy = _policy(cooldown_period=120)
    assert _goes([policy], [90, 90, 90, 0, 0, 0]) == [5, 5, 6, 6, 5, 5]
    policy = _policy(scale_up_cooldown=0, scale_down_cooldown=180)
    assert _goes([policy], [90, 90, 0, 0, 0, 90]) == [5, 6, 6, 6, 5, 6]


def test_as_many_samples_as_asked_for() -> None:
    policy = _policy(samples=3)
    assert _goes([policy], [90, 90, 50, 90, 90, 90, 90]) == [4, 4, 4, 4, 4, 5, 6]
    assert _goes([policy], [90, 90, None, 90, 90, 90]) == [4, 4, 4, 4, 4, 5]


def test_a_window_is_averaged_over() -> None:
    policy = _policy(window=120)
    assert _goes([policy], [60, 90, 40, 90, 90]) == [4, 5, 5, 5, 6]


def test_a_window_of_what_the_workers_share_follows_their_number() -> None:
    policy = ScalingPolicy.of("a", {"metric": "utilization", "cooldown_period": 0, "window": 300})
    decider = Decider()
    first = decider.decide(0, {"utilization": 80.0}, 4, [policy])
    assert (first.action, first.after) == ("scale_up", 5)
    # The same work on twice the workers: nobody is to be added for what was before.
    second = decider.decide(60, {"utilization": 40.0}, 8, [policy])
    assert second.action == "hold"
    assert second.proposals[0].value == pytest.approx(40)


def test_a_burst_is_not_averaged_away() -> None:
    policy = ScalingPolicy.of(
        "a", {"metric": "demand", "target": 60, "window": 600, "max_instances": 50, "scale_up_cooldown": 0}
    )
    decider = Decider()
    for number in range(9):
        assert decider.decide(60 * number, {"demand": 50.0}, 4, [policy]).action == "hold"
    assert decider.decide(540, {"demand": 110.0}, 4, [policy]).action == "hold"
    assert decider.decide(600, {"demand": 240.0}, 4, [policy]).after == 16


def test_nothing_goes_that_would_be_back_at_once() -> None:
    policy = ScalingPolicy.of("a", {"metric": "utilization", "cooldown_period": 0, "scale_down_threshold": 40})
    decision = Decider().decide(0, {"utilization": 39.0}, 2, [policy])
    assert (decision.action, decision.after) == ("hold", 2)
    assert "but with 1 it would be 78, above 70" in decision.reason
    assert Decider().decide(0, {"utilization": 34.0}, 2, [policy]).after == 1


def test_the_largest_number_is_taken() -> None:
    up, down = _policy("up", scale_up_threshold=40), _policy("down", scale_up_threshold=95, scale_down_threshold=60)
    decision = Decider().decide(0, {"level": 50}, 4, [down, up])
    assert (decision.action, decision.after, decision.policy) == ("scale_up", 5, "up")
    assert [each.wanted for each in decision.proposals] == [3, 5]
    steady = _policy("steady", scale_up_threshold=60)
    assert Decider().decide(0, {"level": 50}, 4, [down, steady]).action == "hold"
    both = _policy("both", scale_up_threshold=95, scale_down_threshold=70)
    assert Decider().decide(0, {"level": 50}, 4, [down, both]).after == 3


def test_one_that_cools_down_lets_others_add_and_not_take() -> None:
    cools = _policy("cools", cooldown_period=300)
    other = ScalingPolicy.of("other", {"metric": "other", "cooldown_period": 0})
    decider = Decider()
    decider.acted(decider.decide(0, {"level": 90, "other": 50}, 4, [cools, other]), 0)
    assert decider.decide(1, {"level": 0, "other": 0}, 5, [cools, other]).action == "hold"
    assert decider.decide(1, {"level": 0, "other": 90}, 5, [cools, other]).after == 6
    assert decider.decide(301, {"level": 0, "other": 0}, 5, [cools, other]).after == 4


def test_what_cannot_be_measured_lets_nobody_go_and_what_has_no_value_has_no_say() -> None:
    first, second = _policy("first"), ScalingPolicy.of("second", {"metric": "other", "cooldown_period": 0})
    assert Decider().decide(0, {"other": 0}, 4, [first, second]).action == "hold"
    assert Decider().decide(0, {"level": None, "other": 0}, 4, [first, second]).after == 3
    nothing = Decider().decide(0, {"level": None, "other": None}, 4, [first, second])
    assert (nothing.action, nothing.reason) == ("hold", "no policy has a value to go by")
    assert Decider().decide(0, {}, 4, []).reason == "no policy is enabled"


def test_limits_are_kept_whatever_is_measured() -> None:
    policy = _policy(min_instances=3, max_instances=6)
    assert Decider().decide(0, {"level": 50}, 1, [policy]).after == 3
    assert Decider().decide(0, {"level": None}, 1, [policy]).after == 3
    assert Decider().decide(0, {"level": None}, 9, [policy]).after == 6
    assert Decider().decide(0, {"level": 50}, 9, [policy]).after == 6
    assert Decider().decide(0, {"level": 90}, 9, [policy]).after == 6
    # What another policy has asked for is not taken back by one that may ask for less.
    wide = _policy("wide", max_instances=20)
    assert Decider().decide(0, {"level": 50}, 9, [policy, wide]).action == "hold"


def test_a_target_for_each_worker() -> None:
    policy = _policy(target=60, max_instances=50)
    assert _goes([policy], [65, 66.1, 60]) == [4, 5, 5]
    assert Decider().decide(0, {"level": 180}, 4, [policy]).after == 12
    assert _goes([_policy(target=60, scale_up_increment=2, max_instances=50)], [180]) == [6]
    # With two it would be 60, with three 40: fewer only where that leaves some room.
    assert _goes([policy], [30, 30]) == [3, 2]


def test_a_target_for_a_sum() -> None:
    policy = _policy(target_per_instance=10, max_instances=50)
    assert _goes([policy], [44, 45, 100, 100]) == [4, 5, 10, 10]
    assert _goes([policy], [0]) == [1]


def test_a_target_keeps_what_was_needed_within_its_cooldown() -> None:
    policy = _policy(target_per_instance=10, max_instances=50, scale_up_cooldown=0, scale_down_cooldown=120)
    assert _goes([policy], [80, 20, 40, 20, 20, 20]) == [8, 8, 5, 5, 3, 3]
    assert _goes([policy], [0, 0, 0]) == [4, 4, 1], "the number at the beginning was needed, too"


@given(st.floats(0.5, 30), st.floats(20, 90), st.integers(1, 40))
def test_a_target_comes_to_rest_whatever_the_load_is(work: float, goal: float, count: int) -> None:
    """So much work, shared by the workers: once the number was changed it stays."""
    policy = ScalingPolicy.of(
        "a", {"metric": "utilization", "target": goal, "cooldown_period": 0, "max_instances": 10_000}
    )
    decider, counts = Decider(), []
    for number in range(12):
        decision = decider.decide(number, {"utilization": 100 * work / count}, count, [policy])
        count = decision.after
        counts.append(count)
    assert len(set(counts[3:])) == 1, counts
    assert 100 * work / count <= 1.1 * goal * (1 + 1e-9)


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 200)), max_size=40),
    st.integers(1, 20), st.integers(0, 19), st.integers(1, 30), st.booleans(),
)  # fmt: skip
def test_limits_hold_for_any_values(values: list[Any], least: int, more: int, count: int, tracks: bool) -> None:
    limits = {"min_instances": least, "max_instances": least + more}
    policy = _policy(**limits, **({"target": 60} if tracks else {}))
    for after in _goes([policy], values, count):
        assert least <= after <= least + more


def test_policies_that_no_number_suits() -> None:
    check_together([])
    check_together([_policy("a", min_instances=3), _policy("b", max_instances=3)])
    with pytest.raises(ValueError, match=r"policies contradict each other: 'a' wants at least 4.*'b' allows 3"):
        check_together([_policy("a", min_instances=4), _policy("b", max_instances=3)])


@pytest.mark.parametrize("config", [{"target": 60}, {"target_per_instance": 1e-300}, {"window": 1e-12}])
def test_values_and_settings_of_any_size(config: dict[str, float]) -> None:
    policy = _policy(**config)
    assert Decider().decide(1e9, {"level": 1.7e308}, 4, [policy]).action == "scale_up"


def test_what_was_decided_can_be_read() -> None:
    up = _policy("up", scale_up_threshold=40)
    idle = ScalingPolicy.of("idle", {"metric": "other"})
    decision = Decider().decide(0, {"level": 50.5, "other": None}, 4, [up, idle]).with_outcome("applied")
    assert decision.explain().splitlines() == [
        "from 4 to 5 instances: level is 50.5, above 40",
        "  * up: wants 5: level is 50.5, above 40",
        "  - idle: no say: other has no value now",
    ]
    full = Decider().decide(0, {"level": 50}, 10, [up])
    assert full.explain().splitlines()[0] == (
        "10 instances stay: up: level is 50, above 40, and 10 instances are the most that it may ask for"
    )
    failed = decision.with_outcome("failed", "TargetError: no")
    assert failed.explain().startswith("wanted 5 instead of 4 instances, and failed: TargetError: no")
