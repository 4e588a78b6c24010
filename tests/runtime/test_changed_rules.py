"""Kailash's rules for code hold as they are at each execution, whenever a workflow was compiled."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from kailash.nodes.code import PythonCodeNode
from kailash.nodes.code import python as code_module
from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncLocalRuntime
from kailash.runtime.local import LocalRuntime as StockLocalRuntime
from kailash.utils import data_paths
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from code_rules import code_rules  # noqa: F401 - a fixture
from nexus_core import ResultCache, last_cache_outcome
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

from .support import code_workflow, named

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.usefixtures("code_rules")]

IMPORTS = "import math\nresult = math.floor(1.5)"
MENTIONS = "result = math.floor(1.5)"
HIDDEN = "def f():\n    pass\nfound = getattr(f, '__glo' + 'bals__')['__builtins__']\nresult = 'sum' in found"
GLOBALS = "def f():\n    pass\nresult = sorted(set(f.__globals__) & {'math', 'json'})"
BUILTIN = "result = sum([1, 2])"
CLASS = "class Made:\n    pass\nresult = 1"
NAMED = named("import math\ndef f():\n    return sum([math.floor(1.5)])", "f")
TRUSTED = {"code": IMPORTS, "sandbox_mode": "trusted"}


def in_cycle(code: str | dict[str, Any]) -> Workflow:
    """The code twice in a cycle of its own."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "n", {"code": code} if isinstance(code, str) else code)
    builder.add_node("PythonCodeNode", "again", {"code": "result = n"})
    builder.add_connection("n", "result", "again", "n")
    workflow = builder.build()
    (
        workflow.create_cycle("loop")
        .connect("again", "n", {"result": "before"})
        .max_iterations(2)
        .converge_when("False")
        .build()
    )
    return workflow


def outcome(execute: Callable[[Workflow], Any], workflow: Workflow) -> Any:
    """What an execution comes to, without what no two of them have in common."""
    try:
        results = execute(workflow)
    except Exception as error:
        return type(error), _text(error)
    return {
        node_id: {key: value if key == "result" else _text(value) for key, value in output.items()}
        for node_id, output in results.items()
    }


def _text(value: object) -> str:
    # Nodes that Kailash runs show in their tracebacks from where it is called.
    message, _, _ = str(value).partition("\nTraceback")
    return re.sub(r"0x[0-9a-f]+|[0-9]+\.[0-9]+s", "", f"{type(value).__name__}: {message}")


Execute = Callable[[Workflow], Any]


@contextmanager
def local() -> Iterator[tuple[Execute, Execute]]:
    """``LocalRuntime``: stock's, and ours."""
    with StockLocalRuntime(enable_monitoring=False) as stock, LocalRuntime(enable_monitoring=False) as ours:
        yield lambda workflow: stock.execute(workflow)[0], lambda workflow: ours.execute(workflow)[0]


@contextmanager
def asynchronous() -> Iterator[tuple[Execute, Execute]]:
    """``AsyncLocalRuntime``: stock's, and ours, on one loop."""
    with asyncio.Runner() as runner:
        stock, ours = StockAsyncLocalRuntime(), AsyncLocalRuntime()

        def on(runtime: Any) -> Execute:
            return lambda workflow: runner.run(runtime.execute_workflow_async(workflow, {}))[0]

        try:
            yield on(stock), on(ours)
        finally:
            for runtime in (stock, ours):
                runner.run(runtime.cleanup())
                runtime.close()


RUNTIMES = {"local": local, "async": asynchronous}


def remove_module() -> None:
    code_module.ALLOWED_MODULES.discard("math")


def swap_modules() -> None:
    code_module.ALLOWED_MODULES.discard("math")
    code_module.ALLOWED_MODULES.add("sys")


def add_module() -> None:
    code_module.ALLOWED_MODULES.add("sys")


def rebind_modules() -> None:
    code_module.ALLOWED_MODULES = code_module.ALLOWED_MODULES - {"math"}


def rebind_modules_to_a_list() -> None:
    code_module.ALLOWED_MODULES = ["json"]  # type: ignore[assignment]


def remove_builtins() -> None:
    code_module.ALLOWED_BUILTINS.difference_update({"sum", "__import__"})


def swap_builtins() -> None:
    code_module.ALLOWED_BUILTINS.discard("sum")
    code_module.ALLOWED_BUILTINS.add("memoryview")


