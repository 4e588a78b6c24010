"""What is scaled is really scaled; what refuses or lies is told once, and the app runs on."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

import nexus_core
from apps import function_workflow
from auto_scaler.support import Boxes, until
from nexus_core import AutoScaler, ThreadPool
from nexus_core.errors import TargetError
from nexus_core.runtime import AsyncLocalRuntime
from nexus_core.scaling import PoolTarget, RuntimeTarget, ScalingTarget
from nexus_core.scaling.targets import made_target


class _Held:
    """Runs of a workflow whose node waits for the test, on a loop of their own."""

    def __init__(self, runtime: AsyncLocalRuntime) -> None:
        self.runtime = runtime
        self.may_end = threading.Semaphore(0)
        self.inside = 0
        self.ended: list[int] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        def node(number: int) -> dict[str, int]:
            with self._lock:
                self.inside += 1
            self.may_end.acquire()
            with self._lock:
                self.inside -= 1
                self.ended.append(number)
            return {"number": number}

        self._workflow = function_workflow(node)

    def begin(self, *numbers: int) -> list[Future[Any]]:
        async def one(number: int) -> Any:
            results, _ = await self.runtime.execute_workflow_async(self._workflow, {"number": number})
            return results["node"]["result"]["number"]

        return [asyncio.run_coroutine_threadsafe(one(number), self._loop) for number in numbers]

    def let(self, count: int) -> None:
        self.may_end.release(count)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def held() -> Any:
    with AsyncLocalRuntime(thread_pool_size=1, max_concurrent_nodes=4) as runtime:
        made = _Held(runtime)
        yield made
        made.close()


def test_runs_in_line_have_the_room_at_once_and_none_is_lost_when_it_goes(held: _Held) -> None:
    target = RuntimeTarget(held.runtime)
    futures = held.begin(*range(12))
    until(lambda: held.inside == 1 and target.queued() == 11)
    target.scale(4)
    until(lambda: held.inside == 4)
    assert (target.current(), target.queued()) == (4, 8)
    assert [worker.state for worker in target.workers()] == ["busy"] * 4
    target.scale(2)
    workers = target.workers()
    assert [worker.state for worker in workers] == ["busy", "busy", "draining", "draining"]
    assert (target.current(), held.inside, held.ended) == (2, 4, [])
    held.let(2)
    until(lambda: len(held.ended) == 2)
    until(lambda: [worker.state for worker in target.workers()] == ["busy", "busy"])
    assert held.inside == 2, "nobody takes the place of those that have gone"
    held.let(10)
    assert [future.result(60) for future in futures] == list(range(12))
    assert sorted(held.ended) == list(range(12)), "none is lost, and none runs twice"
    until(lambda: [worker.state for worker in target.workers()] == ["idle", "idle"])


def test_more_places_than_the_runtime_had_nodes(held: _Held) -> None:
    target = RuntimeTarget(held.runtime)
    futures = held.begin(*range(9))
    target.scale(7)
    assert (held.runtime.thread_pool_size, held.runtime.max_concurrent_nodes) == (7, 7)
    until(lambda: held.inside == 7)
    target.scale(1)
    assert (held.runtime.thread_pool_size, held.runtime.max_concurrent_nodes) == (1, 4)
    held.let(9)
    assert [future.result(60) for future in futures] == list(range(9))


def test_nodes_of_either_kind(held: _Held) -> None:
    target = RuntimeTarget(held.runtime, "nodes")
    target.scale(6)
    assert (target.current(), held.runtime.max_concurrent_nodes, held.runtime.thread_pool_size) == (6, 6, 1)
    assert target.busy_seconds() is None
    with pytest.raises(ValueError, match="of must be 'threads' or 'nodes', got 'cores'"):
        RuntimeTarget(held.runtime, "cores")  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="a runtime needs at least one place, got 0"):
        target.scale(0)


def test_how_busy_a_runtime_is(held: _Held) -> None:
    target = RuntimeTarget(held.runtime)
    before = target.busy_seconds()
    assert before is not None
    (future,) = held.begin(1)
    until(lambda: held.inside == 1)
    assert (target.busy_seconds() or 0) > before
    held.let(1)
    future.result(60)
    until(lambda: target.busy_seconds() == target.busy_seconds())


def test_somebody_else_may_resize_it_too(held: _Held) -> None:
    target = RuntimeTarget(held.runtime)
    target.scale(3)
    held.runtime.thread_pool_size = 5
    assert len(target.workers()) == 5
    held.runtime.thread_pool_size = 2
    assert [worker.name for worker in target.workers()] == ["place-1", "place-2"]


def test_a_thread_pool(app: Any, clock: Any) -> None:
    go = threading.Event()
    with ThreadPool(2) as pool:
        scaler = AutoScaler(app, target=pool, clock=clock)
        scaler.configure_scaling_policy("queue", {"metric": "queue_per_instance", "target": 2, "cooldown_period": 0})
        futures = [pool.submit(go.wait) for _ in range(12)]
        until(lambda: pool.statistics().running == 2)
        decision = scaler.step()
        assert (decision.before, decision.after, pool.max_workers) == (2, 5, 5)
        until(lambda: pool.statistics().running == 5)
        assert [each["state"] for each in scaler.instances.values()] == ["busy"] * 5
        go.set()
        assert all(future.result(60) for future in futures)
        clock.pass_(1)
        assert scaler.step().after == pool.max_workers == 1
        seen = scaler.step().metrics
        assert seen["queue_per_instance"] == 0
        assert PoolTarget(pool).busy_seconds() is not None


def test_what_can_be_given(app: Any) -> None:
    class Processes:
        """What a process pool has."""

        size = 2

        def resize(self, n: int) -> None:
            self.size = n

        def workers(self) -> list[Any]:
            from types import SimpleNamespace

            return [
                SimpleNamespace(name=f"w{each}", pid=each, started=float(each), state="idle", busy_seconds=1.5)
                for each in range(self.size)
            ]

    pool = Processes()
    target = made_target(pool)
    assert isinstance(target, ScalingTarget)
    target.scale(3)
    assert (pool.size, target.current(), target.busy_seconds(), target.queued()) == (3, 3, 4.5, None)  # type: ignore[attr-defined]
    pool.resize(1)
    assert target.busy_seconds() == 4.5, "what those that left have done was done"  # type: ignore[attr-defined]
    scaler = AutoScaler(app, target=pool)
    pool.resize(2)
    assert {name: (each["worker"], each["state"]) for name, each in scaler.instances.items()} == {
        "nexus-1": ("w0", "idle"),
        "nexus-2": ("w1", "idle"),
    }
    loads = [each["load"] for each in scaler.instances.values()]
    assert loads == [0, 0], "they have not worked since they were looked at last"
    boxes = Boxes()
    assert made_target(boxes) is boxes
    runtime = nexus_core.nexus_app.attaching._attachment(app).runtime  # type: ignore[attr-defined]
    assert isinstance(made_target(runtime), RuntimeTarget)
    for given, says in (
        (5, r"a target has current\(\) and scale\(n\).*got builtins.int"),
        ("tcp://127.0.0.1:8786", "the scheduler at 'tcp://127.0.0.1:8786' cannot start workers: pass the cluster"),
        (object(), "a target has current"),
    ):
        with pytest.raises(TargetError, match=says):
            AutoScaler(app, target=given)


def test_numbers_are_given_out_again_but_never_change(app: Any) -> None:
    from types import SimpleNamespace

    class Crew(Boxes):
        names = ("a", "b", "c")

        def workers(self) -> list[Any]:
            return [SimpleNamespace(name=name, started=float(ord(name)), state="draining" if name == "c" else "busy")
                    for name in self.names]  # fmt: skip

    crew = Crew(3)
    scaler = AutoScaler(app, target=crew)
    assert [(name, each["worker"], each["status"]) for name, each in scaler.instances.items()] == [
        ("nexus-1", "a", "running"), ("nexus-2", "b", "running"), ("nexus-3", "c", "draining"),
    ]  # fmt: skip
    crew.names = ("b", "d", "e")
    assert {each["worker"]: name for name, each in scaler.instances.items()} == {
        "b": "nexus-2", "d": "nexus-1", "e": "nexus-3",
    }  # fmt: skip


@pytest.mark.parametrize(
    "config", [{}, {"target": 10}, {"target_per_instance": 10}, {"target_per_instance": 10, "window": 60}]
)
def test_a_target_without_a_worker_gets_one(app: Any, clock: Any, config: dict[str, float]) -> None:
    boxes = Boxes(0)
    scaler = AutoScaler(app, target=boxes, clock=clock, dry_run=True)
    scaler.monitor.collect("level", lambda: 50)
    scaler.configure_scaling_policy("levels", {"metric": "level", "cooldown_period": 0, **config})
    for _ in range(12):
        clock.pass_(60)
        decision = scaler.step()
    assert decision.after >= 1
    scaler.predict_scaling_needs()
    scaler.dry_run = False
    assert scaler.step().outcome == "applied"
    assert boxes.count == decision.after


def test_a_target_that_takes_its_time(app: Any, clock: Any) -> None:
    class Slow(Boxes):
        def scale(self, n: int) -> None:
            self.told.append(n)

    slow = Slow(1)
    scaler = AutoScaler(app, target=slow, clock=clock)
    scaler.monitor.collect("jobs", lambda: 30)
    scaler.configure_scaling_policy("jobs", {"metric": "jobs", "target_per_instance": 10, "cooldown_period": 0})
    assert scaler.step().after == 3
    for _ in range(4):
        clock.pass_(10)
        assert scaler.step().action == "hold", "it was told already"
    slow.count = 3
    clock.pass_(10)
    scaler.step()
    assert (slow.told, scaler.problems) == ([3], {})


def test_of_workers_that_come_and_go_only_the_sum_is_kept() -> None:
    from types import SimpleNamespace

    class Crew:
        size, number = 1, 0

        def resize(self, n: int) -> None: ...

        def workers(self) -> list[Any]:
            self.number += 1
            return [SimpleNamespace(name=f"w{self.number}", busy_seconds=2.0)]

    target = PoolTarget(Crew())
    assert [target.busy_seconds() for _ in range(50)] == [2.0 * count for count in range(1, 51)]
    assert len(target._busy) == 1


class _Starting(Boxes):
    """Workers come later than they are asked for."""

    busy = 0.0
    waiting = 0

    def scale(self, n: int) -> None:
        self.told.append(n)

    def busy_seconds(self) -> float:
        return self.busy

    def queued(self) -> int:
        return self.waiting


def test_workers_that_are_on_their_way_are_not_asked_for_again(app: Any, clock: Any) -> None:
    starting = _Starting(1)
    scaler = AutoScaler(app, target=starting, clock=clock)
    scaler.configure_scaling_policy(
        "queue", {"metric": "queue_per_instance", "target": 10, "max_instances": 50, "scale_up_cooldown": 0}
    )
    starting.waiting = 40
    for _ in range(5):
        clock.pass_(5)
        decision = scaler.step()
    assert (starting.told, decision.after) == ([4], 4)
    assert scaler.metrics_history[-1]["queue_per_instance"] == 40, "what is told is what was measured"
    assert (decision.metrics["queue_per_instance"], decision.proposals[0].value) == (40, 10)
    starting.waiting = 80
    clock.pass_(5)
    assert scaler.step().after == 8
    starting.count = 8
    clock.pass_(5)
    scaler.step()
    assert starting.told == [4, 8]


def test_none_goes_while_others_are_on_their_way(app: Any, clock: Any) -> None:
    starting = _Starting(1)
    scaler = AutoScaler(app, target=starting, clock=clock, settle_seconds=60)
    scaler.configure_scaling_policy(
        "busy", {"metric": "utilization", "cooldown_period": 0, "scale_up_increment": 4, "max_instances": 50}
    )
    scaler.step()
    for _ in range(4):
        clock.pass_(10)
        starting.busy += 10
        decision = scaler.step()
    assert starting.told == [5]
    assert decision.reason.startswith("1 of 5 workers have come so far, and none goes before: utilization is 20")
    assert scaler.get_scaling_status()["wanted_instances"] == 5
