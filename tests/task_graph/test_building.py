"""What a node's arguments may hold, and what the node then gets."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from nexus_core import CompiledGraph, Input, Ref, TaskGraph


def give(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def run_one(*args: Any, inputs: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """What a node with these arguments gets when node ``a`` returned 1 and ``b`` returned 2."""
    graph = TaskGraph()
    graph.add("node", give, *args, **kwargs)
    graph.add("a", lambda: 1)
    graph.add("b", lambda: 2)
    return graph.run(inputs)["node"]


def test_references_stand_for_results_in_positional_arguments() -> None:
    assert run_one(Ref("a"), "between", Ref("b"), Ref("a")) == ((1, "between", 2, 1), {})


def test_references_stand_for_results_in_keyword_arguments() -> None:
    assert run_one(0, x=Ref("b"), y=3, z=Ref("a")) == ((0,), {"x": 2, "y": 3, "z": 1})


def test_keyword_arguments_keep_their_order() -> None:
    _, kwargs = run_one(z=1, a=Ref("a"), m=3)
    assert list(kwargs) == ["z", "a", "m"]


@pytest.mark.parametrize("count", [7, 8, 9, 40])
def test_any_number_of_arguments_arrives_in_order(count: int) -> None:
    args, kwargs = run_one(*[Ref("a")] * count, *range(count), **{f"k{n}": n for n in range(count)})
    assert args == (*[1] * count, *range(count))
    assert kwargs == {f"k{n}": n for n in range(count)}


def test_references_are_found_in_lists_tuples_and_dicts_at_any_depth() -> None:
    nested = [{"t": (Ref("a"), [Ref("b"), {"k": Ref("a")}]), "c": [4]}, ()]
    assert run_one(nested, deep={"l": [[[Ref("b")]]]}) == (
        ([{"t": (1, [2, {"k": 1}]), "c": [4]}, ()],),
        {"deep": {"l": [[[2]]]}},
    )


def test_containers_with_references_are_built_anew_for_each_run() -> None:
    graph = TaskGraph()
    graph.add("a", lambda: 1)
    graph.add("node", lambda items: items.append(0) or items, [Ref("a")])
    compiled = graph.compile()
    assert compiled.run()["node"] == [1, 0]
    assert compiled.run()["node"] == [1, 0]


def test_values_without_references_arrive_as_the_very_objects() -> None:
    constants = ([1, 2], {"k": (1,)}, object(), collections.OrderedDict(a=1))
    args, _ = run_one(*constants)
    assert all(given is got for given, got in zip(constants, args, strict=True))


def test_data_that_holds_itself_is_passed_on() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    (got,), _ = run_one(endless)
    assert got is endless


def test_very_deep_data_is_passed_on() -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    (got,), _ = run_one(deep)
    assert got is deep
    while deep:  # the interpreter takes it down level by level no better than we do
        deep = deep.pop()


def test_add_returns_the_reference_to_the_new_node() -> None:
    graph = TaskGraph()
    first = graph.add("first", lambda: 20)
    assert first == Ref("first")
    assert first.name == "first"
    assert repr(first) == "Ref('first')"
    graph.add("second", lambda x: x + 1, first)
    assert graph.run() == {"first": 20, "second": 21}


def test_references_compare_and_hash_by_name() -> None:
    assert Ref("a") == Ref("a") != Ref("b")
    assert Ref("a") != "a"
    assert len({Ref("a"), Ref("a"), Ref("b")}) == 2


def test_a_reference_may_come_before_its_node() -> None:
    graph = TaskGraph()
    graph.add("late", lambda x: x * 2, Ref("early"))
    graph.add("early", lambda: 4)
    assert list(graph.run().items()) == [("early", 4), ("late", 8)]


def test_a_reference_repeated_in_one_node_counts_once_as_an_edge() -> None:
    graph = TaskGraph()
    a = graph.add("a", lambda: 1)
    graph.add("b", lambda *args, **kwargs: (args, kwargs), a, a, k=[a, a])
    compiled = graph.compile()
    assert compiled.predecessors("b") == ["a"]
    assert repr(compiled) == "<CompiledGraph of 2 nodes and 1 edges>"


def test_inputs_are_given_to_each_run() -> None:
    graph = TaskGraph()
    graph.add("sum", lambda x, y: x + y, Input("x"), y=Input("y"))
    graph.add("nested", lambda data: data, {"values": [Input("x"), (Input("y"),)]})
    assert graph.run({"x": 1, "y": 2}) == {"sum": 3, "nested": {"values": [1, (2,)]}}
    assert graph.run({"x": "a", "y": "b"}) == {"sum": "ab", "nested": {"values": ["a", ("b",)]}}


def test_inputs_fall_back_on_their_default() -> None:
    graph = TaskGraph()
    graph.add("value", lambda x: x, Input("x", 5))
    assert graph.run() == {"value": 5}
    assert graph.run({}) == {"value": 5}
    assert graph.run({"x": 6}) == {"value": 6}


def test_none_is_a_default_and_a_value() -> None:
    graph = TaskGraph()
    graph.add("value", lambda x: x, Input("x", None))
    assert graph.run() == {"value": None}
    assert graph.run({"x": None}) == {"value": None}


def test_one_default_serves_every_mention_of_an_input() -> None:
    graph = TaskGraph()
    graph.add("first", lambda x: x, Input("x"))
    graph.add("second", lambda x: x, Input("x", 7))
    assert graph.run() == {"first": 7, "second": 7}


def test_inputs_and_tokens_show_what_they_are() -> None:
    assert repr(Input("x")) == "Input('x')"
    assert repr(Input("x", [1])) == "Input('x', [1])"
    assert Input("x").name == "x"


def test_inputs_may_come_in_any_mapping() -> None:
    graph = TaskGraph()
    graph.add("value", lambda x: x, Input("x"))
    assert graph.run(collections.ChainMap({"x": 1}, {"x": 2})) == {"value": 1}


def test_after_orders_nodes_that_pass_no_result() -> None:
    seen: list[str] = []
    graph = TaskGraph()
    for name in ["c", "b", "a"]:
        graph.add(name, lambda name=name: seen.append(name))
    graph.after("c", "b", Ref("a"))
    graph.after(Ref("b"), "a")
    graph.run()
    assert seen == ["a", "b", "c"]
    assert graph.compile().predecessors("c") == ["a", "b"]


def test_a_graph_knows_its_size_and_its_nodes() -> None:
    graph = TaskGraph()
    assert (len(graph), repr(graph)) == (0, "<TaskGraph of 0 nodes>")
    graph.add("a", int)
    assert (len(graph), "a" in graph, "b" in graph) == (1, True, False)
    assert len(graph.compile()) == 1


def test_an_empty_graph_runs() -> None:
    compiled = TaskGraph().compile()
    assert compiled.run() == {}
    assert (compiled.topological_order(), compiled.levels()) == ([], [])
    assert not compiled.stepper()


def test_compiling_twice_gives_the_same_plan_until_the_graph_changes() -> None:
    graph = TaskGraph()
    graph.add("a", lambda: 1)
    first = graph.compile()
    assert isinstance(first, CompiledGraph)
    assert graph.compile() is first
    graph.add("b", lambda: 2)
    second = graph.compile()
    assert second is not first
    assert (first.run(), second.run()) == ({"a": 1}, {"a": 1, "b": 2})
    graph.after("a", "b")
    assert list(graph.run()) == ["b", "a"]


def test_names_may_be_any_text() -> None:
    names = ["", " ", "ü\N{SNOWMAN}", "a.b", "x" * 10_000, "\ud800"]
    graph = TaskGraph()
    for name in names:
        graph.add(name, lambda name=name: name)
    assert graph.run() == {name: name for name in names}


def test_any_callable_is_a_node() -> None:
    class Callable:
        def __call__(self, x: int) -> int:
            return x + 1

        def method(self, x: int) -> int:
            return x + 2

    graph = TaskGraph()
    graph.add("instance", Callable(), 1)
    graph.add("method", Callable().method, 1)
    graph.add("class", complex, 1, imag=2)
    graph.add("builtin", len, [Ref("class")])
    graph.add("unbound", str.upper, "a")
    assert graph.run() == {"instance": 2, "method": 3, "class": 1 + 2j, "builtin": 1, "unbound": "A"}
