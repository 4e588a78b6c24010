"""What can be measured of an app: from its attached runtime's counters, and of its process."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

from nexus_core._app_workflows import attached_runtime
from nexus_core.metrics.model import ProcessMetrics
from nexus_core.metrics.process import process_metrics
from nexus_core.metrics.totals import RuntimeTotals, WorkflowTotals, read_totals
from nexus_core.monitoring.workflow_history import WorkflowHistory

__all__ = [
    "OF_PROCESS",
    "OF_RUNS",
    "Measurements",
    "Reading",
    "memory_limit",
    "processors",
    "registered_names",
    "unseen_of",
]

#: What only an attached runtime tells.
OF_RUNS = (
    "response_time_ms",
    "error_rate_percent",
    "active_workflows",
    "queue_size",
    "throughput_per_second",
    "event_loop_lag_ms",
)
#: What is seen of any app.
OF_PROCESS = ("memory_usage_percent", "container_memory_percent", "cpu_usage_percent", "registered_workflows")

# The system counts processor time by steps: over a shorter time the share says nothing.
_LEAST_CPU_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured value.

    Attributes:
        value: The value.
        runs: Of how many runs; ``None`` for what is not about runs.
    """

    value: float
    runs: int | None = None


@dataclass(frozen=True, slots=True)
class _Sums:
    """Over all workflows, which only grow: a figure of an interval is a difference of two."""

    runs: int = 0
    failed: int = 0
    seconds: float = 0.0
    lag_samples: int = 0
    lag_seconds: float = 0.0

    @classmethod
    def of(cls, seen: RuntimeTotals) -> _Sums:
        workflows = seen.workflows.values()
        return cls(
            sum(workflow.runs for workflow in workflows),
            sum(workflow.failed for workflow in workflows),
            sum(workflow.seconds for workflow in workflows),
            seen.lag_samples,
            seen.lag_seconds,
        )


