"""What is kept is taken, and what has changed is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.cached_runs import CachePolicy, ResultCache
from nexus_core.runtime import LocalRuntime

from .support import TRACE, AsyncTraced, Kind, Traced, both, code_workflow, count, node_workflow, runs_on

RANDOM = TRACE + "import random\nresult = {'x': x, 'random': random.random()}"


@both
def test_a_randomised_node_that_is_cached_runs_once_for_each_input(kind: Kind, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on(kind, cache), code_workflow(RANDOM)
    first = [run(workflow, x=x, trace=str(trace)) for x in (1, 2)]
    for _ in range(3):
        assert [run(workflow, x=x, trace=str(trace)) for x in (1, 2)] == first
    assert first[0]["a"]["result"]["random"] != first[1]["a"]["result"]["random"]
    assert count(trace) == 2
    assert cache.node_runs.as_dict()["hits"] == 6


@pytest.mark.parametrize("make", [Traced, AsyncTraced])
@both
def test_nodes_of_classes_and_awaited_ones_are_cached_too(kind: Kind, make: Any, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on(kind, cache), node_workflow(make())
    for _ in range(3):
        for x in (1, True, 1.0):
            answer = run(workflow, x=x, trace=str(trace), answer=[x])["a"]
            assert answer["x"] is x or type(answer["x"]) is float
    assert count(trace) == 3


def test_function_nodes_are_cached_until_what_they_use_changes(tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    namespace: dict[str, Any] = {"FACTOR": 2}
    source = TRACE.replace("trace", "t").replace("\n", "\n    ")
    exec(f"def scaled(x: int, t: str) -> dict:\n    {source}\n    return {{'y': x * FACTOR}}", namespace)
    workflow = node_workflow(PythonCodeNode.from_function(namespace["scaled"], name="a"))
    run = runs_on("local", cache)
    seen = [run(workflow, x=3, t=str(trace))["a"]["result"]["y"] for _ in range(2)]
    namespace["FACTOR"] = 5
    seen += [run(workflow, x=3, t=str(trace))["a"]["result"]["y"] for _ in range(2)]
    assert seen == [6, 6, 15, 15]
    assert count(trace) == 2


@both
def test_changed_code_configuration_and_inputs_run_again(kind: Kind, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run = runs_on(kind, cache)
    given = {"trace": str(trace)}
    code = TRACE + "result = {'k': k, 'x': x}"
    assert run(code_workflow(code, k=1), x=1, **given) == {"a": {"result": {"k": 1, "x": 1}}}
    assert run(code_workflow(code, k=2), x=1, **given) == {"a": {"result": {"k": 2, "x": 1}}}
    assert run(code_workflow(code, k=1), x=2, **given) == {"a": {"result": {"k": 1, "x": 2}}}
    assert run(code_workflow(code + "\nresult['y'] = 0", k=1), x=1, **given)["a"]["result"]["y"] == 0
    assert count(trace) == 4
    # Another workflow's node that does the same is the same.
    assert run(code_workflow(code, "other", k=1), x=1, **given) == {"a": {"result": {"k": 1, "x": 1}}}
    assert count(trace) == 4


def test_a_node_that_is_changed_in_place_runs_again(tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on("local", cache), code_workflow(TRACE + "result = x")
    for _ in range(2):
        assert run(workflow, x=1, trace=str(trace)) == {"a": {"result": 1}}
    node = workflow._node_instances["a"]
    node.code = node.config["code"] = TRACE + "result = -x"
    for _ in range(2):
        assert run(workflow, x=1, trace=str(trace)) == {"a": {"result": -1}}
    assert count(trace) == 2


@both
def test_a_change_upstream_reaches_a_cached_node(kind: Kind, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"b": True}), tmp_path / "trace"
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "a", {"code": "result = [x]"})
    builder.add_node("PythonCodeNode", "b", {"code": TRACE + "result = str(given)", "trace": str(trace)})
    builder.add_connection("a", "result", "b", "given")
    run, workflow = runs_on(kind, cache), builder.build()
    seen = [run(workflow, x=x)["b"]["result"] for x in (1, 2, 1, 2, 3)]
    assert seen[0] == seen[2] != seen[1] == seen[3] != seen[4]
    assert count(trace) == 3


def test_the_order_of_a_dict_is_part_of_the_key(tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on("local", cache), code_workflow(TRACE + "result = list(x['in'])")
    for given in ({"p": 1, "q": 2}, {"q": 2, "p": 1}):
        for _ in range(2):
            assert run(workflow, x={"in": given}, trace=str(trace))["a"]["result"] == list(given)
    assert count(trace) == 2


def test_inputs_that_are_one_object_are_not_two_that_are_equal(tmp_path: Path) -> None:
    class Compares(Traced):
        def run(self, **inputs: Any) -> dict[str, Any]:
            return {"one": inputs["x"][0] is inputs["x"][1]}

    cache = ResultCache(nodes={"a": True})
    run, workflow = runs_on("local", cache), node_workflow(Compares())
    one = bytearray(b"1")
    given = ([one, one], [bytearray(b"1"), bytearray(b"1")]) * 2
    assert [run(workflow, x=x)["a"]["one"] for x in given] == [True, False] * 2
    told = cache.node_runs.as_dict()
    assert (told["hits"], sum(told["bypassed"].values())) == (1, 2)


@both
def test_policies_may_be_given_by_workflow_and_node_and_by_these_themselves(kind: Kind, tmp_path: Path) -> None:
    def runs(cache: ResultCache, workflow: Any, trace: Path) -> int:
        for _ in range(2):
            runs_on(kind, cache)(workflow, x=1, trace=str(trace))
        return count(trace)

    assert runs(ResultCache(nodes={"w/a": True}), code_workflow(RANDOM, "w"), tmp_path / "1") == 1
    assert runs(ResultCache(nodes={"v/a": True}), code_workflow(RANDOM, "w"), tmp_path / "2") == 2
    assert runs(ResultCache(nodes={"w/a": False, "a": True}), code_workflow(RANDOM, "w"), tmp_path / "3") == 2
    for number, says in enumerate((["a"], {"a": CachePolicy(ttl=60)}, {"b": True})):
        workflow = code_workflow(RANDOM, "w")
        workflow.metadata["cacheable_nodes"] = says
        assert runs(ResultCache(), workflow, tmp_path / f"4{number}") == (2 if "b" in says else 1)
    node = Traced()
    node.cacheable = True  # type: ignore[attr-defined]
    assert runs(ResultCache(), node_workflow(node), tmp_path / "5") == 1
    assert runs(ResultCache(nodes={"a": False}), node_workflow(node), tmp_path / "6") == 2


def test_what_a_workflow_says_may_change_later(tmp_path: Path) -> None:
    cache, trace, workflow = ResultCache(), tmp_path / "trace", code_workflow(RANDOM)
    run = runs_on("local", cache)
    for _ in range(2):
        run(workflow, x=1, trace=str(trace))
    workflow.metadata["cacheable_nodes"] = ["a"]
    for _ in range(3):
        run(workflow, x=1, trace=str(trace))
    assert count(trace) == 3


@pytest.mark.parametrize("says", [{"a": "yes"}, "a", 7, [1]])
def test_what_is_no_policy_is_refused_before_anything_runs(says: Any, tmp_path: Path) -> None:
    workflow = code_workflow(RANDOM)
    workflow.metadata["cacheable_nodes"] = says
    run = runs_on("local", ResultCache())
    with pytest.raises(Exception, match="must"):
        run(workflow, x=1, trace=str(tmp_path / "trace"))
    assert count(tmp_path / "trace") == 0
    runs_on("local", None)(workflow, x=1, trace=str(tmp_path / "trace"))


def test_a_further_part_of_the_key_can_be_made_of_the_inputs(tmp_path: Path) -> None:
    day = ["monday"]
    cache, trace = ResultCache(nodes={"a": CachePolicy(vary=lambda inputs: (day[0], inputs["x"]))}), tmp_path / "trace"
    run, workflow = runs_on("local", cache), code_workflow(RANDOM)
    for each in ("monday", "monday", "tuesday", "monday"):
        day[0] = each
        run(workflow, x=1, trace=str(trace))
    assert count(trace) == 2


@both
def test_refresh_runs_and_keeps_and_cache_false_does_neither(kind: Kind, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on(kind, cache), code_workflow(RANDOM)
    first = run(workflow, x=1, trace=str(trace))
    assert run(workflow, {"cache": False}, x=1, trace=str(trace)) != first
    assert run(workflow, x=1, trace=str(trace)) == first
    second = run(workflow, {"refresh": True}, x=1, trace=str(trace))
    assert second != first
    assert run(workflow, x=1, trace=str(trace)) == second
    assert count(trace) == 3
    assert cache.node_runs.as_dict()["refreshed"] == 1


@pytest.mark.parametrize("make", [Traced, AsyncTraced])
@both
def test_what_takes_too_little_time_or_too_much_memory_is_not_kept(kind: Kind, make: Any, tmp_path: Path) -> None:
    for name, policy, answer in (
        ("quick", CachePolicy(min_seconds=60), 1),
        ("large", CachePolicy(max_bytes=1000), "x" * 2000),
    ):
        cache, trace = ResultCache(nodes={"a": policy}), tmp_path / name
        for _ in range(2):
            assert runs_on(kind, cache)(node_workflow(make()), trace=str(trace), answer=answer)["a"]["answer"] == answer
        assert count(trace) == 2
        assert sum(cache.node_runs.as_dict()["not_kept"].values()) == 2
        assert len(cache) == 0


def test_what_a_call_asks_for_holds_where_kailash_runs_it_on_a_thread_of_its_own(tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    workflow, counts = node_workflow(Traced(trace=str(trace))), []

    async def main(runtime: LocalRuntime) -> None:
        asks: dict[str, bool]
        for asks in ({}, {"cache": False}, {"refresh": True}, {}):
            runtime.execute(workflow, **asks)
            counts.append(count(trace))

    with LocalRuntime(enable_monitoring=False, cache=cache) as runtime:
        asyncio.run(main(runtime))
    assert counts == [1, 2, 3, 3]
