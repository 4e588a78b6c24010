"""What is measured is what happens, and what it says is heeded."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import nexus_core
from apps import code_workflow, function_workflow
from nexus_core import PerformanceOptimizer
from nexus_core._app_workflows import attached_runtime
from nexus_core.errors import NexusCoreError
from nexus_core.optimizer.figures import ExecutionFigures, Side
from nexus_core.optimizer.limits import time_limit
from nexus_core.optimizer.measuring import Outcome, same
from nexus_core.optimizer.memory_return import MIN_GROWTH, MemoryReturn


def test_a_run_that_fails_now_and_then_is_reported_and_nothing_is_kept(app: Any) -> None:
    numbers = itertools.count(1)

    def call() -> int:
        # Three runs compare outcomes; one more looks up what was changed.
        if next(numbers) == 6:
            raise ValueError("of the node")
        return 1

    app.register("failing", function_workflow(call))
    found = PerformanceOptimizer(app).optimize_workflow_execution("failing", {}, runs=5)
    assert found["optimizations_applied"] == []
    said = found["expected_improvement"]
    assert said.startswith("not measured: a run failed while it was measured: WorkflowExecutionError: ")
    assert said.endswith("of the node")
    assert found["figures"] is None
    assert attached_runtime(app)._rules is None


def test_an_app_that_is_detached_meanwhile_is_an_error(app: Any) -> None:
    numbers = itertools.count(1)

    def call() -> int:
        if next(numbers) == 8:
            nexus_core.detach(app)
        return 1

    app.register("detaching", function_workflow(call))
    optimizer, runtime = PerformanceOptimizer(app), attached_runtime(app)
    with pytest.raises(NexusCoreError, match="was detached or closed while its workflow was measured"):
        optimizer.optimize_workflow_execution("detaching", {}, runs=5)
    assert runtime._rules is None
    assert optimizer.revert() == {}


def test_inputs_that_a_node_changes_are_new_for_each_run(app: Any) -> None:
    from kailash.nodes.base import Node, NodeParameter
    from kailash.workflow.graph import Workflow

    seen: list[int] = []

    class Adding(Node):
        def get_parameters(self) -> dict[str, Any]:
            return {"rows": NodeParameter(name="rows", type=set, required=True)}

        def run(self, **inputs: Any) -> dict[str, Any]:
            # Lists and dicts are a node's own, other objects are not.
            inputs["rows"].add(len(inputs["rows"]))
            seen.append(len(inputs["rows"]))
            return {"result": len(inputs["rows"])}

    workflow = Workflow("adding", "adding")
    workflow.add_node("node", Adding(name="node"))
    app.register("adding", workflow)
    sample = {"rows": {100, 200}}
    found = PerformanceOptimizer(app).optimize_workflow_execution("adding", sample, runs=5, cacheable=True)
    assert set(seen) == {3}
    assert sample == {"rows": {100, 200}}
    assert found["warnings"] == []
    assert found["figures"] is not None


def test_results_are_not_kept_if_a_run_is_as_quick_as_an_answer(app: Any) -> None:
    app.register("counting", code_workflow("result = len(rows)"))
    rows = [f"row {number}" for number in range(50_000)]  # of which a key has to be made
    found = PerformanceOptimizer(app).optimize_workflow_execution("counting", {"rows": rows}, cacheable=True)
    figures = found["figures"]
    assert figures.cached_seconds > 0
    if figures.cached_seconds >= figures.after.median_seconds:
        assert found["not_applied"]["enable_caching"].startswith("an answer from the cache takes ")
        assert attached_runtime(app)._cached_runs is None
    else:
        assert "enable_caching" in found["optimizations_applied"]


def figures_of(run: float, longest: float, cached: float | None) -> ExecutionFigures:
    side = Side((run, run, longest), (1 / run,), (), 1)
    return ExecutionFigures.of(side, side, 1, cached)


def test_what_was_measured_says_whether_an_answer_is_quicker() -> None:
    from nexus_core.optimizer.caching import _slower

    assert _slower(figures_of(0.001, 0.001, 0.002)) == "an answer from the cache takes 2 ms, and a run 1 ms"
    assert _slower(figures_of(0.001, 0.001, 0.0005)) is None
    assert _slower(figures_of(0.001, 0.001, None)) is None


def test_a_time_out_is_held_against_what_was_measured(app: Any) -> None:
    from nexus_core.optimizer.changes import Target

    app.register("quick", code_workflow())
    attachment = app._plugins["nexus-core"]
    target = Target(app, attachment, attachment.runtime, "quick", app._workflows["quick"])
    change = time_limit(target, 1.0)  # nothing has run yet
    assert change.judge(figures_of(0.1, 0.4, None)) is None
    assert "runs have taken up to 0.6 s" in str(change.judge(figures_of(0.1, 0.6, None)))


def test_a_time_out_that_the_samples_come_close_to_is_not_kept(app: Any) -> None:
    app.register("slow", code_workflow("import time\ntime.sleep(0.3)\nresult = 1"))
    found = PerformanceOptimizer(app).optimize_workflow_execution("slow", {}, runs=1, execution_timeout=0.55)
    # It has been slower still on a busy machine.
    assert "execution_timeout" in found["not_applied"]
    assert "execution_timeout" not in found["optimizations_applied"]


def test_what_cannot_be_compared_is_not_the_same() -> None:
    class Strange:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("of the object")

        __hash__ = None  # type: ignore[assignment]

    one, other = (Outcome({"node": Strange()}) for _ in range(2))
    assert not same(one, other)
    assert same(Outcome({"node": 1}), Outcome({"node": 1}))
    assert not same(Outcome({"node": 1}), Outcome({"node": True}))


def test_memory_is_only_given_back_early_where_it_would_be_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from nexus_core.optimizer import memory_return

    resident, trimmed = [100 * MIN_GROWTH], []
    monkeypatch.setattr(memory_return, "resident_bytes", lambda: resident[0])
    returning = MemoryReturn(lambda keep: trimmed.append(keep) or 1)
    returning.settle()  # nobody wants it
    returning.begin()
    try:
        returning.settle()
        resident[0] += MIN_GROWTH - 1
        returning.settle()
        assert trimmed == []
        resident[0] += 1
        returning.settle()
        assert trimmed == [0]
    finally:
        returning.end()


def test_a_thread_that_does_not_start_is_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    returning = MemoryReturn(lambda keep: 1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            returning.begin()
    assert not returning.is_in_use


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parallel_nodes": 2**40}, "parallel_nodes must be at most 1,000,000, got 1099511627776"),
        ({"max_concurrent_executions": -1}, "max_concurrent_executions must be at least 1, got -1"),
        ({"execution_timeout": 0}, "execution_timeout must be .* more than 0, got 0"),
        ({"execution_timeout": float("inf")}, "execution_timeout must be .* got inf"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(app: Any, options: dict[str, Any], said: str) -> None:
    app.register("quick", code_workflow())
    optimizer = PerformanceOptimizer(app)
    with pytest.raises(ValueError, match=said):
        optimizer.optimize_workflow_execution("quick", **options)
    assert attached_runtime(app)._rules is None


def test_a_registration_that_fails_at_its_end_is_removed(app: Any) -> None:
    register = app.register

    def registering(name: str, workflow: Any) -> None:
        register(name, workflow)
        if name == "perf-test-2":
            raise RuntimeError("of the app")

    app.register = registering
    optimizer = PerformanceOptimizer(app)
    optimizer.disable("intelligent_scheduling")
    with pytest.raises(RuntimeError, match="of the app"):
        optimizer.benchmark_workflow_registration()
    assert not app._workflows
    assert optimizer.revert() == {}
