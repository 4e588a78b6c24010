"""Workflows with cycles: Kailash's ``AsyncLocalRuntime`` makes one pass, and so does the drop-in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, given, note

from differential.cycles import Cycle, CyclicDescription, WithCycles, counting, cyclic_descriptions

from .comparison import assert_same_outcome
from .description import AsyncDescription
from .subject import PLACES, load_subject, placed

pytestmark = pytest.mark.timeout(1800)


@dataclass
class OnePass(WithCycles, AsyncDescription):
    """A description with edges that lead back."""

    cycles: list[Cycle] = field(default_factory=list)


def one_pass(description: CyclicDescription) -> OnePass:
    """The same workflow for the other runtime."""
    parameters = description.parameters or {}
    return OnePass(description.nodes, description.edges, parameters, runs=2, cycles=description.cycles)


@pytest.fixture(scope="module", params=PLACES)
def subject(request: pytest.FixtureRequest) -> type[Any]:
    return placed(load_subject(), request.param)


def test_a_cycle_is_passed_through_once(subject: type[Any]) -> None:
    assert assert_same_outcome(subject, one_pass(counting()))


@given(description=cyclic_descriptions())
def test_any_workflow_with_cycles_has_stocks_outcome(subject: type[Any], description: CyclicDescription) -> None:
    note(repr(description))
    assume(assert_same_outcome(subject, one_pass(description)))
