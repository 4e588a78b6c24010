"""What policies make of measured values: pure logic, by a clock that is given, for the scaler and the simulator alike."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from nexus_core.scaling.policy import ScalingPolicy

__all__ = ["PER_WORKER", "Action", "Decider", "Decision", "Proposal", "shown"]

Action = Literal["scale_up", "scale_down", "hold"]

#: Metrics of which all workers together have as much before and after a change of their number.
PER_WORKER = frozenset({"utilization", "demand", "queue_per_instance"})

# So many times its target a metric is not by chance.
_BURST = 2.0
# What is asked for is not rounded up for the sake of an error in the last digit.
_ROUNDING = 1e-9
_MOST = 1e12


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one policy asks for.

    Attributes:
        policy: Its name.
        metric: What it has looked at.
        value: The metric's value; ``None`` if there was none.
        wanted: How many workers; ``None`` if it has no say.
        threshold: What the value was compared with, if it asks for a change.
        reason: Why, in words.
    """

    policy: str
    metric: str
    value: float | None
    wanted: int | None
    threshold: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of one check.

    Attributes:
        at: When, in seconds since 1970.
        action: ``"scale_up"``, ``"scale_down"`` or ``"hold"``.
        before: How many workers there were, or were to be.
        after: How many there are to be.
        policy: Whose proposal it is; ``None`` for the limits', or if nothing was asked.
        reason: Why, in words.
        proposals: What each policy has asked for.
        metrics: What was measured.
        outcome: ``"held"``, ``"applied"``, ``"dry_run"``, or ``"failed"``: the target has refused.
        error: What it said then; or with another outcome, that the target has not done what it was told before.
    """

    at: float
    action: Action
    before: int
    after: int
    policy: str | None
    reason: str
    proposals: tuple[Proposal, ...] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict, repr=False)
    outcome: Literal["held", "applied", "dry_run", "failed"] = "held"
    error: str | None = None

    @property
    def proposal(self) -> Proposal | None:
        """The one that was followed."""
        return next((each for each in self.proposals if each.policy == self.policy), None)

    def with_outcome(self, outcome: Literal["applied", "dry_run", "failed"], error: str | None = None) -> Decision:
        """The same, once it is known what became of it.

        Args:
            outcome: What did.
            error: What the target said.
        """
        return replace(self, outcome=outcome, error=error or self.error)

    def explain(self) -> str:
        """All of it in words: what was decided, and what each policy has asked for and why."""
        did = {
            "held": f"{self.before} instances stay",
            "applied": f"from {self.before} to {self.after} instances",
            "dry_run": f"dry run: would go from {self.before} to {self.after} instances",
            "failed": f"wanted {self.after} instead of {self.before} instances, and failed: {self.error}",
        }[self.outcome]
        lines = [f"{did}: {self.reason}"]
        if self.error is not None and self.outcome != "failed":
            lines.append(f"  ! {self.error}")
        for each in self.proposals:
            mark = "*" if each.policy == self.policy and self.action != "hold" else "-"
            wants = "no say" if each.wanted is None else f"wants {each.wanted}"
            lines.append(f"  {mark} {each.policy}: {wants}: {each.reason}")
        return "\n".join(lines)


@dataclass(slots=True)
class _Past:
    """What a policy has to remember from one check to the next."""

    changed_at: float = -math.inf
    above: int = 0
    below: int = 0
    needed: deque[tuple[float, int]] = field(default_factory=deque)
    values: deque[tuple[float, float]] = field(default_factory=deque)

    def averaged(self, now: float, value: float, current: int, policy: ScalingPolicy) -> float:
        """The metric over the policy's window; of one that the workers share, how much it would be for each of them now."""
        if policy.window == 0:
            return value
        weight = current if policy.metric in PER_WORKER else 1
        goal = policy.target if policy.target is not None else (policy.target_per_instance or math.inf) * current
        if value >= _BURST * goal:
            # The average would come to it when it is too late; what was before says nothing any more.
            self.values.clear()
        self.values.append((now, value * weight))
        while len(self.values) > 1 and self.values[0][0] <= now - policy.window:
            self.values.popleft()
        return sum(amount for _, amount in self.values) / len(self.values) / weight


