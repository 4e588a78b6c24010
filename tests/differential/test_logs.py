"""What stock says in the log, the drop-in says too, no more and no less."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest
from hypothesis import assume, given, note, settings

from . import fixed_cases
from .code_samples import GROUPS
from .comparison import assert_same_logs
from .description import Description, NodeSpec
from .strategies import descriptions, routed

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FEWER = settings(max_examples=max(20, settings().max_examples // 4))


@given(description=descriptions())
def test_warnings_and_errors_are_logged_as_stock_does(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_logs(subject, description, logging.WARNING))


@FEWER
@given(description=descriptions(max_nodes=3) | routed(("route_data",)))
def test_information_is_logged_as_stock_does(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_logs(subject, description, logging.INFO))


@FEWER
@given(description=descriptions(max_nodes=3))
def test_debugging_is_logged_as_stock_does(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_logs(subject, description, logging.DEBUG))


@pytest.mark.parametrize("group", GROUPS)
def test_every_code_sample_logs_as_stock_does(subject: type[Any], group: str) -> None:
    for case in itertools.islice(fixed_cases.code_cases(group), 0, None, 2):
        assert_same_logs(subject, case, logging.WARNING)


def test_odd_shapes_log_as_stock_does(subject: type[Any]) -> None:
    for case in itertools.islice(fixed_cases.odd_cases(), 0, None, 3):
        assert_same_logs(subject, case, logging.WARNING)


def test_a_path_in_a_configuration_is_told_of_once_and_in_stocks_order(subject: type[Any]) -> None:
    nodes = {"a": NodeSpec("code", "result = 1", {"path": ""})}
    assert assert_same_logs(subject, Description(nodes), logging.INFO)
