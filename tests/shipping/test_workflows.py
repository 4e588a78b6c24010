"""Workflows there and back."""

from __future__ import annotations

import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kailash.nodes.base import Node, NodeParameter
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from nexus_core.errors import NotShippable
from nexus_core.keys import workflow_digest
from nexus_core.runtime import LocalRuntime
from nexus_core.shipping import ShippedWorkflow, load, ship, workflows
from shipping.far import in_another_process


class Holds(Node):
    """A node that holds something."""

    def __init__(self, held: Any = None, **config: Any) -> None:
        self.held = held
        self.lock = threading.RLock()
        super().__init__(**config)
        self.config.pop("held", None)

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {}

    def run(self, **inputs: Any) -> dict[str, Any]:
        with self.lock:
            return {"result": str(self.held)}


def chain(**config: Any) -> Workflow:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "one", {"code": "result = 1", **config})
    builder.add_node("PythonCodeNode", "two", {"code": "result = x + 1"})
    builder.add_connection("one", "result", "two", "x")
    return builder.build()


def of(**nodes: Node) -> Workflow:
    workflow = Workflow("id", "name")
    for node_id, node in nodes.items():
        workflow.add_node(node_id, node)
    return workflow


def results(workflow: Workflow) -> dict[str, Any]:
    with LocalRuntime(enable_monitoring=False) as runtime:
        return runtime.execute(workflow)[0]


def far_results(shipped: ShippedWorkflow) -> Any:
    return in_another_process(
        """
        from nexus_core.shipping import load
        from nexus_core.runtime import LocalRuntime
        with LocalRuntime(enable_monitoring=False) as runtime:
            answer = runtime.execute(load(given))[0]
        """,
        shipped,
    )


def test_code_goes_as_the_workflows_own_description() -> None:
    workflow = chain()
    shipped = ship(workflow)
    assert shipped.described
    assert far_results(shipped) == results(workflow)
    assert workflow_digest(load(shipped)) == workflow_digest(workflow)


def test_equal_workflows_have_equal_digests_and_others_do_not() -> None:
    workflow = chain()
    assert ship(workflow).digest == ship(workflow).digest
    first = ship(workflow)
    workflow._node_instances["one"].code = "result = 2"
    workflow._node_instances["one"].config["code"] = "result = 2"
    assert ship(workflow).digest != first.digest
    assert results(load(ship(workflow)))["two"] == {"result": 3}


@pytest.mark.parametrize("name", ["token", "secret", "password"])
def test_what_a_description_blanks_out_is_not_lost(name: str) -> None:
    workflow = chain(**{name: "s3cret"})
    shipped = ship(workflow)
    assert not shipped.described
    assert load(shipped)._node_instances["one"].config[name] == "s3cret"


def test_cycles_keep_their_conditions() -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "up", {"code": "try:\n    result = x + 1\nexcept NameError:\n    result = 1"})
    builder.add_node("PythonCodeNode", "same", {"code": "result = x"})
    builder.add_connection("up", "result", "same", "x")
    workflow = builder.build()
    workflow.create_cycle("c").connect("same", "up", {"result": "x"}).max_iterations(4).build()
    shipped = ship(workflow)
    assert not shipped.described
    assert load(shipped).has_cycles()
    assert results(load(shipped)) == results(workflow)


def test_functions_and_state_go_as_objects() -> None:
    factor = 5
    workflow = of(
        function=PythonCodeNode.from_function(lambda: factor * 2, name="function"), holds=Holds(held={"a": [1]})
    )
    shipped = ship(workflow)
    assert not shipped.described
    assert results(load(shipped)) == results(workflow)


def test_classes_and_functions_of_the_main_module_run_elsewhere() -> None:
    program = """
        from kailash.nodes.base import Node, NodeParameter, register_node
        from kailash.nodes.code.python import PythonCodeNode
        from kailash.workflow.graph import Workflow
        from nexus_core.shipping import ship

        GLOBAL = 20

        @register_node()
        class Own(Node):
            def __init__(self, start=1, **config):
                super().__init__(start=start, **config)
            def get_parameters(self):
                return {"start": NodeParameter(name="start", type=int, required=False, default=0)}
            def run(self, **inputs):
                return {"result": helper(inputs["start"]) + GLOBAL}

        def helper(value):
            return value + 1

        def twice(x: int) -> int:
            return 2 * x

        workflow = Workflow("id", "name")
        workflow.add_node("own", Own(start=3))
        workflow.add_node("twice", PythonCodeNode.from_function(twice, name="twice"))
        workflow.connect("own", "twice", {"result": "x"})
        answer = ship(workflow)
    """
    shipped = in_another_process(program)
    assert not shipped.described
    assert far_results(shipped) == {"own": {"result": 24}, "twice": {"result": 48}}