class Decider:
    """Decides check by check; not for several threads at a time."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def forget(self, policy: str) -> None:
        """A policy has changed or is gone: its cooldown and what it was counting are over."""
        self._past.pop(policy, None)

    def acted(self, decision: Decision, now: float) -> None:
        """A decision was carried out, or would have been in a dry run: the cooldown of its policy begins.

        Args:
            decision: The decision.
            now: The time, by the clock of `decide`.
        """
        if decision.policy is not None:
            self._past.setdefault(decision.policy, _Past()).changed_at = now

    def decide(
        self, now: float, metrics: Mapping[str, float | None], current: int, policies: Sequence[ScalingPolicy]
    ) -> Decision:
        """What there is to do.

        The largest number that a policy asks for is taken: workers go only when no policy needs them.

        Args:
            now: The time.
            metrics: By name what was measured; ``None`` where there was nothing to measure. What is not there
                could not be measured, and its policies let no worker go.
            current: How many workers there are to be so far.
            policies: Those that are enabled.
        """
        proposals = tuple(self._proposal(now, metrics, current, policy) for policy in policies)

        def made(after: int, policy: str | None, reason: str) -> Decision:
            action: Action = "hold" if after == current else "scale_up" if after > current else "scale_down"
            return Decision(now, action, current, after, policy, reason, proposals, dict(metrics))

        if not policies:
            return made(current, None, "no policy is enabled")
        fewest = max(policy.min_instances for policy in policies)
        most = max(policy.max_instances for policy in policies)
        voices = [each for each in proposals if each.wanted is not None]
        best = max(voices, key=lambda each: each.wanted or 0, default=None)
        wanted = current if best is None or best.wanted is None else best.wanted
        if wanted < fewest:
            return made(fewest, None, f"the policies' limits ask for at least {fewest}")
        if best is None:
            if current > most:
                return made(most, None, f"the policies' limits allow {most} at the most")
            return made(current, None, "no policy has a value to go by")
        if wanted == current:
            return made(current, best.policy, _why_held(proposals))
        return made(wanted, best.policy, best.reason)

    def _proposal(
        self, now: float, metrics: Mapping[str, float | None], current: int, policy: ScalingPolicy
    ) -> Proposal:
        past = self._past.setdefault(policy.name, _Past())
        here = policy.clamped(current)

        def asks(wanted: int | None, reason: str, threshold: float | None = None) -> Proposal:
            return Proposal(policy.name, policy.metric, value, wanted, threshold, reason)

        value = metrics.get(policy.metric)
        if policy.metric not in metrics:
            past.above = past.below = 0
            return asks(here, f"{policy.metric} could not be measured, so nothing is let go")
        if value is None:
            past.above = past.below = 0
            return asks(None, f"{policy.metric} has no value now")
        value = past.averaged(now, value, current, policy)
        wanted, reason, threshold = (
            self._tracked(now, value, current, policy, past)
            if policy.is_tracking
            else self._compared(value, current, policy, past)
        )
        wanted = policy.clamped(wanted)
        if wanted == current:
            return asks(wanted, reason + (_at_limit(policy, current) if threshold is not None else ""))
        if policy.clamped(current) != current:
            limits = f"{policy.min_instances} to {policy.max_instances}"
            return asks(wanted, f"{current} is outside of its limits, {limits}", threshold)
        waits = policy.up_cooldown if wanted > current else policy.down_cooldown
        left = past.changed_at + waits - now
        # A target has looked back over the whole of its cooldown already.
        if left > 0 and not (policy.is_tracking and wanted < current):
            return asks(here, f"{reason}, but its cooldown has {left:.3g} s left")
        return asks(wanted, reason, threshold)

    @staticmethod
    def _compared(value: float, current: int, policy: ScalingPolicy, past: _Past) -> tuple[int, str, float | None]:
        up, down = policy.scale_up_threshold, policy.scale_down_threshold
        assert up is not None and down is not None
        past.above = past.above + 1 if value > up else 0
        past.below = past.below + 1 if value < down else 0
        is_what = f"{policy.metric} is {shown(value)}"
        if value > up:
            text = f"{is_what}, above {shown(up)}"
            if past.above < policy.samples:
                return current, f"{text} in {past.above} of {policy.samples} checks", None
            return current + (policy.scale_up_increment or 1), text, up
        if value < down:
            text = f"{is_what}, below {shown(down)}"
            if past.below < policy.samples:
                return current, f"{text} in {past.below} of {policy.samples} checks", None
            fewer = policy.clamped(current - (policy.scale_down_increment or 1))
            if policy.metric in PER_WORKER and 0 < fewer < current and value * current / fewer > up:
                then = shown(value * current / fewer)
                return current, f"{text}, but with {fewer} it would be {then}, above {shown(up)}", None
            return fewer, text, down
        return current, f"{is_what}, between {shown(down)} and {shown(up)}", None

    @staticmethod
    def _tracked(
        now: float, value: float, current: int, policy: ScalingPolicy, past: _Past
    ) -> tuple[int, str, float | None]:
        per_instance = policy.target is None
        goal = policy.target_per_instance if per_instance else policy.target
        assert goal is not None
        whole = (value if per_instance else value * current) / goal
        # Nobody wants more than can be counted.
        whole = min(whole, _MOST)
        # Between more and fewer there is a gap, or chance alone would have a worker come and go.
        if whole > current * (1 + policy.tolerance):
            needed = math.ceil(whole - _ROUNDING)
        else:
            needed = min(current, max(0, math.ceil(whole / (1 - policy.tolerance) - _ROUNDING)))
        if not past.needed:
            past.needed.append((now, current))
        past.needed.append((now, needed))
        while past.needed and past.needed[0][0] <= now - policy.down_cooldown and len(past.needed) > 1:
            past.needed.popleft()
        kind = " for each instance" if per_instance else ""
        seen = shown(value / max(1, current)) if per_instance else shown(value)
        text = f"{policy.metric} is {seen}{kind}, to be {shown(goal)}: {needed} needed"
        if needed > current:
            return min(needed, current + (policy.scale_up_increment or needed)), text, goal
        kept = min(current, max(count for _, count in past.needed))
        if kept > needed:
            text += f", {kept} within the last {policy.down_cooldown:g} s"
        if kept == current:
            return current, text, None
        return max(kept, current - (policy.scale_down_increment or current)), text, goal


def shown(value: float) -> str:
    """A value for people."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _at_limit(policy: ScalingPolicy, current: int) -> str:
    if current == policy.max_instances:
        return f", and {current} instances are the most that it may ask for"
    if current == policy.min_instances:
        return f", and {current} instances are the fewest"
    return ""


def _why_held(proposals: Sequence[Proposal]) -> str:
    return "; ".join(f"{each.policy}: {each.reason}" for each in proposals if each.wanted is not None)
