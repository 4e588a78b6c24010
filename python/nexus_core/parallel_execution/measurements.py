"""What executions have shown of a workflow's service time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Measurements", "Sample", "ServiceTime"]

# Above it, runs that share the interpreter wait for each other so much that it is in their times.
_BUSY = 0.7


@dataclass(frozen=True, slots=True)
class Sample:
    """A run that succeeded.

    Attributes:
        seconds: How long it took.
        together: How many ran at most while it did, itself included.
    """

    seconds: float
    together: int


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a run takes when it need not wait for others.

    Attributes:
        mean: Seconds.
        variability: The squared coefficient of variation; 1 where a single run cannot show it.
        cpu: Seconds of the process's CPU time in it.
        runs: How many runs it is known from.
        method: ``"observed"`` from runs that had room; ``"utilization law"`` from the throughput while
            all places were taken, with a variability that is assumed.
    """

    mean: float
    variability: float
    cpu: float
    runs: int
    method: Literal["observed", "utilization law"]

    @property
    def blocking(self) -> float:
        """Seconds in which it waits rather than computes."""
        return max(0.0, self.mean - self.cpu)


class Measurements:
    """Adds up runs of one workflow, in constant memory."""

    def __init__(self) -> None:
        self._alone = _Moments()
        self._cpu_seconds = 0.0
        self._cpu_runs = 0
        self._saturated_seconds = 0.0
        self._saturated_runs = 0
        self._places = 1

    def add(
        self, samples: list[Sample], runs: int, seconds: float, cpu_seconds: float, places: int, limit: int
    ) -> None:
        """Adds an execution of several runs.

        Args:
            samples: Those that succeeded.
            runs: How many there were.
            seconds: How long all of them took.
            cpu_seconds: CPU time of the process meanwhile.
            places: How many runs have room at once.
            limit: How many were let run at once.
        """
        if not samples or seconds <= 0:
            return
        self._cpu_seconds += cpu_seconds
        self._cpu_runs += runs
        room = 1 if cpu_seconds / seconds > _BUSY else places
        for sample in samples:
            if sample.together <= room:
                self._alone.add(sample.seconds)
        # Then all places were taken, except while the last few ran.
        if limit >= places and runs >= 2 * places:
            self._saturated_seconds += seconds
            self._saturated_runs += runs
            self._places = places

    def service_time(self) -> ServiceTime | None:
        """What is known, or ``None`` if nothing is."""
        if not self._cpu_runs:
            return None
        cpu = self._cpu_seconds / self._cpu_runs
        alone = self._alone
        if alone.count:
            return ServiceTime(alone.mean, alone.variability, min(cpu, alone.mean), alone.count, "observed")
        if not self._saturated_runs:
            return None
        mean = self._places * self._saturated_seconds / self._saturated_runs
        return ServiceTime(mean, 1.0, min(cpu, mean), self._saturated_runs, "utilization law")


class _Moments:
    """Mean and variance, by Welford's method."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        change = value - self.mean
        self.mean += change / self.count
        self._squares += change * (value - self.mean)

    @property
    def variability(self) -> float:
        if self.count < 2:
            return 1.0
        if not self.mean:
            return 0.0
        return self._squares / (self.count - 1) / math.pow(self.mean, 2)
