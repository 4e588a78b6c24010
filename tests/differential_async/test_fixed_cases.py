"""Every async sample, node class, edge form and way to run, one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

pytest.importorskip("kailash")

from differential.code_samples import GROUPS

from . import fixed_cases
from .async_samples import ASYNC_GROUPS
from .comparison import assert_same_outcome
from .description import AsyncDescription
from .subject import PLACES, load_subject, placed

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", params=PLACES)
def placed_subject(request: pytest.FixtureRequest) -> type[Any]:
    return placed(load_subject(), request.param)


def assert_all_same(subject: type[Any], cases: Iterable[AsyncDescription]) -> None:
    """Run every case, then report all that part rather than the first only."""
    failures, compared = [], 0
    for case in cases:
        try:
            compared += assert_same_outcome(subject, case)
        except AssertionError as error:
            failures.append(f"{case!r:.900}\n{error!s:.1500}")
    assert not failures, f"{len(failures)} of {compared + len(failures)} cases part:\n\n" + "\n\n".join(failures[:8])
    assert compared


@pytest.mark.parametrize("group", ASYNC_GROUPS)
def test_every_async_code_sample_has_stocks_outcome(subject: type[Any], group: str) -> None:
    assert_all_same(subject, fixed_cases.async_code_cases(group))


@pytest.mark.parametrize("group", GROUPS)
def test_every_sync_code_sample_has_stocks_outcome(placed_subject: type[Any], group: str) -> None:
    assert_all_same(placed_subject, fixed_cases.sync_code_cases(group))


def test_every_node_class_has_stocks_outcome(placed_subject: type[Any]) -> None:
    assert_all_same(placed_subject, fixed_cases.node_cases())


def test_every_switch_condition_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.switch_cases())


def test_every_form_of_edge_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.edge_cases())


def test_every_form_of_input_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.input_cases())


def test_every_way_to_run_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.way_cases())


def test_every_time_limit_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.limit_cases())


def test_every_shape_and_place_of_a_failure_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.shape_cases())


def test_what_ends_a_loop_or_task_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.ending_cases())
