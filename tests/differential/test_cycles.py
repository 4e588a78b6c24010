"""Any workflow with cycles has the same outcome on the drop-in runtime as on stock."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import assume, given, note

from .comparison import assert_same_logs, assert_same_outcome
from .cycles import Cycle, CyclicDescription, adds, counting, cyclic_descriptions
from .description import Edge, NodeSpec

pytestmark = pytest.mark.timeout(1800)


def _switching(operator: str, value: int, port: str) -> CyclicDescription:
    """A cycle that a switch in it ends."""
    other = "false_output" if port == "true_output" else "true_output"
    return CyclicDescription(
        nodes={
            "a": adds(1),
            "wrap": NodeSpec("code", "result = {'value': x, 'kept': [x]}"),
            "switch": NodeSpec(
                "custom", "SwitchNode", {"condition_field": "value", "operator": operator, "value": value}
            ),
            "end": NodeSpec("code", "result = ['end', x]"),
        },
        edges=[
            Edge("a", "wrap", {"result": "x"}),
            Edge("wrap", "switch", {"result": "input_data"}),
            Edge("switch", "end", {other: "x"}),
        ],
        cycles=[Cycle("switch", "a", {f"{port}.value": "x", port: "whole"}, {"max_iterations": 6})],
        parameters={"a": {"x": 0}},
    )


_FIXED = {
    "an expression ends it": counting(),
    "the limit ends it": counting(None, 4),
    "a callback ends it": counting("stops_at_three"),
    "a callback that fails ends it": counting("raises"),
    "an expression that fails ends it": counting("nowhere > 1"),
    "an expression that does not compile ends it": counting("1 +"),
    "a number of iterations ends it": counting(2),
    "a compound condition ends it": counting({"type": "compound", "conditions": ["iteration > 7", 3]}),
    "a condition of no known type": counting({"type": "odd"}),
    "an expression with spaces before it": counting("  value >= 2"),
    "it runs again": counting(runs=3),
    "with history": counting(options={"enable_monitoring": True}),
    "without connection validation": counting(options={"enable_monitoring": False, "connection_validation": "off"}),
    "cycles are not enabled": counting(options={"enable_monitoring": False, "enable_cycles": False}),
    "with skip_branches": counting(options={"enable_monitoring": False, "conditional_execution": "skip_branches"}),
    "with a context": counting(parameters={"workflow_context": {"tenant": 7}, "a": {"x": 2}}),
    "a switch ends it where true leads back": _switching("<", 4, "true_output"),
    "a switch ends it where false leads back": _switching(">=", 4, "false_output"),
    "a switch never ends it": _switching("<", 100, "true_output"),
    "a node alone": CyclicDescription(
        nodes={"a": adds(1)}, cycles=[Cycle("a", "a", {"result": "x"}, {"max_iterations": 3})]
    ),
    "a node alone with a time limit": CyclicDescription(
        nodes={"a": adds(1)},
        cycles=[Cycle("a", "a", {"result": "x"}, {"timeout": 60.0, "convergence_check": "iteration >= 3"})],
    ),
    "a memory limit": CyclicDescription(
        nodes={"a": adds(1)},
        cycles=[Cycle("a", "a", {"result": "x"}, {"memory_limit": 4096, "max_iterations": 3})],
    ),
    "state kept by a node": CyclicDescription(
        nodes={"a": NodeSpec("custom", "KeepsState"), "b": NodeSpec("custom", "KeepsState")},
        edges=[Edge("a", "b", {"result.n": "x"})],
        cycles=[Cycle("b", "a", {"result.n": "x"}, {"max_iterations": 3})],
    ),
    "a node that takes a context of its own": CyclicDescription(
        nodes={"a": NodeSpec("code", "result = x", {"context": {"mine": 1}})},
        cycles=[Cycle("a", "a", {"result": "x"}, {"max_iterations": 2})],
    ),
    "two cycles one after the other": CyclicDescription(
        nodes={"a": adds(1), "b": adds(1), "c": adds(10), "d": adds(10)},
        edges=[Edge("a", "b", {"result": "x"}), Edge("b", "c", {"result": "x"}), Edge("c", "d", {"result": "x"})],
        cycles=[
            Cycle("b", "a", {"result": "x"}, {"max_iterations": 3}, "first"),
            Cycle("d", "c", {"result": "x"}, {"max_iterations": 2}, "second"),
        ],
    ),
    "cycles that share nodes and disagree": CyclicDescription(
        nodes={"a": adds(1), "b": adds(1), "c": adds(10)},
        edges=[Edge("a", "b", {"result": "x"}), Edge("b", "c", {"result": "x"})],
        cycles=[
            Cycle("b", "a", {"result": "x"}, {"max_iterations": 3}, "same"),
            Cycle("c", "a", {"result": "x"}, {"max_iterations": 2}, "same"),
        ],
    ),
    "a cycle that waits for another one, which is refused": CyclicDescription(
        nodes={"a": adds(1), "b": adds(1), "c": adds(1)},
        edges=[Edge("a", "b", {"result": "x"}), Edge("a", "c", {"result": "x"})],
        cycles=[
            Cycle("b", "b", {"result": "x"}, {"max_iterations": 1}, "first"),
            Cycle("a", "a", {"result": "x"}, {"max_iterations": 1}, "first"),
            Cycle("c", "a", {"result": "x"}, {"convergence_check": {"type": "max_iterations"}}, "second"),
        ],
    ),
    "a cycle that waits for another one, twice": CyclicDescription(
        nodes={"a": adds(1), "b": adds(1), "c": adds(1)},
        edges=[Edge("a", "b", {"result": "x"}), Edge("a", "c", {"result": "x"})],
        cycles=[
            Cycle("b", "b", {"result": "x"}, {"max_iterations": 1}, "first"),
            Cycle("a", "a", {"result": "x"}, {"max_iterations": 1}, "first"),
            Cycle("c", "a", {"result": "x"}, {"max_iterations": 1}, "second"),
        ],
        runs=2,
    ),
    "a parameter that is no dict": counting(parameters={"a": {"x": 1}, "b": {"x": [1]}}),
    "a failing node": CyclicDescription(
        nodes={"a": NodeSpec("code", "if x == 2:\n    raise ValueError('two')\nresult = x + 1")},
        cycles=[Cycle("a", "a", {"result": "x"}, {"max_iterations": 5})],
        parameters={"a": {"x": 0}},
    ),
    "a function that is missing a parameter": CyclicDescription(
        nodes={"a": NodeSpec("function", "annotated")},
        cycles=[Cycle("a", "a", {"result": "x"}, {"max_iterations": 2})],
    ),
    "a node that runs out of its sandbox": CyclicDescription(
        nodes={"a": NodeSpec("code", "import os\nresult = 1")},
        cycles=[Cycle("a", "a", {"result": "x"}, {"max_iterations": 2})],
    ),
}


@pytest.mark.parametrize("name", _FIXED)
def test_a_fixed_case_has_stocks_outcome(subject: type[Any], name: str) -> None:
    assert assert_same_outcome(subject, _FIXED[name]), "stock does not build it"


@pytest.mark.parametrize("name", _FIXED)
@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING], ids=["info", "warning"])
def test_a_fixed_case_logs_what_stock_logs(subject: type[Any], name: str, level: int) -> None:
    assert assert_same_logs(subject, _FIXED[name], level)


@given(description=cyclic_descriptions())
def test_any_workflow_with_cycles_has_stocks_outcome(subject: type[Any], description: CyclicDescription) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@given(description=cyclic_descriptions())
def test_any_workflow_with_cycles_logs_what_stock_logs(subject: type[Any], description: CyclicDescription) -> None:
    note(repr(description))
    assume(assert_same_logs(subject, description))
