"""What is applied to the runs of a workflow holds, is measured, and can be taken back exactly."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import nexus_core
from apps import code_workflow, function_workflow
from nexus_core import CachePolicy, PerformanceOptimizer, ResultCache, last_cache_outcome
from nexus_core._app_workflows import attached_runtime
from nexus_core.parallel_execution.runtime_sizes import RuntimeSizes

from .workflows import Watched, joined, sleepers


def run(app: Any, name: str, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Executes a workflow on the app's runtime."""
    runtime = attached_runtime(app)
    results, _ = asyncio.run(runtime.execute_workflow_async(app._workflows[name], inputs or {}))
    return dict(results)


@pytest.fixture
def narrow(make_app: Callable[[], Any]) -> Any:
    """An app whose runtime runs one node at a time."""
    app = make_app()
    nexus_core.attach(app, max_concurrent_nodes=1, thread_pool_size=1)
    return app


def test_independent_nodes_overlap_and_that_is_what_is_measured(narrow: Any) -> None:
    narrow.register("sleepers", sleepers(3, 0.03))
    optimizer = PerformanceOptimizer(narrow)
    runtime = attached_runtime(narrow)
    before = RuntimeSizes.of(runtime)
    found = optimizer.optimize_workflow_execution("sleepers", {}, runs=5)
    assert found["not_applied"].keys() == {"enable_caching", "resource_pooling"}
    assert found["details"]["parallel_nodes"] == (
        "max_concurrent_nodes from 1 to 3, thread_pool_size from 1 to 3, for all workflows on the runtime"
    )
    figures = found["figures"]
    assert (figures.before.nodes_at_once, figures.after.nodes_at_once) == (1, 3)
    assert (figures.runs, figures.at_once, figures.cached_seconds) == (5, 5, None)
    assert min(figures.before.seconds) >= 0.09
    assert min(figures.after.seconds) >= 0.03
    assert figures.difference == "faster"
    assert figures.time_ratio == pytest.approx(figures.after.median_seconds / figures.before.median_seconds)
    assert figures.time_interval[0] <= figures.time_ratio <= figures.time_interval[1]
    assert found["expected_improvement"].startswith(f"{1 - figures.time_ratio:.1%} faster execution (median ")
    assert "5 runs each" in found["expected_improvement"]
    assert found["throughput_increase"].startswith(f"{figures.throughput_ratio:.2f}x concurrent executions (")
    assert figures.throughput_ratio > 1
    assert "MiB" in found["memory_savings"]
    # Every run is accounted for.
    metrics = runtime.metrics()
    assert metrics.runs == found["executions"] == metrics.workflows[narrow._workflows["sleepers"].name].completed
    assert RuntimeSizes.of(runtime) == RuntimeSizes(3, 3)

    assert optimizer.revert("sleepers") == {
        # The route for streams was there before.
        "sleepers": ["max_concurrent_executions", "execution_timeout", "memory_optimization", "parallel_nodes"]
    }
    assert RuntimeSizes.of(runtime) == before
    assert runtime._rules is None
    assert optimizer.revert() == {}
    assert attached_runtime(narrow) is runtime  # somebody else has attached it


def test_nodes_of_different_levels_have_room_to_overlap(narrow: Any) -> None:
    watched = Watched()
    waiting = watched.waiting()

    def first(from_0: Any = 0, from_3: Any = 0) -> int:
        return 1

    def last(from_0: Any = 0, from_4: Any = 0) -> Any:
        return waiting()

    # Two wait behind the first node, two behind the second of a chain: four of which none depends on another.
    edges = ((0, 1), (0, 2), (3, 4), (4, 5), (4, 6))
    narrow.register("uneven", joined(first, last, last, first, first, last, last, edges=edges))
    optimizer, runtime = PerformanceOptimizer(narrow), attached_runtime(narrow)
    optimizer.optimize_workflow_execution("uneven")
    assert RuntimeSizes.of(runtime) == RuntimeSizes(4, 4)

    async def main() -> None:
        running = asyncio.ensure_future(runtime.execute_workflow_async(narrow._workflows["uneven"], {}))
        while len(watched.begun) < 4:
            assert not running.done()
            await asyncio.sleep(0.001)
        watched.go.set()
        await running

    asyncio.run(main())
    assert watched.most == 4
    optimizer.revert()


