"""Many runs of one workflow object on one runtime at the same time never meet."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.workflow.graph import Workflow

from nexus_core.runtime import LocalRuntime
from nexus_core.runtime.node_contexts import SharedContext

from .support import AwaitingNode, CallingNode, code_workflow, function_workflow, named, node_workflow

THREADS = 64


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Calls ``work`` with 0, 1, … at once; a failure is raised here."""
    start = threading.Barrier(count)

    def begin(number: int) -> Any:
        start.wait(60)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return [future.result(120) for future in [pool.submit(begin, n) for n in range(count)]]


def test_64_threads_get_the_results_of_their_own_inputs(runtime: Any) -> None:
    workflow = code_workflow(
        {
            "a": "import time\ntime.sleep(0.001 * (x % 3))\nresult = [x]",
            "b": "a.append(y)\nresult = a",
            "c": named("def f(a):\n    a.append('c')\n    return a", "f"),
            "d": "result = {'b': b, 'c': c}",
        },
        [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")],
    )

    def work(number: int) -> None:
        for turn in range(5):
            results, _ = runtime.execute(workflow, parameters={"a": {"x": number}, "b": {"y": turn}})
            assert results["a"] == {"result": [number]}
            assert results["d"] == {"result": {"b": [number, turn], "c": [number, "c"]}}

    in_threads(THREADS, work)


def test_64_threads_with_workflow_level_parameters_and_failures(runtime: Any) -> None:
    workflow = code_workflow({"a": "result = x", "b": "result = 1 / (a % 2)"}, [("a", "b")])

    def work(number: int) -> None:
        results, _ = runtime.execute(workflow, parameters={"a": {"x": number}})
        assert results["a"] == {"result": number}
        if number % 2:
            assert results["b"] == {"result": 1.0}
        else:
            assert results["b"]["error"].startswith("Code execution failed: division by zero")

    in_threads(THREADS, work)


def test_the_workflow_context_of_code_nodes_is_their_own_runs(runtime: Any) -> None:
    workflow = code_workflow(
        {
            "a": "import time\nset_workflow_context('who', x)\ntime.sleep(0.002)\nresult = get_workflow_context('who')",
            "b": "set_workflow_context('b', a)\nresult = [get_workflow_context('who'), get_workflow_context('given')]",
        },
        [("a", "b")],
    )

    def work(number: int) -> None:
        context = {"given": -number}
        results, _ = runtime.execute(workflow, parameters={"a": {"x": number}, "workflow_context": context})
        assert results == {"a": {"result": number}, "b": {"result": [number, -number]}}
        assert (context["who"], context["b"]) == (number, number)

    in_threads(THREADS, work)


def remembering(rounds: int = 3) -> Callable[..., Any]:
    def remember(node: Node, data: Any = None, **_: Any) -> list[Any]:
        import time

        node.set_workflow_context("who", data)
        seen = []
        for _ in range(rounds):
            time.sleep(0.001)
            seen.append(node.get_workflow_context("who"))
        return [*seen, node.get_workflow_context("given")]

    return remember


def test_the_workflow_context_of_other_nodes_is_their_own_runs(runtime: Any) -> None:
    workflow = node_workflow({"a": CallingNode(remembering()), "b": CallingNode(remembering())})

    def work(number: int) -> None:
        for turn in range(3):
            who = (number, turn)
            context: dict[str, Any] = {"given": who}
            parameters = {"a": {"data": who}, "b": {"data": who}, "workflow_context": context}
            results, _ = runtime.execute(workflow, parameters=parameters)
            assert results["a"] == results["b"] == {"result": [who, who, who, who]}
            assert context["who"] == who

    in_threads(THREADS, work)


def test_contexts_of_awaited_nodes_are_their_own_runs(runtime: Any) -> None:
    async def remember(node: Node, data: Any = None, **_: Any) -> list[Any]:
        node.set_workflow_context("who", data)
        seen = []
        for _ in range(3):
            await asyncio.sleep(0.001)
            seen.append(node.get_workflow_context("who"))
        return seen

    workflow = node_workflow({"a": AwaitingNode(remember), "b": AwaitingNode(remember)})

    async def together() -> None:
        runs = [
            runtime.execute_async(workflow, parameters={"a": {"data": n}, "b": {"data": n}}) for n in range(THREADS)
        ]
        for number, (results, _) in enumerate(await asyncio.gather(*runs)):
            assert results["a"] == results["b"] == {"result": [number] * 3}

    asyncio.run(together())


def test_contexts_do_not_meet_where_two_runtimes_run_one_workflow() -> None:
    workflow = node_workflow({"a": CallingNode(remembering())})
    with (
        LocalRuntime(enable_monitoring=False, strict=True) as one,
        LocalRuntime(enable_monitoring=False, strict=True, enable_async=False) as two,
    ):

        def work(number: int) -> None:
            results, _ = (one, two)[number % 2].execute(workflow, parameters={"a": {"data": number}})
            assert results["a"] == {"result": [number, number, number, None]}

        in_threads(16, work)


def test_contexts_do_not_meet_where_two_workflows_share_a_node(runtime: Any) -> None:
    node = CallingNode(remembering())
    workflows = [Workflow(f"w{i}", f"w{i}") for i in range(2)]
    for workflow in workflows:
        workflow.add_node("a", node)

    def work(number: int) -> None:
        results, _ = runtime.execute(workflows[number % 2], parameters={"a": {"data": number}})
        assert results["a"] == {"result": [number, number, number, None]}

    in_threads(16, work)


def test_a_node_keeps_the_plain_context_of_the_last_run(runtime: Any) -> None:
    node = CallingNode(lambda node, **_: node.set_workflow_context("n", 1))
    workflow = node_workflow({"a": node})
    context: dict[str, Any] = {}
    runtime.execute(workflow, parameters={"workflow_context": context})
    assert node._workflow_context is context
    in_threads(8, lambda number: runtime.execute(workflow, parameters={"workflow_context": {"given": number}}))
    assert type(node._workflow_context) is dict
    assert node._workflow_context["given"] in range(8)
    assert node.get_workflow_context("n") == 1


def test_a_failed_run_lets_go_of_its_nodes(runtime: Any) -> None:
    from nexus_core.runtime import node_contexts

    def fail(node: Node, data: Any = None, **_: Any) -> int:
        return 1 // data

    workflow = node_workflow({"a": CallingNode(fail), "b": CallingNode(fail)}, [("a", "b")])

    def work(number: int) -> None:
        with pytest.raises(Exception, match="integer division or modulo by zero"):
            runtime.execute(workflow, parameters={"a": {"data": 0}})

    in_threads(8, work)
    assert node_contexts._uses == {}
    assert type(workflow._node_instances["a"]._workflow_context) is dict


def test_a_nested_run_of_the_same_workflow_has_a_context_of_its_own(runtime: Any) -> None:
    workflow: Workflow

    def nest(node: Node, data: Any = None, **_: Any) -> list[Any]:
        node.set_workflow_context("depth", data)
        inner = None
        if data:
            results, _ = runtime.execute(workflow, parameters={"a": {"data": data - 1}})
            inner = results["a"]["result"]
        return [node.get_workflow_context("depth"), inner]

    workflow = node_workflow({"a": CallingNode(nest)})
    results, _ = runtime.execute(workflow, parameters={"a": {"data": 3}})
    assert results["a"]["result"] == [3, [2, [1, [0, None]]]]


@pytest.mark.parametrize("with_tracker", [True, False])
def test_a_node_may_pass_its_context_on_to_a_nested_run(with_tracker: bool) -> None:
    inner = code_workflow({"n": "set_workflow_context('from inner', x)\nresult = get_workflow_context('who')"})

    def nest(node: Node, data: Any = None, **_: Any) -> Any:
        node.set_workflow_context("who", data)
        if not with_tracker:
            del node._workflow_context["execution_tracker"]
        parameters = {"n": {"x": data}, "workflow_context": node._workflow_context}
        results, _ = runtime.execute(inner, parameters=parameters)
        return [results["n"]["result"], node.get_workflow_context("from inner")]

    workflow = node_workflow({"a": CallingNode(nest)})

    def work(number: int) -> None:
        results, _ = runtime.execute(workflow, parameters={"a": {"data": number}})
        assert results["a"] == {"result": [number, number]}

    with LocalRuntime(enable_monitoring=False) as runtime:
        in_threads(16, work)
        assert runtime.engine_statistics()["delegated_runs"] == {}


def test_while_runs_share_a_node_its_context_is_a_dict_in_every_respect(runtime: Any) -> None:
    checked: list[str] = []
    inside, checks = threading.Barrier(2), threading.Lock()

    def check(node: Node, data: Any = None, **_: Any) -> Any:
        inside.wait(60)
        context = node._workflow_context
        with checks:
            assert isinstance(context, dict)
            assert isinstance(context, SharedContext)
            context.clear()
            context["k"] = data
            own = {"k": data}
            assert context == own
            assert own == context
            assert (context != own) is False
            assert (dict(context), {**context}, copy.copy(context), copy.deepcopy(context)) == (own, own, own, own)
            assert pickle.loads(pickle.dumps(context)) == own
            assert json.loads(json.dumps(context)) == own
            assert (list(context), len(context), "k" in context, repr(context)) == (["k"], 1, True, repr(own))
            assert (list(context.items()), list(context.values())) == ([("k", data)], [data])
            assert (context | {"m": 1}, {"m": 1} | context) == ({"k": data, "m": 1}, {"m": 1, "k": data})
            context |= {"m": 2}
            context.update(n=3)
            assert context.setdefault("k", 0) == data
            assert (context.pop("m"), context.pop("m", 5), context.popitem()) == (2, 5, ("n", 3))
            del context["k"]
            assert not context
            assert context.get("k", 7) == 7
            with pytest.raises(KeyError):
                context["k"]
            checked.append(data)
        inside.wait(60)
        return data

    workflow = node_workflow({"a": CallingNode(check)})
    ran = in_threads(2, lambda number: runtime.execute(workflow, parameters={"a": {"data": f"run {number}"}}))
    assert [results["a"] for results, _ in ran] == [{"result": "run 0"}, {"result": "run 1"}]
    assert sorted(checked) == ["run 0", "run 1"]


def test_functions_of_concurrent_runs_get_their_own_arguments(runtime: Any) -> None:
    def first(x: int) -> list[int]:
        return [x]

    def second(first: list[int]) -> list[int]:
        first.append(-first[0])
        return first

    workflow = function_workflow({"first": first, "second": second}, [("first", "second")])

    def work(number: int) -> None:
        for _ in range(5):
            results, _ = runtime.execute(workflow, parameters={"first": {"x": number}})
            assert results["second"] == {"result": [number, -number]}

    in_threads(THREADS, work)


def test_every_concurrent_run_has_its_own_id_and_history() -> None:
    import sqlite3
    from pathlib import Path

    workflow = code_workflow({"a": "result = x", "b": "result = a"}, [("a", "b")])
    with LocalRuntime(strict=True) as runtime:

        def work(number: int) -> tuple[str, int]:
            _, run_id = runtime.execute(workflow, parameters={"a": {"x": number}})
            return run_id, number

        runs = dict(in_threads(32, work))
        assert len(runs) == 32
        assert runtime.flush_history(60)
    connection = sqlite3.connect(Path.home() / ".kailash" / "tracking" / "tracking.db")
    try:
        for run_id, number in runs.items():
            rows = connection.execute(
                "SELECT node_id, result FROM tasks WHERE run_id = ? ORDER BY node_id", (run_id,)
            ).fetchall()
            assert [(node_id, json.loads(result)) for node_id, result in rows] == [
                ("a", {"result": number}),
                ("b", {"result": number}),
            ]
    finally:
        connection.close()
