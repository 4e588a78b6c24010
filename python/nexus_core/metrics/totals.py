"""The runs of a runtime in a few numbers, for those who look often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nexus_core._core import _Figures

__all__ = ["RuntimeTotals", "WorkflowTotals", "read_totals"]

_NOTHING: dict[str, Any] = _Figures().totals()


@dataclass(frozen=True, slots=True)
class WorkflowTotals:
    """What the runs of one workflow come to.

    Attributes:
        runs: Runs that have ended.
        failed: Those that failed.
        seconds: How long all of them took together.
        failures: Failed ones by type of error.
    """

    runs: int = 0
    failed: int = 0
    seconds: float = 0.0
    failures: Mapping[str, int] = field(default_factory=dict)

    def since(self, before: WorkflowTotals) -> WorkflowTotals:
        """What was added."""
        failures = Counter(self.failures)
        failures.subtract(before.failures)
        return WorkflowTotals(
            max(0, self.runs - before.runs),
            max(0, self.failed - before.failed),
            max(0.0, self.seconds - before.seconds),
            {error: count for error, count in failures.items() if count > 0},
        )


@dataclass(frozen=True, slots=True)
class RuntimeTotals:
    """A runtime at one moment.

    Attributes:
        age: Seconds since its figures were begun, by a clock that is never set.
        active: Native runs that are under way.
        waiting: Runs that stand in line for a place; ``None`` where there are no places.
        lag_samples: How often it was seen how late an event loop was.
        lag_seconds: How late altogether.
        workflows: By name, those that have run.
    """

    age: float
    active: int
    waiting: int | None
    lag_samples: int
    lag_seconds: float
    workflows: Mapping[str, WorkflowTotals]


def read_totals(runtime: Any) -> RuntimeTotals:
    """Reads them; what it takes does not grow with the number of nodes.

    Args:
        runtime: A ``LocalRuntime`` or ``AsyncLocalRuntime``.
    """
    figures: _Figures | None = runtime._figures
    found = _NOTHING if figures is None else figures.totals()
    places = getattr(runtime, "_places", None)
    lag_samples, lag_seconds = found["loop_lag"]
    return RuntimeTotals(
        age=found["age"],
        active=found["active"],
        waiting=None if places is None else places.occupancy()[1],
        lag_samples=lag_samples,
        lag_seconds=lag_seconds,
        workflows={name: WorkflowTotals(*totals) for name, totals in found["workflows"].items()},
    )
