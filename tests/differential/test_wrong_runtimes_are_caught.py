"""The comparison can fail: each deliberately wrong runtime is caught, and stock itself is not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test

from . import fixed_cases
from .changed_workflow import machine_for
from .code_samples import GROUPS
from .comparison import assert_same_logs, assert_same_outcome
from .description import Description
from .strategies import descriptions, routed
from .subject import StockRuntime
from .wrong_runtimes import WRONG_LOGS, WRONG_OUTCOME, WRONG_PLAN

pytestmark = pytest.mark.timeout(900)

# Enough to find each fault without shrinking what is found.
SEARCH = settings(
    max_examples=400,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


def fixed() -> Iterator[Description]:
    yield from itertools.islice(fixed_cases.switch_cases(("route_data",)), 0, None, 9)
    for group in GROUPS:
        yield from itertools.islice(fixed_cases.code_cases(group), 0, None, 2)
    yield from fixed_cases.odd_cases()
    yield from fixed_cases.callable_cases()


@pytest.mark.parametrize("wrong", WRONG_OUTCOME, ids=lambda cls: cls.__name__)
def test_a_wrong_outcome_is_caught_by_the_fixed_cases(wrong: type[Any]) -> None:
    for case in fixed():
        try:
            assert_same_outcome(wrong, case)
        except AssertionError as error:
            assert "outcomes part" in str(error)
            return
    pytest.fail(f"{wrong.__name__} passes every fixed case")


@pytest.mark.parametrize("wrong", WRONG_OUTCOME, ids=lambda cls: cls.__name__)
def test_a_wrong_outcome_is_caught_by_random_workflows(wrong: type[Any]) -> None:
    @SEARCH
    @given(description=descriptions() | routed(("route_data",)))
    def search(description: Description) -> None:
        assert_same_outcome(wrong, description)

    with pytest.raises(AssertionError, match="outcomes part"):
        search()


@pytest.mark.parametrize("wrong", WRONG_LOGS, ids=lambda cls: cls.__name__)
def test_wrong_logs_are_caught(wrong: type[Any]) -> None:
    @SEARCH
    @given(description=descriptions())
    def search(description: Description) -> None:
        assert_same_logs(wrong, description)

    with pytest.raises(AssertionError, match=r"missing|extra"):
        search()


@pytest.mark.parametrize("wrong", WRONG_PLAN, ids=lambda cls: cls.__name__)
def test_a_stale_plan_is_caught(wrong: type[Any]) -> None:
    with pytest.raises(AssertionError, match="outcomes part"):
        run_state_machine_as_test(machine_for(wrong), settings=settings(SEARCH, stateful_step_count=20))


def test_stock_passes_as_its_own_subject() -> None:
    for case in fixed_cases.odd_cases():
        assert_same_outcome(StockRuntime, case)
