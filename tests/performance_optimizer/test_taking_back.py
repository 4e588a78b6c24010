"""What was changed is taken back exactly: in any order, among others, after failures and detaching."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

import nexus_core
from apps import code_workflow, function_workflow
from nexus_core import ParallelExecutionManager, PerformanceOptimizer, ResultCache
from nexus_core._app_workflows import attached_runtime
from nexus_core.optimizer.changes import StrategyRefused
from nexus_core.parallel_execution.runtime_sizes import RuntimeSizes

from .workflows import sleepers


@pytest.fixture
def narrow(make_app: Callable[[], Any]) -> Any:
    """An app whose runtime runs one node at a time."""
    app = make_app()
    nexus_core.attach(app, max_concurrent_nodes=1, thread_pool_size=1)
    return app


def streams(app: Any, name: str) -> bool:
    """Whether the workflow's route for event streams is there."""
    routes = app._http_transport.gateway._workflow_apis[name].app.routes
    return any(route.path == "/stream" for route in routes)


# --- several ----------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
def test_several_optimizers_take_back_their_own_limits(app: Any, first: int) -> None:
    app.register("quick", code_workflow())
    runtime, workflow = attached_runtime(app), app._workflows["quick"]
    optimizers = [PerformanceOptimizer(app), PerformanceOptimizer(app)]
    for optimizer, seconds, at_once in zip(optimizers, (30, 10), (7, 3), strict=True):
        optimizer.optimize_workflow_execution("quick", execution_timeout=seconds, max_concurrent_executions=at_once)
    rule = runtime._rules.of(workflow)
    assert (rule.timeout, rule.turns.limit) == (10, 3)  # the last who says
    optimizers[first].revert()
    rule = runtime._rules.of(workflow)
    assert (rule.timeout, rule.turns.limit) == ((10, 3) if first == 0 else (30, 7))
    assert rule.afterwards is not None
    optimizers[1 - first].revert()
    assert runtime._rules is None


@pytest.mark.parametrize("first", [0, 1, 2])
def test_several_share_the_sizes_of_a_runtime(narrow: Any, first: int) -> None:
    for name, count in (("three", 3), ("five", 5)):
        narrow.register(name, sleepers(count))
    runtime = attached_runtime(narrow)
    one, other, manager = PerformanceOptimizer(narrow), PerformanceOptimizer(narrow), ParallelExecutionManager(narrow)
    one.optimize_workflow_execution("three")
    manager.optimize_for_throughput("three", 4, apply=True)  # four threads and eight nodes
    other.optimize_workflow_execution("five")
    asked = [RuntimeSizes(3, 3), RuntimeSizes(8, 4), RuntimeSizes(5, 5)]
    reverts = [one.revert, manager.revert, other.revert]
    assert RuntimeSizes.of(runtime) == RuntimeSizes(8, 5)
    while reverts:
        place = first % len(reverts)
        reverts.pop(place)()
        asked.pop(place)
        expected = RuntimeSizes(1, 1)
        for sizes in asked:
            expected = expected.at_least(sizes)
        assert RuntimeSizes.of(runtime) == expected


def test_a_strategy_and_an_option_of_one_workflow_do_not_undo_each_other(narrow: Any) -> None:
    narrow.register("three", sleepers(3))
    optimizer, runtime = PerformanceOptimizer(narrow), attached_runtime(narrow)
    optimizer.enable("parallel_execution", "three", nodes=6)
    optimizer.optimize_workflow_execution("three", parallel_nodes=7)
    optimizer.optimize_workflow_execution("three", parallel_nodes=False)
    assert runtime.max_concurrent_nodes == 6
    optimizer.revert()
    assert runtime.max_concurrent_nodes == 1


def test_what_another_has_put_in_force_is_held_by_oneself(narrow: Any) -> None:
    narrow.register("three", sleepers(3))
    runtime, workflow = attached_runtime(narrow), narrow._workflows["three"]
    first, second = PerformanceOptimizer(narrow), PerformanceOptimizer(narrow)
    for optimizer in (first, second):
        found = optimizer.optimize_workflow_execution("three", cacheable=True)
        assert {"enable_caching", "parallel_nodes", "execution_timeout"} <= set(found["optimizations_applied"])
    first.revert()
    rule = runtime._rules.of(workflow)
    assert (rule.timeout, rule.turns.limit, runtime.max_concurrent_nodes) == (30, 10, 3)
    assert second.enabled("workflow_caching", "three")
    second.revert()
    assert (runtime._rules, runtime._cached_runs, runtime.max_concurrent_nodes) == (None, None, 1)


