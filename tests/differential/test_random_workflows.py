"""Any acyclic workflow has the same outcome on the drop-in runtime as on stock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, note

from .comparison import assert_same_outcome
from .description import Description
from .strategies import descriptions, routed

pytestmark = pytest.mark.timeout(1800)


@given(description=descriptions())
def test_any_acyclic_workflow_has_stocks_outcome(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@given(description=descriptions(max_nodes=1))
def test_any_single_node_has_stocks_outcome(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))


@given(description=routed())
def test_any_routing_of_branches_has_stocks_outcome(subject: type[Any], description: Description) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, description))
