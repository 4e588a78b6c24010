"""What is refused, in which words, and that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import CancellationToken, Input, Ref, TaskGraph
from nexus_core.errors import (
    CycleError,
    DuplicateNode,
    GraphError,
    MissingInput,
    NexusCoreError,
    NotCallable,
    UnknownInput,
    UnknownNode,
)


def double(x: Any) -> Any:
    return x * 2


@pytest.fixture
def graph() -> TaskGraph:
    graph = TaskGraph()
    graph.add("a", double, Input("x"))
    graph.add("b", double, Ref("a"))
    return graph


def assert_unchanged(graph: TaskGraph) -> None:
    assert len(graph) == 2
    assert graph.run({"x": 3}) == {"a": 6, "b": 12}


def test_a_cycle_is_shown_by_its_full_path() -> None:
    graph = TaskGraph()
    graph.add("start", double, 1)
    graph.add("a", double, Ref("c"))
    graph.add("b", lambda *xs: xs, Ref("start"), Ref("a"))
    graph.add("c", double, [{"k": Ref("b")}])
    with pytest.raises(CycleError) as caught:
        graph.compile()
    assert caught.value.path == ("a", "b", "c", "a")
    assert str(caught.value) == (
        "these nodes wait for one another: 'a' -> 'b' -> 'c' -> 'a'; remove one of these references"
    )
    assert isinstance(caught.value, GraphError | NexusCoreError | ValueError)


def test_a_node_that_waits_for_itself_is_a_cycle() -> None:
    graph = TaskGraph()
    graph.add("own", double, Ref("own"))
    with pytest.raises(CycleError) as caught:
        graph.run()
    assert caught.value.path == ("own", "own")


def test_a_cycle_made_with_after_is_found() -> None:
    graph = TaskGraph()
    graph.add("a", double, 1)
    graph.add("b", double, Ref("a"))
    graph.after("a", "b")
    with pytest.raises(CycleError, match="'a' -> 'b' -> 'a'"):
        graph.compile()


def test_a_long_cycle_is_shown_whole() -> None:
    count = 20_000
    graph = TaskGraph()
    for number in range(count):
        graph.add(f"n{number}", double, Ref(f"n{(number - 1) % count}"))
    with pytest.raises(CycleError) as caught:
        graph.compile()
    assert caught.value.path == (*(f"n{number}" for number in range(count)), "n0")


def test_the_direction_of_a_cycle_is_that_of_the_data() -> None:
    graph = TaskGraph()
    graph.add("a", double, Ref("b"))
    graph.add("b", double, Ref("c"))
    graph.add("c", double, Ref("a"))
    with pytest.raises(CycleError) as caught:
        graph.compile()
    assert caught.value.path == ("a", "c", "b", "a")


def test_a_second_node_of_the_same_name_is_refused(graph: TaskGraph) -> None:
    with pytest.raises(DuplicateNode) as caught:
        graph.add("a", double, 0)
    assert caught.value.name == "a"
    assert str(caught.value) == "the graph already has a node 'a'; give the new one another name"
    assert_unchanged(graph)


def test_an_unknown_reference_names_itself_and_its_referrer() -> None:
    graph = TaskGraph()
    graph.add("sum", double, [Ref("nowhere")])
    with pytest.raises(UnknownNode) as caught:
        graph.compile()
    assert (caught.value.name, caught.value.referrer) == ("nowhere", "sum")
    assert str(caught.value) == (
        "node 'sum' refers to node 'nowhere', which was never added; add it, or correct the name"
    )
    graph.add("nowhere", lambda: 4)
    assert graph.run() == {"nowhere": 4, "sum": [4, 4]}


def test_after_names_the_unknown_predecessor_and_its_referrer() -> None:
    graph = TaskGraph()
    graph.add("late", lambda: 1)
    graph.after("late", "never")
    with pytest.raises(UnknownNode) as caught:
        graph.run()
    assert (caught.value.name, caught.value.referrer) == ("never", "late")


def test_after_refuses_an_unknown_node(graph: TaskGraph) -> None:
    with pytest.raises(UnknownNode) as caught:
        graph.after("c", "a")
    assert (caught.value.name, caught.value.referrer) == ("c", None)
    assert str(caught.value) == "there is no node 'c'; names are those given to add()"
    assert_unchanged(graph)


def test_after_refuses_what_is_no_name_and_then_changes_nothing(graph: TaskGraph) -> None:
    with pytest.raises(TypeError, match="a node is named by a str or a Ref, got 5"):
        graph.after("a", "b", 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a node is named by a str or a Ref, got None"):
        graph.after(None, "b")  # type: ignore[arg-type]
    assert_unchanged(graph)


@pytest.mark.parametrize("thing", [5, None, "text", [], Ref("a")])
def test_what_cannot_be_called_is_no_node(graph: TaskGraph, thing: Any) -> None:
    with pytest.raises(NotCallable) as caught:
        graph.add("c", thing)
    assert caught.value.name == "c"
    assert str(caught.value) == f"node 'c' needs a callable, got {thing!r}"
    assert isinstance(caught.value, TypeError)
    assert_unchanged(graph)


@pytest.mark.parametrize("name", [5, None, b"a", Ref("c"), ["c"]])
def test_a_name_that_is_no_text_is_refused(graph: TaskGraph, name: Any) -> None:
    with pytest.raises(TypeError) as caught:
        graph.add(name, double, 1)
    assert str(caught.value) == f"a node's name must be a str, got {name!r}"
    assert_unchanged(graph)


def test_a_reference_under_too_many_containers_is_refused() -> None:
    nested: Any = Ref("a")
    for _ in range(100):
        nested = [nested]
    graph = TaskGraph()
    graph.add("a", int)
    graph.add("b", double, nested)
    with pytest.raises(GraphError, match="under more than 64 containers, or holds itself; pass it as"):
        graph.compile()


def test_a_container_that_holds_itself_and_a_reference_is_refused() -> None:
    endless: list[Any] = [Ref("a")]
    endless.append(endless)
    graph = TaskGraph()
    graph.add("a", int)
    graph.add("b", double, endless)
    with pytest.raises(GraphError, match="holds itself"):
        graph.compile()


def test_a_run_without_a_value_for_an_input_names_all_that_lack_one() -> None:
    graph = TaskGraph()
    graph.add("node", lambda *xs: xs, Input("x"), Input("y", 1), Input("z"))
    with pytest.raises(MissingInput) as caught:
        graph.run({"y": 3})
    assert caught.value.names == ("x", "z")
    assert str(caught.value) == "no value for input 'x', 'z'; pass run({'x': ...}) or a default"
    assert isinstance(caught.value, KeyError)
    assert graph.run({"x": 1, "z": 3}) == {"node": (1, 1, 3)}


def test_a_run_with_an_unknown_input_names_it_and_the_known_ones(graph: TaskGraph) -> None:
    with pytest.raises(UnknownInput) as caught:
        graph.run({"x": 1, "X": 2, 3: 4})  # type: ignore[dict-item]
    assert caught.value.names == ("X", 3)
    assert caught.value.known == ("x",)
    assert str(caught.value) == "the graph has no input 'X', 3; its inputs are: 'x'"
    assert_unchanged(graph)


def test_a_graph_without_inputs_says_so() -> None:
    graph = TaskGraph()
    graph.add("a", int)
    with pytest.raises(UnknownInput, match="the graph has no input 'x'; its inputs are: none"):
        graph.run({"x": 1})


def test_two_defaults_for_one_input_are_no_default() -> None:
    with pytest.raises(TypeError, match="a name and at most one default, 2 defaults were given"):
        Input("x", 1, 2)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_concurrency": 0}, ValueError, "max_concurrency must be at least 1, got 0"),
        ({"max_concurrency": -3}, ValueError, "max_concurrency must be at least 1, got -3"),
        ({"max_concurrency": "2"}, TypeError, "max_concurrency"),
        ({"max_concurrency": 1.5}, TypeError, "max_concurrency"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number of seconds, got 0"),
        ({"timeout": -1.5}, ValueError, "timeout must be a positive number of seconds, got -1.5"),
        ({"timeout": float("nan")}, ValueError, "timeout must be a positive number of seconds, got NaN"),
        ({"timeout": "soon"}, TypeError, "timeout"),
        ({"outputs": "b"}, TypeError, "outputs must be a list of node names, got the string 'b'"),
        ({"outputs": 5}, TypeError, "'int' object is not iterable"),
        ({"outputs": ["b", "q"]}, UnknownNode, "there is no node 'q'; names are those given to add()"),
        ({"outputs": [["b"]]}, TypeError, "unhashable type: 'list'"),
        ({"cancel": True}, TypeError, "cancel"),
        ({"workers": 3}, TypeError, "workers"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_any_node_runs(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    ran: list[int] = []
    graph = TaskGraph()
    graph.add("a", ran.append, Input("x", 1))
    graph.add("b", double, Ref("a"))
    runs: list[Callable[..., Any]] = [graph.run, graph.compile().run]
    for run in runs:
        with pytest.raises(error) as caught:
            run(**options)
        assert text in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert ran == []


def test_inputs_that_are_no_mapping_are_refused(graph: TaskGraph) -> None:
    with pytest.raises(TypeError, match="inputs"):
        graph.run([("x", 1)])  # type: ignore[arg-type]
    assert_unchanged(graph)


def test_a_mapping_that_raises_passes_its_error_on(graph: TaskGraph) -> None:
    class Broken(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise RuntimeError("no values today")

        def __contains__(self, key: object) -> bool:
            raise RuntimeError("no values today")

    with pytest.raises(RuntimeError, match="no values today"):
        graph.run(Broken(x=1))
    assert_unchanged(graph)


def test_a_token_says_whether_and_why_it_was_cancelled() -> None:
    token = CancellationToken()
    assert (token.cancelled, token.reason, repr(token)) == (False, None, "<CancellationToken active>")
    token.cancel("enough")
    token.cancel("too late to matter")
    assert (token.cancelled, token.reason, repr(token)) == (True, "enough", "<CancellationToken cancelled: enough>")
