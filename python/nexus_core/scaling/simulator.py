"""Replays a recorded load against policies: runs one by one, with a number of workers that the policies change.

Each run takes one worker for as long as its service time; runs wait in one line. Workers do not slow each other down
here: where they share what is scarce, as processors or a database, more of them help less than it says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nexus_core._core import _ReplayedLine
from nexus_core.scaling.decisions import Decider, Decision
from nexus_core.scaling.load_record import LoadRecord
from nexus_core.scaling.policy import ScalingPolicy

__all__ = ["SIMULATED", "Outcome", "Step", "fitted_variability", "replayed", "response_error", "simulated"]

#: Squared coefficients of variation of service times that are tried: from all alike to very uneven.
_VARIABILITIES = (0.0, 0.25, 1.0, 4.0)

#: The metrics of which it can be told what they would have been.
SIMULATED = frozenset({
    "utilization", "demand", "queue_size", "queue_per_instance", "response_time", "response_time_ms", "request_rate",
    "throughput_per_second", "active_instances",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """What was simulated for one stretch.

    Attributes:
        at: When it ends, in seconds since 1970.
        instances: Workers in it.
        utilization: The percentage of their time that they were busy.
        queue: Runs that wait at its end.
        response_time: Mean seconds of the runs that ended in it; ``None`` if none did.
        violations: Runs that ended in it after longer than they may take.
        ended: Runs that ended in it.
    """

    at: float
    instances: int
    utilization: float
    queue: int
    response_time: float | None
    violations: int
    ended: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a load comes to.

    Attributes:
        steps: Stretch by stretch.
        runs: Runs that ended.
        violations: Those that took longer than they may.
        mean_response: Mean seconds from arrival to end.
        p95_response: Seconds that 95 in 100 did not exceed.
        instance_seconds: Time of all workers, busy or not: the cost.
        changes: How often their number was changed.
        reversals: How often a change went the other way than the one before.
        decisions: The changes.
    """

    steps: tuple[Step, ...]
    runs: int
    violations: int
    mean_response: float
    p95_response: float
    instance_seconds: float
    changes: int
    reversals: int
    decisions: tuple[Decision, ...]

    @property
    def violation_share(self) -> float:
        """Violations by runs, from 0 to 1."""
        return self.violations / self.runs if self.runs else 0.0


def simulated(
    load: LoadRecord,
    policies: Sequence[ScalingPolicy],
    *,
    allowed_seconds: float,
    start_instances: int,
    variability: float = 1.0,
    start_seconds: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """What would have become of a load under other policies.

    Args:
        load: The load.
        policies: All that are enabled. Metrics that cannot be simulated, as the memory's, have no say.
        allowed_seconds: What a run may take.
        start_instances: Workers at the beginning.
        variability: Squared coefficient of variation of the service times.
        start_seconds: How long it takes until a worker that was asked for works.
        seed: Of arrivals and service times, which are the same for the same seed.

    Returns:
        What came of it.
    """
    decider = Decider()
    decisions: list[Decision] = []

    def chosen(number: int, step: Step) -> int:
        stretch = load.stretches[number]
        rate = stretch.arrivals / stretch.seconds
        metrics: dict[str, float | None] = {
            "utilization": step.utilization,
            "demand": 100 * rate * load.service_seconds / step.instances,
            "queue_size": step.queue,
            "queue_per_instance": step.queue / step.instances,
            "response_time": None if step.response_time is None else 1000 * step.response_time,
            "response_time_ms": None if step.response_time is None else 1000 * step.response_time,
            "request_rate": rate,
            "throughput_per_second": step.ended / stretch.seconds,
            "active_instances": step.instances,
        }
        for policy in policies:
            metrics.setdefault(policy.metric, None)
        decision = decider.decide(step.at, metrics, step.instances, policies)
        if decision.action != "hold":
            decider.acted(decision, step.at)
            decisions.append(decision)
        return decision.after

    return _run(load, chosen, decisions, start_instances, allowed_seconds, variability, start_seconds, seed)


def replayed(load: LoadRecord, *, allowed_seconds: float, variability: float, seed: int = 0) -> Outcome:
    """What the simulator makes of a load with the workers that there really were: how far it can be believed.

    Args:
        load: The load.
        allowed_seconds: What a run may take.
        variability: Squared coefficient of variation of the service times.
        seed: Of arrivals and service times.
    """
    stretches = load.stretches

    def recorded(number: int, step: Step) -> int:
        return stretches[min(number + 1, len(stretches) - 1)].instances

    return _run(load, recorded, [], stretches[0].instances, allowed_seconds, variability, 0.0, seed)


def fitted_variability(load: LoadRecord, allowed_seconds: float, seed: int = 0) -> float:
    """How uneven service times are, by which the recorded response times come out best.

    Args:
        load: The load.
        allowed_seconds: What a run may take.
        seed: Of arrivals and service times.
    """

    def error(variability: float) -> float:
        return response_error(load, replayed(load, allowed_seconds=allowed_seconds, variability=variability, seed=seed))

    return min(_VARIABILITIES, key=error)


def response_error(load: LoadRecord, outcome: Outcome) -> float:
    """By how much simulated response times differ from recorded ones: the mean difference of their logarithms.

    Args:
        load: What was recorded.
        outcome: What was simulated.

    Returns:
        0 for no difference, 0.7 for a factor of two; 0 also where there is nothing to compare.
    """
    differences = [
        abs(math.log(step.response_time / stretch.response_time))
        for stretch, step in zip(load.stretches, outcome.steps, strict=True)
        if stretch.response_time and step.response_time
    ]
    return sum(differences) / len(differences) if differences else 0.0


def _run(
    load: LoadRecord,
    chosen: Callable[[int, Step], int],
    decisions: list[Decision],
    instances: int,
    allowed_seconds: float,
    variability: float,
    start_seconds: float,
    seed: int,
) -> Outcome:
    line = _ReplayedLine(instances, load.service_seconds, variability, allowed_seconds, seed)
    # From zero on: since 1970 so many seconds have passed that small parts of one are lost.
    origin = load.stretches[0].start
    steps: list[Step] = []
    runs = late = 0
    response_seconds = cost = end = rest = 0.0
    for number, stretch in enumerate(load.stretches):
        start, end = stretch.start - origin, stretch.start - origin + stretch.seconds
        # Of fractions of runs, which rates have, whole ones come at some time.
        count = int(rest + stretch.arrivals)
        rest += stretch.arrivals - count
        ended, seconds, too_late, busy = line.advance(start, end, count)
        runs, late, response_seconds = runs + ended, late + too_late, response_seconds + seconds
        cost += instances * stretch.seconds
        share = max(0.0, min(100.0, 100 * busy / (instances * stretch.seconds)))
        mean = seconds / ended if ended else None
        steps.append(Step(origin + end, instances, share, line.waiting(), mean, too_late, ended))
        after = chosen(number, steps[-1])
        if after != instances:
            line.resize(after, end + (start_seconds if after > instances else 0.0))
            instances = after
    # What still waits, with the workers that there are then.
    ended, seconds, too_late, _ = line.finish(end)
    runs, late, response_seconds = runs + ended, late + too_late, response_seconds + seconds
    ups = [decision.after > decision.before for decision in decisions]
    return Outcome(
        tuple(steps),
        runs,
        late,
        response_seconds / runs if runs else 0.0,
        line.quantile(0.95),
        cost,
        len(decisions),
        sum(one is not other for one, other in pairwise(ups)),
        tuple(decisions),
    )
