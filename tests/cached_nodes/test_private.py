"""What is kept is nobody's but the cache's; what cannot be kept faithfully is not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.cached_runs import ResultCache

from .support import TRACE, AsyncTraced, Kind, Traced, both, code_workflow, count, leave_trace, node_workflow, runs_on


@pytest.mark.parametrize("make", [Traced, AsyncTraced])
@both
def test_whoever_changes_a_result_changes_nobody_elses(kind: Kind, make: Any, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on(kind, cache), node_workflow(make())
    for _ in range(4):
        answer = run(workflow, trace=str(trace), answer={"rows": [[1], [2]]})["a"]
        assert answer == {"answer": {"rows": [[1], [2]]}, "x": None}
        answer["answer"]["rows"][0].append("mine")
        answer["answer"]["rows"].clear()
        answer["more"] = 1
    assert count(trace) == 1


@both
def test_a_node_downstream_that_changes_what_it_gets_changes_nothing_kept(kind: Kind, tmp_path: Path) -> None:
    class Clears(Traced):
        def run(self, **inputs: Any) -> dict[str, Any]:
            seen = list(inputs["x"])
            inputs["x"].clear()
            return {"seen": seen}

    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    workflow = node_workflow(Traced())
    workflow.add_node("b", Clears())
    workflow.connect("a", "b", {"answer": "x"})
    for _ in range(3):
        assert runs_on(kind, cache)(workflow, trace=str(trace), answer=[1, 2])["b"] == {"seen": [1, 2]}
    assert count(trace) == 1


def test_a_node_that_changes_what_it_is_given_is_not_kept(tmp_path: Path) -> None:
    class Appends(Traced):
        def run(self, **inputs: Any) -> dict[str, Any]:
            leave_trace(inputs["trace"])
            inputs["x"].append(1)
            return {"rows": len(inputs["x"])}

    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on("async", cache), node_workflow(Appends())
    mine = bytearray()
    assert [run(workflow, trace=str(trace), x=mine)["a"]["rows"] for _ in range(3)] == [1, 2, 3]
    assert count(trace) == 3
    assert sum(cache.node_runs.as_dict()["not_kept"].values()) == 3


def test_a_node_that_remembers_is_not_kept(tmp_path: Path) -> None:
    class Counts(Traced):
        calls = 0

        def run(self, **inputs: Any) -> dict[str, Any]:
            self.calls += 1
            return {"calls": self.calls}

    cache = ResultCache(nodes={"a": True})
    run, workflow = runs_on("local", cache), node_workflow(Counts())
    assert [run(workflow)["a"]["calls"] for _ in range(3)] == [1, 2, 3]


@both
def test_a_node_that_reports_a_failure_is_not_kept(kind: Kind, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    workflow = code_workflow(TRACE + "result = {'success': False}\n")
    run = runs_on(kind, cache)
    for _ in range(2):
        run(workflow, trace=str(trace))
    kept = count(trace)
    reports = node_workflow(Reports())
    for _ in range(2):
        try:
            run(reports, trace=str(trace))
        except Exception as error:
            assert "no such thing" in str(error) or "success" in str(error)
    assert count(trace) == kept + 2


class Reports(Traced):
    def run(self, **inputs: Any) -> dict[str, Any]:
        leave_trace(inputs["trace"])
        return {"success": False, "error": "no such thing"}


@pytest.mark.parametrize("given", [object(), threading.Lock(), (number for number in ()), lambda: 0])
@both
def test_inputs_without_a_key_run_uncached_and_are_counted(kind: Kind, given: Any, tmp_path: Path) -> None:
    class Says(Traced):
        def run(self, **inputs: Any) -> dict[str, Any]:
            leave_trace(inputs["trace"])
            return {"type": type(inputs["x"]).__name__}

    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on(kind, cache), node_workflow(Says())
    for _ in range(2):
        assert run(workflow, trace=str(trace), x=given)["a"]["type"] == type(given).__name__
    assert count(trace) == 2
    [(reason, times)] = cache.node_runs.as_dict()["bypassed"].items()
    assert times == 2
    assert reason.startswith("node 'a': a value of type ")


def test_outputs_that_cannot_be_copied_are_handed_on_and_counted() -> None:
    class Locks(Traced):
        def validate_outputs(self, outputs: Any) -> Any:
            return outputs

        def run(self, **inputs: Any) -> dict[str, Any]:
            import threading

            return {"lock": threading.Lock()}

    cache = ResultCache(nodes={"a": True})
    run, workflow = runs_on("local", cache), node_workflow(Locks())
    first, second = (run(workflow)["a"]["lock"] for _ in range(2))
    assert first is not second
    assert sum(cache.node_runs.as_dict()["not_kept"].values()) == 2


@pytest.mark.parametrize(
    "code",
    ["result = get_workflow_context('user', 'nobody')", "result = globals()['get_workflow_context']('user', 'nobody')"],
)
def test_code_that_may_read_the_workflow_context_is_not_cached(code: str) -> None:
    from nexus_core.runtime import LocalRuntime

    cache = ResultCache(nodes={"a": True})
    workflow = code_workflow("result = get_workflow_context('user', 'nobody')")
    seen = []
    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
        for user in ("ada", "bob"):
            results, _ = runtime.execute(workflow, parameters={"workflow_context": {"user": user}})
            seen.append(results["a"]["result"])
        assert "may read the workflow context" in str(runtime.explain(workflow))
    assert seen == ["ada", "bob"]
    assert sum(cache.node_runs.as_dict()["bypassed"].values()) == 2


def test_nodes_that_may_read_the_workflow_context_are_not_cached() -> None:
    class Reads(Traced):
        def run(self, **inputs: Any) -> dict[str, Any]:
            return {"user": self.get_workflow_context("user", "nobody")}

    cache = ResultCache(nodes={"a": True})
    assert runs_on("local", cache)(node_workflow(Reads()))["a"] == {"user": "nobody"}
    assert len(cache) == 0


@both
def test_nodes_of_cycles_are_not_cached_unless_one_pass_is_made(kind: Kind) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "try:\n    n = n + 1\nexcept NameError:\n    n = 1\nresult = n"})
    builder.add_node("PythonCodeNode", "b", {"code": "result = x"})
    builder.add_connection("a", "result", "b", "x")
    workflow = builder.build()
    workflow.create_cycle("counting").connect("b", "a", {"result": "n"}).max_iterations(3).build()
    cache = ResultCache(nodes={"a": True, "b": True})
    first, plain = (runs_on(kind, each)(workflow) for each in (cache, None))
    assert first == plain == runs_on(kind, cache)(workflow)
    bypassed = cache.node_runs.as_dict()["bypassed"]
    assert bool(bypassed) is (kind == "local")


@both
def test_a_node_that_returns_the_objects_that_it_was_given_is_not_kept(kind: Kind) -> None:
    """Who changes its output changes what the node before it has returned, as without a cache."""
    pytest.importorskip("pandas")
    from kailash.nodes.code.python import PythonCodeNode
    from kailash.workflow.graph import Workflow

    workflow = Workflow("frames", "frames")
    unwrapped = "frame = x['result'] if isinstance(x, dict) else x\n"
    codes = {
        "a": "import pandas\nresult = pandas.DataFrame({'n': [1]})",
        "b": unwrapped + "result = frame",
        "copies": unwrapped + "result = frame.copy()",
        "c": unwrapped + "frame['more'] = 2\nresult = len(frame.columns)",
    }
    for node_id, code in codes.items():
        workflow.add_node(node_id, PythonCodeNode(name=node_id, code=code))
    for source, target in (("a", "b"), ("a", "copies"), ("b", "c")):
        workflow.connect(source, target, {"result": "x"})
    # Who copies must not see what is changed beside it.
    workflow.connect("copies", "c", {"result": "y"})
    cache = ResultCache(nodes={"b": True, "copies": True})
    for place in (None, cache, cache):
        results = runs_on(kind, place)(workflow)
        assert [list(results[each]["result"].columns) for each in ("a", "b")] == [["n", "more"]] * 2
    told = cache.node_runs.as_dict()
    assert told["not_kept"] == {"node 'b': it returns objects that it was given": 2}
    assert told["hits"] == 1
