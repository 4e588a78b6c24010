"""Runs that differ in anything that matters never share a result; runs that do not, do."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kailash.nodes.base import Node, NodeParameter
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow

from nexus_core import CachePolicy, ResultCache, last_cache_outcome
from nexus_core.cached_runs.cached_workflows import NotCached
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

from .workflows import close_runtimes, code, counted, local


def status(runtime: LocalRuntime, workflow: Workflow, parameters: Any = None) -> str:
    runtime.execute(workflow, parameters=parameters)
    outcome = last_cache_outcome()
    assert outcome is not None
    return outcome.status


DISTINCT = [
    1, 1.0, True, "1", b"1", decimal.Decimal("1"), 1 + 0j, [1], (1,), {1}, frozenset({1}), {1: 1}, {"1": 1}, {1.0: 1},
    {True: 1}, None, "", b"", [], (), set(), {}, 0, -0.0, 0.0, False, dt.date(2020, 1, 1), dt.datetime(2020, 1, 1),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC), [[]], [[], []], [1, 2], [2, 1], "[1]", float("nan"), float("inf"),
    bytearray(b"1"), 2**70, "x" * 100_000, "x" * 99_999,
]  # fmt: skip


def test_inputs_that_differ_have_keys_that_differ() -> None:
    runtime = local(True)
    workflow, _calls = counted(lambda data: {"result": 1})
    keys = set()
    for value in DISTINCT:
        assert status(runtime, workflow, {"node": {"data": value}}) == "miss"
        outcome = last_cache_outcome()
        assert outcome is not None
        keys.add(outcome.key)
    assert len(keys) == len(DISTINCT)
    for value in DISTINCT:
        assert status(runtime, workflow, {"node": {"data": value}}) == "hit"


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(data=plain, other=plain)
def test_a_hit_is_always_of_equal_inputs(data: Any, other: Any) -> None:
    runtime = local(True)
    workflow, calls = counted(lambda given: {"result": repr(_ordered(given))})
    for given_data in (data, other, data, other):
        results, _ = runtime.execute(workflow, parameters={"node": {"data": given_data}})
        assert results["node"]["result"] == repr(_ordered(given_data))
    assert calls.count <= 2
    close_runtimes()


def _ordered(value: Any) -> Any:
    """The value with its dicts sorted: their order is no part of the key."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def test_one_list_in_two_places_is_not_two_equal_lists() -> None:
    runtime = local(True)
    workflow, _calls = counted(lambda data: {"result": 1})
    shared: list[int] = []
    found = [
        status(runtime, workflow, {"node": {"data": data}})
        for data in ({"a": [], "b": []}, {"a": shared, "b": shared}, [shared, shared], {"a": [], "b": []})
    ]
    assert found == ["miss", "miss", "miss", "hit"]


def test_objects_that_refer_to_one_another_are_not_cached() -> None:
    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": 1})
    inner = dt.UTC, [1]
    value = _Named([1]), inner
    for expected in ("miss", "hit"):
        assert status(runtime, workflow, {"node": {"data": value}}) == expected
    both = _Named([1])
    assert status(runtime, workflow, {"node": {"data": [both, both]}}) == "bypass"
    assert calls.count == 2


class _Named:
    def __init__(self, held: list[int]) -> None:
        self.held = held


def _register() -> None:
    from nexus_core import keys

    keys.register(_Named, lambda named: named.held)


_register()


def test_what_has_no_key_is_run_and_counted_by_type() -> None:
    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": 1})
    for data in (object(), {"deep": [object()]}, type("Sub", (dict,), {})(a=1), type("Text", (str,), {})("a")):
        assert status(runtime, workflow, {"node": {"data": data}}) == "bypass"
    assert calls.count == 4
    reasons = runtime.engine_statistics()["cache"]["runs"]["bypassed"]
    assert reasons["the inputs hold a object, which has no key"] == 2
    outcome = last_cache_outcome()
    assert outcome is not None
    assert "inputs['node']['data']" in str(outcome.reason)


def test_a_change_of_the_workflow_is_another_key() -> None:
    runtime = local(True)

    def answers(workflow: Workflow) -> Any:
        results, _ = runtime.execute(workflow, parameters={"x": 1})
        outcome = last_cache_outcome()
        assert outcome is not None
        return results["node"]["result"], outcome.status

    workflow = code("result = x + k", k=1)
    workflow._node_instances["node"].config["k"] = 1
    assert answers(workflow) == (2, "miss")
    assert answers(workflow) == (2, "hit")
    workflow._node_instances["node"].config["k"] = 5
    assert answers(workflow) == (6, "miss")
    workflow._node_instances["node"].config["k"] = 1
    assert answers(workflow) == (2, "hit")


