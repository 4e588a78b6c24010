"""What is no workflow, no input or no limit is refused as Kailash refuses it, and changes nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from kailash.nodes.code.async_python import AsyncPythonCodeNode
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.graph import Workflow

from nexus_core.runtime import AsyncLocalRuntime, DelegationError

from .support import PLANS, StockAsyncRuntime, both, builder_of, code_workflow, outcome, plan_of

ENTRIES: dict[str, Callable[..., Any]] = {
    "execute_workflow_async": lambda runtime, workflow, inputs, **more: asyncio.run(
        runtime.execute_workflow_async(workflow, inputs, **more)
    ),
    "execute_async": lambda runtime, workflow, inputs, **more: asyncio.run(
        runtime.execute_async(workflow, parameters=inputs, **more)
    ),
    "execute": lambda runtime, workflow, inputs, **more: runtime.execute(workflow, parameters=inputs, **more),
}
entries = pytest.mark.parametrize("entry", ENTRIES)


def compared(
    entry: str, make: Callable[[], Any], inputs: Any, *, any_failing_node: bool = False, **more: Any
) -> list[tuple[type, str]] | dict[str, Any]:
    """What both runtimes do, which must be the same."""
    seen: list[Any] = []
    for cls in (StockAsyncRuntime, AsyncLocalRuntime):
        runtime = cls()
        try:
            seen.append(ENTRIES[entry](runtime, make(), inputs, **more)[0])
        except Exception as error:
            seen.append(outcome(error))
        # Nothing that was refused changes the runtime.
        results, _ = ENTRIES[entry](runtime, code_workflow({"n": "result = 1"}), {})
        assert results == {"n": {"result": 1}}
        runtime.close()
    if any_failing_node:
        # Of several, Kailash reports the one that its set of nodes happens to have first.
        seen = [[(kind, _NODE.sub("Node …", text)) for kind, text in errors] for errors in seen]
    assert seen[0] == seen[1]
    found: list[tuple[type, str]] | dict[str, Any] = seen[0]
    return found


_NODE = re.compile(r"(Sync node|Node) '.'")


def unmarked_cycle() -> Workflow:
    workflow = Workflow("cyclic", "cyclic")
    workflow.add_node("a", PythonCodeNode(name="a", code="result = 1"))
    workflow.add_node("b", PythonCodeNode(name="b", code="result = 2"))
    workflow.connect("a", "b", {"result": "x"})
    workflow.graph.add_edge("b", "a", mapping={"result": "y"})
    return workflow


def cycle(awaits: bool) -> Workflow:
    workflow = Workflow("cyclic", "cyclic")
    workflow.add_node("a", PythonCodeNode(name="a", code="result = 1"))
    workflow.add_node(
        "b", AsyncPythonCodeNode(code="result = 2") if awaits else PythonCodeNode(name="b", code="result = 2")
    )
    workflow.connect("a", "b", {"result": "x"})
    workflow.create_cycle("c").connect("b", "a", {"result": "y"}).max_iterations(2).build()
    return workflow


@entries
def test_no_workflow_is_refused_as_kailash_refuses_it(entry: str) -> None:
    (refused, _) = compared(entry, lambda: None, {})[0]
    assert refused is ValueError


@entries
def test_an_unbuilt_builder_is_refused_as_kailash_refuses_it(entry: str) -> None:
    (refused, text) = compared(entry, builder_of, {})[0]
    assert refused is ValueError
    assert "has no `.graph` attribute" in text


@entries
@pytest.mark.parametrize("given", ["text", 5, object])
def test_what_is_no_workflow_is_refused_as_kailash_refuses_it(entry: str, given: Any) -> None:
    assert isinstance(compared(entry, lambda: given, {}), list)


@entries
def test_an_empty_workflow_has_no_results(entry: str) -> None:
    assert compared(entry, lambda: Workflow("empty", "empty"), {"x": 1}) == {}


@entries
@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "mixed"])
def test_a_cycle_ends_as_it_does_in_kailash(entry: str, awaits: bool) -> None:
    compared(entry, lambda: cycle(awaits), {})


@entries
def test_an_unmarked_cycle_ends_as_it_does_in_kailash(entry: str) -> None:
    assert isinstance(compared(entry, unmarked_cycle, {}), list)


@entries
@pytest.mark.parametrize("inputs", [None, [], "", "text", 5, [("x", 1)], {"x": 1}, {1: 2}, {"a": 5}], ids=repr)
@pytest.mark.parametrize("plan", PLANS)
def test_inputs_of_any_form_are_taken_or_refused_as_in_kailash(entry: str, inputs: Any, plan: str) -> None:
    compared(entry, lambda: plan_of(plan), inputs, any_failing_node=inputs == {1: 2} and plan != "sync")


@pytest.mark.parametrize("entry", ["execute_workflow_async", "execute"])
@pytest.mark.parametrize(
    "limits",
    [
        {"soft_time_limit": 0},
        {"time_limit": -1.5},
        {"soft_time_limit": float("nan")},
        {"time_limit": float("inf")},
        {"soft_time_limit": 5, "time_limit": 5},
        {"soft_time_limit": 7, "time_limit": 5},
    ],
    ids=repr,
)
def test_an_impossible_time_limit_is_refused_before_anything_else(entry: str, limits: dict[str, float]) -> None:
    for make in (lambda: plan_of("mixed"), lambda: None):
        (refused, text) = compared(entry, make, {}, **limits)[0]
        assert refused is ValueError
        assert "time_limit" in text


@both
def test_execute_inside_a_running_loop_is_refused(cls: type[Any]) -> None:
    async def main() -> None:
        async with cls() as runtime:
            with pytest.raises(RuntimeError, match="called from async context"):
                runtime.execute(code_workflow({"n": "result = 1"}))
            results, _ = await runtime.execute_workflow_async(code_workflow({"n": "result = 1"}), {})
            assert results == {"n": {"result": 1}}

    asyncio.run(main())


def test_execute_inside_a_loop_says_what_kailash_says() -> None:
    async def said(cls: type[Any]) -> str:
        runtime = cls()
        try:
            runtime.execute(code_workflow({"n": "result = 1"}))
        except RuntimeError as error:
            return str(error)
        finally:
            runtime.close()
        return "nothing"

    assert asyncio.run(said(AsyncLocalRuntime)) == asyncio.run(said(StockAsyncRuntime))


@entries
def test_skip_branches_leaves_out_what_is_not_taken(entry: str) -> None:
    def make() -> Workflow:
        builder = builder_of("out = 5")
        builder.add_node("SwitchNode", "switch", {"operator": ">", "value": 3})
        builder.add_node("PythonCodeNode", "yes", {"code": "result = data"})
        builder.add_node("PythonCodeNode", "no", {"code": "result = data"})
        builder.add_connection("n", "out", "switch", "input_data")
        builder.add_connection("switch", "true_output", "yes", "data")
        builder.add_connection("switch", "false_output", "no", "data")
        return builder.build()

    seen = []
    for cls in (StockAsyncRuntime, AsyncLocalRuntime):
        runtime = cls(conditional_execution="skip_branches")
        seen.append(ENTRIES[entry](runtime, make(), {})[0])
        runtime.close()
    assert seen[0] == seen[1]
    assert "yes" in seen[1]
    assert "no" not in seen[1]


def test_a_strict_runtime_refuses_what_would_be_delegated_and_runs_the_rest() -> None:
    with AsyncLocalRuntime(strict=True) as runtime:
        for make in (lambda: None, builder_of, lambda: "text"):
            with pytest.raises(DelegationError):
                ENTRIES["execute_workflow_async"](runtime, make(), {})
        results, _ = ENTRIES["execute_workflow_async"](runtime, plan_of("mixed"), {"x": 1})
        assert results == {"a": {"result": 1}, "b": {"result": 1}}


@both
@pytest.mark.parametrize("option", [{"connection_validation": "odd"}, {"conditional_execution": "odd"}], ids=repr)
def test_an_invalid_option_is_refused(cls: type[Any], option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Invalid"):
        cls(**option)


@pytest.mark.parametrize(
    "option", [{"max_concurrent_nodes": 0}, {"thread_pool_size": 0}, {"thread_pool_size": -1}], ids=repr
)
def test_a_runtime_on_which_no_node_could_run_is_refused(option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        AsyncLocalRuntime(**option)
