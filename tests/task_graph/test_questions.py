"""What a compiled graph answers about itself."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import CompiledGraph, Ref, TaskGraph
from nexus_core.errors import GraphError, NoDurations, UnknownNode

from .support import NodePlan, build, node_plans

SECONDS = st.floats(0, 1000) | st.sampled_from([0.0, 1.0, 2.5])


@pytest.fixture
def diamond() -> CompiledGraph:
    graph = TaskGraph()
    load = graph.add("load", lambda: time.sleep(0.005))
    left = graph.add("left", lambda _: time.sleep(0.02), load)
    right = graph.add("right", lambda _: time.sleep(0.001), load)
    graph.add("join", lambda *_: time.sleep(0.005), left, right)
    return graph.compile()


DURATIONS = {"load": 1.0, "left": 5.0, "right": 2.0, "join": 1.5}


def test_order_levels_and_neighbours(diamond: CompiledGraph) -> None:
    assert diamond.topological_order() == ["load", "left", "right", "join"]
    assert diamond.levels() == [["load"], ["left", "right"], ["join"]]
    assert diamond.predecessors("join") == ["left", "right"]
    assert diamond.successors("load") == ["left", "right"]
    assert diamond.successors("join") == diamond.predecessors("load") == []
    assert len(diamond) == 4


def test_critical_path_slack_and_makespan_with_given_durations(diamond: CompiledGraph) -> None:
    assert diamond.critical_path(DURATIONS) == (["load", "left", "join"], 7.5)
    assert diamond.slack(DURATIONS) == {"load": 0.0, "left": 0.0, "right": 3.0, "join": 0.0}
    assert diamond.predict_makespan(1, DURATIONS) == 9.5
    assert diamond.predict_makespan(2, DURATIONS) == 7.5
    assert diamond.predict_makespan(1000, DURATIONS) == 7.5
    assert diamond.predict_schedule(2, DURATIONS) == [
        ("load", 0, 0.0, 1.0),
        ("left", 0, 1.0, 6.0),
        ("right", 1, 1.0, 3.0),
        ("join", 0, 6.0, 7.5),
    ]


def test_questions_use_measured_durations(diamond: CompiledGraph) -> None:
    for question in (diamond.critical_path, diamond.slack, lambda: diamond.predict_makespan(2)):
        with pytest.raises(NoDurations, match=r"pass durations=\{name: seconds\}, or run once with measure=True"):
            question()
    assert diamond.durations() == {}
    diamond.run(measure=True)
    measured = diamond.durations()
    assert list(measured) == ["load", "left", "right", "join"]
    assert measured["left"] >= 0.019
    path, length = diamond.critical_path()
    assert path == ["load", "left", "join"]
    assert length == pytest.approx(sum(measured[name] for name in path))
    assert diamond.predict_makespan(1) == pytest.approx(sum(measured.values()))


@pytest.mark.parametrize(
    ("durations", "error", "text"),
    [
        (
            {"load": 1.0, "left": 1.0, "right": 1.0},
            ValueError,
            "durations lacks node 'join'; give seconds for every node",
        ),
        ({**DURATIONS, "other": 1.0}, UnknownNode, "there is no node 'other'"),
        ({**DURATIONS, "left": -1.0}, GraphError, "the duration of node 'left' is -1 s; a duration must be finite"),
        ({**DURATIONS, "left": float("nan")}, GraphError, "the duration of node 'left' is NaN s"),
        ({**DURATIONS, "left": float("inf")}, GraphError, "the duration of node 'left' is inf s"),
        (dict.fromkeys(DURATIONS, 1e308), GraphError, "add up to more than a 64-bit float can hold"),
        ([1.0, 2.0], TypeError, "durations must be a mapping of node name to seconds, got [1.0, 2.0]"),
        ({**DURATIONS, "left": "long"}, TypeError, "the duration of node 'left' must be in seconds, got 'long'"),
    ],
)
def test_durations_that_make_no_sense_are_refused(
    diamond: CompiledGraph, durations: Any, error: type[Exception], text: str
) -> None:
    for question in (diamond.critical_path, diamond.slack, lambda seconds: diamond.predict_schedule(2, seconds)):
        with pytest.raises(error) as caught:
            question(durations)
        assert text in str(caught.value)


@pytest.mark.parametrize("workers", [0, -1])
def test_a_schedule_needs_a_worker(diamond: CompiledGraph, workers: int) -> None:
    with pytest.raises(ValueError, match=f"workers must be at least 1, got {workers}"):
        diamond.predict_makespan(workers, DURATIONS)


@pytest.mark.parametrize("name", ["nowhere", 5, None])
def test_unknown_nodes_have_no_neighbours(diamond: CompiledGraph, name: Any) -> None:
    for question in (diamond.predecessors, diamond.successors):
        with pytest.raises(UnknownNode, match="there is no node"):
            question(name)


def test_questions_take_a_reference_for_a_name(diamond: CompiledGraph) -> None:
    assert diamond.predecessors(Ref("left")) == ["load"]  # type: ignore[arg-type]


@given(plans=node_plans(), data=st.data())
def test_answers_agree_with_their_definitions(plans: list[NodePlan], data: st.DataObject) -> None:
    compiled = build(plans).compile()
    order = compiled.topological_order()
    sources = {plan.name: set(plan.sources) for plan in plans}
    seconds = {name: data.draw(SECONDS) for name in order}

    level: dict[str, int] = {}
    ends: dict[str, float] = {}
    for name in order:
        level[name] = max((level[source] + 1 for source in sources[name]), default=0)
        ends[name] = max((ends[source] for source in sources[name]), default=0.0) + seconds[name]
    assert compiled.levels() == [
        [name for name in order if level[name] == depth] for depth in range(max(level.values()) + 1)
    ]
    for name in order:
        assert set(compiled.predecessors(name)) == sources[name]
        assert compiled.successors(name) == [other for other in order if name in sources[other]]

    path, length = compiled.critical_path(seconds)
    assert length == pytest.approx(max(ends.values()))
    assert all(before in sources[after] for before, after in itertools.pairwise(path))
    slack = compiled.slack(seconds)
    assert all(slack[name] == 0 for name in path)
    assert all(value >= 0 for value in slack.values())


@given(plans=node_plans(), workers=st.integers(1, 6), data=st.data())
def test_a_predicted_schedule_could_be_run(plans: list[NodePlan], workers: int, data: st.DataObject) -> None:
    compiled = build(plans).compile()
    seconds = {name: data.draw(SECONDS) for name in compiled.topological_order()}
    schedule = compiled.predict_schedule(workers, seconds)
    ends = {name: end for name, _, _, end in schedule}
    assert sorted(ends) == sorted(seconds)
    for name, worker, start, end in schedule:
        assert 0 <= worker < workers
        assert end == start + seconds[name]
        assert all(ends[source] <= start for source in compiled.predecessors(name))
    for worker in range(workers):
        own = sorted((start, end) for _, each, start, end in schedule if each == worker)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(own))
    makespan = compiled.predict_makespan(workers, seconds)
    total, (_, length) = sum(seconds.values()), compiled.critical_path(seconds)
    assert makespan == max(ends.values())
    # Graham's bounds for any schedule that never idles while a node is ready.
    assert max(length, total / workers) <= makespan * (1 + 1e-9)
    assert makespan <= (total / workers + length * (1 - 1 / workers)) * (1 + 1e-9) + 1e-9
