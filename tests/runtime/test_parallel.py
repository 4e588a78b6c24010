"""Independent nodes run at the same time, and nothing but the time shows it."""

from __future__ import annotations

import contextvars
import random
import threading
import time
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.runtime.local import LocalRuntime as StockRuntime
from kailash.runtime.progress import report_progress

from nexus_core.runtime import LocalRuntime

from .support import CallingNode, Meeting, code_workflow, function_workflow, node_workflow


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def test_three_sleeping_code_nodes_overlap(runtime: Any) -> None:
    code = "import time\nbegin = time.monotonic()\ntime.sleep(0.1)\nresult = [begin, time.monotonic()]"
    workflow = code_workflow(
        {"a": code, "b": code, "c": code, "join": "result = [a, b, c]"}, [(n, "join") for n in "abc"]
    )
    for _ in range(3):  # before and after it is known that they block
        results, _ = runtime.execute(workflow)
        spans = {n: tuple(results[n]["result"]) for n in "abc"}
        assert overlap(spans["a"], spans["b"])
        assert overlap(spans["b"], spans["c"])
        assert overlap(spans["a"], spans["c"])
        assert results["join"] == {"result": [results[n]["result"] for n in "abc"]}


def test_nodes_that_wait_for_each_other_meet(runtime: Any) -> None:
    for _ in range(3):
        meeting = Meeting(4)
        workflow = function_workflow({n: meeting.of(n) for n in "abcd"})
        assert runtime.execute(workflow)[0] == {n: {"result": n} for n in "abcd"}
        assert len(set(meeting.threads.values())) == 4
        assert threading.current_thread().name in meeting.threads.values()


def test_as_many_meet_as_max_concurrency_allows_and_no_more() -> None:
    running, most, lock = set(), [], threading.Lock()

    def attend(name: str) -> Any:
        def node() -> None:
            with lock:
                running.add(name)
                most.append(len(running))
            meeting.wait(20)
            time.sleep(0.01)
            with lock:
                running.discard(name)

        return node

    meeting = threading.Barrier(3)
    with LocalRuntime(enable_monitoring=False, strict=True, max_concurrency=3) as runtime:
        for _ in range(2):
            most.clear()
            runtime.execute(function_workflow({f"n{i}": attend(f"n{i}") for i in range(9)}))
            assert max(most) == 3


def test_max_concurrency_one_is_sequential_in_topological_order_on_the_callers_thread() -> None:
    ran: list[tuple[str, int]] = []
    inside: list[int] = []

    def node(name: str) -> Any:
        def run() -> None:
            assert inside == []
            inside.append(1)
            time.sleep(0.01)
            ran.append((name, threading.get_ident()))
            inside.clear()

        return run

    names = [f"n{i}" for i in range(8)]
    workflow = function_workflow({n: node(n) for n in names}, [("n0", "n5"), ("n3", "n1"), ("n5", "n1")])
    with LocalRuntime(enable_monitoring=False, strict=True, max_concurrency=1) as runtime:
        for _ in range(3):
            ran.clear()
            results, _ = runtime.execute(workflow)
            assert [name for name, _ in ran] == list(results) == list(workflow.get_execution_order())
            assert {thread for _, thread in ran} == {threading.get_ident()}
        assert "max_concurrency=1" in str(runtime.explain(workflow))


def test_results_are_in_topological_order_although_nodes_end_in_another(runtime: Any) -> None:
    order = [f"n{i}" for i in range(6)]
    ended: list[str] = []

    def node(name: str, seconds: float) -> Any:
        def run() -> str:
            time.sleep(seconds)
            ended.append(name)
            return name

        return run

    workflow = function_workflow({n: node(n, 0.12 - 0.02 * i) for i, n in enumerate(order)})
    for _ in range(2):
        ended.clear()
        results, _ = runtime.execute(workflow)
        assert list(results) == list(workflow.get_execution_order())
        assert ended != list(results)
        assert sorted(ended) == sorted(results)


# --- failures do not depend on timing ---


def naps(least: float = 0.0, most: float = 0.03) -> str:
    return f"import time\ntime.sleep({random.uniform(least, most):.4f})\n"


def test_failed_leaves_are_all_recorded_whatever_ends_first(runtime: Any) -> None:
    for _ in range(6):
        codes = {f"n{i}": naps() + ("1 / 0" if i % 3 == 0 else f"result = {i}") for i in range(9)}
        results, _ = runtime.execute(code_workflow(codes))
        for i in range(9):
            if i % 3 == 0:
                assert results[f"n{i}"]["error"].startswith("Code execution failed: division by zero")
            else:
                assert results[f"n{i}"] == {"result": i}


def error_texts(runtime: Any, workflow: Any) -> tuple[str, str, str]:
    with pytest.raises(Exception, match="failed") as caught:
        runtime.execute(workflow)
    cause = caught.value.__cause__
    assert cause is not None
    return type(caught.value).__name__, str(cause), type(cause.__cause__).__name__


@pytest.mark.parametrize("seed", range(8))
def test_the_error_that_ends_a_run_is_stocks_whatever_ends_first(seed: int, runtime: Any) -> None:
    random.seed(seed)
    codes, edges = {}, []
    for i in range(6):
        failing = i in (1, 3, 4)
        codes[f"n{i}"] = naps() + (f"raise ValueError('n{i} broke')" if failing else f"result = {i}")
        codes[f"after{i}"] = naps() + f"result = n{i}"
        if i != 1:  # the first failure is one of a leaf
            edges.append((f"n{i}", f"after{i}"))
    workflow = code_workflow(codes, edges)
    with StockRuntime(enable_monitoring=False) as stock:
        expected = error_texts(stock, workflow)
    assert "broke" in expected[1]
    for _ in range(3):
        assert error_texts(runtime, workflow) == expected


