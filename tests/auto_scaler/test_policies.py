"""Policies that make no sense are refused with the value and the way out, and change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from auto_scaler.support import Boxes
from nexus_core import AutoScaler
from nexus_core.scaling import ScalingPolicy

_NAN = float("nan")


@pytest.mark.parametrize(
    ("config", "kind", "says"),
    [
        (
            {"scale_up_threshold": 30, "scale_down_threshold": 70},
            ValueError,
            r"scale_down_threshold 70 must be below .* 30",
        ),
        ({"scale_up_threshold": 50, "scale_down_threshold": 50}, ValueError, "scale_down_threshold 50 must be below"),
        ({"scale_up_threshold": 20}, ValueError, "scale_down_threshold 30 must be below scale_up_threshold 20"),
        ({"min_instances": 5, "max_instances": 2}, ValueError, "min_instances 5 is more than max_instances 2"),
        ({"min_instances": 0}, ValueError, "min_instances must be at least 1, got 0"),
        ({"max_instances": 2.5}, TypeError, "max_instances must be a whole number, got 2.5"),
        ({"min_instances": True}, TypeError, "min_instances must be a whole number, got True"),
        ({"scale_up_increment": 0}, ValueError, "scale_up_increment must be at least 1, got 0"),
        ({"cooldown_period": -1}, ValueError, "cooldown_period must be a number of seconds, not negative, got -1"),
        ({"cooldown_period": "5"}, TypeError, "cooldown_period must be a number of seconds, got '5'"),
        ({"cooldown_period": None}, TypeError, "cooldown_period must be a number of seconds, got None"),
        ({"scale_up_cooldown": _NAN}, ValueError, "scale_up_cooldown must be a number of seconds.*nan"),
        ({"scale_up_threshold": "70"}, TypeError, "scale_up_threshold must be a number, got '70'"),
        ({"scale_up_threshold": float("inf")}, ValueError, "scale_up_threshold must be finite, got inf"),
        ({"scale_down_threshold": _NAN}, ValueError, "scale_down_threshold must be finite, got nan"),
        ({"target": 0}, ValueError, "target must be more than 0, got 0"),
        ({"target": 60, "target_per_instance": 5}, ValueError, "it has target and target_per_instance; give one"),
        ({"target": 60, "scale_up_threshold": 70}, ValueError, "it has target and scale_up_threshold; give one"),
        ({"target": 60, "tolerance": 1}, ValueError, "tolerance must be from 0 to below 1, got 1"),
        ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
        ({"enabled": 1}, TypeError, "enabled must be True or False, got 1"),
        ({"metric": ""}, TypeError, "metric must be the name of one, got ''"),
        ({"metric": "cpu_usge"}, ValueError, r"no metric is called 'cpu_usge'; did you mean 'cpu_usage'\?"),
        ({"metric": "moon"}, ValueError, r"no metric is called 'moon'; there are .*utilization.*monitor\.collect"),
        (
            {"scale_up_treshold": 70},
            ValueError,
            r"has no setting 'scale_up_treshold'; did you mean 'scale_up_threshold'",
        ),
        ("cpu", TypeError, "its configuration must be a mapping, got 'cpu'"),
    ],
)
def test_a_policy_that_makes_no_sense(app: Any, config: Any, kind: type[Exception], says: str) -> None:
    scaler = AutoScaler(app)
    kept = scaler.configure_scaling_policy("mine", {"scale_up_threshold": 60})["policy"]
    with pytest.raises(kind, match=f"policy 'mine'.*{says}"):
        scaler.configure_scaling_policy("mine", config)
    assert scaler.scaling_policies == {"mine": kept}


@pytest.mark.parametrize("name", ["", 5, None])
def test_a_name_that_is_none(app: Any, name: Any) -> None:
    with pytest.raises(TypeError, match=f"a policy's name must be a string that is not empty, got {name!r}"):
        AutoScaler(app).configure_scaling_policy(name, {})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"metric": "queue_size", "target": 5}, "'queue_size' is a sum.*give target_per_instance instead of target 5"),
        ({"metric": "request_rate", "target": 5}, "'request_rate' is a sum"),
        (
            {"metric": "queue_per_instance", "target_per_instance": 5},
            "about each worker already; give target instead of target_per_instance 5",
        ),
    ],
)
def test_a_sum_is_not_taken_for_a_share_nor_a_share_for_a_sum(app: Any, config: dict[str, Any], says: str) -> None:
    """By the one there would be no end of workers, by the other never enough."""
    scaler = AutoScaler(app)
    with pytest.raises(ValueError, match=says):
        scaler.configure_scaling_policy("wrong", config)
    assert scaler.scaling_policies == {}


def test_policies_that_contradict_each_other(app: Any) -> None:
    scaler = AutoScaler(app)
    scaler.configure_scaling_policy("many", {"min_instances": 5})
    with pytest.raises(ValueError, match="'many' wants at least 5 instances, 'few' allows 3 at the most"):
        scaler.configure_scaling_policy("few", {"max_instances": 3})
    assert list(scaler.scaling_policies) == ["many"]
    scaler.configure_scaling_policy("few", {"max_instances": 3, "enabled": False})
    scaler.remove_scaling_policy("many")
    scaler.configure_scaling_policy("few", {"max_instances": 3})
    with pytest.raises(KeyError, match=r"there is no policy 'many'; there are \['few'\]"):
        scaler.remove_scaling_policy("many")


def test_what_the_target_does_not_tell(app: Any) -> None:
    scaler = AutoScaler(app, target=Boxes())
    with pytest.raises(ValueError, match=r"the target does not tell how busy its workers are.*busy_seconds\(\)"):
        scaler.configure_scaling_policy("busy", {"metric": "utilization", "target": 60})
    assert scaler.scaling_policies == {}


def test_every_metric_of_the_monitor_can_be_looked_at(app: Any) -> None:
    scaler = AutoScaler(app)
    for name in (*scaler.monitor.sample(), "cpu_usage", "utilization", "queue_per_instance"):
        if name != "timestamp":
            scaler.configure_scaling_policy(name, {"metric": name})
    scaler.monitor.collect("orders", lambda: 1)
    scaler.configure_scaling_policy("orders", {"metric": "orders"})


def test_a_policy_keeps_its_settings() -> None:
    config = {"metric": "queue_size", "target_per_instance": 3, "scale_up_cooldown": 0, "tolerance": 0.2}
    policy = ScalingPolicy.of("queue", config)
    shown = policy.as_dict()
    assert {key: shown[key] for key in config} == config
    assert (shown["scale_up_threshold"], shown["scale_up_increment"], policy.down_cooldown) == (None, None, 300)
    assert ScalingPolicy.of("queue", shown) == policy
