"""What is to come, and what the policies will then ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nexus_core.scaling.decisions import shown
from nexus_core.scaling.forecast import LEAST_POINTS, Forecast, forecast_of
from nexus_core.scaling.load_record import LoadRecord
from nexus_core.scaling.policy import ScalingPolicy
from nexus_core.scaling.timestamp import moment_of

__all__ = ["predicted"]

#: The guide's.
_METRICS = ("cpu_usage", "memory_usage", "request_rate")
# How probable it has to be.
_HIGH, _MEDIUM = 0.9, 0.6
# What workers are to be busy at the most, where no policy says it.
_UTILIZATION = 0.7


def predicted(
    history: Sequence[Mapping[str, Any]], policies: Sequence[ScalingPolicy], minutes: float, current: int
) -> dict[str, Any]:
    """What ``predict_scaling_needs`` returns.

    Args:
        history: Metrics check by check, the oldest first.
        policies: Those that are enabled.
        minutes: How far ahead.
        current: How many workers there are.
    """
    if len(history) < LEAST_POINTS:
        return {
            "prediction": "insufficient_data",
            "metrics_collected": len(history),
            "recommendation": "stable",
            "explanation": f"{_checks(len(history))} too few; it takes {LEAST_POINTS}",
        }
    names = dict.fromkeys((*_METRICS, *(policy.metric for policy in policies)))
    forecasts: dict[str, Forecast] = {}
    trends = {}
    for name in names:
        points = [
            (moment_of(each["timestamp"]), each[name])
            for each in history
            if each.get(name) is not None and math.isfinite(each[name])
        ]
        found = forecast_of(points, 60 * minutes)
        if found is not None:
            forecasts[name] = found
            trends[name] = _trend(points[-1][1], found)
    predictions = [
        made
        for policy in policies
        if policy.metric in forecasts
        and (made := _prediction(policy, trends[policy.metric]["current"], forecasts[policy.metric], current))
    ]
    needed = _needed(history, forecasts.get("request_rate"), policies)
    sentences = [_sentence(each, forecasts[each["metric"]], minutes) for each in predictions]
    if needed is not None and needed["instances"] != current:
        sentences.append(
            f"{shown(needed['request_rate'])} runs a second at the most, of {shown(1000 * needed['service_seconds'])} ms "
            f"each, need {needed['instances']} instances at {needed['utilization']:.0%} utilization; there are {current}"
        )
    return {
        "time_horizon_minutes": minutes,
        "metric_trends": trends,
        "scaling_predictions": predictions,
        "recommendation": "monitor_closely" if predictions else "stable",
        "explanation": "; ".join(sentences) or f"no policy will ask for a change within {minutes:g} minutes",
        "needed": needed,
    }


def _trend(current: float, found: Forecast) -> dict[str, Any]:
    low, high = found.interval(found.last)
    return {
        "current": current,
        "projected": found.last,
        "trend_rate": (found.last - current) / len(found.values),
        "direction": "increasing" if found.last > current else "decreasing",
        "highest": max(found.values),
        "lowest": min(found.values),
        "projected_interval": (low, high),
        "model": found.model,
        "season_seconds": found.season_seconds,
        "backtest_error": found.error,
        "backtest_errors": found.errors_by_model,
        "tested_minutes": found.tested_steps * found.distance / 60,
    }


def _prediction(policy: ScalingPolicy, value: float, found: Forecast, current: int) -> dict[str, Any] | None:
    """What a policy will ask for; what has it add workers comes first, whatever comes later."""
    up, down = _levels(policy, current)
    highest, lowest = max(found.values), min(found.values)
    if highest > up:
        action, projected, level, chance = "scale_up", highest, up, found.probability_above(highest, up)
        rises = highest > value
    elif lowest < down:
        action, projected, level, chance = "scale_down", lowest, down, 1 - found.probability_above(lowest, down)
        rises = lowest < value
    else:
        return None
    # What rests on a test of less than is asked for is less sure, whatever the errors were.
    is_tested = found.tested_steps >= len(found.values)
    confidence = (
        "high" if chance >= _HIGH and is_tested else "medium" if chance >= _MEDIUM or (rises and is_tested) else "low"
    )
    return {
        "action": action,
        "policy": policy.name,
        "metric": policy.metric,
        "projected_value": projected,
        "confidence": confidence,
        "probability": chance,
        "threshold": level,
        "in_minutes": (1 + found.values.index(projected)) * found.distance / 60,
    }


def _levels(policy: ScalingPolicy, current: int) -> tuple[float, float]:
    """Above and below which value a policy asks for a change."""
    if policy.scale_up_threshold is not None and policy.scale_down_threshold is not None:
        return policy.scale_up_threshold, policy.scale_down_threshold
    goal = policy.target if policy.target is not None else (policy.target_per_instance or 0.0) * current
    # One worker less is only asked for where that would still be no more than the goal.
    return (1 + policy.tolerance) * goal, min(1 - policy.tolerance, (current - 1) / max(1, current)) * goal


def _sentence(prediction: Mapping[str, Any], found: Forecast, minutes: float) -> str:
    low, high = found.interval(prediction["projected_value"])
    beyond = "above" if prediction["action"] == "scale_up" else "below"
    return (
        f"{prediction['metric']} will be about {shown(prediction['projected_value'])} ({shown(low)} to {shown(high)}) in "
        f"{shown(prediction['in_minutes'])} minutes, {beyond} {shown(prediction['threshold'])} of {prediction['policy']}"
    )


def _needed(
    history: Sequence[Mapping[str, Any]], rate: Forecast | None, policies: Sequence[ScalingPolicy]
) -> dict[str, Any] | None:
    record = LoadRecord.of(history)
    if rate is None or record is None:
        return None
    most = max(0.0, *rate.values)
    goals = [
        policy.target for policy in policies if policy.metric in ("utilization", "demand") and policy.target is not None
    ]
    share = min(goals) / 100 if goals else _UTILIZATION
    return {
        "request_rate": most,
        "service_seconds": record.service_seconds,
        "utilization": share,
        "instances": max(1, math.ceil(most * record.service_seconds / share)),
    }


def _checks(count: int) -> str:
    return "1 check is" if count == 1 else f"{count} checks are"
