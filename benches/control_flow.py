"""Workflows that decide at run time which nodes run, and how often; built for Kailash's classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TAKEN = 57
BRANCHES = 100
#: Kailash prunes workflows of at most a hundred nodes, and only switches with two branches each.
SWITCHES = 33
ITERATIONS = 1_000


@dataclass(frozen=True)
class ControlFlow:
    """One workload; has what a `Graph` has for those who only measure."""

    name: str
    title: str
    executions: int
    """How many times a node is run, or found not to have to."""
    build: Callable[[], Any]
    check: Callable[[dict[str, Any]], None]
    options: tuple[tuple[str, Any], ...] = ()

    def __len__(self) -> int:
        return self.executions

    edges = 0

    def bound(self) -> float:
        return 0.0


def routed(*, asynchronous: bool) -> ControlFlow:
    """A node, a switch with many cases, and a node for each case."""

    def build() -> Any:
        from kailash.workflow.builder import WorkflowBuilder

        builder = WorkflowBuilder()
        # An edge from `result` carries the whole output for the one runtime, and that key for the other.
        code = f"key = 'c{TAKEN}'\nv = 1" if asynchronous else f"result = {{'key': 'c{TAKEN}', 'v': 1}}"
        builder.add_node("PythonCodeNode", "source", {"code": code})
        cases = [f"c{i}" for i in range(BRANCHES)]
        builder.add_node("SwitchNode", "switch", {"condition_field": "key", "cases": cases})
        builder.add_connection("source", "result", "switch", "input_data")
        for i, case in enumerate(cases):
            builder.add_node("PythonCodeNode", f"b{i}", {"code": f"result = data['v'] + {i}"})
            builder.add_connection("switch", f"case_{case}", f"b{i}", "data")
        return builder.build()

    def check(results: dict[str, Any]) -> None:
        ran = {name: output for name, output in results.items() if name.startswith("b") and output is not None}
        if ran != {f"b{TAKEN}": {"result": 1 + TAKEN}}:
            raise AssertionError(f"the switch let {ran} through")

    name, of_what = ("routed_async", ", AsyncLocalRuntime") if asynchronous else ("routed", "")
    return ControlFlow(name, f"switch of {BRANCHES} branches, route_data{of_what}", BRANCHES + 2, build, check)


def pruned(*, asynchronous: bool) -> ControlFlow:
    """A node, and switches that each let one of two branches through."""

    def build() -> Any:
        from kailash.workflow.builder import WorkflowBuilder

        builder = WorkflowBuilder()
        # `skip_branches` follows the same rules in both runtimes.
        builder.add_node("PythonCodeNode", "source", {"code": "result = {'key': 7, 'v': 1}"})
        for i in range(SWITCHES):
            condition = {"condition_field": "key", "operator": ">" if i % 2 else "<", "value": 5}
            builder.add_node("SwitchNode", f"s{i}", condition)
            builder.add_connection("source", "result", f"s{i}", "input_data")
            for port in ("true", "false"):
                builder.add_node("PythonCodeNode", f"{port}{i}", {"code": f"result = data['v'] + {i}"})
                builder.add_connection(f"s{i}", f"{port}_output", f"{port}{i}", "data")
        return builder.build()

    def check(results: dict[str, Any]) -> None:
        ran = {name: output for name, output in results.items() if name.startswith(("true", "false"))}
        expected = {f"{'true' if i % 2 else 'false'}{i}": {"result": 1 + i} for i in range(SWITCHES)}
        if ran != expected:
            raise AssertionError(f"the switches let {ran} through")

    name, of_what = ("pruned_async", ", AsyncLocalRuntime") if asynchronous else ("pruned", "")
    return ControlFlow(
        name,
        f"{SWITCHES} switches of two branches, skip_branches{of_what}",
        3 * SWITCHES + 1,
        build,
        check,
        (("conditional_execution", "skip_branches"),),
    )


def cycle() -> ControlFlow:
    """Three nodes in a ring, many times around."""

    def build() -> Any:
        from kailash.workflow.builder import WorkflowBuilder

        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "start", {"code": "result = 0"})
        builder.add_node("PythonCodeNode", "a", {"code": "result = x + 1"})
        builder.add_node("PythonCodeNode", "b", {"code": "result = x"})
        builder.add_node("PythonCodeNode", "c", {"code": f"result = {{'x': x, 'done': x >= {ITERATIONS}}}"})
        builder.add_connection("start", "result", "a", "x")
        builder.add_connection("a", "result", "b", "x")
        builder.add_connection("b", "result", "c", "x")
        workflow = builder.build()
        back = workflow.create_cycle("ring").connect("c", "a", mapping={"result.x": "x"})
        back.max_iterations(2 * ITERATIONS).converge_when("done == True").build()
        return workflow

    def check(results: dict[str, Any]) -> None:
        if results["c"] != {"result": {"x": ITERATIONS, "done": True}}:
            raise AssertionError(f"the cycle ended with {results['c']}")

    return ControlFlow(
        "cycle_1000", f"cycle of three nodes, {ITERATIONS:,} iterations", 3 * ITERATIONS + 1, build, check
    )


LOCAL = (routed(asynchronous=False), pruned(asynchronous=False), cycle())
ASYNC = (routed(asynchronous=True), pruned(asynchronous=True))
