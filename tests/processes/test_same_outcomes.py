"""Nodes in processes have stock's outcomes: the cases that ``LocalRuntime`` has to pass, a part of them.

All of them: ``make test-beyond``. What differs is listed in docs/compatibility.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from differential import fixed_cases
from differential.code_samples import GROUPS
from differential.comparison import assert_same_outcome
from differential.description import Description
from differential.elsewhere import ENVIRONMENT, Apart, told_apart
from differential.observe import Comparison
from differential.strategies import descriptions, routed
from processes.subject import ProcessRuntime, shared_pool

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that nodes share here are copies there."""
    monkeypatch.setattr(Comparison, "picture", Apart)
    monkeypatch.setattr(Comparison, "told_apart", staticmethod(told_apart))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module", autouse=True)
def workers() -> Iterator[None]:
    yield
    shared_pool().close()


def assert_all_same(cases: Iterable[Description]) -> None:
    compared = sum(assert_same_outcome(ProcessRuntime, case) for case in cases)
    assert compared
    assert shared_pool().statistics().done > 0


@pytest.mark.parametrize("group", GROUPS)
def test_code(group: str) -> None:
    assert_all_same(itertools.islice(fixed_cases.code_cases(group), 0, None, 5))


def test_callables() -> None:
    assert_all_same(itertools.islice(fixed_cases.callable_cases(), 0, None, 4))


def test_node_classes() -> None:
    assert_all_same(itertools.islice(fixed_cases.node_cases(), 0, None, 25))


@pytest.mark.parametrize("mode", ["route_data", "skip_branches"])
def test_switches(mode: str) -> None:
    assert_all_same(itertools.islice(fixed_cases.switch_cases((mode,)), 0, None, 12))


def test_odd_shapes() -> None:
    assert_all_same(fixed_cases.odd_cases())


@settings(
    max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip
@given(description=descriptions() | routed(("route_data",)))
def test_random_workflows(description: Description) -> None:
    assert_same_outcome(ProcessRuntime, description)
