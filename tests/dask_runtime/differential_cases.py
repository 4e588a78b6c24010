"""The differential tests of ``LocalRuntime``, with ``DaskRuntime`` as the subject.

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

from differential import fixed_cases
from differential.code_samples import GROUPS
from differential.observe import Comparison
from differential.snapshot import Picture, Snapshot
from differential.test_branches import (
    test_any_pruned_workflow_has_stocks_outcome,
    test_any_routed_workflow_has_stocks_outcome,
)
from differential.test_cycles import (
    test_a_fixed_case_has_stocks_outcome,
    test_any_workflow_with_cycles_has_stocks_outcome,
)
from differential.test_fixed_cases import assert_all_same
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
]

#: Of the fixed cases, one in so many is compared.
_EVERY = int(os.environ.get("NEXUS_CASES_EVERY", "1"))


class Apart(Snapshot):
    """Values without regard to which of them are one object: those of other processes are not."""

    tells_sharing = False

    def _walk(self, value: Any, depth: int) -> Picture:
        # A class that was made without a module gets one on its way.
        name, *parts = super()._walk(value, depth)
        return (name.removeprefix("types.").removeprefix("None.") if isinstance(name, str) else name, *parts)


@pytest.fixture(scope="module")
def subject(client: Any) -> Iterator[type[Any]]:
    """The class that has to equal Kailash's."""
    from nexus_core.distributed import DaskRuntime

    went_out = 0

    class LocalRuntime(DaskRuntime):
        def __init__(self, **options: Any) -> None:
            super().__init__(client, **options)

        def close(self) -> None:
            nonlocal went_out
            went_out += sum(not where.startswith("this process") for where in self.engine_statistics()["placements"])
            super().close()

    LocalRuntime.__qualname__ = "LocalRuntime"
    Comparison.picture, Comparison.node_state = Apart, False
    yield LocalRuntime
    Comparison.picture, Comparison.node_state = Snapshot, True
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