def test_nested_configuration_that_changes_is_noticed() -> None:
    runtime = local(True)
    workflow = code("result = limits['deep'][0]")
    node = workflow._node_instances["node"]
    node.config["limits"] = {"deep": [1]}
    assert runtime.execute(workflow)[0]["node"]["result"] == 1
    assert status(runtime, workflow) == "hit"
    node.config["limits"]["deep"][0] = 2
    assert runtime.execute(workflow)[0]["node"]["result"] == 2
    node.config["limits"]["deep"].append(3)
    assert status(runtime, workflow) == "miss"


FACTOR = 3


def test_globals_and_closures_of_functions_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = local(True)
    step = 1

    def times(x: int) -> dict[str, int]:
        return {"y": x * FACTOR + step}

    workflow = Workflow("f", "f", metadata={"cacheable": True})
    workflow.add_node("node", PythonCodeNode.from_function(times))

    def answers() -> Any:
        results, _ = runtime.execute(workflow, parameters={"node": {"x": 2}})
        outcome = last_cache_outcome()
        assert outcome is not None
        return results["node"]["result"]["y"], outcome.status

    assert [answers(), answers()] == [(7, "miss"), (7, "hit")]
    monkeypatch.setattr(f"{__name__}.FACTOR", 5)
    assert [answers(), answers()] == [(11, "miss"), (11, "hit")]
    step = 2
    assert [answers(), answers()] == [(12, "miss"), (12, "hit")]
    times.__code__ = (lambda x: {"y": -x}).__code__.replace(co_freevars=("step",))
    assert answers()[1] == "miss"


RATES: dict[str, list[int]] = {"rates": [1]}


class Rated(Node):
    """Its results are of what its class and its module hold."""

    table: ClassVar[dict[str, int]] = {"x": 1}
    kinds: ClassVar[set[object]] = {1}

    def get_parameters(self) -> dict[str, NodeParameter]:
        """Takes nothing."""
        return {}

    def run(self, **inputs: Any) -> dict[str, Any]:
        """Shows what it reads."""
        return {"shown": f"{RATES} {self.table} {self.kinds} {self.config.get('kinds')}"}


@pytest.mark.parametrize(
    "change",
    [
        lambda config: RATES["rates"].append(2),
        lambda config: RATES.update(more=[]),
        lambda config: globals().update(RATES={"rates": [3]}),
        lambda config: Rated.table.update(y=2),
        lambda config: setattr(Rated, "table", {"z": 3}),
        lambda config: (Rated.kinds.clear(), Rated.kinds.add(True)),
        lambda config: (config["kinds"].clear(), config["kinds"].add(1.0)),
    ],
)
def test_what_a_nodes_class_uses_is_another_key_when_it_changes(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "RATES", {"rates": [1]})
    monkeypatch.setattr(Rated, "table", {"x": 1})
    monkeypatch.setattr(Rated, "kinds", {1})
    runtime, plain = local(True), local(None)
    workflow = Workflow("rated", "rated", metadata={"cacheable": True})
    workflow.add_node("node", Rated())
    config = workflow._node_instances["node"].config
    config["kinds"] = {1}
    assert [status(runtime, workflow) for _ in range(4)] == ["miss", "hit", "hit", "hit"]
    change(config)
    assert runtime.execute(workflow)[0] == plain.execute(workflow)[0]
    assert status(runtime, workflow) == "hit"


def test_a_method_that_is_replaced_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = local(True)
    workflow, _calls = counted(lambda data: {"result": "before"})
    assert runtime.execute(workflow)[0]["node"]["result"] == "before"
    monkeypatch.setattr(type(workflow._node_instances["node"]), "run", lambda self, **inputs: {"result": "after"})
    assert runtime.execute(workflow)[0]["node"]["result"] == "after"
    assert status(runtime, workflow) == "hit"
    monkeypatch.undo()
    assert runtime.execute(workflow)[0]["node"]["result"] == "before"


