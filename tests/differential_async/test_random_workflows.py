"""Any acyclic workflow has the same outcome on the async drop-in as on stock, run after run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, note

from .comparison import assert_same_outcome
from .description import AsyncDescription
from .strategies import descriptions, routed
from .subject import PLACES, load_subject, placed

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module", params=PLACES)
def subject(request: pytest.FixtureRequest) -> type[Any]:
    return placed(load_subject(), request.param)


@given(description=descriptions(plans=("sync",)))
def test_any_workflow_of_sync_nodes_has_stocks_outcome(subject: type[Any], description: AsyncDescription) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@given(description=descriptions(plans=("async",)))
def test_any_workflow_of_async_nodes_has_stocks_outcome(subject: type[Any], description: AsyncDescription) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@given(description=descriptions(plans=("mixed",)))
def test_any_workflow_of_mixed_nodes_has_stocks_outcome(subject: type[Any], description: AsyncDescription) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@given(description=routed())
def test_any_routing_of_branches_has_stocks_outcome(subject: type[Any], description: AsyncDescription) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))
