"""Replays a recorded load against policies: runs one by one, with a number of workers that the policies change.

Each run takes one worker for as long as its service time; runs wait in one line. Workers do not slow each other down
here: where they share what is scarce, as processors or a database, more of them help less than it says.
"""

from __future__ import annotations

import bisect
import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nexus_core.scaling.decisions import Decider, Decision
from nexus_core.scaling.load_record import LoadRecord, Stretch
from nexus_core.scaling.policy import ScalingPolicy

__all__ = ["Outcome", "Step", "fitted_variability", "replayed", "response_error", "simulated"]

#: Squared coefficients of variation of service times that are tried: from all alike to very uneven.
_VARIABILITIES = (0.0, 0.25, 1.0, 4.0)


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


class _Workers:
    """Servers with one line, whose number changes: those that go end their run first."""

    def __init__(self, count: int, now: float) -> None:
        self.free_at = [now] * count

    def resize(self, count: int, now: float) -> None:
        """So many from now on, or rather from ``now`` on those that are new."""
        while len(self.free_at) < count:
            heapq.heappush(self.free_at, now)
        # Whoever is free first goes first: nobody waits for a worker that is to go.
        while len(self.free_at) > count:
            heapq.heappop(self.free_at)


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
    counts = [start_instances]
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
            "request_rate": rate,
            "throughput_per_second": step.ended / stretch.seconds,
            "active_instances": step.instances,
        }
        metrics["response_time_ms"] = metrics["response_time"]
        for policy in policies:
            metrics.setdefault(policy.metric, None)
        decision = decider.decide(step.at, metrics, step.instances, policies)
        if decision.action != "hold":
            decider.acted(decision)
            decisions.append(decision)
        counts.append(decision.after)
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


class _Queue:
    """One line of runs and the workers that take them."""

    def __init__(self, instances: int, now: float) -> None:
        self.workers = _Workers(instances, now)
        self._line: deque[tuple[float, float]] = deque()
        self._under_way: list[tuple[float, float]] = []

    @property
    def waiting(self) -> int:
        """Runs that no worker has taken."""
        return len(self._line)

    def until(self, start: float, end: float, runs: Iterable[tuple[float, float]]) -> tuple[list[float], float]:
        """Goes on to a moment, at which the number of workers may change.

        Args:
            start: Where it has come to.
            end: The moment.
            runs: When each of them arrives, and its service time.

        Returns:
            How long the runs that ended took, and the time for which workers were busy.
        """
        self._line.extend(runs)
        free_at = self.workers.free_at
        busy = sum(min(done, end) - start for done, _ in self._under_way)
        while self._line:
            arrival, service = self._line[0]
            begin = max(arrival, free_at[0])
            # A change concerns all that wait then.
            if begin >= end:
                break
            self._line.popleft()
            heapq.heapreplace(free_at, begin + service)
            heapq.heappush(self._under_way, (begin + service, arrival))
            busy += min(begin + service, end) - begin
        ended = []
        while self._under_way and self._under_way[0][0] <= end:
            done, arrival = heapq.heappop(self._under_way)
            ended.append(done - arrival)
        return ended, busy


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
    runs = _Runs(load, variability, seed)
    queue = _Queue(instances, load.stretches[0].start)
    responses: list[float] = []
    steps: list[Step] = []
    cost = 0.0
    end = 0.0
    for number, stretch in enumerate(load.stretches):
        end = stretch.start + stretch.seconds
        ended, busy = queue.until(stretch.start, end, runs.of(stretch))
        responses.extend(ended)
        cost += instances * stretch.seconds
        mean = sum(ended) / len(ended) if ended else None
        late = sum(seconds > allowed_seconds for seconds in ended)
        share = min(100.0, 100 * busy / (instances * stretch.seconds))
        steps.append(Step(end, instances, share, queue.waiting, mean, late, len(ended)))
        after = chosen(number, steps[-1])
        if after != instances:
            queue.workers.resize(after, end + (start_seconds if after > instances else 0.0))
            instances = after
    # What still waits, with the workers that there are then.
    responses.extend(queue.until(end, math.inf, ())[0])
    responses.sort()
    ups = [decision.after > decision.before for decision in decisions]
    count = len(responses)
    return Outcome(
        tuple(steps),
        count,
        count - bisect.bisect_right(responses, allowed_seconds),
        sum(responses) / count if count else 0.0,
        responses[math.ceil(0.95 * count) - 1] if count else 0.0,
        cost,
        len(decisions),
        sum(one is not other for one, other in pairwise(ups)),
        tuple(decisions),
    )


class _Runs:
    """The runs of a load: as many as were recorded in each stretch, at random moments of it."""

    def __init__(self, load: LoadRecord, variability: float, seed: int) -> None:
        self._mean = load.service_seconds
        self._variability = variability
        # Apart, so that the same runs come whatever their service times are.
        self._arrivals, self._services = random.Random(seed), random.Random(f"services {seed}")
        self._rest = 0.0

    def of(self, stretch: Stretch) -> list[tuple[float, float]]:
        self._rest += stretch.arrivals
        count = int(self._rest)
        self._rest -= count
        moments = sorted(stretch.start + stretch.seconds * self._arrivals.random() for _ in range(count))
        return [(moment, self._service()) for moment in moments]

    def _service(self) -> float:
        if self._variability == 0:
            return self._mean
        return self._services.gammavariate(1 / self._variability, self._mean * self._variability)