def test_where_there_is_nothing_to_gain_none_is_reported(app: Any) -> None:
    app.register("quick", code_workflow())
    found = PerformanceOptimizer(app).optimize_workflow_execution("quick", [{}, {"x": 1}], runs=10)
    assert found["not_applied"]["parallel_nodes"].startswith("no two of its nodes are independent")
    figures = found["figures"]
    assert figures.runs == 10
    if figures.difference == "none":
        assert found["expected_improvement"].startswith("no measurable difference (median ")
    assert figures.as_dict()["before"]["seconds"] == figures.before.seconds


def test_if_outcomes_differ_nothing_is_kept(narrow: Any) -> None:
    watched = Watched()
    together = threading.Barrier(3)

    def count() -> int:
        with watched:
            try:
                # Where one runs at a time it waits in vain.
                together.wait(60 if runtime.max_concurrent_nodes == 3 else 0.01)
            except threading.BrokenBarrierError:
                together.reset()
                return 1
            return 3

    runtime = attached_runtime(narrow)
    narrow.register("sensitive", joined(count, count, count))
    routes = [route.path for route in narrow._http_transport.gateway._workflow_apis["sensitive"].app.routes]
    found = PerformanceOptimizer(narrow).optimize_workflow_execution("sensitive", {}, runs=3)
    assert found["optimizations_applied"] == []
    problem = found["not_applied"]["parallel_nodes"]
    assert problem == "with the changes, sample_inputs[0] gives other results, of n0, n1, n2"
    assert found["expected_improvement"] == f"not measured: {problem}"
    assert watched.most == 3
    assert (runtime.max_concurrent_nodes, runtime._rules) == (1, None)
    assert [route.path for route in narrow._http_transport.gateway._workflow_apis["sensitive"].app.routes] == routes


def test_if_the_samples_fail_nothing_is_kept(app: Any) -> None:
    app.register("inverse", code_workflow("result = 1 / x"))
    found = PerformanceOptimizer(app).optimize_workflow_execution("inverse", [{"x": 1}, {"x": 0}])
    assert found["optimizations_applied"] == []
    assert "fails with the sample inputs" in found["expected_improvement"]
    assert "division by zero" in found["throughput_increase"]
    assert attached_runtime(app)._rules is None


def test_results_that_differ_by_themselves_are_never_cached(app: Any) -> None:
    numbers = itertools.count()
    app.register("counting", function_workflow(lambda: next(numbers)))
    found = PerformanceOptimizer(app).optimize_workflow_execution("counting", {}, runs=3, cacheable=True)
    assert found["not_applied"]["enable_caching"] == "equal inputs gave different results"
    assert "max_concurrent_executions" in found["optimizations_applied"]
    assert "not values" in found["warnings"][0]
    assert attached_runtime(app)._cached_runs is None


