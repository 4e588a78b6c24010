"""What is measured for policies: the monitor's metrics, under the guide's names too, and the target's own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from nexus_core.monitoring.measurements import OF_PROCESS, OF_RUNS
from nexus_core.monitoring.series import moment_of
from nexus_core.monitoring.summary import average
from nexus_core.scaling.decisions import PER_WORKER
from nexus_core.scaling.policy import ScalingPolicy

__all__ = ["GUIDES", "OF_TARGET", "Readings", "check_metric"]

#: The guide's names, and what they are called in a monitor.
GUIDES = {
    "cpu_usage": "cpu_usage_percent",
    "memory_usage": "memory_usage_percent",
    "response_time": "response_time_ms",
}
# What there is of it does not depend on the number of workers.
_SUMS = frozenset({"request_rate", "throughput_per_second", "queue_size", "active_workflows"})
#: What only the scaler measures.
OF_TARGET = ("request_rate", "utilization", "demand", "queue_per_instance", "active_instances")


def check_metric(policy: ScalingPolicy, monitor: Any, target: Any) -> None:
    """Whether there is the metric that a policy looks at.

    Args:
        policy: The policy.
        monitor: The monitor, with collectors of its user's.
        target: What is scaled; ``None`` if that is not known yet.

    Raises:
        ValueError: If there is none, the target does not tell it, or the policy takes a sum for a share of each
            worker or the other way round.
    """
    metric = policy.metric
    if policy.target_per_instance is not None and metric in PER_WORKER:
        raise ValueError(
            f"policy {policy.name!r}: {metric!r} is about each worker already; give target instead of "
            f"target_per_instance {policy.target_per_instance!r}"
        )
    if policy.target is not None and metric in _SUMS:
        raise ValueError(
            f"policy {policy.name!r}: {metric!r} is a sum, which more workers do not make smaller; give "
            f"target_per_instance instead of target {policy.target!r}"
        )
    known = {*GUIDES, *OF_TARGET, *OF_RUNS, *OF_PROCESS, *monitor.metrics}
    if metric not in known:
        # Of one that was not sampled since it is collected, a sample tells.
        known.update(name for name in monitor.sample() if name != "timestamp")
    if metric not in known and f"the collector of {metric!r}" not in monitor.problems:
        near = difflib.get_close_matches(metric, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}."
        raise ValueError(
            f"policy {policy.name!r}: no metric is called {metric!r}; {hint} For one of your own, call "
            "monitor.collect(name, ...) first"
        )
    if metric in ("utilization", "demand") and target is not None and _busy_of(target) is None:
        raise ValueError(
            f"policy {policy.name!r}: the target does not tell how busy its workers are, so there is no {metric!r}; "
            "give it a method busy_seconds(), or look at another metric"
        )


def _busy_of(target: Any) -> Any:
    try:
        return target.busy_seconds()
    except AttributeError:
        return None
    except Exception:
        # It has one, which fails now: that is told at the checks.
        return 0.0


# How much what was known of service times still counts at the next check: they change slowly, and are had by chance.
_KEPT = 0.9


class Readings:
    """Turns what a monitor and a target say into the metrics of one check; not for several threads at a time."""

    def __init__(self) -> None:
        self._busy: tuple[float, float] | None = None
        self._active: float | None = None
        self._at: float | None = None
        self._read: dict[str, float] = {}
        self._work = self._runs = 0.0

    def from_series(self, monitor: Any) -> dict[str, float | None]:
        """What a monitor that samples by itself has measured since the last check.

        Args:
            monitor: The monitor.

        Returns:
            By metric the mean over the samples, of run figures over the runs; ``None`` where the samples had no value.
            Nothing at all without a new sample.
        """
        found: dict[str, float | None] = {}
        for name, series in monitor.metrics.items():
            points = list(series)
            since = self._read.get(name)
            new = points[-1:] if since is None else [point for point in points if moment_of(point) > since]
            if new:
                found[name] = average(new)
                self._read[name] = moment_of(new[-1])
        if found:
            for name in OF_RUNS:
                found.setdefault(name, None)
        return found

    def completed(
        self, measured: Mapping[str, float | None], now: float, current: int, busy: float | None, queued: float | None
    ) -> dict[str, float | None]:
        """All metrics of a check.

        Args:
            measured: By the monitor's names.
            now: The time, by the clock of the checks.
            current: How many workers there are.
            busy: Seconds that they have spent on work so far; ``None`` if the target does not tell.
            queued: How much waits for one of them; ``None`` if the target does not tell.
        """
        found = dict(measured)
        for name, monitors in GUIDES.items():
            if monitors in measured:
                found[name] = measured[monitors]
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        active, before = measured.get("active_workflows"), self._active
        self._active = active
        ended = measured.get("throughput_per_second")
        if ended is not None:
            grown = (active - before) / elapsed if active is not None and before is not None and elapsed > 0 else 0.0
            found["request_rate"] = max(0.0, ended + grown)
        elif "throughput_per_second" in measured:
            found["request_rate"] = None
        if queued is None:
            queued = measured.get("queue_size")
        if queued is not None and current > 0:
            found["queue_per_instance"] = queued / current
        last, self._busy = self._busy, None if busy is None else (now, busy)
        # Nobody works for less than no time: one that has begun to count anew has not been idle.
        if busy is not None and last is not None and now > last[0] and busy >= last[1] and current > 0:
            worked = busy - last[1]
            found["utilization"] = min(100.0, 100 * worked / (now - last[0]) / current)
            self._work = _KEPT * self._work + worked
            self._runs = _KEPT * self._runs + (ended or 0.0) * elapsed
            rate = found.get("request_rate")
            if rate is not None and self._runs > 0:
                found["demand"] = 100 * rate * self._work / self._runs / current
        found["active_instances"] = current
        return found
