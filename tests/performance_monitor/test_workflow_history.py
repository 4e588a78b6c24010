"""What workflows had come to some time ago, in bounded memory."""

from __future__ import annotations

from nexus_core.metrics.totals import WorkflowTotals
from nexus_core.monitoring.workflow_history import WorkflowHistory


def state(runs: int) -> dict[str, WorkflowTotals]:
    return {"w": WorkflowTotals(runs, runs // 2, float(runs), {"KeyError": runs // 2})}


def test_it_goes_back_as_far_as_it_is_told_and_keeps_few_states() -> None:
    history = WorkflowHistory(300)
    history.begin(0, state(0))
    for second in range(1, 2000):
        history.add(second, state(second))
        found = history.since(second, state(second))["w"].runs
        assert found == second if second < 300 else 300 <= found < 310
        assert len(history._kept) <= 32
    assert history.since(1999, state(1999))["w"].failures == {"KeyError": 1999 // 2 - (1999 - found) // 2}


def test_of_one_that_was_not_there_all_counts() -> None:
    history = WorkflowHistory(300)
    history.begin(0, {})
    assert history.since(10, state(4)) == state(4)
    history.begin(20, state(4))
    assert history.since(30, state(4)) == {"w": WorkflowTotals()}


def test_where_it_was_told_of_nothing_for_long_it_begins_with_the_last() -> None:
    history = WorkflowHistory(300)
    history.begin(0, state(0))
    history.add(100, state(7))
    assert history.since(390, state(9))["w"].runs == 9
    assert history.since(400, state(9))["w"].runs == 2
    assert history.since(5000, state(9))["w"].runs == 2
