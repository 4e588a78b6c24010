"""Driving a graph from outside, beside the standard library's ``graphlib``."""

from __future__ import annotations

import gc
import graphlib
import threading
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import Ref, TaskGraph
from nexus_core.errors import StepError, UnknownNode

from .support import NodePlan, build, node_plans


@given(plans=node_plans(most=40), data=st.data())
def test_it_steps_as_graphlib_does(plans: list[NodePlan], data: st.DataObject) -> None:
    stepper = build(plans).compile().stepper()
    standard = graphlib.TopologicalSorter({plan.name: plan.sources for plan in plans})
    standard.prepare()
    handed_out: list[str] = []
    while standard.is_active():
        assert stepper.is_active()
        assert bool(stepper)
        ready = stepper.get_ready()
        assert set(ready) == set(standard.get_ready())
        assert len(ready) == len(set(ready))
        handed_out += ready
        assert stepper.get_ready() == ()
        finished = data.draw(st.sets(st.sampled_from(handed_out), min_size=1))
        standard.done(*finished)
        stepper.done(*finished)
        handed_out = [name for name in handed_out if name not in finished]
    assert not stepper.is_active()
    assert not stepper
    assert stepper.get_ready() == ()


def chain() -> Any:
    graph = TaskGraph()
    first = graph.add("first", int)
    graph.add("second", int, first)
    return graph.compile().stepper()


def test_a_node_that_was_not_handed_out_cannot_be_done() -> None:
    stepper = chain()
    for name in ("first", "second"):
        with pytest.raises(StepError) as caught:
            stepper.done(name)
        assert caught.value.name == name
        assert str(caught.value) == f"node '{name}' was not handed out by get_ready()"
        assert isinstance(caught.value, ValueError)


def test_a_node_cannot_be_done_twice() -> None:
    stepper = chain()
    stepper.get_ready()
    with pytest.raises(StepError, match="node 'first' was already marked done"):
        stepper.done("first", "first")
    stepper.done("first")
    with pytest.raises(StepError, match="node 'first' was already marked done"):
        stepper.done("first")


def test_a_refused_call_marks_nothing() -> None:
    stepper = chain()
    stepper.get_ready()
    with pytest.raises(StepError, match="'second'"):
        stepper.done("first", "second")
    with pytest.raises(UnknownNode, match="there is no node 'third'"):
        stepper.done("first", "third")
    assert stepper.get_ready() == ()
    stepper.done("first")
    assert stepper.get_ready() == ("second",)


def test_references_and_no_nodes_at_all_are_accepted() -> None:
    stepper = chain()
    stepper.done()
    stepper.get_ready()
    stepper.done(Ref("first"))
    assert stepper.get_ready() == ("second",)


def test_steppers_of_one_graph_are_independent() -> None:
    compiled = build([NodePlan("a", (), "list", 0.0), NodePlan("b", ("a",), "list", 0.0)]).compile()
    one, other = compiled.stepper(), compiled.stepper()
    one.get_ready()
    one.done("a")
    assert (one.get_ready(), other.get_ready()) == (("b",), ("a",))


def test_a_hundred_thousand_nodes_are_done_at_once() -> None:
    graph = TaskGraph()
    for number in range(100_000):
        graph.add(f"n{number}", int)
    stepper = graph.compile().stepper()
    ready = stepper.get_ready()
    assert len(ready) == 100_000
    stepper.done(*ready)
    assert not stepper


def test_several_threads_share_a_stepper() -> None:
    graph = TaskGraph()
    for number in range(2000):
        graph.add(f"n{number}", int, *([Ref(f"n{number // 2}")] if number else []))
    stepper = graph.compile().stepper()
    taken: list[str] = []

    def work() -> None:
        while stepper:
            for name in stepper.get_ready():
                taken.append(name)
                stepper.done(name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"n{number}" for number in range(2000))


def test_a_stepper_that_its_own_nodes_refer_to_is_collected() -> None:
    class Node:
        stepper: Any = None

        def __call__(self) -> None:
            """Only there to be called."""

    node = Node()
    graph = TaskGraph()
    graph.add("node", node)
    node.stepper = graph.compile().stepper()
    watched = weakref.ref(node)
    del node, graph
    gc.collect()
    assert watched() is None