@pytest.mark.parametrize(
    "options",
    [
        {"conditional_execution": "skip_branches"},
        {"content_aware_success_detection": False},
        {"connection_validation": "strict"},
        {"connection_validation": "off"},
        {"enable_async": False},
        {"enable_cycles": False},
        {"debug": True},
    ],
)
def test_options_of_the_runtime_are_in_the_key(options: dict[str, Any]) -> None:
    cache = ResultCache()
    workflow = code()
    assert status(local(cache), workflow, {"x": 1}) == "miss"
    assert status(local(cache), workflow, {"x": 1}) == "hit"
    assert status(local(cache, **options), workflow, {"x": 1}) == "miss"


def test_runtimes_of_two_kinds_do_not_share_results() -> None:
    cache = ResultCache()
    workflow = code()

    async def run() -> str:
        async with AsyncLocalRuntime(cache=cache) as runtime:
            await runtime.execute_workflow_async(workflow, {"x": 1})
            outcome = last_cache_outcome()
            assert outcome is not None
            return outcome.status

    assert status(local(cache), workflow, {"x": 1}) == "miss"
    assert [asyncio.run(run()), asyncio.run(run())] == ["miss", "hit"]


def test_an_equal_workflow_that_is_built_again_shares_results() -> None:
    cache = ResultCache()
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": "result = x"})
    assert status(local(cache), builder.build(cacheable=True), {"x": 1}) == "miss"
    assert status(local(cache), builder.build(cacheable=True, name="another"), {"x": 1}) == "hit"


def test_vary_is_part_of_the_key_and_its_errors_bypass() -> None:
    day = ["monday"]
    policy = CachePolicy(vary=lambda inputs: (day[0], inputs.get("x")))
    runtime = local(ResultCache(workflows={"counted": policy}))
    workflow, calls = counted(lambda data: {"result": day[0]})
    assert status(runtime, workflow) == "miss"
    assert status(runtime, workflow) == "hit"
    day[0] = "tuesday"
    assert status(runtime, workflow) == "miss"
    assert runtime.execute(workflow)[0]["node"]["result"] == "tuesday"
    day.clear()
    assert runtime.execute(workflow)[0]["node"]["failed"]
    outcome = last_cache_outcome()
    assert outcome is not None
    assert (outcome.status, outcome.reason) == ("bypass", "vary raised IndexError('list index out of range')")
    day.append(object())  # type: ignore[arg-type]
    workflow, calls = counted(lambda data: {"result": 1})
    assert status(runtime, workflow) == "bypass"
    assert calls.count == 1


def test_inputs_that_change_while_the_run_goes_change_nothing() -> None:
    data = [1]

    def act(given: Any) -> Any:
        data.append(99)  # the caller's own, from another thread it might be
        return {"result": list(given)}

    runtime = local(True)
    workflow, calls = counted(act)
    results, _ = runtime.execute(workflow, parameters={"node": {"data": data}})
    assert results["node"]["result"] == [1]
    assert data == [1, 99]
    assert runtime.execute(workflow, parameters={"node": {"data": [1]}})[0]["node"]["result"] == [1]
    assert calls.count == 1
    assert runtime.execute(workflow, parameters={"node": {"data": [1, 99]}})[0]["node"]["result"] == [1, 99]


def test_inputs_in_a_result_are_what_they_were() -> None:
    def act(given: Any) -> Any:
        return {"result": given}

    runtime = local(True)
    workflow, _calls = counted(act)
    data = {"deep": [1]}
    first, _ = runtime.execute(workflow, parameters={"node": {"data": data}})
    first["node"]["result"]["deep"].append(2)
    data["deep"].append(3)
    assert runtime.execute(workflow, parameters={"node": {"data": {"deep": [1]}}})[0]["node"]["result"] == {"deep": [1]}


def test_a_registry_of_resources_is_another_key_for_asynchronous_nodes() -> None:
    from kailash.resources import ResourceRegistry

    cache = ResultCache()
    builder = WorkflowBuilder()
    builder.add_node("AsyncPythonCodeNode", "node", {"code": "result = 1"})
    workflow = builder.build(cacheable=True)

    async def run(registry: Any) -> str:
        async with AsyncLocalRuntime(resource_registry=registry, cache=cache) as runtime:
            await runtime.execute_workflow_async(workflow, {})
            outcome = last_cache_outcome()
            assert outcome is not None
            return outcome.status

    one, other = ResourceRegistry(), ResourceRegistry()
    found = [asyncio.run(run(registry)) for registry in (one, other, one, None)]
    assert found == ["miss", "miss", "hit", "miss"]


def test_not_cached_says_why() -> None:
    assert str(NotCached("short", "the long story")) == "the long story"
