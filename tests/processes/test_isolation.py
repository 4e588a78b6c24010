"""Which nodes go to processes, and what they take along."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from kailash.nodes.base import Node
from kailash.nodes.code import python as code_module
from kailash.nodes.code.python import PythonCodeNode
from kailash.nodes.data.readers import TextReaderNode
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from code_rules import code_rules  # noqa: F401 - a fixture
from nexus_core import ProcessPool
from nexus_core.errors import IsolationError, NotShippable
from nexus_core.processes import worker_process
from nexus_core.processes.isolation import Isolation
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from nexus_core.runtime.compiler import compiled
from nexus_core.shipping import ship
from processes import nodes

pytestmark = pytest.mark.timeout(240)


def of(*, named: str = "name", **held: Node) -> Workflow:
    workflow = Workflow("id", named)
    for node_id, node in held.items():
        workflow.add_node(node_id, node)
    return workflow


def runtime(pool: ProcessPool, isolation: Any = "process", **options: Any) -> LocalRuntime:
    return LocalRuntime(enable_monitoring=False, isolation=isolation, process_pool=pool, **options)


def places(pool: ProcessPool, isolation: Any, workflow: Workflow) -> dict[str, str]:
    """Where each node has run, and what ``explain`` said."""
    with runtime(pool, isolation) as made:
        told = {node.node_id: node.place for node in made.explain(workflow).nodes}
        ran = made.execute(workflow)[0]
    here = {node_id: "here" if result["result"] == os.getpid() else "process" for node_id, result in ran.items()}
    assert here == told
    return here


# --- which ------------------------------------------------------------------------------


def test_all_that_can_or_those_that_are_named(pool: ProcessPool) -> None:
    workflow = of(a=nodes.Where(), b=nodes.Where(), named="sums")
    assert places(pool, None, workflow) == {"a": "here", "b": "here"}
    assert places(pool, "process", workflow) == {"a": "process", "b": "process"}
    assert places(pool, ["a"], workflow) == {"a": "process", "b": "here"}
    assert places(pool, {"sums/b": "process", "other/a": "process"}, workflow) == {"a": "here", "b": "process"}
    assert places(pool, {"a": None, "b": "process"}, workflow) == {"a": "here", "b": "process"}


def test_explain_says_what_does_not_reach_nodes(pool: ProcessPool) -> None:
    workflow = of(one=nodes.Where())
    note = "progress, cancellation tokens and signals of the run do not reach nodes in processes"
    with runtime(pool, "process") as made:
        assert note in made.explain(workflow).notes
    with runtime(pool, False) as made:
        assert note not in made.explain(workflow).notes


def test_what_workflows_and_nodes_say_themselves(pool: ProcessPool) -> None:
    workflow = of(a=nodes.Where(), b=nodes.Where())
    workflow._node_instances["a"].process_isolation = True
    assert places(pool, None, workflow) == {"a": "process", "b": "here"}
    assert places(pool, False, workflow) == {"a": "here", "b": "here"}
    workflow._node_instances["a"].process_isolation = False
    assert places(pool, "process", workflow) == {"a": "here", "b": "process"}
    assert places(pool, ["a"], workflow) == {"a": "process", "b": "here"}
    del workflow._node_instances["a"].process_isolation
    workflow.metadata["process_isolation"] = ["b"]
    assert places(pool, None, workflow) == {"a": "here", "b": "process"}
    workflow.metadata["process_isolation"] = {"b": False}
    assert places(pool, "process", workflow) == {"a": "process", "b": "here"}
    workflow.metadata["process_isolation"] = "process"
    assert places(pool, None, workflow) == {"a": "process", "b": "process"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("proces", "isolation must be 'process', 'auto' or None, got 'proces'"),
        (3, "got 3"),
        ({"a": "thread"}, "isolation['a'] must be 'process', 'auto' or None, got 'thread'"),
        ({3: "process"}, "got 3"),
        (["a", ""], "got ''"),
    ],
)
def test_an_isolation_that_makes_no_sense(given: Any, said: str) -> None:
    with pytest.raises(IsolationError) as refused:
        LocalRuntime(isolation=given)
    assert said in str(refused.value)


def test_a_pool_that_is_none() -> None:
    with pytest.raises(IsolationError, match=r"process_pool must be a nexus_core.ProcessPool, got 2"):
        Isolation("process", 2)  # type: ignore[arg-type]


def test_bad_statements_fail_before_anything_runs(pool: ProcessPool) -> None:
    workflow = of(a=nodes.Counts())
    workflow.metadata["process_isolation"] = "both"
    with runtime(pool) as made, pytest.raises(IsolationError, match=r"metadata\['process_isolation'\].*'both'"):
        made.execute(workflow)
    assert workflow._node_instances["a"].count == 0


def test_a_named_node_that_cannot_be_sent_fails_and_one_of_all_stays(pool: ProcessPool) -> None:
    node = nodes.Where()
    node.held = (value for value in ())  # type: ignore[attr-defined]
    workflow = of(a=node, b=nodes.Where())
    with runtime(pool, ["a"]) as made:
        with pytest.raises(NotShippable, match=r"node 'a'.*\.held"):
            made.execute(workflow)
        assert "a run fails: node 'a'" in str(made.explain(workflow))
    assert places(pool, "process", workflow) == {"a": "here", "b": "process"}
    with runtime(pool) as made:
        made.execute(workflow)
        assert "node 'a' stays in this process" in str(made.explain(workflow))


@pytest.mark.parametrize(
    ("isolation", "said", "told"),
    [
        (
            ["sums/totl"],
            {},
            "isolation names 'sums/totl', and workflow 'sums' has no such node (did you mean 'total'?)",
        ),
        (
            {"sums/x": "auto", "others/y": "process"},
            {},
            "isolation names 'sums/x', and workflow 'sums' has no such node.",
        ),
        (None, {"process_isolation": ["total", "x"]}, "workflow.metadata['process_isolation'] names 'x'"),
        ("auto", {"process_isolation": {"x": None}}, "workflow.metadata['process_isolation'] names 'x'"),
        ("process", {"retry_on_worker_loss": ["x"]}, "workflow.metadata['retry_on_worker_loss'] names 'x'"),
    ],
)
def test_a_name_that_can_only_be_this_workflows_and_is_not_there(
    pool: ProcessPool, isolation: Any, said: dict[str, Any], told: str
) -> None:
    workflow = of(total=nodes.Counts(), load=nodes.Counts(), named="sums")
    workflow.metadata.update(said)
    with runtime(pool, isolation) as made:
        with pytest.raises(IsolationError) as refused:
            made.execute(workflow)
        assert told in str(refused.value)
        assert {"'total'", "'load'"} == set(str(refused.value).rpartition("Its nodes are ")[2].split(", "))
        assert "a run fails" in str(made.explain(workflow))
    assert workflow._node_instances["total"].count == 0


def test_a_name_that_may_be_another_workflows(pool: ProcessPool, caplog: pytest.LogCaptureFixture) -> None:
    one, other = of(a=nodes.Where(), named="one"), of(b=nodes.Where(), named="other")
    with runtime(pool, ["a", "totl", "third/x"]) as made:
        for workflow in (one, other, one):
            made.execute(workflow)
        told = [record.getMessage() for record in caplog.records if record.name == "nexus_core.processes"]
        assert told == [
            "isolation names 'totl', and workflow 'one' has no such node. Its nodes are 'a'."
            " If it is another workflow's, name it as 'workflow/node'"
        ]
        assert "'totl', and workflow 'one' has no such node" in str(made.explain(one))
        assert "'a', and workflow 'other' has no such node" in str(made.explain(other))
        assert "third" not in str(made.explain(one))
    assert places(pool, ["a", "totl"], one) == {"a": "process"}


def test_asynchronous_nodes_and_switches_stay(pool: ProcessPool) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "start", {"code": "result = 3"})
    builder.add_node("SwitchNode", "switch", {"operator": "==", "value": 3})
    builder.add_node("AsyncPythonCodeNode", "awaited", {"code": "result = data"})
    builder.add_connection("start", "result", "switch", "input_data")
    builder.add_connection("switch", "true_output", "awaited", "data")
    workflow = builder.build()
    with runtime(pool) as made:
        told = {node.node_id: node.place for node in made.explain(workflow).nodes}
        assert told == {"start": "process", "switch": "here", "awaited": "here"}
        assert made.execute(workflow)[0]["awaited"] == {"result": 3}
    with runtime(pool, ["awaited"]) as made, pytest.raises(IsolationError, match=r"'awaited'.*event loop"):
        made.execute(workflow)


def test_interpreters_that_run_threads_in_parallel_need_no_processes(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = of(a=nodes.Where())
    # Free-threaded builds have it, and enable the lock again for some extension modules.
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert places(pool, "process", workflow) == {"a": "process"}
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    for isolation in ("process", "auto", ["a"], {"a": "process"}):
        assert places(pool, isolation, workflow) == {"a": "here"}
    workflow.metadata["process_isolation"] = "process"
    assert places(pool, None, workflow) == {"a": "here"}
    with runtime(pool) as made:
        assert "nodes overlap without processes" in str(made.explain(workflow))


# --- automatically --------------------------------------------------------------------------


def test_nodes_that_prove_to_compute_go(pool: ProcessPool) -> None:
    workflow = of(long=nodes.Works(), short=nodes.Where())
    with runtime(pool, "auto") as made:
        first = made.execute(workflow)[0]
        assert first["long"]["result"] == os.getpid()
        assert {node.node_id: node.place for node in made.explain(workflow).nodes} == {
            "long": "measured",
            "short": "measured",
        }
        made.execute(workflow)
        assert {node.node_id: node.place for node in made.explain(workflow).nodes} == {
            "long": "measured",
            "short": "measured",
        }
        # What it does besides is looked at once.
        assert made.execute(workflow)[0]["long"]["result"] == os.getpid()
        assert {node.node_id: node.place for node in made.explain(workflow).nodes} == {
            "long": "process",
            "short": "measured",
        }
        later = made.execute(workflow)[0]
        assert later["long"]["result"] != os.getpid()
        assert later["short"]["result"] == os.getpid()


def test_what_could_not_come_back_stays(pool: ProcessPool) -> None:
    workflow = of(node=nodes.WorksOnLock())
    with runtime(pool, "auto") as made:
        for _ in range(4):
            assert made.execute(workflow)[0]["node"]["result"] == os.getpid()
        assert "its output cannot go to another process" in str(made.explain(workflow))


def test_what_cannot_be_read_here_has_run_and_does_not_run_again(pool: ProcessPool, tmp_path: Path) -> None:
    workflow, trace = of(node=nodes.Unreadable()), tmp_path / "trace"
    with runtime(pool, "auto") as made:
        isolated = made._isolation.nodes_of(workflow, compiled(workflow, made._awaits()))
        assert isolated is not None
        isolated.remote.put(0, "there")
        record = made.execute(workflow, parameters={"node": {"x": str(trace)}})[0]["node"]
    assert isinstance(record["_exception"], NotShippable)
    assert "another process" in record["error"]
    assert trace.read_text() == "x"


# --- what goes along ------------------------------------------------------------------------


def test_context_variables_there_and_back(pool: ProcessPool) -> None:
    workflow = of(a=nodes.Tenant(), b=nodes.Tenant())
    workflow.connect("a", "b", {"result": "y"})
    nodes.tenant.set("acme")
    try:
        with runtime(pool) as made:
            results = made.execute(workflow, parameters={"a": {"x": "other"}})[0]
        assert (results["a"]["result"], results["b"]["result"]) == ("acme", "other")
        assert nodes.tenant.get() == "acme"
    finally:
        nodes.tenant.set("nobody")


def test_variables_of_modules_that_workers_cannot_import_harm_nobody(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("of_this_process_alone")
    module.variable = ContextVar("variable")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def run() -> Any:
        module.variable.set("set")
        with runtime(pool) as made:
            return made.execute(of(a=nodes.Where()))[0]["a"]["result"], module.variable.get()

    ran_in, still = contextvars.Context().run(run)
    assert ran_in != os.getpid()
    assert still == "set"


def test_what_cannot_go_of_the_surroundings_stays(pool: ProcessPool) -> None:
    class Held(Exception):
        def __init__(self) -> None:
            super().__init__(threading.Lock())

    with runtime(pool) as made:
        try:
            for _ in range(2):
                nodes.bag.set({"lock": threading.Lock()})
                assert made.execute(of(a=nodes.Bag()))[0]["a"]["result"] is None
                nodes.bag.set({"fine": 1})
                assert made.execute(of(a=nodes.Bag()))[0]["a"]["result"] == {"fine": 1}
            nodes.bag.set({"lock": threading.Lock()})
            assert made.execute(of(a=nodes.Bag()))[0]["a"]["result"] is None
            try:
                raise Held
            except Held:
                assert made.execute(of(a=nodes.Bag()))[0]["a"]["result"] is None
        finally:
            nodes.bag.set(None)


def test_one_value_that_cannot_go_says_nothing_of_others(pool: ProcessPool) -> None:
    with runtime(pool) as made:

        def seen(value: Any) -> Any:
            nodes.bag.set(value)
            return made.execute(of(a=nodes.Bag()))[0]["a"]["result"]

        try:
            stays, goes = nodes.Held(lock=threading.Lock()), nodes.Held(fine=1)
            assert seen(stays) is None
            assert seen(stays) is None
            assert seen(goes) == goes
            assert seen(stays) is None
            assert seen(goes) == goes
        finally:
            nodes.bag.set(None)


def test_the_workflow_context_there_and_back(pool: ProcessPool) -> None:
    context = {"given": {"a": 1}, "lock": threading.Lock()}
    with runtime(pool) as made:
        results = made.execute(of(a=nodes.Context()), parameters={"workflow_context": context})[0]
    assert results["a"]["result"] == {"a": 1}
    assert context["set"] != os.getpid()


def test_code_that_uses_what_is_withheld_is_told(pool: ProcessPool) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = get_workflow_context('lock').acquire()"})
    with runtime(pool) as made:
        record = made.execute(builder.build(), parameters={"workflow_context": {"lock": threading.Lock()}})[0]["a"]
    assert "workflow_context['lock']" in record["error"]


def test_what_a_node_changes_in_itself_is_the_parents(pool: ProcessPool) -> None:
    workflow, other = of(a=nodes.Counts()), of(a=nodes.Counts())
    with runtime(pool) as made:
        seen = [made.execute(workflow, parameters={"a": {"x": n}})[0]["a"]["result"] for n in range(1, 4)]
        assert seen == [1, 2, 3]
        assert workflow._node_instances["a"].seen == [1, 2, 3]
        assert made.execute(other)[0]["a"]["result"] == 1
        workflow._node_instances["a"].count = 40
        assert made.execute(workflow)[0]["a"]["result"] == 41


def test_what_a_node_keeps_and_cannot_go_is_named(pool: ProcessPool) -> None:
    with runtime(pool) as made:
        refused = made.execute(of(a=nodes.Opens()))[0]["a"]["_exception"]
        assert (refused.node, refused.path, refused.type_name) == ("a", "attributes['kept'][0]", "builtins.generator")
        # What it raised itself says more.
        failed = made.execute(of(a=nodes.Opens()), parameters={"a": {"x": "its own"}})[0]["a"]
        assert "ValueError: its own" in failed["error"]


def test_what_changes_itself_is_not_described_anew_each_time() -> None:
    workflow = of(a=nodes.Counts(), b=nodes.Where())
    with ProcessPool(1) as own, runtime(own) as made:
        seen = [made.execute(workflow)[0]["a"]["result"] for _ in range(10)]
        assert seen == list(range(1, 11))
        (worker,) = own._crew.workers()
        known = set(worker.known)
        assert len(known) == 2
        # What else changes is noticed as before.
        workflow._node_instances["b"].held = [1]
        made.execute(workflow)
        (more,) = worker.known - known
        workflow._node_instances["b"].held.append(2)
        made.execute(workflow)
        assert len(worker.known - known - {more}) == 1
        assert workflow._node_instances["a"].count == 12


def test_what_is_noted_of_a_worker_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_MOST_KNOWN", 3)
    workflow = of(a=nodes.Where())
    with ProcessPool(1) as own, runtime(own) as made:
        for number in range(10):
            workflow._node_instances["a"].number = number
            made.execute(workflow)
        (worker,) = own._crew.workers()
        assert 1 <= len(worker.known) <= 3


def test_logs_are_the_parents(pool: ProcessPool, caplog: pytest.LogCaptureFixture) -> None:
    with runtime(pool) as made, caplog.at_level(logging.WARNING):
        made.execute(of(a=nodes.Logs()), parameters={"a": {"x": 5}})
    records = [record for record in caplog.records if record.name == "processes.nodes"]
    assert [record.getMessage() for record in records] == ["seen 5", "failed"]
    assert records[0].process != os.getpid()
    assert records[1].exc_info is not None and isinstance(records[1].exc_info[1], KeyError)


def test_errors_are_those_of_a_run_here(pool: ProcessPool) -> None:
    workflow = of(a=nodes.Fails(), b=nodes.Where())
    workflow.connect("a", "b", {"result": "x"})
    errors = []
    for isolation in (None, "process"):
        with runtime(pool, isolation) as made, pytest.raises(Exception, match="because") as raised:
            made.execute(workflow)
        chain, found = [], raised.value
        while found is not None:
            chain.append((type(found), str(found)))
            last, found = found, found.__cause__
        assert isinstance(last, nodes.Odd) and last.code == 7
        traceback, names = last.__traceback__, []
        while traceback is not None:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        assert names[-1] == "run"
        errors.append(chain)
    assert errors[0] == errors[1]


def test_arrays_may_be_written_to_and_stay_the_parents(pool: ProcessPool) -> None:
    array = np.ones(1_000_000)
    with runtime(pool) as made:
        before = pool.statistics().bytes_copied
        result = made.execute(of(a=nodes.Scales()), parameters={"a": {"x": array}})[0]["a"]
        copied = pool.statistics().bytes_copied - before
    assert result["pid"] != os.getpid()
    assert result["result"].sum() == 2_000_000
    assert array.sum() == 1_000_000
    # Once there, and once back.
    assert copied == 2 * array.nbytes
    result["result"][0] = 5


def test_functions_and_cycles(pool: ProcessPool) -> None:
    factor = 3

    def scaled(x: int = 1) -> int:
        return factor * x

    function = of(f=PythonCodeNode.from_function(scaled, name="f"))
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "up", {"code": "try:\n    result = x + 1\nexcept NameError:\n    result = 1"})
    builder.add_node("PythonCodeNode", "same", {"code": "result = x"})
    builder.add_connection("up", "result", "same", "x")
    cyclic = builder.build()
    cyclic.create_cycle("c").connect("same", "up", {"result": "x"}).max_iterations(4).build()
    with runtime(pool) as made, runtime(pool, None) as plain:
        done = pool.statistics().done
        assert made.execute(function)[0] == plain.execute(function)[0] == {"f": {"result": 3}}
        assert made.execute(cyclic)[0] == plain.execute(cyclic)[0]
        assert pool.statistics().done == done + 1 + 8


def test_workflows_that_are_awaited(pool: ProcessPool) -> None:
    async def main() -> None:
        async with AsyncLocalRuntime(isolation="process", process_pool=pool) as made:
            workflow = of(a=nodes.Where(), b=nodes.Fails())
            for _ in range(3):
                with pytest.raises(Exception, match="because"):
                    await made.execute_workflow_async(workflow, {})
            results, _ = await made.execute_workflow_async(of(a=nodes.Where()), {})
            assert results["a"]["result"] != os.getpid()
            assert [node.place for node in made.explain(workflow).nodes] == ["process", "process"]

    asyncio.run(main())


def test_an_attached_app_is_given_it(pool: ProcessPool) -> None:
    nexus = pytest.importorskip("nexus")
    import nexus_core

    app = nexus.Nexus(enable_durability=False)
    try:
        with pytest.raises(IsolationError, match="proces"):
            nexus_core.attach(app, isolation="proces")
        nexus_core.attach(app, isolation="process", process_pool=pool)
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
        done = pool.statistics().done
        workflow = builder.build()
        app.register("sums", workflow)
        asyncio.run(app._execute_workflow("sums", {}))
        assert pool.statistics().done == done + 1
    finally:
        app.close()


# --- what nodes may do --------------------------------------------------------------------


@pytest.fixture
def security() -> Iterator[Any]:
    """Kailash's, as it was before in the end."""
    from kailash import security

    before = security.get_security_config()
    yield security
    security.set_security_config(before)


