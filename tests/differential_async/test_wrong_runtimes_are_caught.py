"""The comparison can fail: each deliberately wrong runtime is caught, and stock itself is not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from . import fixed_cases
from .comparison import assert_same_logs, assert_same_outcome
from .description import AsyncDescription
from .strategies import descriptions, routed
from .subject import StockAsyncRuntime
from .wrong_runtimes import WRONG_LOGS, WRONG_OUTCOME, WRONG_RARELY

pytestmark = [
    pytest.mark.timeout(900),
    # Runtimes that fail halfway leave coroutines behind.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

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


def fixed() -> Iterator[AsyncDescription]:
    """Return cases of all kinds in turn, so that most faults are met early."""
    kinds = (
        fixed_cases.limit_cases(),
        itertools.islice(fixed_cases.way_cases(), 0, None, 7),
        itertools.islice(fixed_cases.input_cases(), 0, None, 7),
        itertools.islice(fixed_cases.switch_cases(), 0, None, 5),
        itertools.islice(fixed_cases.shape_cases(), 0, None, 3),
        fixed_cases.edge_cases(),
        fixed_cases.node_cases(),
        fixed_cases.async_code_cases("values"),
    )
    for cases in itertools.zip_longest(*kinds):
        yield from (case for case in cases if case is not None)


@pytest.mark.parametrize("wrong", (*WRONG_OUTCOME, *WRONG_RARELY), ids=lambda cls: cls.__name__)
def test_a_wrong_outcome_is_caught_by_the_fixed_cases(wrong: type[Any]) -> None:
    for case in fixed():
        try:
            assert_same_outcome(wrong, case)
        except AssertionError as error:
            assert "runs part" in str(error)
            return
    pytest.fail(f"{wrong.__name__} passes every fixed case")


@pytest.mark.parametrize("wrong", WRONG_OUTCOME, ids=lambda cls: cls.__name__)
def test_a_wrong_outcome_is_caught_by_random_workflows(wrong: type[Any]) -> None:
    @SEARCH
    @given(description=descriptions() | routed())
    def search(description: AsyncDescription) -> None:
        assert_same_outcome(wrong, description)

    with pytest.raises(AssertionError, match="runs part"):
        search()


@pytest.mark.parametrize("wrong", WRONG_LOGS, ids=lambda cls: cls.__name__)
def test_wrong_logs_are_caught(wrong: type[Any]) -> None:
    @SEARCH
    @given(description=descriptions(max_nodes=2))
    def search(description: AsyncDescription) -> None:
        assert_same_logs(wrong, description)

    with pytest.raises(AssertionError, match=r"missing|extra"):
        search()


def test_stock_passes_as_its_own_subject() -> None:
    for case in itertools.islice(fixed(), 0, None, 5):
        assert_same_outcome(StockAsyncRuntime, case)
