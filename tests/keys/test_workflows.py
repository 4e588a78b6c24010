"""The digest of a workflow changes with whatever changes its results."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("kailash")

from kailash.nodes.base import Node, NodeParameter
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from nexus_core import _key_workflow
from nexus_core.keys import NotKeyable, key_of, workflow_digest


def built(change: Callable[[WorkflowBuilder], object] = lambda builder: None, code: str = "result = x + 1") -> Workflow:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "first", {"code": "result = 1"})
    builder.add_node("PythonCodeNode", "second", {"code": code})
    builder.add_connection("first", "result", "second", "x")
    change(builder)
    return builder.build()


def test_workflows_built_alike_have_the_same_digest() -> None:
    # Each build has an id and a time of creation of its own.
    assert workflow_digest(built()) == workflow_digest(built())


def test_the_name_does_not_count() -> None:
    one, other = built(), built()
    one.name, other.name = "one", "other"
    assert workflow_digest(one) == workflow_digest(other)


def _version(workflow: Workflow) -> None:
    workflow.version = "2.0.0"


def _metadata(workflow: Workflow) -> None:
    workflow.metadata["workflow_parameters"] = {"x": 1}


def _configuration(workflow: Workflow) -> None:
    workflow._node_instances["second"].config["code"] = "result = 3"


def _attribute(workflow: Workflow) -> None:
    workflow._node_instances["second"].code = "result = 3"


def _trusted(workflow: Workflow) -> None:
    workflow._node_instances["second"].executor._trusted_mode = True


@pytest.mark.parametrize(
    "other",
    [
        built(code="result = x + 2"),
        built(lambda builder: builder.add_node("PythonCodeNode", "third", {"code": "result = 1"})),
        built(lambda builder: builder.add_connection("first", "result", "second", "y")),
        built(lambda builder: builder.add_connection("first", "other", "second", "x")),
    ],
    ids=["code", "node", "connection", "output"],
)
def test_another_structure_is_another_digest(other: Workflow) -> None:
    assert workflow_digest(other) != workflow_digest(built())


@pytest.mark.parametrize("change", [_version, _metadata, _configuration, _attribute, _trusted])
def test_a_change_after_the_build_is_another_digest(change: Callable[[Workflow], None]) -> None:
    workflow = built()
    before = workflow_digest(workflow)
    change(workflow)
    assert workflow_digest(workflow) != before


def test_which_connection_comes_last_counts() -> None:
    def with_two(order: list[str]) -> Workflow:
        workflow = Workflow("id", "name")
        for name in ("a", "b", "c"):
            workflow.add_node(name, "PythonCodeNode", code=f"result = {name!r}")
        for source in order:
            workflow.connect(source, "c", {"result": "x"})
        return workflow

    assert workflow_digest(with_two(["a", "b"])) != workflow_digest(with_two(["b", "a"]))


@pytest.mark.filterwarnings("ignore:Instance-based API")
def test_the_code_of_functions_counts() -> None:
    def digest_with(amount: int, helper: Any) -> bytes:
        def node(x: int) -> dict[str, Any]:
            return {"r": helper(x) + amount}

        return workflow_digest(
            built(lambda builder: builder.add_node(PythonCodeNode.from_function(node, name="node"), "node"))
        )

    one, other = (lambda x: x), (lambda x: -x)
    assert digest_with(1, one) == digest_with(1, one)
    assert len({digest_with(1, one), digest_with(2, one), digest_with(1, other)}) == 3


def _node_class(amount: int) -> type[Node]:
    class CustomNode(Node):  # type: ignore[misc]
        def get_parameters(self) -> dict[str, NodeParameter]:
            return {"x": NodeParameter(name="x", type=int, required=False, default=amount)}

        def run(self, **inputs: Any) -> dict[str, Any]:
            return {"y": inputs["x"] + amount}

    return CustomNode


def _with_node(node: Node) -> Workflow:
    workflow = Workflow("id", "name")
    workflow.add_node("node", node)
    return workflow


def test_the_code_of_node_classes_counts() -> None:
    def digest_of(amount: int, **config: Any) -> bytes:
        return workflow_digest(_with_node(_node_class(amount)(**config)))

    assert digest_of(1) == digest_of(1)
    assert len({digest_of(1), digest_of(2), digest_of(1, x=3), digest_of(1, x=True)}) == 4


def test_a_workflow_within_a_workflow_counts() -> None:
    def around(inner: Workflow) -> bytes:
        node = _node_class(1)()
        node.inner = inner
        return workflow_digest(_with_node(node))

    assert around(built()) == around(built())
    assert around(built()) != around(built(code="result = x + 2"))


def test_what_has_no_key_is_named() -> None:
    node = _node_class(1)()
    node.connection = object()
    with pytest.raises(NotKeyable, match=r"^workflow\['nodes'\]\['node'\]\['node'\]\.its connection, of type object"):
        workflow_digest(_with_node(node))


@pytest.mark.parametrize("part", ["kailash", "nexus_core"])
def test_versions_count(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = workflow_digest(built())
    if part == "nexus_core":
        monkeypatch.setattr(_key_workflow, "__version__", "99")
    else:
        monkeypatch.setattr(_key_workflow, "root_version", lambda root: "99")
    assert workflow_digest(built()) != before


def test_runs_do_not_change_the_digest() -> None:
    from nexus_core.runtime import LocalRuntime

    workflow = built()
    before = workflow_digest(workflow)
    with LocalRuntime() as runtime:
        runtime.execute(workflow)
    assert workflow_digest(workflow) == before


def test_a_key_of_a_run_is_of_workflow_inputs_and_parameters() -> None:
    workflow = built()
    key = key_of(workflow, {"a": 1, "b": 2}, {"second": {"x": 1}})
    assert key == key_of(workflow_digest(workflow), {"b": 2, "a": 1}, {"second": {"x": 1}})
    others = [
        key_of(workflow),
        key_of(workflow, {"a": 1, "b": 2}),
        key_of(workflow, {"a": 1, "b": 2.0}, {"second": {"x": 1}}),
        key_of(workflow, {"a": 1, "b": 2}, {"second": {"x": 2}}),
        key_of(workflow, {"second": {"x": 1}}, {"a": 1, "b": 2}),
        key_of(built(code="result = 5"), {"a": 1, "b": 2}, {"second": {"x": 1}}),
        key_of("workflow", {"a": 1, "b": 2}, {"second": {"x": 1}}),
    ]
    assert len({key, *others}) == 8
    assert key_of(workflow) == key_of(workflow, {}, {}) == key_of(workflow, None, None)


@pytest.mark.parametrize("workflow", [None, 1, WorkflowBuilder(), object()], ids=["none", "int", "builder", "object"])
def test_what_is_no_workflow_is_refused(workflow: Any) -> None:
    with pytest.raises(TypeError, match=r"WorkflowBuilder\.build"):
        workflow_digest(workflow)


_IN_A_PROCESS = """
from kailash.workflow.builder import WorkflowBuilder
from nexus_core.keys import workflow_digest
builder = WorkflowBuilder()
builder.add_node("PythonCodeNode", "first", {"code": "result = 1"})
builder.add_node("SwitchNode", "second", {"condition_field": "x", "operator": "==", "value": 1})
builder.add_connection("first", "result", "second", "input_data")
print(workflow_digest(builder.build()).hex())
"""


def test_the_digest_does_not_depend_on_the_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", _IN_A_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(found) == 1
