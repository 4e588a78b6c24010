"""What is wrong with policies by what they have done, and which others would have done better."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from nexus_core.scaling.decisions import shown
from nexus_core.scaling.load_record import LoadRecord
from nexus_core.scaling.policy import ScalingPolicy
from nexus_core.scaling.simulator import SIMULATED, Outcome, fitted_variability, replayed, response_error, simulated
from nexus_core.scaling.timestamp import moment_of

__all__ = ["compared", "found_in_events"]

# The guide's: of the last so many events, so large a share that turn round.
_EVENTS, _LEAST_EVENTS, _TURNS = 10, 4, 0.6
# The guide's: so many events of one policy are too many.
_SENSITIVE = 10
# More would take more than some tenths of a second for each policy that is tried; how uneven service times are, a
# part of them tells.
_MOST_RUNS, _FITTED_RUNS = 1_000_000, 100_000
# So often a policy is asked at the most, for all variants together: some seconds.
_MOST_PROPOSALS = 1_000_000
# Runs beyond what is allowed that do not yet make a policy a bad one.
_FORGIVEN = 0.01
# Costs so near to each other are the same.
_SAME_COST = 0.02
# Without anything else to go by, a run may take so many times what it takes by itself.
_ALLOWED = 4.0


def found_in_events(events: Sequence[Mapping[str, Any]], policies: Mapping[str, ScalingPolicy]) -> list[dict[str, Any]]:
    """Oscillation, and thresholds that are reached too often, as the guide finds them.

    Args:
        events: What was done, the oldest first.
        policies: By name.
    """
    found: list[dict[str, Any]] = []
    recent = list(events)[-_EVENTS:]
    turns = [(before, after) for before, after in pairwise(recent) if before["action"] != after["action"]]
    if len(recent) > _LEAST_EVENTS and len(turns) > _TURNS * len(recent):
        between = median(moment_of(after["timestamp"]) - moment_of(before["timestamp"]) for before, after in turns)
        cooldowns = [policy.down_cooldown for policy in policies.values() if policy.enabled]
        suggested = max(2 * between, *(2 * seconds for seconds in cooldowns), 1)
        found.append(
            {
                "issue": "scaling_oscillation",
                "recommendation": "Increase cooldown periods or adjust thresholds: "
                f"{len(turns)} of the last {len(recent)} events undo the one before, {shown(between)} s after it",
                "suggested_cooldown": math.ceil(suggested),
                "reversals": len(turns),
            }
        )
    for name, policy in policies.items():
        count = sum(event["policy"] == name for event in events)
        up, down = policy.scale_up_threshold, policy.scale_down_threshold
        if count > _SENSITIVE and up is not None and down is not None:
            found.append(
                {
                    "issue": "threshold_too_sensitive",
                    "policy": name,
                    "recommendation": f"Adjust thresholds to reduce scaling frequency: {count} of the last "
                    f"{len(events)} events are owed to them",
                    "suggested_scale_up_threshold": up + 10,
                    "suggested_scale_down_threshold": down - 5,
                    "events": count,
                }
            )
    return found


def compared(
    history: Sequence[Mapping[str, Any]],
    policies: Sequence[ScalingPolicy],
    allowed_seconds: float | None,
    others: Mapping[str, ScalingPolicy],
) -> dict[str, Any]:
    """Replays what was recorded against policies.

    Args:
        history: Metrics check by check.
        policies: Those that are enabled now.
        allowed_seconds: What a run may take; ``None`` for four times what it takes by itself.
        others: By name, policies of the user's that are to be tried, each alone.

    Returns:
        ``candidates``, by what is recommended first; ``recommended``, ``explanation``, and what it is based on; or only
        ``reason``, why there is nothing to replay.
    """
    record = LoadRecord.of(history)
    if record is None:
        return {
            "candidates": [],
            "reason": "no load was recorded: it takes checks with runs on an attached app, on a target that tells "
            "how busy its workers are",
        }
    load = record.last(_MOST_RUNS)
    allowed = _ALLOWED * load.service_seconds if allowed_seconds is None else allowed_seconds
    variability = fitted_variability(load.last(_FITTED_RUNS), allowed)
    actual = replayed(load, allowed_seconds=allowed, variability=variability)
    start = load.stretches[0].instances
    # With many policies there would be no end of variants.
    most = max(0, _MOST_PROPOSALS // (max(1, len(policies)) * len(load.stretches)))
    tried, left_out = _tried(policies, others, most)
    outcomes = {
        name: simulated(load, chosen, allowed_seconds=allowed, start_instances=start, variability=variability)
        for name, chosen in tried.items()
    }
    replies = [_reply(name, tried[name], outcome) for name, outcome in outcomes.items()]
    fewest = min(reply["violation_share"] for reply in replies)
    good = [reply for reply in replies if reply["violation_share"] <= max(_FORGIVEN, fewest)]
    cheapest = min(reply["instance_seconds"] for reply in good)
    among = [reply for reply in good if reply["instance_seconds"] <= (1 + _SAME_COST) * cheapest]
    best = min(among, key=lambda reply: (reply["changes"], reply["instance_seconds"]))
    now = next((reply for reply in replies if reply["candidate"] == "current"), None)
    replies.sort(key=lambda reply: (reply is not best, reply not in good, reply["instance_seconds"]))
    return {
        "candidates": replies,
        "variants_left_out": left_out,
        "recommended": best["candidate"],
        "explanation": _explained(best, now, allowed),
        "recorded_seconds": load.seconds,
        "replayed_runs": round(load.arrivals),
        "service_seconds": load.service_seconds,
        "service_variability": variability,
        "allowed_seconds": allowed,
        "replay_of_what_happened": {
            "mean_response": actual.mean_response,
            "recorded_mean_response": _recorded_mean(load),
            "factor_off": math.exp(response_error(load, actual)),
        },
    }


def _tried(
    policies: Sequence[ScalingPolicy], others: Mapping[str, ScalingPolicy], most: int
) -> tuple[dict[str, list[ScalingPolicy]], int]:
    """By name what is tried, with so many variants at the most, and how many more there would be."""
    tried = {"current": list(policies)} if policies else {}
    variants = [
        (f"{policy.name}: {name}", [*policies[:number], changed, *policies[number + 1 :]])
        for number, policy in enumerate(policies[:most])
        for name, changed in _variants(policy).items()
    ]
    left_out = max(0, len(variants) - most) + sum(len(_variants(policy)) for policy in policies[most:])
    tried.update(variants[:most])
    if policies:
        limits = {
            "min_instances": max(policy.min_instances for policy in policies),
            "max_instances": max(policy.max_instances for policy in policies),
            "scale_up_cooldown": 0,
            "cooldown_period": min(policy.down_cooldown for policy in policies),
        }
        for goal in (50, 65, 80):
            tried[f"demand kept at {goal} %"] = [
                ScalingPolicy("demand", "demand", target=goal, **limits)  # type: ignore[arg-type]
            ]
    tried.update({name: [policy] for name, policy in others.items()})
    return tried, left_out


def _variants(policy: ScalingPolicy) -> dict[str, ScalingPolicy]:
    found = {
        "half the cooldown": {"cooldown_period": policy.cooldown_period / 2},
        "twice the cooldown": {"cooldown_period": policy.cooldown_period * 2},
        "up at once, down after the cooldown": {"scale_up_cooldown": 0},
    }
    up, down = policy.scale_up_threshold, policy.scale_down_threshold
    if up is not None and down is not None and math.isfinite(2 * (abs(up) + abs(down))):
        width = up - down
        found["higher thresholds"] = {"scale_up_threshold": up + width / 4, "scale_down_threshold": down + width / 4}
        found["lower thresholds"] = {"scale_up_threshold": up - width / 4, "scale_down_threshold": down - width / 4}
        found["two at a time up"] = {"scale_up_increment": 2 * (policy.scale_up_increment or 1)}
    return {name: dataclasses.replace(policy, **changes) for name, changes in found.items()}  # type: ignore[arg-type]


def _reply(name: str, policies: Sequence[ScalingPolicy], outcome: Outcome) -> dict[str, Any]:
    seconds = sum(step.instances for step in outcome.steps)
    return {
        "candidate": name,
        "policies": [policy.as_dict() for policy in policies],
        "instance_seconds": outcome.instance_seconds,
        "mean_instances": seconds / len(outcome.steps),
        "violations": outcome.violations,
        "violation_share": outcome.violation_share,
        "mean_response": outcome.mean_response,
        "p95_response": outcome.p95_response,
        "changes": outcome.changes,
        "reversals": outcome.reversals,
        "not_simulated": sorted({policy.metric for policy in policies} - SIMULATED),
    }


def _explained(best: Mapping[str, Any], now: Mapping[str, Any] | None, allowed: float) -> str:
    def figures(reply: Mapping[str, Any]) -> str:
        return (
            f"{shown(reply['mean_instances'])} instances on average, {reply['violation_share']:.1%} of the runs beyond "
            f"{shown(1000 * allowed)} ms, {reply['changes']} changes{unknown(reply)}"
        )

    def unknown(reply: Mapping[str, Any]) -> str:
        names = " and ".join(reply["not_simulated"])
        return f" (as if there were no policy by {names}, which cannot be simulated)" if names else ""

    if now is None:
        return f"{best['candidate']}: {figures(best)}"
    if best is now:
        return f"the policies are best as they are: {figures(now)}"
    return f"{best['candidate']}: {figures(best)}; as they are: {figures(now)}"


def _recorded_mean(load: LoadRecord) -> float | None:
    known = [(each.response_time, each.ended) for each in load.stretches if each.response_time is not None]
    runs = sum(ended for _, ended in known)
    return sum(seconds * ended for seconds, ended in known) / runs if runs else None
