"""What stock says in the log, the async drop-in says too, no more and no less."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest
from hypothesis import assume, given, note, settings

from . import fixed_cases
from .async_samples import ASYNC_GROUPS
from .comparison import assert_same_logs
from .description import AsyncDescription
from .strategies import descriptions, routed

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

FEWER = settings(max_examples=max(20, settings().max_examples // 2))


@given(description=descriptions(max_nodes=3))
def test_warnings_and_errors_are_logged_as_stock_does(subject: type[Any], description: AsyncDescription) -> None:
    note(repr(description))
    assume(assert_same_logs(subject, description, logging.WARNING))


@FEWER
@given(description=descriptions(max_nodes=2) | routed())
def test_information_is_logged_as_stock_does(subject: type[Any], description: AsyncDescription) -> None:
    note(repr(description))
    assume(assert_same_logs(subject, description, logging.INFO))


@pytest.mark.parametrize("group", ASYNC_GROUPS)
def test_every_async_code_sample_logs_as_stock_does(subject: type[Any], group: str) -> None:
    for case in itertools.islice(fixed_cases.async_code_cases(group), 0, None, 3):
        assert_same_logs(subject, case, logging.WARNING)


def test_every_node_class_logs_as_stock_does(subject: type[Any]) -> None:
    for case in itertools.islice(fixed_cases.node_cases(), 0, None, 5):
        assert_same_logs(subject, case, logging.WARNING)


def test_every_form_of_input_logs_as_stock_does(subject: type[Any]) -> None:
    for case in itertools.islice(fixed_cases.input_cases(), 0, None, 7):
        assert_same_logs(subject, case, logging.INFO)