class Measurements:
    """Measures an app from one sample to the next; not for several threads at a time.

    Args:
        app: The app.
        moment: Now, by the clock of the samples.
        history_seconds: For how long it is known what single workflows have come to.
    """

    def __init__(self, app: Any, moment: float, history_seconds: float) -> None:
        self._app = app
        self._moment = moment
        self._runtime: weakref.ref[Any] | None = None
        self._sums = _Sums()
        self._history = WorkflowHistory(history_seconds)
        self._looked_at = time.monotonic()
        self._cpu = process_metrics().cpu_seconds
        self._cpu_at = time.monotonic()
        runtime = attached_runtime(app)
        if runtime is not None:
            self._begin(runtime, read_totals(runtime), moment)

    def take(self, moment: float) -> dict[str, Reading | None]:
        """Measures now.

        Args:
            moment: Now, by the clock of the samples.

        Returns:
            By metric; ``None`` where there was nothing to measure. What cannot be told, as a rate
            while no time has passed, is not there.
        """
        found: dict[str, Reading | None] = {"registered_workflows": Reading(len(self._app._workflows))}
        found.update(self._of_process())
        runtime = attached_runtime(self._app)
        if runtime is None:
            self._runtime, self._moment = None, moment
            found.update(dict.fromkeys(OF_RUNS))
        else:
            found.update(self._of_runs(runtime, moment))
        self._looked_at = time.monotonic()
        return found

    def begin_anew(self) -> None:
        """For a forked child: it has used no processor time yet."""
        self._cpu, self._cpu_at = process_metrics().cpu_seconds, time.monotonic()

    def workflows(self, moment: float) -> dict[str, WorkflowTotals]:
        """What the workflows came to on the attached runtime, as far back as is known.

        Args:
            moment: Now, by the clock of the samples.

        Returns:
            By what the workflows call themselves.
        """
        runtime = attached_runtime(self._app)
        if runtime is None:
            return {}
        seen = read_totals(runtime)
        if not self._knows(runtime):
            self._begin(runtime, seen, moment)
        return self._history.since(moment, seen.workflows)

    def _knows(self, runtime: Any) -> bool:
        return self._runtime is not None and self._runtime() is runtime

    def _begin(self, runtime: Any, seen: RuntimeTotals, moment: float) -> None:
        self._runtime = weakref.ref(runtime)
        # One that was made since the last look was attached since: all that it has counted is new.
        is_new = seen.age < time.monotonic() - self._looked_at
        self._sums = _Sums() if is_new else _Sums.of(seen)
        self._history.begin(moment, {} if is_new else seen.workflows)

    def _of_runs(self, runtime: Any, moment: float) -> dict[str, Reading | None]:
        seen = read_totals(runtime)
        if not self._knows(runtime):
            self._begin(runtime, seen, moment)
        self._history.add(moment, seen.workflows)
        found: dict[str, Reading | None] = {
            "active_workflows": Reading(seen.active),
            "queue_size": None if seen.waiting is None else Reading(seen.waiting),
        }
        now, before, elapsed = _Sums.of(seen), self._sums, moment - self._moment
        if elapsed < 0:  # a clock of the user's own, that was set back
            self._sums, self._moment = now, moment
        if elapsed <= 0:
            return found
        runs = max(0, now.runs - before.runs)
        # A failed run is counted as a run first: if that has just been seen, its failure belongs to the next sample.
        failed = min(runs, max(0, now.failed - before.failed))
        samples = now.lag_samples - before.lag_samples
        self._sums, self._moment = replace(now, failed=before.failed + failed), moment
        found["throughput_per_second"] = Reading(runs / elapsed)
        found["error_rate_percent"] = Reading(100 * failed / runs if runs else 0.0, runs)
        found["response_time_ms"] = Reading(1000 * (now.seconds - before.seconds) / runs, runs) if runs else None
        found["event_loop_lag_ms"] = (
            Reading(1000 * (now.lag_seconds - before.lag_seconds) / samples) if samples > 0 else None
        )
        return found

    def _of_process(self) -> dict[str, Reading | None]:
        seen, now = process_metrics(), time.monotonic()
        limit = memory_limit(seen)
        resident, used = seen.resident_bytes, seen.limited_memory_used_bytes
        found: dict[str, Reading | None] = {
            "memory_usage_percent": None if resident is None or not limit else Reading(100 * resident / limit),
            "container_memory_percent": (
                None if used is None or not seen.memory_limit_bytes else Reading(100 * used / seen.memory_limit_bytes)
            ),
        }
        available = processors(seen)
        if seen.cpu_seconds is None or self._cpu is None or not available:
            found["cpu_usage_percent"] = None
        elif now - self._cpu_at >= _LEAST_CPU_SECONDS:
            share = (seen.cpu_seconds - self._cpu) / (now - self._cpu_at) / available
            found["cpu_usage_percent"] = Reading(100 * share)
            self._cpu, self._cpu_at = seen.cpu_seconds, now
        return found


def registered_names(app: Any, taken: Container[str]) -> dict[str, str]:
    """By what workflows call themselves the name that one is registered under, where that is unambiguous.

    Args:
        app: The app.
        taken: Names that workflows call themselves, which no other is to be shown under.
    """
    names: dict[str, list[str]] = {}
    for name, workflow in list(app._workflows.items()):
        names.setdefault(workflow.name, []).append(name)
    return {own: name for own, (name, *others) in names.items() if not others and name not in taken}


def memory_limit(seen: ProcessMetrics) -> int | None:
    """The bytes that the process may use: its container's, or all that the machine has."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        machine = 0
    limits = [limit for limit in (seen.memory_limit_bytes, machine) if limit]
    return min(limits) if limits else None


def processors(seen: ProcessMetrics) -> float | None:
    """The processors whose time the process may use: its container's, or all that it may run on."""
    limits = [float(limit) for limit in (seen.cpu_limit, seen.cpus) if limit]
    return min(limits) if limits else None


def unseen_of(app: Any) -> dict[str, str]:
    """By metric why it cannot be seen, and what to do.

    Args:
        app: The app.
    """
    found = {}
    if attached_runtime(app) is None:
        found.update(dict.fromkeys(OF_RUNS, "the app is not attached: nexus_core.attach(app)"))
    seen = process_metrics()
    if seen.resident_bytes is None:
        found["memory_usage_percent"] = "this system does not tell how much memory the process uses"
    if seen.cpu_seconds is None:
        found["cpu_usage_percent"] = "this system does not tell how much processor time the process uses"
    if not seen.memory_limit_bytes:
        found["container_memory_percent"] = "no container limits the memory"
    return found
