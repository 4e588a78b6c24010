"""Any acyclic workflow leaves the same checkpoints and events as on stock, and resumes from them alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("kailash")

from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from differential.comparison import build_or_none
from differential.description import Description
from differential.observe import quiet
from differential.snapshot import first_difference
from differential.strategies import descriptions
from differential_async.description import AsyncDescription
from differential_async.strategies import descriptions as async_descriptions

from .observe import Attempt, crashing, observe
from .support import SIDES, RecordingStore

pytestmark = pytest.mark.timeout(1800)

# Each example is several runs on both sides.
fewer = settings(max_examples=max(5, settings.default.max_examples // 4))


def ordered(attempts: list[Attempt]) -> Any:
    """All of it, in order: stock runs one node after the other."""
    return tuple(
        (each.outcome, ("events", *each.events), ("blobs", *map(repr, each.blobs)), each.states) for each in attempts
    )


def same(description: Description, attempts: list[Description], **options: Any) -> bool:
    """Compare both sides; ``False`` if Kailash refuses to build the workflow."""
    note(repr(attempts))
    with quiet():
        if any(build_or_none(each) is None for each in attempts):
            return False
        expected = observe(SIDES["local-stock"], attempts, **options)
        actual = observe(SIDES["local-ours"], attempts, **options)
    difference = first_difference(ordered(expected), ordered(actual))
    assert difference is None, f"runs part at {difference}"
    return True


@fewer
@given(description=descriptions())
def test_checkpoints_events_and_results_are_stocks_twice_in_a_row(description: Description) -> None:
    assume(same(description, [description, description]))


@fewer
@given(description=descriptions())
def test_a_run_that_failed_at_any_node_resumes_as_on_stock(description: Description) -> None:
    crashes = [crash for node_id in description.nodes if (crash := crashing(description, node_id)) is not None]
    assume(crashes)
    ran = [same(description, [crash, description]) for crash in crashes]
    assume(any(ran))


@fewer
@given(description=descriptions(max_nodes=4), at=st.integers(1, 4), saved=st.booleans())
def test_a_run_that_died_in_any_save_resumes_as_on_stock(description: Description, at: int, saved: bool) -> None:
    with quiet():
        assume(build_or_none(description) is not None)
        outcomes = []
        for name in ("local-stock", "local-ours"):
            store = _Dying(at, saved)
            outcomes.append(ordered(observe(SIDES[name], [description, description], store)))
    difference = first_difference(*outcomes)
    assert difference is None, f"runs part at {difference}"


class _Dying(RecordingStore):
    """Ends the run in a save, before or after it has been made."""

    def __init__(self, at: int, saved: bool) -> None:
        super().__init__()
        self.at = at
        self.saved = saved

    async def save(self, key: str, data: bytes) -> None:
        dies = self.saves + 1 == self.at
        if not dies or self.saved:
            await super().save(key, data)
        else:
            self.saves += 1
        if dies:
            raise asyncio.CancelledError


# --- AsyncLocalRuntime: what runs side by side is recorded in any order -------------------


def unordered(description: AsyncDescription, attempts: list[Attempt]) -> Any:
    """What does not depend on timing."""
    if description.is_chain:
        return ordered(attempts)
    return tuple(
        (each.outcome, tuple(sorted(map(repr, each.events)))) if each.outcome[0] == "returned" else each.outcome[0]
        for each in attempts
    )


@fewer
@given(description=async_descriptions(max_nodes=4))
def test_async_checkpoints_events_and_results_are_stocks(description: AsyncDescription) -> None:
    assume(isinstance(description.parameters, dict))
    note(repr(description))
    with quiet():
        assume(build_or_none(description) is not None)
        options = {"execution_timeout": 60, "max_concurrent_nodes": 1 if description.is_chain else 10}
        expected, actual = (
            observe(SIDES[name], [description, description], **options) for name in ("async-stock", "async-ours")
        )
    difference = first_difference(unordered(description, expected), unordered(description, actual))
    assert difference is None, f"runs part at {difference}"