def swap_for_classes() -> None:
    code_module.ALLOWED_BUILTINS.discard("memoryview")
    code_module.ALLOWED_BUILTINS.discard("abs")
    code_module.ALLOWED_BUILTINS.add("__build_class__")


def replace_builtins_in_place() -> None:
    code_module.ALLOWED_BUILTINS.intersection_update({"len", "getattr", "sorted"})


def rebind_builtins() -> None:
    code_module.ALLOWED_BUILTINS = {"len"}


CHANGES = (
    remove_module, swap_modules, add_module, rebind_modules, rebind_modules_to_a_list,
    remove_builtins, swap_builtins, swap_for_classes, replace_builtins_in_place, rebind_builtins,
)  # fmt: skip

CODES: dict[str, Any] = {
    "imports": IMPORTS, "imports from": "from math import floor\nresult = floor(1.5)", "mentions": MENTIONS,
    "not allowed": "import sys\nresult = sys.maxsize", "hidden": HIDDEN, "globals": GLOBALS, "builtin": BUILTIN,
    "class": CLASS, "trusted": TRUSTED, "nothing": "result = 1",
}  # fmt: skip


def test_cases_have_something_to_lose() -> None:
    assert {"math", "json"} <= code_module.ALLOWED_MODULES
    assert "sys" not in code_module.ALLOWED_MODULES
    assert {"sum", "__import__", "getattr"} <= code_module.ALLOWED_BUILTINS
    assert not {"__build_class__", "memoryview"} & code_module.ALLOWED_BUILTINS


