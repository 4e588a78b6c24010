"""A pool of real processes is scaled, and nothing that was submitted is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auto_scaler.support import until
from nexus_core import AutoScaler, ProcessPool
from nexus_core.scaling import PoolTarget

pytestmark = pytest.mark.timeout(240)


def _held(begun: Path, go: Path, number: int) -> int:
    with begun.open("a") as notes:
        notes.write(f"{number}\n")
    while not go.exists():
        time.sleep(0.005)
    return number


@contextlib.contextmanager
def _touched_at_the_end(go: Path) -> Iterator[None]:
    """Or a test that fails would leave the pool waiting for its tasks."""
    try:
        yield
    finally:
        go.touch()


def _begun(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_from_one_process_to_four_and_back_with_work_in_progress(app: Any, clock: Any, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    with ProcessPool(1, name="scaled") as pool, _touched_at_the_end(go):
        scaler = AutoScaler(app, target=pool, clock=clock)
        scaler.configure_scaling_policy(
            "queue", {"metric": "queue_per_instance", "target": 2, "max_instances": 4, "cooldown_period": 0}
        )
        futures = [pool.submit(_held, begun, go, number) for number in range(9)]
        until(lambda: len(_begun(begun)) == 1)
        decision = scaler.step()
        assert decision.metrics["queue_per_instance"] == 8
        assert (decision.before, decision.after, pool.size) == (1, 4, 4)
        until(lambda: len(_begun(begun)) == 4)
        clock.pass_(1)
        assert scaler.step().metrics["queue_per_instance"] == 5 / 4
        assert [each["state"] for each in scaler.instances.values()] == ["busy"] * 4
        assert sorted(each["worker"] for each in scaler.instances.values()) == [f"scaled-{n}" for n in (1, 2, 3, 4)]
        # Fewer are wanted while all four are in the middle of something.
        scaler.configure_scaling_policy(
            "queue", {"metric": "queue_per_instance", "target": 100, "max_instances": 4, "cooldown_period": 0}
        )
        clock.pass_(1)
        assert (scaler.step().after, pool.size) == (1, 1)
        assert len(_begun(begun)) == 4, "nothing was cut off, and nothing takes the places that are going"
        go.touch()
        assert [future.result(120) for future in futures] == list(range(9))
        assert sorted(_begun(begun)) == list(range(9)), "none is lost, and none runs twice"
        until(lambda: len(pool.workers()) == 1)
        assert [each["status"] for each in scaler.instances.values()] == ["running"]
        seen = pool.statistics()
        assert (seen.done, seen.failed, seen.lost, seen.killed, seen.queued) == (9, 0, 0, 0, 0)
        assert scaler.problems == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_child_that_is_forked_while_a_target_is_looked_at() -> None:
    program = """
        import os, signal
        from nexus_core import ThreadPool
        from nexus_core.scaling import PoolTarget
        target = PoolTarget(ThreadPool(2))
        with target._lock, target._slots._lock:
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # if it waits for a lock of its parent
                os._exit(0 if len(target.workers()) == 2 and target.busy_seconds() is not None else 1)
            _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
    """
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.strip()) == (0, "0"), ended.stderr


def test_what_processes_have_done_counts_when_they_are_gone(tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    with ProcessPool(2) as pool, _touched_at_the_end(go):
        target = PoolTarget(pool)
        futures = [pool.submit(_held, begun, go, number) for number in range(2)]
        until(lambda: len(_begun(begun)) == 2)
        until(lambda: (target.busy_seconds() or 0) > 0.02)
        before = target.busy_seconds() or 0
        target.scale(1)
        go.touch()
        assert [future.result(120) for future in futures] == [0, 1]
        until(lambda: len(pool.workers()) == 1)
        assert (target.busy_seconds() or 0) > before
        left = sum(worker.busy_seconds for worker in pool.workers())
        assert (target.busy_seconds() or 0) > left, "the one that left did its part"
