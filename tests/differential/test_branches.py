"""Branches that switches decide on have the same outcome on the drop-in runtime as on stock, in both modes."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest
from hypothesis import assume, given, note, settings

from .branching import branching
from .comparison import assert_same_logs, assert_same_outcome, assert_same_results_in_the_end
from .description import Description

pytestmark = pytest.mark.timeout(1800)


@given(description=branching())
def test_any_pruned_workflow_has_stocks_outcome(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@given(description=branching(cases=True))
def test_any_workflow_that_is_not_pruned_has_stocks_outcome(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_results_in_the_end(subject, description))


@given(description=branching(("route_data",), cases=True))
def test_any_routed_workflow_has_stocks_outcome(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@settings(max_examples=20)
@given(description=branching(("route_data", "skip_branches")))
def test_the_pruning_of_branches_is_told_as_stock_does(subject: type[Any], description: Description) -> None:
    note(repr(description))
    description = dataclasses.replace(description, options={**description.options, "debug": False})
    assume(assert_same_logs(subject, description, logging.INFO))


@given(description=branching(("route_data", "skip_branches")))
def test_branches_are_logged_as_stock_does(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_logs(subject, description))