def test_a_cache_that_was_made_goes_with_its_last_user(app: Any) -> None:
    for name in ("one", "other"):
        app.register(name, code_workflow("result = x"))
    first, second = PerformanceOptimizer(app), PerformanceOptimizer(app)
    first.enable("workflow_caching", "one", cacheable=True)
    second.enable("workflow_caching", "other", cacheable=True)
    first.revert()
    assert [second.enabled("workflow_caching", name) for name in ("one", "other")] == [False, True]
    second.revert()
    assert attached_runtime(app)._cached_runs is None


def test_pools_that_were_made_go_with_their_last_user(app: Any) -> None:
    app.register("asking", code_workflow("result = str(await get_resource('work'))", "AsyncPythonCodeNode"))
    first, second = PerformanceOptimizer(app), PerformanceOptimizer(app)
    for optimizer in (first, second):
        assert "resource_pooling" in optimizer.optimize_workflow_execution("asking")["optimizations_applied"]
    manager = first.pools
    first.revert()
    assert not manager.closed
    second.revert()
    assert manager.closed
    assert second.pools is None


def test_an_app_is_detached_by_the_last_who_needs_it(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    first, second = PerformanceOptimizer(app), PerformanceOptimizer(app)
    for optimizer in (first, second):
        optimizer.optimize_workflow_execution("quick")
    first.revert()
    assert attached_runtime(app) is not None
    second.revert()
    assert attached_runtime(app) is None


# --- detached meanwhile -----------------------------------------------------------------


def test_what_was_detached_meanwhile_gets_no_routes(app: Any) -> None:
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)
    optimizer.disable("result_streaming", "quick")
    nexus_core.detach(app)
    optimizer.revert()
    assert not streams(app, "quick")


def test_what_was_attached_again_keeps_its_own(app: Any) -> None:
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)
    optimizer.disable("intelligent_scheduling", "quick")
    optimizer.disable("result_streaming", "quick")
    nexus_core.detach(app)
    nexus_core.attach(app)
    assert optimizer.revert() == {"quick": ["result_streaming", "intelligent_scheduling"]}
    assert streams(app, "quick")
    assert attached_runtime(app)._rules is None


def test_what_somebody_else_has_attached_since_stays_attached(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)
    optimizer.optimize_workflow_execution("quick")
    nexus_core.detach(app)
    nexus_core.attach(app)
    optimizer.revert()
    assert attached_runtime(app) is not None


# --- failures half-way ------------------------------------------------------------------


@pytest.mark.parametrize("option", ["parallel_nodes", "result_streaming", "max_concurrent_executions"])
def test_an_option_that_fails_takes_the_others_back(narrow: Any, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nexus_core.optimizer import options

    narrow.register("three", sleepers(3))
    optimizer, runtime = PerformanceOptimizer(narrow), attached_runtime(narrow)
    optimizer.optimize_workflow_execution("three", execution_timeout=20, max_concurrent_executions=4)

    def planners(**given: Any) -> dict[str, Any]:
        def fail(target: Any) -> Any:
            raise OSError("of the system")

        return real(**given) | {option: fail}

    real = options.planners
    with monkeypatch.context() as patched:
        patched.setattr(options, "planners", planners)
        with pytest.raises(OSError, match="of the system"):
            optimizer.optimize_workflow_execution("three", execution_timeout=9, max_concurrent_executions=2)
    rule = runtime._rules.of(narrow._workflows["three"])
    assert (rule.timeout, rule.turns.limit, runtime.max_concurrent_nodes) == (20, 4, 3)
    optimizer.revert()
    assert (runtime._rules, runtime.max_concurrent_nodes) == (None, 1)


def test_one_that_cannot_be_taken_back_does_not_keep_the_others(app: Any) -> None:
    app.register("quick", code_workflow())
    optimizer, runtime = PerformanceOptimizer(app), attached_runtime(app)
    optimizer.disable("intelligent_scheduling", "quick")
    optimizer.disable("result_streaming", "quick")
    # Somebody else takes the path of the route meanwhile.
    api = app._http_transport.gateway._workflow_apis["quick"].app
    api.add_api_route("/stream", lambda: "mine")
    with pytest.raises(ExceptionGroup, match="not everything could be taken back") as raised:
        optimizer.revert()
    assert "there is a route /stream already" in str(raised.value.exceptions[0])
    assert raised.value.exceptions[0].__notes__ == ["while result_streaming of workflow 'quick' was taken back"]
    assert runtime._rules is None
    assert optimizer.revert() == {}


def test_a_change_that_is_refused_leaves_nothing_attached(make_app: Callable[[], Any]) -> None:
    app = make_app()
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)
    with pytest.raises(StrategyRefused):
        optimizer.enable("workflow_caching", "quick")
    assert attached_runtime(app) is None
    optimizer.disable("result_streaming", "quick")
    with pytest.raises(StrategyRefused):
        optimizer.enable("workflow_caching", "quick")
    assert attached_runtime(app) is not None