def test_no_node_starts_after_a_failure_ended_the_run(runtime: Any) -> None:
    started: list[str] = []

    def fail() -> None:
        time.sleep(0.03)
        raise ValueError("no")

    def after(name: str) -> Any:
        def run() -> None:
            started.append(name)

        return run

    def slow() -> None:
        time.sleep(0.15)

    workflow = function_workflow(
        {"fail": fail, "slow": slow, "after_fail": after("after_fail"), "after_slow": after("after_slow")},
        [("fail", "after_fail"), ("slow", "after_slow")],
    )
    for _ in range(3):
        with pytest.raises(Exception, match="Node 'fail' failed"):
            runtime.execute(workflow)
        time.sleep(0.2)
        assert started == []


# --- context variables, nesting, tracing ---


def test_context_variables_reach_nodes_on_workers_and_go_on_to_dependents(runtime: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    meeting = threading.Barrier(3)

    def read() -> str:
        meeting.wait(20)
        return variable.get()

    def write() -> str:
        meeting.wait(20)
        variable.set("written")
        return "done"

    def late() -> str:
        return variable.get()

    workflow = function_workflow({"a": read, "b": read, "w": write, "late": late}, [("w", "late")])
    for caller in ("first", "second"):
        token = variable.set(caller)
        try:
            results, _ = runtime.execute(workflow)
            assert [results[n]["result"] for n in ("a", "b", "late")] == [caller, caller, "written"]
            assert variable.get() == caller
        finally:
            variable.reset(token)


def test_nodes_on_workers_run_workflows_on_the_same_runtime() -> None:
    inner = code_workflow(
        {f"n{i}": f"import time\ntime.sleep(0.01)\nresult = {i} + x" for i in range(4)} | {"sum": "result = n0 + n3"},
        [("n0", "sum"), ("n3", "sum")],
    )

    with LocalRuntime(enable_monitoring=False, strict=True, max_concurrency=2) as runtime:

        def nest(node: Node, data: Any = None, **_: Any) -> Any:
            parameters = {f"n{i}": {"x": data} for i in range(4)}
            return runtime.execute(inner, parameters=parameters)[0]["sum"]["result"]

        outer = node_workflow({f"o{i}": CallingNode(nest) for i in range(6)})
        for _ in range(2):
            results, _ = runtime.execute(outer, parameters={f"o{i}": {"data": 10 * i} for i in range(6)})
            assert results == {f"o{i}": {"result": 20 * i + 3} for i in range(6)}
        assert runtime.engine_statistics() == {"native_runs": 14, "delegated_runs": {}}


def test_nesting_to_a_depth_beyond_all_workers_ends(runtime: Any) -> None:
    def nest(node: Node, data: Any = None, **_: Any) -> Any:
        if data == 0:
            return 0
        inner = node_workflow({"a": CallingNode(nest), "b": CallingNode(lambda node, **_: time.sleep(0.003))})
        return 1 + runtime.execute(inner, parameters={"a": {"data": data - 1}})[0]["a"]["result"]

    outer = node_workflow({"a": CallingNode(nest), "b": CallingNode(nest)})
    results, _ = runtime.execute(outer, parameters={"a": {"data": 25}, "b": {"data": 25}})
    assert results == {"a": {"result": 25}, "b": {"result": 25}}


def test_the_trace_tells_when_and_where_each_node_ran(runtime: Any) -> None:
    code = "import time\ntime.sleep(0.05)\nresult = 1"
    workflow = code_workflow({"a": code, "b": code, "end": "result = a + b"}, [("a", "end"), ("b", "end")])
    runtime.execute(workflow)
    assert runtime.last_trace() == []
    runtime.enable_trace()
    runtime.execute(workflow)
    spans = {node: (begin, end) for node, _, begin, end in runtime.last_trace()}
    threads = {node: thread for node, thread, _, _ in runtime.last_trace()}
    assert sorted(spans) == ["a", "b", "end"]
    assert overlap(spans["a"], spans["b"])
    assert spans["end"][0] >= max(spans["a"][1], spans["b"][1])
    assert threads["a"] != threads["b"]
    before = runtime.last_trace()
    runtime.enable_trace(False)
    runtime.execute(code_workflow({"n": "result = 1"}))
    assert runtime.last_trace() == before


def test_progress_from_nodes_on_workers_names_their_node(runtime: Any) -> None:
    meeting, updates, lock = threading.Barrier(4), [], threading.Lock()

    def report(name: str) -> Any:
        def run() -> str:
            meeting.wait(20)
            report_progress(1, 2, name)
            return name

        return run

    def reporter(name: str) -> Any:
        return lambda node, **_: report(name)()

    def record(update: Any) -> None:
        with lock:
            updates.append((update.node_id, update.message))

    runtime.progress_registry.register(record)
    workflow = function_workflow({n: report(n) for n in "ab"})
    for name in "cd":
        workflow.add_node(name, CallingNode(reporter(name)))
    runtime.execute(workflow)
    assert sorted(updates) == [(n, n) for n in "abcd"]