def test_rules_are_those_of_this_process(pool: ProcessPool, security: Any, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("not for everybody")
    (tmp_path / "inside").mkdir()
    workflow = of(reads=TextReaderNode(file_path=str(tmp_path / "outside.txt")))
    with runtime(pool) as made:
        assert made.execute(workflow)[0]["reads"] == {"text": "not for everybody"}
        security.set_security_config(security.SecurityConfig(allowed_directories=[str(tmp_path / "inside")]))
        assert "Path outside allowed directories" in str(made.execute(workflow)[0]["reads"]["error"])


@pytest.mark.usefixtures("code_rules")
def test_code_goes_by_the_rules_that_hold_here_when_it_runs(pool: ProcessPool) -> None:
    math = "import math\nresult = math.floor(1.5)"
    codes = {"imports": math, "mentions": "result = math.floor(1.5)", "sums": "result = sum([1, 2])"}
    builder = WorkflowBuilder()
    for node_id, code in codes.items():
        builder.add_node("PythonCodeNode", node_id, {"code": code})
    workflows = [builder.build(), builder.build()]
    # It is pickled: Kailash's description does not say this.
    workflows[1]._node_instances["sums"].note = "its own"
    assert [ship(workflow).described for workflow in workflows] == [True, False]
    expected = {"imports": {"result": 1}, "mentions": {"result": 1}, "sums": {"result": 3}}

    def errors(made: Any, workflow: Workflow) -> dict[str, str]:
        results = made.execute(workflow)[0]
        return {node_id: str(each["error"]) for node_id, each in results.items() if each.get("failed")}

    with runtime(pool) as made:
        for workflow in workflows:
            assert made.execute(workflow)[0] == expected
        code_module.ALLOWED_MODULES.discard("math")
        code_module.ALLOWED_MODULES.add("sys")
        code_module.ALLOWED_BUILTINS.discard("sum")
        code_module.ALLOWED_BUILTINS.add("memoryview")
        for workflow in workflows:
            found = errors(made, workflow)
            assert found.keys() == {"imports", "sums"}
            assert "Import of module 'math' is not allowed" in found["imports"]
            assert "name 'sum' is not defined" in found["sums"]
            workflow._node_instances["mentions"].executor.allowed_modules.discard("math")
            assert "name 'math' is not defined" in errors(made, workflow)["mentions"]
        builder.add_node("PythonCodeNode", "new", {"code": "import sys\nresult = sys.maxsize"})
        results = made.execute(builder.build())[0]
        assert results["new"] == {"result": sys.maxsize}
        assert results["imports"]["failed"]
        code_module.ALLOWED_MODULES.add("math")
        code_module.ALLOWED_BUILTINS.add("sum")
        for workflow in workflows:
            workflow._node_instances["mentions"].executor.allowed_modules.add("math")
            assert made.execute(workflow)[0] == expected


def test_code_keeps_the_limits_that_it_was_built_with(pool: ProcessPool, security: Any) -> None:
    def built() -> Workflow:
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "large", {"code": "result = len(bytearray(2**30))"})
        return builder.build()

    limits = []
    with runtime(pool) as made:
        for limit in (512, 100):
            security.set_security_config(security.SecurityConfig(memory_limit=limit << 20))
            workflow = built()
            # The same description but for the limits; then others hold.
            for now in (limit, 300):
                security.set_security_config(security.SecurityConfig(memory_limit=now << 20))
                error = str(made.execute(workflow)[0]["large"]["error"])
                limits.append(int(error.split("more than ")[1].split()[0]) >> 20)
    assert limits == [512, 512, 100, 100]


def test_a_worker_that_cannot_keep_the_rules_runs_nothing(
    pool: ProcessPool, security: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = ModuleType("of_this_process_alone")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    gone = type("Gone", (security.SecurityConfig,), {"__module__": module.__name__})
    module.Gone = gone  # type: ignore[attr-defined]
    security.set_security_config(gone())
    trace = tmp_path / "trace"
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="of_this_process_alone"):
            pool.submit(Path.write_text, trace, "ran").result()
    assert not trace.exists()