# --- switched again ---------------------------------------------------------------------


def test_switching_on_again_with_the_same_options_changes_nothing(narrow: Any) -> None:
    narrow.register("three", sleepers(3))
    optimizer, runtime = PerformanceOptimizer(narrow), attached_runtime(narrow)
    for expected in ({"three": "max_concurrent_nodes from 1 to 6, thread_pool_size from 1 to 6, for all workflows on the runtime"}, {}):  # fmt: skip
        assert optimizer.enable("parallel_execution", "three", nodes=6) == expected
        assert runtime.max_concurrent_nodes == 6
    for said in (1, 0):
        assert len(optimizer.enable("workflow_caching", "three", cacheable=True)) == said
        assert optimizer.enabled("workflow_caching", "three")
    optimizer.enable("parallel_execution", "three", nodes=4)
    assert runtime.max_concurrent_nodes == 4
    optimizer.revert()
    assert (runtime.max_concurrent_nodes, runtime._cached_runs) == (1, None)


def test_a_switch_that_is_refused_leaves_what_was(app: Any) -> None:
    app.register("double", code_workflow("result = 2 * x"))
    optimizer = PerformanceOptimizer(app)
    optimizer.enable("workflow_caching", "double", cacheable=True)
    with pytest.raises(StrategyRefused, match="cacheable=False was given"):
        optimizer.enable("workflow_caching", "double", cacheable=False)
    assert optimizer.enabled("workflow_caching", "double")


def test_the_owners_policy_is_overruled_and_that_is_what_is_said(make_app: Callable[[], Any]) -> None:
    app = make_app()
    nexus_core.attach(app, cache=ResultCache(workflows={"always": True}))
    app.register("always", code_workflow("result = x"))
    optimizer = PerformanceOptimizer(app)
    assert optimizer.disable("workflow_caching", "always") == {"always": "no results are kept"}
    assert not optimizer.enabled("workflow_caching", "always")
    assert optimizer.disable("workflow_caching", "always") == {}
    with pytest.raises(StrategyRefused, match="workflow_caching was disabled for it"):
        PerformanceOptimizer(app).enable("workflow_caching", "always", cacheable=True)
    optimizer.revert()
    assert optimizer.enabled("workflow_caching", "always")


def test_the_order_of_nodes_is_switched_off_whatever_else_is(app: Any) -> None:
    app.register("three", sleepers(3))
    optimizer = PerformanceOptimizer(app)
    optimizer.disable("parallel_execution", "three")
    assert optimizer.disable("intelligent_scheduling", "three") == {"three": "ready nodes start in topological order"}
    optimizer.enable("parallel_execution", "three")
    assert not optimizer.enabled("intelligent_scheduling", "three")


def test_what_is_registered_again_is_read_again(app: Any) -> None:
    from nexus_core.runtime.compiler import Awaits, known

    app.register("again", code_workflow())
    PerformanceOptimizer(app).disable("lazy_loading")
    app.deregister("again")
    app.register("again", code_workflow("result = 2"))
    assert known(app._workflows["again"], Awaits.ASYNC_NODES) is not None


@pytest.mark.parametrize("kind", ["delegated", "pruned"])
def test_an_order_that_is_not_the_engines_is_not_claimed(make_app: Callable[[], Any], kind: str) -> None:
    from kailash.nodes.code.python import PythonCodeNode
    from kailash.nodes.logic.operations import SwitchNode
    from kailash.workflow.graph import Workflow

    class Own(Workflow):
        pass

    app = make_app()
    nexus_core.attach(app, **({"conditional_execution": "skip_branches"} if kind == "pruned" else {}))
    workflow = (Own if kind == "delegated" else Workflow)("some", "some")
    workflow.add_node("switch", SwitchNode(name="switch", condition_field="x", operator="==", value=1))
    for number in range(30):
        workflow.add_node(f"n{number}", PythonCodeNode.from_function(lambda value: value, name=f"n{number}"))
        workflow.connect("switch", f"n{number}", {"true_output": "value"})
    app.register("some", workflow)
    optimizer, runtime = PerformanceOptimizer(app), attached_runtime(app)
    for strategy in ("intelligent_scheduling", "parallel_execution"):
        with pytest.raises(StrategyRefused, match="the order of its nodes is not the engine's"):
            (optimizer.disable if strategy == "intelligent_scheduling" else optimizer.enable)(strategy, "some")
    assert not optimizer.enabled("parallel_execution", "some")
    found = optimizer.optimize_workflow_execution("some")
    assert "is not the engine's" in found["not_applied"]["parallel_nodes"]
    assert "max_concurrent_executions" in found["optimizations_applied"]  # that holds for all
    assert (runtime.max_concurrent_nodes, runtime.thread_pool_size) == (10, 4)


