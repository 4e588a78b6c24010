"""Nodes that go by themselves do there what they did here; those that would not stay."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.graph import Workflow

from nexus_core import ProcessPool
from nexus_core._core import _RemoteNodes
from nexus_core.processes import isolated_nodes
from nexus_core.runtime import LocalRuntime
from processes import nodes, odd_nodes

pytestmark = pytest.mark.timeout(240)

#: Until a node has proved to compute, was watched, and has gone; and two more.
RUNS = 6


@pytest.fixture(autouse=True)
def sending_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it costs: on a machine that is busy, nodes would come back for that."""
    monkeypatch.setattr(isolated_nodes, "_RemoteNodes", functools.partial(_RemoteNodes, most_overhead=1e9))


def outcomes(pool: ProcessPool, make: Callable[[], Any], isolation: str | None) -> tuple[list[Any], str, str]:
    """What a node has returned in each run, where it is in the end, and why."""
    random.seed(3)
    np.random.seed(3)
    odd_nodes.total = 0
    odd_nodes.seen.clear()
    odd_nodes.CountsInClass.count = 0
    workflow = Workflow("id", "name")
    workflow.add_node("node", make())
    found = []
    with LocalRuntime(enable_monitoring=False, isolation=isolation, process_pool=pool) as runtime:
        for _ in range(RUNS):
            found.append(runtime.execute(workflow, parameters={"node": {"x": 1}} if takes_x(make) else {})[0]["node"])
        explanation = runtime.explain(workflow)
    found.append((odd_nodes.total, list(odd_nodes.seen), odd_nodes.CountsInClass.count))
    return found, explanation.nodes[0].place, str(explanation)


def takes_x(make: Callable[[], Any]) -> bool:
    return type(make()) is PythonCodeNode


def code(text: str) -> Callable[[], Any]:
    busy = "end = 0\nfor n in range(400_000):\n    end += n\n"
    return lambda: PythonCodeNode(name="code", code=busy + text)


def function(make: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: PythonCodeNode.from_function(make(), name="function")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (odd_nodes.SetsGlobal, "it sets the global 'total'"),
        (odd_nodes.FillsGlobal, "it uses 'seen', a list"),
        (odd_nodes.FillsByMethod, "it uses 'record', a list"),
        (odd_nodes.FillsWhatItImports, "it uses 'seen', a list"),
        (odd_nodes.FillsWhatItsModuleHas, "it uses 'seen', a list"),
        (odd_nodes.FillsOfModuleByOtherName, "it uses 'seen', a list"),
        (odd_nodes.FillsOfModuleInClass, "it uses 'processes.odd_nodes.seen', a list"),
        (function(odd_nodes.filling), "it uses 'processes.odd_nodes.seen', a list"),
        (odd_nodes.HandsModuleOn, "it uses 'processes.odd_nodes.seen', a list"),
        (odd_nodes.HoldsLongChain, "its code cannot be looked through: RecursionError"),
        (odd_nodes.CountsInClass, "it changes modules or classes"),
        (odd_nodes.CountsInItself, "it changes itself"),
        (odd_nodes.FillsWhatItWasGiven, "it changes itself"),
        (odd_nodes.HoldsLock, "'lock', a lock, would guard nothing there"),
        (odd_nodes.Draws, "it draws from the random numbers of this process"),
        (odd_nodes.DrawsFromNumPy, "it draws from the random numbers of this process"),
        (odd_nodes.Prints, "it uses 'print'"),
        (odd_nodes.ReadsEnvironment, "it uses 'environ'"),
        (function(odd_nodes.counting), "it sets 'count' of the function around it"),
        (function(odd_nodes.collecting), "it uses 'found', a list"),
        (code("import random\nresult = random.random()"), "it draws from the random numbers of this process"),
        (code("print(end)\nresult = 1"), "it uses 'print'"),
    ],
)
def test_those_that_stay(pool: ProcessPool, make: Callable[[], Any], why: str) -> None:
    here, _, _ = outcomes(pool, make, None)
    found, place, told = outcomes(pool, make, "auto")
    assert found == here
    assert place == "here"
    assert f"node 'node' stays in this process: {why}" in told or why in told


@pytest.mark.parametrize(
    "make",
    [
        odd_nodes.Plain,
        odd_nodes.DrawsFromItsOwn,
        odd_nodes.ImportsConstants,
        function(odd_nodes.scaling),
        code("result = end"),
        nodes.Works,
    ],
)
def test_those_that_go(pool: ProcessPool, make: Callable[[], Any]) -> None:
    done = pool.statistics().done
    here, _, _ = outcomes(pool, make, None)
    found, place, told = outcomes(pool, make, "auto")
    assert place == "process", told
    assert pool.statistics().done > done
    if make is nodes.Works:
        assert found[-2]["result"] != os.getpid()
    else:
        assert found == here


def test_one_that_changes_its_inputs_stays(pool: ProcessPool) -> None:
    workflow = Workflow("id", "name")
    workflow.add_node("node", odd_nodes.ChangesInput())
    with LocalRuntime(enable_monitoring=False, isolation="auto", process_pool=pool) as runtime:
        for number in range(RUNS):
            given = np.zeros(1)
            runtime.execute(workflow, parameters={"node": {"x": given}})
            assert given[0] == 1, number
        assert "it changes its inputs" in str(runtime.explain(workflow))


def test_one_whose_inputs_cannot_be_compared_afterwards_stays_and_has_its_result(pool: ProcessPool) -> None:
    workflow = Workflow("id", "name")
    workflow.add_node("node", odd_nodes.AddsToInput())
    with LocalRuntime(enable_monitoring=False, isolation="auto", process_pool=pool) as runtime:
        for _ in range(RUNS):
            given = np.zeros(1, object)
            assert runtime.execute(workflow, parameters={"node": {"x": given}})[0]["node"] == {"result": 1}
        assert "it cannot be watched: NotShippable" in str(runtime.explain(workflow))


def test_one_that_changes_itself_later_comes_back(pool: ProcessPool) -> None:
    workflow = Workflow("id", "name")
    node = odd_nodes.CountsInItself()
    workflow.add_node("node", node)
    with LocalRuntime(enable_monitoring=False, isolation="auto", process_pool=pool) as runtime:
        runtime.execute(workflow)
        ((_, isolated),) = list(runtime._isolation._plans.values())
        assert isolated is not None
        isolated.remote.put(0, "there")
        assert [runtime.execute(workflow)[0]["node"]["result"] for _ in range(3)] == [2, 3, 4]
        assert node.count == 4
        assert "it changes itself" in str(runtime.explain(workflow))
