"""One load on an attached app while an AutoScaler changes its workers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nexus_core
from kailash.workflow.builder import WorkflowBuilder
from nexus import Nexus
from nexus_core import AutoScaler
from nexus_core.load_testing import LoadTest
from nexus_core.scaling import LoadRecord, Outcome, ScalingPolicy, simulated

from scaling.shapes import Shape, load_of

CHECK_SECONDS = 0.5
SERVICE_SECONDS = 0.05
ALLOWED_SECONDS = 0.2
_LIMITS = {"min_instances": 1, "max_instances": 16, "window": 2}
POLICIES: dict[str, dict[str, Any]] = {
    "thresholds": {
        **_LIMITS,
        "metric": "utilization",
        "scale_up_threshold": 75,
        "scale_down_threshold": 40,
        "cooldown_period": 1,
        "scale_up_increment": 2,
    },
    "target": {**_LIMITS, "metric": "demand", "target": 60, "scale_up_cooldown": 0, "scale_down_cooldown": 4},
}


@dataclass(frozen=True)
class Ran:
    """What was measured, by seconds from the beginning of the load."""

    policy: str
    workers: list[tuple[float, int]]
    replies: list[tuple[float, float]]
    asked: int
    failed: int
    unfinished: int
    events: list[dict[str, Any]]
    history: list[dict[str, Any]]

    @property
    def violations(self) -> float:
        """The share of the replies that took longer than they may."""
        return sum(seconds > ALLOWED_SECONDS for _, seconds in self.replies) / max(1, len(self.replies))

    @property
    def mean_response(self) -> float:
        return sum(seconds for _, seconds in self.replies) / max(1, len(self.replies))

    @property
    def mean_workers(self) -> float:
        return sum(count for _, count in self.workers) / max(1, len(self.workers))

    @property
    def reversals(self) -> int:
        actions = [event["action"] for event in self.events]
        return sum(one != other for one, other in pairwise(actions))


class _Timed:
    """A load test's target that notes each reply."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.apart = target.apart
        self.replies: list[tuple[float, float]] = []

    async def open(self) -> None:
        await self._target.open()

    async def execute(self, inputs: Mapping[str, Any]) -> None:
        began = time.perf_counter()
        await self._target.execute(inputs)
        self.replies.append((time.time(), time.perf_counter() - began))

    async def close(self) -> None:
        await self._target.close()


def run(shape: Shape, policy: str, seed: int = 0) -> Ran:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "work", {"code": f"import time\ntime.sleep({SERVICE_SECONDS})\nresult = x"})
    app = Nexus(enable_durability=False)
    try:
        app.register("work", builder)
        nexus_core.attach(app, thread_pool_size=2, max_concurrent_nodes=2)
        scaler = AutoScaler(app, latency_target_ms=1000 * ALLOWED_SECONDS, max_events=1000)
        scaler.configure_scaling_policy(policy, POLICIES[policy])
        test = LoadTest(app, "work", load_of(shape, seed), inputs={"x": 1}, duration=shape.seconds)
        timed = _Timed(test._target)
        test._target = timed
        scaler.start_auto_scaling(CHECK_SECONDS)
        began = time.time()
        result = test.run()
        scaler.stop_auto_scaling()
        history = list(scaler.metrics_history)
        return Ran(
            policy,
            [(each["timestamp"] - began, int(each["active_instances"])) for each in history],
            [(at - began, seconds) for at, seconds in timed.replies],
            result.requests,
            result.failed,
            result.unfinished,
            scaler.scaling_events,
            history,
        )
    finally:
        app.close()


def foreseen(recorded: Ran, policy: str) -> tuple[Outcome, float]:
    """What the simulator says of a policy, from what was recorded under another; and when the record begins."""
    load = LoadRecord.of(recorded.history)
    assert load is not None, "nothing was recorded"
    outcome = simulated(
        load,
        [ScalingPolicy.of(policy, POLICIES[policy])],
        allowed_seconds=ALLOWED_SECONDS,
        start_instances=2,
        variability=0.0,
    )
    return outcome, load.stretches[0].start
