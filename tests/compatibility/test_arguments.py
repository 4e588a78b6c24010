"""Every argument, on Kailash's runtimes and on the drop-in's: the same outcome, and run as the table says."""

from __future__ import annotations

import dataclasses

import pytest

from . import async_cases, local_cases, table
from .cases import Case, run
from .table import Row

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

_CASES = {"LocalRuntime": local_cases.CASES, "AsyncLocalRuntime": async_cases.CASES}
_ELSEWHERE = {"LocalRuntime": local_cases.ELSEWHERE, "AsyncLocalRuntime": async_cases.ELSEWHERE}

ROWS = [row for row in table.rows() if not (row.of and table.of_methods(row.of))]
SHOWN = [row for row in ROWS if row.name in _CASES[row.runtime]]


def case_of(row: Row) -> Case:
    return _CASES[row.runtime][row.name]


def test_every_argument_has_a_case() -> None:
    missing = [str(row) for row in ROWS if row not in SHOWN and row.name not in _ELSEWHERE[row.runtime]]
    assert not missing


def test_every_case_is_of_an_argument() -> None:
    for runtime, cases in _CASES.items():
        listed = {row.name for row in ROWS if row.runtime == runtime}
        assert set(cases) <= listed, runtime


@pytest.mark.parametrize("row", SHOWN, ids=str)
def test_the_outcome_is_kailashs(row: Row) -> None:
    expected = run(row.runtime, case_of(row), ours=False)
    actual = run(row.runtime, case_of(row), ours=True)
    assert actual.seen == expected.seen


@pytest.mark.parametrize("row", SHOWN, ids=str)
def test_it_runs_as_the_table_says(row: Row) -> None:
    outcome = run(row.runtime, case_of(row), ours=True)
    statistics = outcome.runtime.engine_statistics()
    if row.how == "delegated":
        assert statistics["delegated_runs"] and statistics["native_runs"] == 0
    else:
        assert statistics == {"native_runs": 1, "delegated_runs": {}}


@pytest.mark.parametrize("row", [row for row in SHOWN if "__init__" in str(row.of)], ids=str)
def test_explain_says_of_an_option_what_the_table_says(row: Row) -> None:
    explained = run(row.runtime, case_of(row), ours=True).explained
    by_call = case_of(row).call()  # explain does not know it
    if not by_call:
        assert explained.native is (row.how != "delegated")
        assert bool(explained.reasons) is (row.how == "delegated")


@pytest.mark.parametrize("row", [row for row in SHOWN if row.how == "delegated"], ids=str)
@pytest.mark.parametrize("monitored", [True, False])
def test_explain_says_what_a_delegated_run_costs(row: Row, monitored: bool) -> None:
    case = case_of(row)
    outcome = run(
        row.runtime, dataclasses.replace(case, options=lambda: {**case.options(), "enable_monitoring": monitored}), True
    )
    if outcome.explained.native:
        assert case.call()  # what explain is not told
        return
    notes = " ".join(outcome.explained.notes)
    assert "one after the other" in notes
    assert ("run history is written before execute returns" in notes) is (monitored and row.runtime == "LocalRuntime")
    assert "in the background" not in notes
    assert all(f"Note: {note}" in str(outcome.explained) for note in outcome.explained.notes)


def test_explain_does_not_say_that_parallelism_is_lost_where_none_was_asked_for() -> None:
    case = Case(lambda: {"enable_audit": True, "max_concurrency": 1})
    explained = run("LocalRuntime", case, ours=True).explained
    assert not explained.native
    assert "one after the other" not in str(explained)
