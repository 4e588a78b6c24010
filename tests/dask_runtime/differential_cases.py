"""A part of the differential tests of ``LocalRuntime``, with ``DaskRuntime`` as the subject; all: ``make test-beyond``.

``test_differential`` runs them in a process of their own, with a fixed hash seed: stock goes
through sets of strings in places, so that the order of a node's inputs, for one, differs from
process to process.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest

from dask_runtime.subject import ClusterRuntime, placements
from differential import fixed_cases
from differential.code_samples import GROUPS
from differential.test_branches import (
    test_any_pruned_workflow_has_stocks_outcome,
    test_any_routed_workflow_has_stocks_outcome,
)
from differential.test_cycles import (
    test_a_fixed_case_has_stocks_outcome,
    test_any_workflow_with_cycles_has_stocks_outcome,
)
from differential.test_fixed_cases import assert_all_same
from differential.test_logs import test_warnings_and_errors_are_logged_as_stock_does
from differential.test_random_workflows import (
    test_any_acyclic_workflow_has_stocks_outcome,
    test_any_single_node_has_stocks_outcome,
)

__all__ = [
    "test_a_fixed_case_has_stocks_outcome",
    "test_any_acyclic_workflow_has_stocks_outcome",
    "test_any_pruned_workflow_has_stocks_outcome",
    "test_any_routed_workflow_has_stocks_outcome",
    "test_any_single_node_has_stocks_outcome",
    "test_any_workflow_with_cycles_has_stocks_outcome",
    "test_warnings_and_errors_are_logged_as_stock_does",
]

#: Of the fixed cases, one in so many is compared.
_EVERY = int(os.environ.get("NEXUS_CASES_EVERY", "1"))


@pytest.fixture(scope="module")
def subject() -> Iterator[type[Any]]:
    """The class that has to equal Kailash's."""
    yield ClusterRuntime
    went_out = sum(count for where, count in placements.items() if not where.startswith("this process"))
    assert went_out > 100


def test_every_fixed_case_has_stocks_outcome(subject: type[Any]) -> None:
    """Every sample of code, callable, node class, switch and odd shape."""
    cases = itertools.chain(
        *map(fixed_cases.code_cases, GROUPS),
        fixed_cases.callable_cases(),
        fixed_cases.node_cases(),
        fixed_cases.switch_cases(("route_data", "skip_branches")),
        fixed_cases.odd_cases(),
    )
    assert_all_same(subject, itertools.islice(cases, 0, None, _EVERY))