def test_locks_are_made_afresh() -> None:
    node = Holds()
    with node.lock:
        back = load(ship(of(holds=node)))
    far = back._node_instances["holds"]
    assert far.lock is not node.lock
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(far.lock.acquire, blocking=False).result()


def test_the_context_of_a_run_stays_behind() -> None:
    node = Holds()
    node._workflow_context = {"connection": threading.Lock()}
    assert not hasattr(load(ship(of(holds=node)))._node_instances["holds"], "_workflow_context")
    assert node._workflow_context


def test_a_refusal_names_the_node_and_what_in_it() -> None:
    workflow = of(good=Holds(held=1), bad=Holds(held=[iter([]), open]), worse=Holds(held=(x for x in [])))
    with pytest.raises(NotShippable) as refused:
        ship(workflow)
    assert refused.value.node == "worse"
    assert refused.value.path == ".held"
    assert "node 'worse' cannot go to another process" in str(refused.value)
    assert set(workflows.unshippable(workflow)) == {"worse"}


def test_some_of_the_nodes() -> None:
    workflow = chain()
    part = load(ship(workflow, only={"two"}))
    assert list(part.graph.nodes()) == ["two"]
    assert part.connections == []
    assert part._node_instances["two"].code == "result = x + 1"
    assert list(workflow.graph.nodes()) == ["one", "two"]
    both = load(ship(workflow, only=["one", "two"]))
    assert results(both) == results(workflow)


def test_single_nodes_are_the_parts_of_one_node() -> None:
    workflow = chain()
    parts = workflows.SingleNodes(workflow)
    for node_id in ("one", "two"):
        part, expected = parts.part(node_id), workflows.part_of(workflow, {node_id})
        assert part.to_dict() == expected.to_dict()
        assert part.metadata == workflow.metadata
        assert part._node_instances[node_id] is workflow._node_instances[node_id]


def test_a_single_node_keeps_its_connection_to_itself() -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "turn", {"code": "result = 1"})
    builder.add_node("PythonCodeNode", "end", {"code": "result = 2"})
    builder.add_connection("turn", "result", "end", "x")
    workflow = builder.build()
    workflow.create_cycle("again").connect("turn", "turn", mapping={"result": "x"}).max_iterations(2).build()
    part = workflows.SingleNodes(workflow).part("turn")
    assert [(each.source_node, each.target_node) for each in part.connections] == [("turn", "turn")]
    assert list(part.graph.edges()) == [("turn", "turn")]


def test_shipping_says_nothing_of_the_workflows_that_it_makes(caplog: pytest.LogCaptureFixture) -> None:
    workflow = chain()
    logger = logging.getLogger("kailash.workflow.graph")
    before = logger.level, list(logger.filters)
    with caplog.at_level(logging.INFO, "kailash"):
        workflows.part_of(workflow, {"one"})
        assert caplog.records == []
        Workflow("after", "after")
    assert [record.name for record in caplog.records] == [logger.name]
    assert (logger.level, logger.filters) == before


def test_a_workflow_is_loaded_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = ship(chain())
    reads = []
    read = workflows._read

    def counted(payload: bytes) -> Any:
        reads.append(payload)
        return read(payload)

    monkeypatch.setattr(workflows, "_read", counted)
    start = threading.Barrier(8)

    def ask() -> Any:
        start.wait()
        return load(shipped)

    with ThreadPoolExecutor(8) as threads:
        loaded = {id(future.result()) for future in [threads.submit(ask) for _ in range(8)]}
    assert (len(loaded), len(reads)) == (1, 1)


def test_only_the_last_workflows_stay_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflows, "_MOST_LOADED", 2)
    workflows._loaded.clear()
    sent = [ship(chain()) for _ in range(3)]
    first = load(sent[0])
    load(sent[1])
    assert load(sent[0]) is first
    load(sent[2])
    assert load(sent[0]) is first
    assert list(workflows._loaded) == [sent[2].digest, sent[0].digest]


def test_a_payload_that_cannot_be_read_leaves_nothing_behind() -> None:
    broken = ShippedWorkflow("0" * 64, pickle.dumps(("objects",)), described=False)
    for _ in range(2):
        with pytest.raises(IndexError):
            load(broken)
    assert broken.digest not in workflows._loaded
