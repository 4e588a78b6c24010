"""Branches that switches decide on have the same outcome under the drop-in AsyncLocalRuntime as under stock's."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from hypothesis import assume, given, note

from differential.branching import branching
from differential.comparison import build_or_none
from differential.description import Description
from differential.observe import EndlessFallbackError, quiet
from differential.snapshot import Picture, Snapshot, first_difference

from .subject import StockAsyncRuntime

pytestmark = pytest.mark.timeout(1800)


class GuardedStock(StockAsyncRuntime):
    """Stock, except that its endless fallback is cut short so that the case can be left out."""

    _depth = 0

    async def _execute_conditional_approach(self, *args: Any, **kwargs: Any) -> Any:
        if self._depth:
            raise EndlessFallbackError
        self._depth += 1
        try:
            return await super()._execute_conditional_approach(*args, **kwargs)
        finally:
            self._depth -= 1


def outcome(runtime_class: type[Any], description: Description, mode: str) -> tuple[Picture, ...]:
    """Run a description as often as it says and return what a caller can see."""
    workflow = build_or_none(description)
    inputs = description.parameters if isinstance(description.parameters, dict) else {}
    options = {key: description.options[key] for key in ("connection_validation",) if key in description.options}
    runtime = runtime_class(conditional_execution=mode, **options)
    picture = Snapshot()

    async def run() -> Picture:
        given = copy.deepcopy(inputs)
        try:
            results, run_id = await runtime.execute_workflow_async(workflow, given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other side must raise it too
            return ("raised", picture(error), picture(given))
        return ("returned", picture(results), run_id[:4], picture(given))

    async def runs() -> tuple[Picture, ...]:
        try:
            return tuple([await run() for _ in range(description.runs)])
        finally:
            await runtime.cleanup()
            runtime.close()

    return asyncio.run(runs())


@given(description=branching())
def test_any_pruned_workflow_has_stocks_outcome(subject: type[Any], description: Description) -> None:
    note(repr(description))
    with quiet():
        assume(build_or_none(description) is not None)
        try:
            expected = outcome(GuardedStock, description, "skip_branches")
        except EndlessFallbackError:
            assume(False)
        actual = outcome(subject, description, "skip_branches")
    difference = first_difference(expected, actual)
    assert difference is None, f"outcomes part at {difference}"