# --- while something runs ---------------------------------------------------------------


def _in_a_process(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_APP) + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("fine\n"), done.stderr[-3000:]


_APP = """
    import asyncio, logging, threading
    logging.disable(logging.CRITICAL)
    import nexus_core
    from nexus import Nexus
    from kailash.nodes.code.python import PythonCodeNode
    from kailash.workflow.graph import Workflow
    from nexus_core import PerformanceOptimizer

    def workflow(function):
        built = Workflow("some", "some")
        built.add_node("node", PythonCodeNode.from_function(function, name="node"))
        return built

    app = Nexus(enable_durability=False)
    nexus_core.attach(app)
    runtime = app._plugins["nexus-core"].runtime
    optimizer = PerformanceOptimizer(app)
"""


def test_a_measured_workflow_may_register_others() -> None:
    _in_a_process("""
        made = []

        def register() -> int:
            made.append(f"made-{len(made)}")
            app.register(made[-1], workflow(lambda: 1))
            return 1

        optimizer.disable("lazy_loading")
        app.register("registering", workflow(register))
        found = optimizer.optimize_workflow_execution("registering", {}, runs=1)
        assert found["figures"] is not None, found
        assert set(optimizer.revert()) == {"registering", *made}
        app.close()
        print("fine")
    """)


@pytest.mark.parametrize("way", ["execute", "execute_async", "execute_workflow_async"])
def test_a_run_goes_on_whose_cache_is_taken_away(app: Any, way: str) -> None:
    optimizer, runtime = PerformanceOptimizer(app), attached_runtime(app)

    def take_away() -> int:
        optimizer.revert()
        return 5

    app.register("taking", function_workflow(take_away))
    optimizer.optimize_workflow_execution("taking", cacheable=True)
    assert runtime._cached_runs is not None
    workflow = app._workflows["taking"]

    async def main() -> Any:
        if way == "execute_workflow_async":
            return await runtime.execute_workflow_async(workflow, {})
        if way == "execute_async":
            return await runtime.execute_async(workflow, parameters={}, refresh=True)
        return await asyncio.to_thread(runtime.execute, workflow)

    assert asyncio.run(main())[0] == {"node": {"result": 5}}
    assert (runtime._cached_runs, runtime._rules) == (None, None)


def test_runs_that_are_under_way_go_on_while_it_changes() -> None:
    _in_a_process("""
        app.register("double", workflow(lambda x: 2 * x))
        double, stop, ran = app._workflows["double"], threading.Event(), [0]

        async def ask(way):
            number = 0
            while not stop.is_set():
                number = (number + 1) % 50
                if way == 0:
                    results, _ = await runtime.execute_workflow_async(double, {"x": number})
                elif way == 1:
                    results, _ = await asyncio.to_thread(runtime.execute, double, parameters={"x": number})
                else:
                    async for event in runtime.stream(double, {"x": number}):
                        results = getattr(event, "results", None)
                assert way == 2 or results["node"]["result"] == 2 * number, results
                ran[0] += 1

        async def all_ways():
            await asyncio.gather(*(ask(way) for way in range(3)))

        failures = []

        def work():
            try:
                asyncio.run(all_ways())
            except BaseException as failure:
                failures.append(failure)
                raise

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(200):
            optimizer.optimize_workflow_execution(
                "double", cacheable=True, max_concurrent_executions=2, parallel_nodes=30 + number % 7
            )
            optimizer.revert()
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures and ran[0] > 0, failures
        assert runtime._rules is None and runtime._cached_runs is None
        assert (runtime.max_concurrent_nodes, runtime.thread_pool_size) == (10, 4)
        app.close()
        print("fine")
    """)


def test_an_interrupt_ends_the_measuring_and_takes_everything_back() -> None:
    _in_a_process("""
        import os, signal

        ran = []

        def slow() -> int:
            import time
            ran.append(1)
            if len(ran) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
            return 1

        app.register("slow", workflow(slow))
        try:
            optimizer.optimize_workflow_execution("slow", {}, runs=100_000)
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("it was not interrupted")
        assert len(ran) < 10_000 and runtime._rules is None
        assert optimizer.revert() == {}
        app.close()
        print("fine")
    """)


def test_taking_back_is_the_same_from_any_thread(app: Any) -> None:
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)

    async def main() -> list[Any]:
        await asyncio.to_thread(optimizer.optimize_workflow_execution, "quick")
        return await asyncio.gather(*(asyncio.to_thread(optimizer.revert) for _ in range(4)))

    taken_back = asyncio.run(main())
    assert sorted(map(len, taken_back)) == [0, 0, 0, 1]
    assert attached_runtime(app)._rules is None
