"""One runtime, one workflow that is changed between runs, and a twin of it on stock.

The same changes go to both workflows; after every change both are run, the subject on
one runtime that lives as long as the test, stock on a new one. The workflows are twins
rather than one object, because a run leaves traces in a node (its cache of resolved
parameters, its state) that would then be seen by the other side.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kailash.nodes.base import Node
from kailash.workflow.graph import Workflow

from .code_samples import HARMLESS
from .custom_nodes import CUSTOM
from .description import Description, Edge, NodeSpec
from .observe import Comparison, quiet, run_once
from .snapshot import first_difference
from .subject import StockRuntime

CODES = (
    "result = 1",
    "result = 2",
    "result = {'v': 3, 'a': {'b': [4]}}",
    "result = data",
    "result = [x, 'x']",
    "out = 1\nresult = None",
    "out = 2",
    "raise ValueError('changed')",
    "import subprocess",
    "result = (",
    *HARMLESS[:12],
)
NAMES = ("a", "b", "c", "d")
KINDS = st.one_of(
    st.builds(NodeSpec, st.just("code"), st.sampled_from(CODES)),
    st.builds(NodeSpec, st.just("function"), st.sampled_from(("identity", "keywords", "with_default", "annotated"))),
    st.builds(
        NodeSpec,
        st.just("custom"),
        st.sampled_from(("EchoNode", "TypedNode", "StatefulNode", "MappedNode", "OwnExecuteNode", "SwitchNode")),
        st.dictionaries(st.sampled_from(("x", "data", "config")), st.sampled_from((1, "2", {"y": 3})), max_size=2),
    ),
)
OUTPUTS = st.sampled_from(("result", "out", "result.v", "result.a.b", "missing", "true_output"))
INPUTS = st.sampled_from(("data", "x", "y", "value", "input_data"))
VALUES = st.sampled_from((1, 2, 13, "text", "${x}", None, {"k": 1}, [1], "l" * 10_001))
PARAMETERS = st.sampled_from((None, {"x": 1}, {"a": {"x": 5, "data": {"v": 1}}}, {"b": {"data": [2]}, "y": "global"}))


def _compared(spec: NodeSpec) -> NodeSpec:
    """The node, or another one if its outcome cannot be the same."""
    return NodeSpec("code", CODES[0]) if Comparison.told_apart(Description({"n": spec}, runs=2)) else spec


def _patched_run(self: Any, **inputs: Any) -> dict[str, Any]:
    return {"result": "patched run", "inputs": sorted(inputs)}


def _patched_execute(self: Any, **inputs: Any) -> dict[str, Any]:
    return {"result": "patched execute", "inputs": sorted(inputs)}


def _patched_validation(self: Any, **inputs: Any) -> dict[str, Any]:
    return {"data": "patched validation"}


PATCHES: dict[str, Callable[..., Any]] = {
    "run": _patched_run,
    "execute": _patched_execute,
    "validate_inputs": _patched_validation,
}


class ChangedWorkflow(RuleBasedStateMachine):
    """Changes and runs; ``subject`` is set by ``machine_for``."""

    subject: type[Any] = StockRuntime

    def __init__(self) -> None:
        super().__init__()
        self.parameters: Any = None
        self.runtime = self.subject(enable_monitoring=False).mark_externally_managed()
        self.twins: tuple[Workflow, Workflow] = (self._empty(), self._empty())
        self.undo: list[Callable[[], None]] = []
        self.changed = True

    @staticmethod
    def _empty() -> Workflow:
        return Workflow("changing", "changing", metadata={"created_at": "2020-01-01T00:00:00"})

    def _both(self, change: Callable[[Workflow], None]) -> None:
        """Apply one change to both workflows; what Kailash refuses, it must refuse twice."""
        refused = []
        for workflow in self.twins:
            try:
                change(workflow)
            except Exception as error:  # noqa: BLE001 - any refusal of Kailash's
                refused.append(type(error))
        assert len(refused) in {0, 2}
        self.changed = True

    def _nodes(self) -> list[str]:
        return sorted(self.twins[0]._node_instances)

    def _pick(self, number: int) -> str:
        nodes = self._nodes()
        return nodes[number % len(nodes)]

    @initialize(first=KINDS, second=KINDS)
    def start(self, first: NodeSpec, second: NodeSpec) -> None:
        for name, spec in zip("ab", (first, second), strict=True):
            self._both(lambda workflow, name=name, spec=spec: workflow.add_node(name, _compared(spec).make(name)))
        self._both(lambda workflow: workflow.connect("a", "b", {"result": "data"}))

    @rule(name=st.sampled_from(NAMES), spec=KINDS)
    def add_node(self, name: str, spec: NodeSpec) -> None:
        if name not in self.twins[0].nodes:
            self._both(lambda workflow: workflow.add_node(name, _compared(spec).make(name)))

    @rule(ends=st.sampled_from([(s, t) for s in NAMES for t in NAMES if s < t]), output=OUTPUTS, to=INPUTS)
    def connect(self, ends: tuple[str, str], output: str, to: str) -> None:
        edge = Edge(*ends, {output: to})
        if {*ends} <= set(self._nodes()):
            self._both(lambda workflow: workflow.connect(edge.source, edge.target, dict(edge.mapping)))

    @precondition(lambda self: self._nodes())
    @rule(number=st.integers(0, 3), key=st.sampled_from(("x", "data", "note", "operator")), value=VALUES)
    def set_config(self, number: int, key: str, value: Any) -> None:
        node = self._pick(number)
        self._both(lambda workflow: workflow._node_instances[node].config.__setitem__(key, copy.deepcopy(value)))

    @precondition(lambda self: self._nodes())
    @rule(number=st.integers(0, 3), value=VALUES)
    def change_nested_config_in_place(self, number: int, value: Any) -> None:
        node = self._pick(number)

        def change(workflow: Workflow) -> None:
            nested = workflow._node_instances[node].config.setdefault("config", {})
            if isinstance(nested, dict):
                nested["x"] = copy.deepcopy(value)

        self._both(change)

    @precondition(lambda self: self._nodes())
    @rule(number=st.integers(0, 3), key=st.sampled_from(("x", "data", "note", "config")))
    def drop_config(self, number: int, key: str) -> None:
        node = self._pick(number)
        self._both(lambda workflow: workflow._node_instances[node].config.pop(key, None))

    @precondition(lambda self: self._nodes())
    @rule(number=st.integers(0, 3), code=st.sampled_from(CODES))
    def change_code(self, number: int, code: str) -> None:
        node = self._pick(number)

        def change(workflow: Workflow) -> None:
            instance = workflow._node_instances[node]
            if isinstance(getattr(instance, "code", None), str):
                instance.code = code

        self._both(change)

    @precondition(lambda self: self._nodes())
    @rule(number=st.integers(0, 3), spec=KINDS)
    def replace_instance(self, number: int, spec: NodeSpec) -> None:
        node = self._pick(number)

        def change(workflow: Workflow) -> None:
            workflow._node_instances[node] = _compared(spec).make(node)

        self._both(change)

    @precondition(lambda self: self.twins[0].graph.number_of_edges())
    @rule(number=st.integers(0, 5))
    def remove_edge(self, number: int) -> None:
        edges = sorted(self.twins[0].graph.edges())
        self._both(lambda workflow: workflow.graph.remove_edge(*edges[number % len(edges)]))

    @precondition(lambda self: self.twins[0].graph.number_of_edges())
    @rule(number=st.integers(0, 5), output=OUTPUTS, to=INPUTS)
    def edit_mapping_in_place(self, number: int, output: str, to: str) -> None:
        edges = sorted(self.twins[0].graph.edges())
        source, target = edges[number % len(edges)]

        def change(workflow: Workflow) -> None:
            mapping = workflow.graph.get_edge_data(source, target)["mapping"]
            mapping.clear()
            mapping[output] = to

        self._both(change)

    @precondition(lambda self: len(self._nodes()) > 1)
    @rule(number=st.integers(0, 3))
    def remove_node_from_graph(self, number: int) -> None:
        node = self._pick(number)

        def change(workflow: Workflow) -> None:
            workflow.graph.remove_node(node)
            del workflow._node_instances[node]
            del workflow.nodes[node]
            workflow._invalidate_graph_caches()

        self._both(change)

    @rule(node=st.sampled_from(NAMES), to=INPUTS)
    def map_workflow_input(self, node: str, to: str) -> None:
        self._both(lambda workflow: workflow.metadata.__setitem__("_workflow_inputs", {node: {"x": to}}))

    @rule()
    def drop_metadata(self) -> None:
        self._both(lambda workflow: workflow.metadata.pop("_workflow_inputs", None))

    @precondition(lambda self: self._nodes())
    @rule(number=st.integers(0, 3), name=st.sampled_from(sorted(PATCHES)))
    def patch_instance(self, number: int, name: str) -> None:
        node = self._pick(number)

        def change(workflow: Workflow) -> None:
            instance = workflow._node_instances[node]
            setattr(instance, name, types.MethodType(PATCHES[name], instance))

        self._both(change)

    @precondition(lambda self: self._nodes())
    @rule(number=st.integers(0, 3), name=st.sampled_from(sorted(PATCHES)))
    def unpatch_instance(self, number: int, name: str) -> None:
        node = self._pick(number)
        self._both(lambda workflow: vars(workflow._node_instances[node]).pop(name, None))

    @precondition(lambda self: Comparison.sees_patched_classes)
    @rule(what=st.sampled_from(("EchoNode", "TypedNode", "StatefulNode")), name=st.sampled_from(("run", "execute")))
    def patch_class(self, what: str, name: str) -> None:
        cls = CUSTOM[what]
        before = vars(cls).get(name)
        self.undo.append(lambda: setattr(cls, name, before) if before is not None else _drop(cls, name))
        setattr(cls, name, PATCHES[name])
        self.changed = True

    @rule()
    def restore_classes(self) -> None:
        self._restore()
        self.changed = True

    @rule(parameters=PARAMETERS)
    def use_other_parameters(self, parameters: Any) -> None:
        self.parameters = parameters
        self.changed = True

    @rule()
    def run_again(self) -> None:
        self.changed = True

    @invariant()
    def a_stale_plan_never_runs(self) -> None:
        if not self.changed:
            return
        self.changed = False
        ours, twin = self.twins
        with quiet():
            fresh = StockRuntime(enable_monitoring=False).mark_externally_managed()
            try:
                expected = run_once(fresh, twin, copy.deepcopy(self.parameters), Comparison.picture())
            finally:
                fresh.close()
            actual = run_once(self.runtime, ours, copy.deepcopy(self.parameters), Comparison.picture())
        difference = first_difference(expected, actual)
        assert difference is None, f"outcomes part at {difference}"

    def _restore(self) -> None:
        while self.undo:
            self.undo.pop()()

    def teardown(self) -> None:
        self._restore()
        self.runtime.close()


def _drop(cls: type[Node], name: str) -> None:
    if name in vars(cls):
        delattr(cls, name)


def machine_for(subject: type[Any]) -> type[ChangedWorkflow]:
    """Return the machine with ``subject`` as the runtime that keeps running."""
    return type(f"Changed{subject.__name__}", (ChangedWorkflow,), {"subject": subject})