@pytest.mark.parametrize(
    ("runtime_name", "change"),
    [
        *(("local", change) for change in CHANGES),
        *(("async", change) for change in (swap_modules, rebind_modules, swap_builtins)),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_an_execution_goes_by_the_rules_of_its_time(change: Callable[[], None], runtime_name: str) -> None:
    allowed = code_module.ALLOWED_MODULES
    modules, builtins = set(allowed), code_module.ALLOWED_BUILTINS
    names = set(builtins)
    with RUNTIMES[runtime_name]() as (stock, ours):
        workflows = {what: code_workflow({"n": code}) for what, code in CODES.items() if what != "not allowed"} | {
            "not allowed": _unchecked(CODES["not allowed"]),
            "cycle": in_cycle(IMPORTS),
        }
        before = {what: outcome(stock, workflow) for what, workflow in workflows.items()}
        for _ in range(2):
            assert {what: outcome(ours, workflow) for what, workflow in workflows.items()} == before
        change()
        changed = {what: outcome(stock, workflow) for what, workflow in workflows.items()}
        for _ in range(2):
            assert {what: outcome(ours, workflow) for what, workflow in workflows.items()} == changed
        assert changed["trusted"] == before["trusted"]
        code_module.ALLOWED_MODULES, code_module.ALLOWED_BUILTINS = allowed, builtins
        for held, content in ((allowed, modules), (builtins, names)):
            held.clear()
            held.update(content)
        assert {what: outcome(ours, workflow) for what, workflow in workflows.items()} == before


def _unchecked(code: str) -> Workflow:
    """With code that is refused when it runs, and not before."""
    workflow = code_workflow({"n": "result = 1"})
    workflow._node_instances["n"].code = code
    return workflow


@pytest.mark.parametrize(("name", "removed"), [("allowed_modules", "math"), ("allowed_builtins", "sum")])
@pytest.mark.parametrize(("runtime_name", "in_place"), [("local", True), ("local", False), ("async", True)])
def test_an_execution_goes_by_the_sets_of_the_executor(
    name: str, removed: str, runtime_name: str, in_place: bool
) -> None:
    with RUNTIMES[runtime_name]() as (stock, ours):
        workflows = {what: code_workflow({"n": code}) for what, code in CODES.items() if what != "not allowed"}
        before = {what: outcome(stock, workflow) for what, workflow in workflows.items()}
        assert {what: outcome(ours, workflow) for what, workflow in workflows.items()} == before
        for added in (None, "colorsys"):
            for workflow in workflows.values():
                executor = workflow._node_instances["n"].executor
                if not in_place:
                    setattr(executor, name, set(getattr(executor, name)))
                getattr(executor, name).discard(removed)
                if added is not None:
                    getattr(executor, name).add(added)
            changed = {what: outcome(stock, workflow) for what, workflow in workflows.items()}
            assert changed != before
            assert {what: outcome(ours, workflow) for what, workflow in workflows.items()} == changed


def test_a_module_that_is_allowed_again_is_there_again() -> None:
    # The name alone counts: as many others come as go.
    with local() as (stock, ours):
        workflow = code_workflow({"n": MENTIONS})
        allowed = workflow._node_instances["n"].executor.allowed_modules
        for gone, come in (("math", "colorsys"), ("colorsys", "math"), ("math", "colorsys")):
            assert outcome(ours, workflow) == outcome(stock, workflow)
            allowed.discard(gone)
            allowed.add(come)
        assert outcome(ours, workflow) == outcome(stock, workflow)


def _forbids_math() -> dict[str, Any]:
    remove_module()
    return {"result": 1}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rules_that_change_during_a_run_hold_from_the_next_one_on() -> None:
    builder = WorkflowBuilder()
    builder.add_node_instance(PythonCodeNode.from_function(_forbids_math, name="forbids"), "forbids")
    builder.add_node("PythonCodeNode", "n", {"code": IMPORTS})
    builder.add_connection("forbids", "result", "n", "forbidden")
    workflow = builder.build()
    refused = "Import of module 'math' is not allowed"
    with local() as (stock, ours):
        assert ours(workflow)["n"] == {"result": 1}
        assert refused in ours(workflow)["n"]["error"]
        code_module.ALLOWED_MODULES.add("math")
        assert refused in stock(workflow)["n"]["error"]


def test_what_was_filled_anew_with_as_much_is_not_what_it_was() -> None:
    # The same place in memory and the same counts: nothing but the elements tells.
    allowed = code_module.ALLOWED_BUILTINS
    other = (allowed - {"sum"}) | {"memoryview"}
    workflow = code_workflow({"n": HIDDEN.replace("'__glo' + 'bals__'", "''.join(['__glo', 'bals__'])")})
    with local() as (stock, ours):
        for content in (other, set(allowed)) * 5:
            assert outcome(ours, workflow) == outcome(stock, workflow) == {"n": {"result": "sum" in allowed}}
            allowed.clear()
            allowed.update(content)


def test_a_trust_that_all_executors_share_can_be_withdrawn() -> None:
    with local() as (stock, ours):
        workflow = _unchecked(CODES["not allowed"])
        refused = outcome(stock, workflow)
        code_module.CodeExecutor._trusted_mode = True  # type: ignore[attr-defined]
        try:
            assert outcome(ours, workflow) == outcome(stock, workflow) != refused
        finally:
            del code_module.CodeExecutor._trusted_mode  # type: ignore[attr-defined]
        assert outcome(ours, workflow) == refused


def test_what_names_no_builtin_fails_as_in_kailash() -> None:
    with local() as (stock, ours):
        workflow = code_workflow({"n": "result = 1"})
        before = outcome(stock, workflow)
        code_module.ALLOWED_BUILTINS.add(3)  # type: ignore[arg-type]
        assert outcome(ours, workflow) == outcome(stock, workflow) != before
        code_module.ALLOWED_BUILTINS.discard(3)  # type: ignore[arg-type]
        assert outcome(ours, workflow) == before


def test_a_named_function_goes_by_the_rules_of_its_time(runtime: Any) -> None:
    workflow = code_workflow({"n": NAMED})
    assert runtime.execute(workflow)[0] == {"n": {"result": 1}}
    swap_builtins()
    assert "name 'sum' is not defined" in runtime.execute(workflow)[0]["n"]["error"]
    remove_module()
    assert "Import of module 'math' is not allowed" in runtime.execute(workflow)[0]["n"]["error"]


def test_what_is_not_allowed_is_native_once_it_is(runtime: Any) -> None:
    workflow = _unchecked(CODES["not allowed"])
    (node,) = runtime.explain(workflow).nodes
    assert (node.program, node.reason) == ("execute", "its code is refused: SafetyViolationError")
    add_module()
    (node,) = runtime.explain(workflow).nodes
    assert node.native
    remove_module()
    swap_modules()
    (node,) = runtime.explain(workflow).nodes
    assert node.native


def test_a_module_that_nobody_asks_for_makes_no_new_plan(runtime: Any) -> None:
    from nexus_core.runtime.compiler import plans

    workflow = code_workflow({"n": IMPORTS})
    runtime.execute(workflow)
    (plan,) = [compiled for known, compiled in plans.values() if known() is workflow]
    code_module.ALLOWED_MODULES.discard("json")
    add_module()
    assert plan.plan.is_current()
    runtime.execute(workflow)
    assert plan.plan.runs == 2


# --- whoever is stricter than Kailash ---------------------------------------------------


def _refuse(self: Any, node: ast.AST) -> None:
    self.violations.append({"type": "own", "line": 1, "message": "refused by a check of its own"})


@pytest.mark.parametrize("runtime_name", RUNTIMES)
@pytest.mark.parametrize("method", ["visit_Import", "visit_Constant", "generic_visit"])
def test_a_method_of_the_check_may_be_replaced(method: str, runtime_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RUNTIMES[runtime_name]() as (stock, ours):
        workflow = code_workflow({"n": IMPORTS})
        before = outcome(stock, workflow)
        assert outcome(ours, workflow) == before
        with monkeypatch.context() as patch:
            patch.setattr(code_module.SafeCodeChecker, method, _refuse, raising=False)
            changed = outcome(stock, workflow)
            assert "refused by a check of its own" in str(changed)
            assert outcome(ours, workflow) == changed
        assert outcome(ours, workflow) == before


def test_the_check_may_be_another_class(monkeypatch: pytest.MonkeyPatch) -> None:
    stricter = type("Stricter", (code_module.SafeCodeChecker,), {"visit_Import": _refuse})
    with local() as (stock, ours):
        workflow = code_workflow({"n": IMPORTS})
        before = outcome(ours, workflow)
        monkeypatch.setattr(code_module, "SafeCodeChecker", stricter)
        changed = outcome(stock, workflow)
        assert "refused by a check of its own" in str(changed)
        assert outcome(ours, workflow) == changed
        monkeypatch.undo()
        assert outcome(ours, workflow) == before


# --- what else an execution looks at ----------------------------------------------------


def test_a_module_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    stand_in = ModuleType("math")
    vars(stand_in)["floor"] = lambda value: "replaced"
    with local() as (stock, ours):
        workflow = code_workflow({"n": MENTIONS})
        assert outcome(ours, workflow) == {"n": {"result": 1}}
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "math", stand_in)
            assert outcome(stock, workflow) == {"n": {"result": "replaced"}}
            assert outcome(ours, workflow) == {"n": {"result": "replaced"}}
        assert outcome(ours, workflow) == {"n": {"result": 1}}


def test_a_helper_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with local() as (stock, ours):
        workflow = code_workflow({"n": "result = get_data_path('x', 'y') == 'replaced'"})
        assert outcome(ours, workflow) == {"n": {"result": False}}
        monkeypatch.setattr(data_paths, "get_data_path", lambda *names: "replaced")
        assert outcome(stock, workflow) == {"n": {"result": True}}
        assert outcome(ours, workflow) == {"n": {"result": True}}


def test_the_time_limit_is_that_of_the_execution() -> None:
    with local() as (_, ours):
        workflow = code_workflow({"n": "import time\ntime.sleep(0.01)\nresult = 1"})
        assert outcome(ours, workflow) == {"n": {"result": 1}}
        # Of this node alone: the configuration is the process's.
        config = workflow._node_instances["n"].executor.security_config
        own = type(config)(**vars(config))
        workflow._node_instances["n"].executor.security_config = own
        own.execution_timeout = 0.001
        assert "Execution timeout" in str(outcome(ours, workflow))


# --- what is kept of earlier executions -------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_nothing_is_answered_from_a_cache_that_is_refused_now(whole: bool) -> None:
    workflow = code_workflow({"n": IMPORTS})
    if whole:
        workflow.metadata["cacheable"] = True
    cache = ResultCache() if whole else ResultCache(nodes={"n": True})
    with LocalRuntime(enable_monitoring=False, cache=cache) as ours:
        for _ in range(3):
            assert ours.execute(workflow)[0] == {"n": {"result": 1}}
        if whole:
            assert getattr(last_cache_outcome(), "status", None) == "hit"
        else:
            assert cache.node_runs.as_dict()["hits"] == 2
        remove_module()
        for _ in range(2):
            assert "Import of module 'math' is not allowed" in str(ours.execute(workflow)[0])
