"""What a throughput takes: from what was measured, else by the guide; and applied to the runtime."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import nexus_core
from apps import code_workflow, function_workflow
from nexus_core import ParallelExecutionManager
from nexus_core.errors import NexusCoreError, UnknownWorkflow
from nexus_core.parallel_execution.runtime_sizes import RuntimeSizes

_SLEEP = "import time\ntime.sleep(0.05)\nresult = 1"


@pytest.mark.parametrize(
    ("target", "executions", "cores", "memory", "threads", "cache", "distributed"),
    [
        (50, 50, 5, 4096, 20, 500, False),
        (20, 40, 2, 2000, 20, 200, False),
        (200, 50, 8, 4096, 20, 2000, True),
        (3, 6, 1, 300, 3, 30, False),
        (0.5, 1, 1, 50, 1, 5, False),
    ],
)
def test_without_measurements_it_is_the_guides_formulas(
    app: Any, target: float, executions: int, cores: int, memory: int, threads: int, cache: int, distributed: bool
) -> None:
    app.register("quick", code_workflow())
    found = ParallelExecutionManager(app).optimize_for_throughput("quick", target)
    assert found["concurrent_executions"] == executions
    assert found["resource_allocation"] == {"cpu_cores": cores, "memory_mb": memory, "thread_pool_size": threads}
    assert found["caching_strategy"] == {
        "result_cache_size": cache, "metadata_cache_ttl": 300, "enable_distributed_cache": distributed,
    }  # fmt: skip
    assert set(found["based_on"].values()) == {"guide"}
    assert found["applied"] == {}


def test_a_workflow_that_sleeps_is_seen_to_wait_and_not_to_compute(app: Any) -> None:
    app.register("sleeping", code_workflow(_SLEEP))
    manager = ParallelExecutionManager(app)
    found = manager.optimize_for_throughput("sleeping", 100, sample_inputs={}, runs=10)
    figures = found["figures"]
    assert figures["runs_measured"] == 10
    assert figures["service_time_method"] == "observed"
    assert figures["service_time"] >= 0.05
    assert figures["blocking_time"] > figures["cpu_time"]
    assert figures["blocking_time"] + figures["cpu_time"] == pytest.approx(figures["service_time"])
    # At least the runs that are under way all the time, by Little's law.
    assert found["concurrent_executions"] > 100 * 0.05
    assert found["resource_allocation"]["thread_pool_size"] == found["concurrent_executions"]
    assert found["based_on"] == {
        "concurrent_executions": "measured", "cpu_cores": "measured", "thread_pool_size": "measured",
        "memory_mb": "guide", "caching_strategy": "guide",
    }  # fmt: skip
    assert "10 runs" in found["explanation"][0]


def test_a_workflow_that_computes_needs_processes(app: Any) -> None:
    app.register("computing", code_workflow("total = 0\nfor i in range(200000):\n    total += i\nresult = total"))
    manager = ParallelExecutionManager(app)
    found = manager.optimize_for_throughput("computing", 1, sample_inputs={}, runs=5)
    figures = found["figures"]
    assert figures["cpu_time"] > 0
    many = 10 / figures["cpu_time"]  # ten interpreters' worth
    more = manager.optimize_for_throughput("computing", many)
    assert more["resource_allocation"]["cpu_cores"] == 13  # of each 80 % is to be used
    assert more["figures"]["throughput_per_process"] == pytest.approx(many / 13)
    assert "13 processes" in more["explanation"][1]


def test_it_works_where_an_event_loop_runs(app: Any) -> None:
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)

    async def main() -> dict[str, Any]:
        return manager.optimize_for_throughput("quick", 10, sample_inputs={}, runs=3)

    assert asyncio.run(main())["figures"]["runs_measured"] == 3


def test_a_sample_that_fails_leaves_the_guides_formulas(app: Any) -> None:
    app.register("failing", code_workflow("result = 1 / 0"))
    manager = ParallelExecutionManager(app)
    found = manager.optimize_for_throughput("failing", 50, sample_inputs={}, runs=3)
    assert set(found["based_on"].values()) == {"guide"}
    assert manager.execution_stats["failing"]["failed"] == 3


def test_measuring_is_one_run_after_the_other_and_one_before(app: Any) -> None:
    calls: list[int] = []
    most, lock = [0], threading.Lock()

    def call(x: int) -> int:
        calls.append(x)
        assert lock.acquire(blocking=False), "two at a time"
        lock.release()
        most[0] += 1
        return x

    app.register("called", function_workflow(call))
    manager = ParallelExecutionManager(app)
    reply = asyncio.run(manager.measure_service_time("called", {"x": 3}, runs=7))
    assert (calls, reply["completed"], reply["max_concurrency"]) == ([3] * 8, 7, 1)


def test_a_shorter_wait_takes_more(app: Any) -> None:
    app.register("sleeping", code_workflow(_SLEEP))
    manager = ParallelExecutionManager(app)
    patient = manager.optimize_for_throughput("sleeping", 100, sample_inputs={}, runs=5, longest_wait=1.0)
    strict = manager.optimize_for_throughput("sleeping", 100, longest_wait=0.0001)
    steady = manager.optimize_for_throughput("sleeping", 100, longest_wait=0.0001, arrival_variability=0.0)
    assert patient["concurrent_executions"] < strict["concurrent_executions"]
    assert steady["concurrent_executions"] <= strict["concurrent_executions"]
    for found in (patient, strict):
        assert found["figures"]["expected_wait"] <= found["figures"]["longest_wait"]


def test_what_is_applied_lets_more_run_at_once_and_is_reverted(app: Any) -> None:
    runtime = app.runtime
    gate, lock, most = threading.Barrier(9), threading.Lock(), [0, 0]

    def meet() -> int:
        with lock:
            most[0] += 1
            most[1] = max(most[1], most[0])
        gate.wait(60)  # no one goes on before nine are here
        with lock:
            most[0] -= 1
        return 1

    app.register("meeting", function_workflow(meet))
    manager = ParallelExecutionManager(app)
    before = (runtime.max_concurrent_nodes, runtime.thread_pool_size)
    assert before == (10, 4)
    # By the guide: nine threads and eighteen executions.
    found = manager.optimize_for_throughput("meeting", 9, apply=True)
    assert found["applied"] == {
        "max_concurrent_nodes": {"before": 10, "after": 18},
        "thread_pool_size": {"before": 4, "after": 9},
    }
    reply = asyncio.run(manager.execute_concurrent_workflows("meeting", [{}] * 18))
    assert (reply["completed"], reply["max_concurrency"], most[1]) == (18, 18, 9)
    assert manager.revert() == {
        "max_concurrent_nodes": {"before": 18, "after": 10},
        "thread_pool_size": {"before": 9, "after": 4},
    }
    assert (runtime.max_concurrent_nodes, runtime.thread_pool_size) == before
    assert (runtime._places.places, runtime._places.threads) == before
    app.register("quick", code_workflow())
    assert asyncio.run(manager.execute_concurrent_workflows("meeting", []))["max_concurrency"] == 10
    assert manager.revert() == {}


def test_short_runs_that_have_run_before_go_on_after_a_change(app: Any) -> None:
    app.register("quick", code_workflow("result = 2 * x"))
    manager = ParallelExecutionManager(app)
    for step in (lambda: None, lambda: manager.optimize_for_throughput("quick", 20, apply=True), manager.revert):
        step()
        reply = asyncio.run(manager.execute_concurrent_workflows("quick", [{"x": number} for number in range(200)]))
        assert [batch["result"]["node"]["result"] for batch in reply["results"]] == [2 * n for n in range(200)]


def test_sizes_may_change_while_runs_are_under_way(app: Any) -> None:
    app.register("sleeping", code_workflow("import time\ntime.sleep(0.002)\nresult = x"))
    manager = ParallelExecutionManager(app)
    changes: list[int] = []

    def change(batch: dict[str, Any]) -> None:
        changes.append(batch["batch_id"])
        if len(changes) % 2:
            manager.optimize_for_throughput("sleeping", 15, apply=True)
        else:
            manager.revert()

    reply = asyncio.run(
        manager.execute_concurrent_workflows(
            "sleeping", [{"x": number} for number in range(200)], max_concurrency=20, on_batch=change
        )
    )
    assert [batch["result"]["node"]["result"] for batch in reply["results"]] == list(range(200))
    assert len(changes) == 200
    manager.revert()
    assert (app.runtime.max_concurrent_nodes, app.runtime.thread_pool_size) == (10, 4)


def test_a_runtime_never_becomes_smaller(make_app: Callable[[], Any]) -> None:
    app = make_app()
    nexus_core.attach(app, thread_pool_size=16, max_concurrent_nodes=32)
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)
    assert manager.optimize_for_throughput("quick", 2, apply=True)["applied"] == {}
    assert (app.runtime.max_concurrent_nodes, app.runtime.thread_pool_size) == (32, 16)
    assert manager.revert() == {}


def test_reverting_undoes_all_that_was_applied_and_nothing_else(app: Any) -> None:
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)
    manager.optimize_for_throughput("quick", 8, apply=True)
    manager.optimize_for_throughput("quick", 15, apply=True)
    assert manager.revert()["thread_pool_size"] == {"before": 15, "after": 4}
    manager.optimize_for_throughput("quick", 8, apply=True)
    other = ParallelExecutionManager(app)
    other.optimize_for_throughput("quick", 15, apply=True)
    assert manager.revert() == {}  # the other has asked for more
    assert app.runtime.thread_pool_size == 15
    assert other.revert()["thread_pool_size"] == {"before": 15, "after": 4}


def test_sizes_that_somebody_sets_meanwhile_stay(app: Any) -> None:
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)
    manager.optimize_for_throughput("quick", 8, apply=True)
    RuntimeSizes(40, 30).apply(app.runtime)
    assert manager.revert() == {}
    assert RuntimeSizes.of(app.runtime) == RuntimeSizes(40, 30)


def test_an_app_that_is_not_attached_is_advised_but_not_changed(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)
    assert manager.optimize_for_throughput("quick", 5)["concurrent_executions"] == 10
    with pytest.raises(NexusCoreError, match=r"not attached: nexus_core\.attach\(app\)"):
        manager.optimize_for_throughput("quick", 5, apply=True)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (("quik", 5), {}, UnknownWorkflow, r"did you mean 'quick'\?"),
        (("quick", 0), {}, ValueError, "target_throughput must be a number of runs a second, more than 0, got 0"),
        (("quick", -3), {}, ValueError, "target_throughput must be .* got -3"),
        (("quick", float("nan")), {}, ValueError, "target_throughput must be .* got nan"),
        (("quick", "50"), {}, TypeError, "target_throughput must be a number of runs a second, got '50'"),
        (("quick", 5), {"longest_wait": 0}, ValueError, "longest_wait must be"),
        (("quick", 5), {"arrival_variability": -1}, ValueError, "arrival_variability must be"),
        (("quick", 5), {"runs": 0, "sample_inputs": {}}, ValueError, "runs must be at least 1, got 0"),
        (("quick", 5), {"sample_inputs": 3}, TypeError, r"input_batches\[0\] must be a mapping, got 3"),
    ],
)
def test_bad_input(
    app: Any, arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], said: str
) -> None:
    app.register("quick", code_workflow())
    manager = ParallelExecutionManager(app)
    with pytest.raises(error, match=said):
        manager.optimize_for_throughput(*arguments, **options)
    assert manager.execution_stats == {}
