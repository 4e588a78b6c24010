"""What a runtime says of itself, how it ends, and that nothing outlives its use."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import sqlite3
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.nodes.code.python import PythonCodeNode
from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from compatibility.cases import cyclic
from nexus_core.runtime import DelegationError, LocalRuntime, compiler

from .support import AwaitingNode, CallingNode, code_workflow, function_workflow, named, node_workflow


async def nothing(node: Node, **_: Any) -> None:
    pass


async def fail(node: Node, **_: Any) -> None:
    raise ValueError("no")


class Doubler:
    def process(self, x: int) -> int:
        return 2 * x


# --- explain, strict, statistics ---


def test_explain_names_the_program_of_every_node(runtime: Any) -> None:
    workflow = function_workflow({"function": lambda: 1})
    workflow.add_node("class", PythonCodeNode.from_class(Doubler, name="class"))
    workflow.add_node("code", PythonCodeNode(name="code", code="result = 1"))
    workflow.add_node("named", "PythonCodeNode", **named("def f():\n    return 1", "f"))
    workflow.add_node("other", CallingNode(lambda node, **_: 1))
    workflow.add_node("awaited", AwaitingNode(nothing))
    workflow.add_node("refused", PythonCodeNode(name="refused", code="import subprocess"))
    explanation = runtime.explain(workflow)
    assert explanation.native
    assert [node.node_id for node in explanation.nodes] == list(workflow.get_execution_order())
    assert {node.node_id: node.program for node in explanation.nodes} == {
        "function": "function",
        "class": "class",
        "code": "code",
        "named": "named function",
        "other": "run",
        "awaited": "async",
        "refused": "execute",
    }
    reasons = {node.node_id: node.reason for node in explanation.nodes if not node.native}
    assert sorted(reasons) == ["awaited", "refused"]
    assert all(reasons.values())
    text = str(explanation)
    assert text.startswith("Runs on the native engine.\n")
    assert all(node_id in text for node_id in workflow.get_execution_order())


def test_explain_runs_nothing_and_counts_nothing(runtime: Any) -> None:
    ran: list[int] = []
    workflow = function_workflow({"n": lambda: ran.append(1)})
    runtime.explain(workflow)
    assert ran == []
    assert runtime.engine_statistics() == {"native_runs": 0, "delegated_runs": {}}


def test_a_delegated_run_is_refused_when_strict_and_counted_when_not() -> None:
    workflow = cyclic()
    reason = "enable_cycles=False leaves a workflow with cycles to Kailash"
    with LocalRuntime(enable_monitoring=False, enable_cycles=False, strict=True) as strict:
        with pytest.raises(DelegationError, match=reason) as caught:
            strict.execute(workflow)
        assert caught.value.reasons == strict.explain(workflow).reasons == (reason,)
        assert str(strict.explain(workflow)).startswith(f"Delegated to Kailash's own runtime:\n  - {reason}")
    with LocalRuntime(enable_monitoring=False, enable_cycles=False) as lenient:
        results, _ = lenient.execute(workflow)
        assert results["b"] == {"result": 2}
        lenient.execute(code_workflow({"n": "result = 1"}))
        assert lenient.engine_statistics() == {"native_runs": 1, "delegated_runs": {reason: 1}}


@pytest.mark.parametrize("given", [None, "text", 5])
def test_explain_of_what_is_no_workflow_says_so(given: Any, runtime: Any) -> None:
    explanation = runtime.explain(given)
    assert not explanation.native
    assert "it is not a built Workflow" in explanation.reasons


def test_explain_of_options_that_kailash_keeps() -> None:
    with LocalRuntime(enable_monitoring=False, enable_audit=True) as runtime:
        explanation = runtime.explain(code_workflow({"n": "result = 1"}))
    assert not explanation.native
    assert "audit logging is Kailash's" in explanation.reasons


def test_statistics_are_a_copy(runtime: Any) -> None:
    runtime.engine_statistics()["delegated_runs"]["made up"] = 1
    assert runtime.engine_statistics() == {"native_runs": 0, "delegated_runs": {}}


# --- closing ---


def test_close_writes_the_history_of_finished_runs() -> None:
    runtime = LocalRuntime(strict=True)
    with runtime:
        ids = [runtime.execute(code_workflow({"n": "result = 1"}))[1] for _ in range(20)]
    connection = sqlite3.connect(Path.home() / ".kailash" / "tracking" / "tracking.db")
    try:
        marks = ",".join("?" * len(ids))
        rows = connection.execute(f"SELECT status FROM workflow_runs WHERE run_id IN ({marks})", ids).fetchall()
    finally:
        connection.close()
    assert rows == [("completed",)] * 20


def test_a_closed_runtime_runs_on_and_closes_again() -> None:
    runtime = LocalRuntime(enable_monitoring=False, strict=True).mark_externally_managed()
    runtime.close()
    for _ in range(3):
        assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}
    runtime.close()
    runtime.close()
    del runtime
    # As in Kailash, a run after close() makes an event loop that the next close() leaves open.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_runtime_is_closed_when_its_last_user_releases_it() -> None:
    runtime = LocalRuntime(enable_monitoring=False, strict=True).mark_externally_managed()
    runtime.acquire()
    runtime.close()
    assert runtime.ref_count == 1
    assert runtime.execute(code_workflow({"n": "result = 1"}))[0] == {"n": {"result": 1}}
    runtime.release()
    assert runtime.ref_count == 0


# --- nothing is kept ---


def collected(references: list[weakref.ref[Any]]) -> bool:
    gc.collect()
    return all(reference() is None for reference in references)


@pytest.mark.parametrize(
    "kind",
    ["code", "named", "function", "class", "node", "awaited", "failing", "failed awaited", "raising", "parallel"],
)
def test_workflows_and_their_nodes_are_collected_after_their_last_use(kind: str, runtime: Any) -> None:
    def made() -> Workflow:
        if kind == "code":
            return code_workflow({"a": "result = 1", "b": "result = a"}, [("a", "b")])
        if kind == "named":
            return code_workflow({"a": named("def f():\n    return 1", "f")})
        if kind == "function":
            return function_workflow({"a": lambda: 1})
        if kind == "class":
            workflow = Workflow("w", "w")
            workflow.add_node("a", PythonCodeNode.from_class(Doubler, name="a"))
            return workflow
        if kind == "node":
            return node_workflow({"a": CallingNode(lambda node, **_: node.set_workflow_context("k", 1))})
        if kind == "awaited":
            return node_workflow({"a": AwaitingNode(nothing), "b": AwaitingNode(nothing)})
        if kind == "failed awaited":
            return node_workflow({"a": AwaitingNode(fail), "b": AwaitingNode(fail)})
        if kind == "raising":
            return code_workflow(
                {"a": "import time\ntime.sleep(0.005)\n1 / 0", "b": "result = 1", "c": "1"}, [("a", "c")]
            )
        if kind == "failing":
            return code_workflow({"a": "1 / 0", "b": "raise ValueError('no')"})
        code = "import time\ntime.sleep(0.01)\nresult = 1"
        return code_workflow({"a": code, "b": code, "c": code})

    references: list[weakref.ref[Any]] = []
    for _ in range(3):
        workflow = made()
        references += [weakref.ref(workflow), *(weakref.ref(node) for node in workflow._node_instances.values())]
        parameters = {"a": {"x": 1}} if kind == "class" else None
        for _ in range(2):
            with contextlib.suppress(RuntimeExecutionError):
                runtime.execute(workflow, parameters=parameters)
        del workflow
    assert collected(references)


def test_runtimes_are_collected() -> None:
    references = []
    for _ in range(3):
        with LocalRuntime(strict=True) as runtime:
            runtime.execute(code_workflow({"n": "result = 1"}))
            references.append(weakref.ref(runtime))
        del runtime
    assert collected(references)


def test_what_nodes_returned_is_collected_with_the_results(runtime: Any) -> None:
    class Kept:
        def to_dict(self) -> dict[str, int]:
            return {"kept": 1}

    references: list[weakref.ref[Any]] = []

    def make() -> Kept:
        kept = Kept()
        references.append(weakref.ref(kept))
        return kept

    workflow = node_workflow({"a": CallingNode(lambda node, **_: make())})
    results, _ = runtime.execute(workflow)
    del results
    assert references
    assert collected(references)


def test_2000_workflows_leave_no_plans(runtime: Any) -> None:
    gc.collect()
    before = len(compiler.plans)
    longest = 0
    for number in range(2000):
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "n", {"code": f"result = {number}"})
        results, _ = runtime.execute(builder.build())
        assert results == {"n": {"result": number}}
        longest = max(longest, len(compiler.plans))
    gc.collect()
    assert len(compiler.plans) <= before + 1  # the last one is still named here
    assert longest < 2000


# --- copies and changes ---


def test_copied_and_pickled_builders_build_the_same_workflow(runtime: Any) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = [1]"})
    builder.add_node("PythonCodeNode", "b", named("def f(a):\n    return a + [2]", "f"))
    builder.add_connection("a", "result", "b", "a")
    expected = {"a": {"result": [1]}, "b": {"result": [1, 2]}}
    for each in (builder, copy.deepcopy(builder), pickle.loads(pickle.dumps(builder))):
        assert runtime.execute(each.build())[0] == expected


def test_a_workflow_made_from_a_dict_runs(runtime: Any) -> None:
    workflow = code_workflow({"a": "result = 1", "b": "result = a + 1"}, [("a", "b")])
    again = Workflow.from_dict(workflow.to_dict())
    assert runtime.execute(again)[0] == {"a": {"result": 1}, "b": {"result": 2}}


def test_a_workflow_changed_while_it_runs_is_changed_for_the_next_run(runtime: Any) -> None:
    workflow: Workflow

    def change(node: Node, **_: Any) -> str:
        workflow._node_instances["late"].code = "result = 'changed'"
        workflow.add_node("added", PythonCodeNode(name="added", code="result = 'added'"))
        workflow.connect("late", "added", {"result": "x"})
        return "changing"

    workflow = node_workflow({"first": CallingNode(change)})
    workflow.add_node("late", PythonCodeNode(name="late", code="result = 'as built'"))
    workflow.connect("first", "late", {"result": "x"})
    results, _ = runtime.execute(workflow)
    assert results == {"first": {"result": "changing"}, "late": {"result": "as built"}}
    workflow._node_instances["first"].function = lambda node, **_: "quiet"
    results, _ = runtime.execute(workflow)
    assert results == {
        "first": {"result": "quiet"},
        "late": {"result": "changed"},
        "added": {"result": "added"},
    }


def test_a_workflow_changed_by_another_thread_between_runs_never_runs_a_stale_plan(runtime: Any) -> None:
    workflow = code_workflow({"n": "result = 0"})
    node = workflow._node_instances["n"]
    for number in range(50):
        changer = threading.Thread(target=setattr, args=(node, "code", f"result = {number}"))
        changer.start()
        changer.join()
        assert runtime.execute(workflow)[0] == {"n": {"result": number}}
