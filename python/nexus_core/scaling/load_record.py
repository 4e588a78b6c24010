"""The load of an app as it was recorded, in the form in which it can be replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from nexus_core.scaling.timestamp import moment_of

__all__ = ["LoadRecord", "Stretch"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What happened between two checks.

    Attributes:
        start: When it began, in seconds since 1970.
        seconds: How long it was.
        arrivals: Runs that began in it.
        instances: Workers that there were.
        busy: Seconds that they spent on work.
        response_time: Mean seconds of the runs that ended in it; ``None`` if none did.
        ended: Runs that ended in it.
    """

    start: float
    seconds: float
    arrivals: float
    instances: int
    busy: float
    response_time: float | None
    ended: float


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """A load, stretch by stretch.

    Attributes:
        stretches: In the order of time.
        service_seconds: Seconds of a worker's time that a run takes.
    """

    stretches: tuple[Stretch, ...]
    service_seconds: float

    @classmethod
    def of(cls, history: Sequence[Mapping[str, Any]]) -> LoadRecord | None:
        """From the metrics that a scaler has kept.

        Args:
            history: Metrics check by check, with their ``timestamp``.

        Returns:
            The record; ``None`` if runs, or what workers do, cannot be seen in it.
        """
        found = []
        first = history[0]["timestamp"] if history else 0.0
        for before, after in pairwise(history):
            began = moment_of(before["timestamp"])
            seconds = moment_of(after["timestamp"]) - began
            rate, share, ended = (after.get(name) for name in ("request_rate", "utilization", "throughput_per_second"))
            if seconds <= 0 or rate is None or share is None or ended is None:
                continue
            if not math.isfinite(rate + share + ended):
                continue
            count = int(after["active_instances"])
            response = after.get("response_time")
            found.append(
                Stretch(
                    first + began - moment_of(first),
                    seconds,
                    rate * seconds,
                    count,
                    share / 100 * count * seconds,
                    None if response is None else response / 1000,
                    ended * seconds,
                )
            )
        runs = sum(stretch.ended for stretch in found)
        busy = sum(stretch.busy for stretch in found)
        if len(found) < 2 or runs <= 0 or busy <= 0 or not 0 < busy / runs < math.inf:
            return None
        return cls(tuple(found), busy / runs)

    @property
    def arrivals(self) -> float:
        """Runs that began in all of it."""
        return sum(stretch.arrivals for stretch in self.stretches)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return sum(stretch.seconds for stretch in self.stretches)

    def last(self, runs: float) -> LoadRecord:
        """The end of it, with no more than so many runs.

        Args:
            runs: How many.
        """
        kept: list[Stretch] = []
        left = runs
        for stretch in reversed(self.stretches):
            if stretch.arrivals > left:
                # In one stretch there may be more than all that are to be.
                kept.append(_end_of(stretch, left / stretch.arrivals))
                break
            kept.append(stretch)
            left -= stretch.arrivals
        return LoadRecord(tuple(reversed([each for each in kept if each.seconds > 0])), self.service_seconds)


def _end_of(stretch: Stretch, share: float) -> Stretch:
    """The last part of a stretch."""
    seconds = share * stretch.seconds
    return replace(
        stretch,
        start=stretch.start + stretch.seconds - seconds,
        seconds=seconds,
        arrivals=share * stretch.arrivals,
        busy=share * stretch.busy,
        ended=share * stretch.ended,
    )
