"""One load on an attached app while an AutoScaler changes its workers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from nexus_core.load_testing import LoadTest, LoadTestResult
from nexus_core.scaling import LoadRecord, Outcome, ScalingPolicy, simulated

from scaling.shapes import Shape, load_of
from scaling.subject import (
    ALLOWED_SECONDS,
    CHECK_SECONDS,
    POLICIES,
    START_INSTANCES,
    WORKFLOW,
    record_of,
    scaled_app,
)
from service.processes import Launcher

# How long a server may take until it listens.
_READY = 120


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
    def lost(self) -> int:
        """Requests that were made and not answered well."""
        return self.asked - len(self.replies)

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

    def prepared(self, inputs: Mapping[str, Any]) -> Any:
        return self._target.prepared(inputs)

    async def execute(self, prepared: Any) -> Any:
        began = time.perf_counter()
        answer = await self._target.execute(prepared)
        self.replies.append((time.time(), time.perf_counter() - began))
        return answer

    async def close(self) -> None:
        await self._target.close()


def run(shape: Shape, policy: str, seed: int = 0, *, over_http: bool = False) -> Ran:
    """Puts a load on an app under a policy: in this process, or on a server in one of its own."""
    return (_over_http if over_http else _in_process)(shape, policy, seed)


def _in_process(shape: Shape, policy: str, seed: int) -> Ran:
    app, scaler = scaled_app(policy)
    try:
        scaler.start_auto_scaling(CHECK_SECONDS)

        def ended() -> dict[str, Any]:
            scaler.stop_auto_scaling()
            return record_of(scaler)

        return _loaded(shape, policy, seed, ended, app)
    finally:
        app.close()


def _over_http(shape: Shape, policy: str, seed: int) -> Ran:
    with Launcher(Path(sys.executable), Path(__file__).resolve().parents[2] / "python", package="scaling") as launcher:
        record = launcher.folder / "record.json"
        server = launcher.start("server", [policy, str(record)], timeout=_READY)

        def ended() -> dict[str, Any]:
            server.stop()
            found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
            return found

        return _loaded(shape, policy, seed, ended, None, f"http://127.0.0.1:{server.said['port']}")


def _loaded(
    shape: Shape, policy: str, seed: int, ended: Callable[[], dict[str, Any]], app: Any, url: str | None = None
) -> Ran:
    test = LoadTest(app, WORKFLOW, load_of(shape, seed), inputs={"x": 1}, duration=shape.seconds, url=url)
    timed = _Timed(test._target)
    test._target = timed
    began = time.time()
    result: LoadTestResult = test.run()
    record = ended()
    if record["problems"]:
        raise RuntimeError(f"the scaler met problems: {record['problems']}")
    return Ran(
        policy,
        [(each["timestamp"] - began, int(each["active_instances"])) for each in record["history"]],
        [(at - began, seconds) for at, seconds in timed.replies],
        result.requests,
        result.failed,
        result.unfinished,
        record["events"],
        record["history"],
    )


def foreseen(recorded: Ran, policy: str) -> tuple[Outcome, float]:
    """What the simulator says of a policy, from what was recorded under another; and when the record begins."""
    load = LoadRecord.of(recorded.history)
    assert load is not None, "nothing was recorded"
    outcome = simulated(
        load,
        [ScalingPolicy.of(policy, POLICIES[policy])],
        allowed_seconds=ALLOWED_SECONDS,
        start_instances=START_INSTANCES,
        variability=0.0,
    )
    return outcome, load.stretches[0].start
