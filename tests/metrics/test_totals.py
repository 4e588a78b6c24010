"""Totals of runs, against everything that `runtime.metrics()` tells."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from metrics.test_counts import Sides, side  # noqa: F401 - a fixture
from nexus_core.metrics.totals import RuntimeTotals, WorkflowTotals, read_totals
from nexus_core.runtime import LocalRuntime
from runtime.support import code_workflow


def workflow(name: str, code: str) -> Any:
    # A local run fails if something depends on what has failed.
    made = code_workflow({"node": code, "end": "result = 1"}, [("node", "end")])
    made.name = name
    return made


def assert_as_in_metrics(runtime: Any) -> RuntimeTotals:
    totals, metrics = read_totals(runtime), runtime.metrics()
    assert totals.workflows == {
        name: WorkflowTotals(found.runs, found.failed, found.duration.total, found.failures)
        for name, found in metrics.workflows.items()
    }
    assert totals.active == metrics.active
    assert totals.waiting == (None if metrics.places is None else metrics.places.waiting)
    assert (totals.lag_samples, totals.lag_seconds) == (metrics.loop_lag.count, metrics.loop_lag.total)
    return totals


def test_they_are_those_of_the_metrics(side: Sides) -> None:  # noqa: F811
    assert read_totals(side.runtime).workflows == {}
    good, bad = workflow("good", "result = 1"), workflow("bad", "result = {}['x']")
    twin = workflow("good", "result = 1 / 0")
    for each in (good, good, bad, twin, bad, good):
        side.execute(each)
    totals = assert_as_in_metrics(side.runtime)
    assert {name: (found.runs, found.failed) for name, found in totals.workflows.items()} == {
        "good": (4, 1),
        "bad": (2, 2),
    }
    assert totals.workflows["bad"].failures == {"KeyError": 2}


def test_they_never_shrink_while_workflows_make_room_for_others(side: Sides) -> None:  # noqa: F811
    for number in range(300):  # more than have figures of their own
        side.execute(workflow(f"w{number}", "result = 1"))
        if number % 50 == 49:
            gc.collect()
            assert sum(found.runs for found in read_totals(side.runtime).workflows.values()) == number + 1
    assert "other" in assert_as_in_metrics(side.runtime).workflows


def test_a_runtime_that_counts_nothing_has_none() -> None:
    with LocalRuntime(enable_monitoring=False) as runtime:
        runtime._figures = None
        runtime.execute(workflow("w", "result = 1"))
        totals = read_totals(runtime)
    assert (totals.workflows, totals.active, totals.waiting) == ({}, 0, None)


def test_what_was_added() -> None:
    before = WorkflowTotals(3, 1, 0.5, {"KeyError": 1})
    after = WorkflowTotals(7, 3, 2.0, {"KeyError": 1, "OSError": 2})
    assert after.since(before) == WorkflowTotals(4, 2, 1.5, {"OSError": 2})
    assert before.since(WorkflowTotals()) == before


@pytest.mark.parametrize("kind", ["local", "async"])
def test_the_age_is_since_the_runtime_was_made(kind: str) -> None:
    first = Sides(kind)
    second = Sides(kind)
    ages = [read_totals(each.runtime).age for each in (second, first)]
    assert 0 <= ages[0] < ages[1]
    first.close()
    second.close()
