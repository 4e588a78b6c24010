"""Real load from the load tester on an attached app, while a scaler that the test steps changes its workers."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import nexus_core
from apps import code_workflow
from auto_scaler.support import until
from nexus_core import AutoScaler
from nexus_core.load_testing import ClosedLoop, run_load_test


def _loaded(app: Any, clock: Any, users: int, requests: int) -> tuple[AutoScaler, Any, list[int]]:
    """A load with a check after every so many requests; how many workers there were."""
    runtime = nexus_core.attach(app, thread_pool_size=2).runtime
    app.register("sleeps", code_workflow("import time\ntime.sleep(0.01)\nresult = x"))
    scaler = AutoScaler(app, clock=clock)
    counts: list[int] = []
    lock = threading.Lock()

    def inputs(number: int) -> dict[str, int]:
        if number and number % 40 == 0:
            with lock:
                clock.pass_(1)
                scaler.step()
                counts.append(runtime.thread_pool_size)
        return {"x": number}

    def run() -> Any:
        return run_load_test(app, "sleeps", ClosedLoop(users), inputs=inputs, duration=None, requests=requests)

    scaler._test_run = run  # type: ignore[attr-defined]
    return scaler, runtime, counts


def test_workers_grow_with_what_waits_and_go_without_a_loss(make_app: Any, clock: Any) -> None:
    app = make_app()
    scaler, runtime, counts = _loaded(app, clock, users=12, requests=400)
    scaler.configure_scaling_policy(
        "queue", {"metric": "queue_per_instance", "target": 0.5, "cooldown_period": 0, "max_instances": 8}
    )
    result = scaler._test_run()  # type: ignore[attr-defined]
    assert (result.requests, result.succeeded, result.failed, result.unfinished) == (400, 400, 0, 0)
    assert counts
    assert max(counts) > 2
    assert runtime.metrics().runs == 400


def test_workers_that_go_while_all_are_busy_lose_nothing(make_app: Any, clock: Any) -> None:
    app = make_app()
    scaler, runtime, counts = _loaded(app, clock, users=16, requests=600)
    turns = iter([2, 9, 1, 7, 2, 8, 1, 3, 1, 12, 1, 5, 2, 2, 2, 2])
    # The first is looked at when the policy is made.
    scaler.monitor.collect("turns", lambda: next(turns))
    scaler.configure_scaling_policy(
        "turns",
        {"metric": "turns", "target_per_instance": 1, "cooldown_period": 0, "max_instances": 12, "tolerance": 0},
    )
    result = scaler._test_run()  # type: ignore[attr-defined]
    assert (result.requests, result.succeeded, result.failed, result.unfinished) == (600, 600, 0, 0)
    assert counts[:9] == [9, 1, 7, 2, 8, 1, 3, 1, 12]
    assert runtime.metrics().runs == 600
    # A worker leaves after its last run has been answered.
    until(lambda: runtime._places.occupancy() == (0, 0))


def test_a_steady_load_leaves_the_workers_alone(make_app: Any, clock: Any) -> None:
    """Users who wait for one another ask for the same again and again: nothing is to change once it suits them."""
    app = make_app()
    scaler, _, counts = _loaded(app, clock, users=3, requests=600)
    scaler.configure_scaling_policy(
        "rate", {"metric": "active_workflows", "target_per_instance": 1, "cooldown_period": 0, "window": 3}
    )
    result = scaler._test_run()  # type: ignore[attr-defined]
    assert result.succeeded == 600
    assert len(set(counts[4:])) <= 2, counts
    actions = [event["action"] for event in scaler.scaling_events]
    assert sum(one != other for one, other in pairwise(actions)) <= 1, actions