def test_what_reaches_outside_is_warned_about_before_it_runs(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    app.register("outside", code_workflow("import socket\nresult = socket.gethostname()"))
    with caplog.at_level(logging.WARNING, "nexus_core.optimizer"):
        found = PerformanceOptimizer(app).optimize_workflow_execution("outside", {}, runs=1)
    assert found["warnings"] == ["node reach outside, and did so in every measured run"]
    assert [record.message for record in caplog.records if record.name == "nexus_core.optimizer"] == [
        f"measuring workflow 'outside': {found['warnings'][0]}"
    ]


# --- caching ----------------------------------------------------------------------------


def statuses(app: Any, name: str) -> list[str]:
    """How two runs in a row were answered."""
    found: list[str] = []

    async def main() -> None:
        await attached_runtime(app).execute_workflow_async(app._workflows[name], {"x": 1})
        outcome = last_cache_outcome()
        found.append("uncached" if attached_runtime(app)._cached_runs is None else outcome.status)  # type: ignore[union-attr]

    for _ in range(2):
        asyncio.run(main())
    return found


def test_a_workflow_that_says_so_is_cached_in_a_cache_made_for_it(app: Any) -> None:
    import httpx

    app.register("double", code_workflow("result = 2 * x"))
    app._workflows["double"].metadata["cacheable"] = True
    app.register("other", code_workflow())
    optimizer = PerformanceOptimizer(app)
    found = optimizer.optimize_workflow_execution("double", {"x": 3}, runs=5)
    runtime = attached_runtime(app)
    assert "enable_caching" in found["optimizations_applied"]
    assert found["figures"].cached_seconds > 0
    assert "from the cache in" in found["expected_improvement"]
    # The last five were hits, and ran no node.
    assert runtime.metrics().runs == found["executions"] - 5
    app.register("later", code_workflow())

    async def main() -> None:
        transport = httpx.ASGITransport(app=app.fastapi_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:

            async def status(name: str) -> str | None:
                reply = await client.post(f"/workflows/{name}/execute", json={"parameters": {"x": 21}})
                assert reply.json()["outputs"] == {"node": {"result": 42 if name == "double" else 1}}
                return reply.headers.get("cache-status")

            assert await status("double") == "nexus-core; fwd=miss; stored"
            assert str(await status("double")).startswith("nexus-core; hit")
            # Nothing else is cached, and says so.
            for name in ("other", "later"):
                for _ in range(2):
                    assert str(await status(name)).startswith("nexus-core; fwd=bypass")
            optimizer.revert()
            assert [await status(name) for name in ("double", "other", "later")] == [None, None, None]

    asyncio.run(main())
    assert runtime._cached_runs is None


def test_a_workflow_that_does_not_say_so_is_only_cached_if_the_caller_does(app: Any) -> None:
    app.register("charge", code_workflow("result = x"))
    optimizer = PerformanceOptimizer(app)
    found = optimizer.optimize_workflow_execution("charge")
    assert "pass cacheable=True" in found["not_applied"]["enable_caching"]
    assert statuses(app, "charge") == ["uncached", "uncached"]
    found = optimizer.optimize_workflow_execution("charge", cacheable=CachePolicy(ttl=60))
    assert found["details"]["enable_caching"] == "results are kept for 60 s, in a cache that the runtime is given"
    assert statuses(app, "charge") == ["miss", "hit"]
    optimizer.revert("charge")
    assert statuses(app, "charge") == ["uncached", "uncached"]


def test_a_cache_that_is_there_is_used_and_its_owners_word_is_kept(make_app: Callable[[], Any]) -> None:
    app = make_app()
    cache = ResultCache(workflows={"never": False, "always": True}, name="of the owner")
    nexus_core.attach(app, cache=cache)
    for name in ("never", "always", "silent"):
        app.register(name, code_workflow(f"result = '{name}' + str(x)"))
    optimizer = PerformanceOptimizer(app)
    policies = dict(cache._workflows)
    found = optimizer.optimize_workflow_execution("never", cacheable=True)
    assert found["not_applied"]["enable_caching"] == "the runtime's cache was told that 'never' must not be cached"
    found = optimizer.optimize_workflow_execution("always")
    assert found["details"]["enable_caching"] == "results are kept already, in 'of the owner'"
    optimizer.optimize_workflow_execution("silent", cacheable=True)

    assert [statuses(app, name) for name in ("never", "always", "silent")] == [
        ["bypass", "bypass"], ["miss", "hit"], ["miss", "hit"],
    ]  # fmt: skip
    optimizer.revert()
    assert cache._workflows == policies
    assert attached_runtime(app)._cached_runs.cache is cache
    assert [statuses(app, name) for name in ("always", "silent")] == [["hit", "hit"], ["bypass", "bypass"]]


# --- limits -----------------------------------------------------------------------------


def test_runs_beyond_the_limit_wait_whatever_way_they_come(make_app: Callable[[], Any]) -> None:
    app = make_app()
    nexus_core.attach(app, max_concurrent_nodes=20, thread_pool_size=20)
    watched = Watched()
    app.register("watched", function_workflow(watched.waiting()))
    app.register("free", code_workflow())
    optimizer = PerformanceOptimizer(app)
    optimizer.optimize_workflow_execution("watched", max_concurrent_executions=2)
    runtime, workflow = attached_runtime(app), app._workflows["watched"]
    turns = runtime._rules.of(workflow).turns

    async def main() -> list[Any]:
        async def streamed() -> int:
            return len([event async for event in runtime.stream(workflow, {"x": 5})])

        ways = [
            runtime.execute_workflow_async(workflow, {"x": 0}),
            app._execute_workflow("watched", {"x": 1}),
            runtime.execute_async(workflow, parameters={"x": 2}),
            asyncio.to_thread(runtime.execute, workflow, parameters={"x": 3}),
            streamed(),
        ]
        tasks = []
        for number, way in enumerate(ways):
            tasks.append(asyncio.ensure_future(way))
            while turns.running + turns.waiting <= number:
                await asyncio.sleep(0.001)
        while len(watched.begun) < 2:
            await asyncio.sleep(0.001)
        assert (turns.running, turns.waiting, watched.most) == (2, 3, 2)
        # Others are not held up.
        await runtime.execute_workflow_async(app._workflows["free"], {})
        watched.go.set()
        return await asyncio.gather(*tasks)

    outcomes = asyncio.run(main())
    assert len(outcomes) == 5
    assert len(watched.begun) == 5
    assert (turns.most, watched.most, turns.running) == (2, 2, 0)


def test_a_run_inside_of_a_run_waits_for_nobody(app: Any) -> None:
    runtime = attached_runtime(app)
    inner = code_workflow("result = 5")

    def call() -> Any:
        results, _ = asyncio.run(runtime.execute_workflow_async(app._workflows["inner"], {}))
        return results["node"]["result"]

    app.register("inner", inner)
    app.register("outer", function_workflow(call))
    optimizer = PerformanceOptimizer(app)
    for name in ("inner", "outer"):
        optimizer.optimize_workflow_execution(name, max_concurrent_executions=1)

    async def main() -> list[Any]:
        async with runtime._rules.of(inner).turns:  # the only turn is taken
            return await asyncio.gather(
                *(runtime.execute_workflow_async(app._workflows["outer"], {}) for _ in range(3))
            )

    assert [results["node"]["result"] for results, _ in asyncio.run(main())] == [5, 5, 5]


def test_taking_the_limit_back_lets_all_begin_that_wait(make_app: Callable[[], Any]) -> None:
    app = make_app()
    nexus_core.attach(app, max_concurrent_nodes=20, thread_pool_size=20)
    watched = Watched()
    app.register("watched", function_workflow(watched.waiting()))
    optimizer = PerformanceOptimizer(app)
    optimizer.optimize_workflow_execution("watched", max_concurrent_executions=1)
    runtime, workflow = attached_runtime(app), app._workflows["watched"]

    async def main() -> None:
        tasks = [asyncio.ensure_future(runtime.execute_workflow_async(workflow, {"x": x})) for x in range(4)]
        while len(watched.begun) < 1:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(optimizer.revert)
        while len(watched.begun) < 4:
            await asyncio.sleep(0.001)
        watched.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert watched.most == 4


@pytest.mark.parametrize("kind", ["PythonCodeNode", "AsyncPythonCodeNode"])
def test_a_time_out_holds_for_one_workflow(app: Any, kind: str) -> None:
    sleep = "import time\ntime.sleep(0.5)" if kind == "PythonCodeNode" else "import asyncio\nawait asyncio.sleep(60)"
    app.register("slow", code_workflow(f"{sleep}\nresult = 1", kind))
    app.register("other", code_workflow("import time\ntime.sleep(0.3)\nresult = 1"))
    optimizer = PerformanceOptimizer(app)
    found = optimizer.optimize_workflow_execution("slow", execution_timeout=0.1)
    assert found["details"]["execution_timeout"] == "a run may take 0.1 s instead of 300 s"
    with pytest.raises(TimeoutError):
        run(app, "slow")
    assert run(app, "other") == {"node": {"result": 1}}
    optimizer.revert()
    if kind == "PythonCodeNode":
        assert run(app, "slow") == {"node": {"result": 1}}


def test_a_time_out_that_would_fail_what_is_well_is_refused(app: Any) -> None:
    app.register("slow", code_workflow("import time\ntime.sleep(0.2)\nresult = 1"))
    run(app, "slow")
    found = PerformanceOptimizer(app).optimize_workflow_execution("slow", execution_timeout=0.3)
    assert "runs have taken up to " in found["not_applied"]["execution_timeout"]
    assert run(app, "slow") == {"node": {"result": 1}}


# --- repeated, and with others ----------------------------------------------------------


def test_optimizing_again_begins_with_what_was_before(narrow: Any) -> None:
    narrow.register("sleepers", sleepers(3, 0.01))
    optimizer = PerformanceOptimizer(narrow)
    optimizer.optimize_workflow_execution("sleepers", max_concurrent_executions=5)
    found = optimizer.optimize_workflow_execution(
        "sleepers", {}, runs=3, parallel_nodes=2, max_concurrent_executions=None
    )
    assert found["figures"].before.nodes_at_once == 1
    assert found["not_applied"]["max_concurrent_executions"] == "it was not asked for"
    runtime = attached_runtime(narrow)
    assert runtime.max_concurrent_nodes == 2
    assert runtime._rules.of(narrow._workflows["sleepers"]).turns is None
    optimizer.revert()
    assert (runtime.max_concurrent_nodes, runtime._rules) == (1, None)


def test_workflows_are_taken_back_one_by_one(narrow: Any) -> None:
    narrow.register("three", sleepers(3))
    narrow.register("five", sleepers(5))
    optimizer, runtime = PerformanceOptimizer(narrow), attached_runtime(narrow)
    for name in ("three", "five"):
        optimizer.optimize_workflow_execution(name)
    assert runtime.max_concurrent_nodes == 5
    assert list(optimizer.revert("three")) == ["three"]
    assert runtime.max_concurrent_nodes == 5
    assert list(optimizer.revert("five")) == ["five"]
    assert (runtime.max_concurrent_nodes, runtime.thread_pool_size) == (1, 1)


def test_sizes_that_somebody_sets_meanwhile_stay(narrow: Any) -> None:
    narrow.register("three", sleepers(3))
    optimizer, runtime = PerformanceOptimizer(narrow), attached_runtime(narrow)
    optimizer.optimize_workflow_execution("three")
    RuntimeSizes(8, 7).apply(runtime)
    optimizer.revert()
    assert RuntimeSizes.of(runtime) == RuntimeSizes(8, 7)


def test_after_the_app_was_closed_there_is_nothing_to_break(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)
    optimizer.optimize_workflow_execution("quick", cacheable=True)
    app.close()
    assert list(optimizer.revert()) == ["quick"]


def test_it_works_where_an_event_loop_runs(app: Any) -> None:
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)

    async def main() -> dict[str, Any]:
        return await asyncio.to_thread(optimizer.optimize_workflow_execution, "quick", {}, runs=2)

    assert asyncio.run(main())["figures"].runs == 2
