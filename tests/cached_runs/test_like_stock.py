"""Random workflows come to what they come to on stock, however often, and whatever callers do with results."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, note

from differential.comparison import build_or_none
from differential.description import Description
from differential.observe import EndlessFallbackError, GuardedStock, quiet
from differential.snapshot import Picture, Snapshot, first_difference, text_of, type_name
from differential.strategies import descriptions, routed
from differential_async.description import AsyncDescription
from differential_async.strategies import descriptions as async_descriptions
from differential_async.subject import StockAsyncRuntime
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

pytestmark = pytest.mark.timeout(1800)


class Answered:
    """How the runs of one test were answered: without hits it would have shown nothing."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begins anew."""
        self.hits = self.misses = 0
        self.others: Counter[str] = Counter()

    def update(self, runs: dict[str, Any]) -> None:
        """Adds what one runtime counted."""
        self.hits += runs["hits"]
        self.misses += runs["misses"]
        self.others.update(runs["bypassed"])
        self.others.update(runs["not_kept"])


answered = Answered()


def spoil(value: Any, depth: int = 0) -> None:
    """Changes whatever can be changed of a result."""
    if depth > 30:
        return
    if type(value) is dict:
        for held in list(value.values()):
            spoil(held, depth + 1)
        value["spoilt"] = True
    elif type(value) is list:
        for item in list(value):
            spoil(item, depth + 1)
        value.append("spoilt")
    elif type(value) is set:
        value.add("spoilt")


def error_of(error: BaseException) -> Picture:
    """Types and texts of an error and of its causes."""
    chain: list[Any] = []
    current: BaseException | None = error
    while current is not None:
        chain.append((type_name(type(current)), text_of(current)))
        current = current.__cause__
    return tuple(chain)


def outcomes(runtime: Any, description: Description, execute: Any) -> list[Picture]:
    """What three runs look like, each with inputs of its own, after whose results are spoilt."""
    workflow = description.build()
    workflow.metadata["cacheable"] = True
    seen: list[Picture] = []
    try:
        for _ in range(3):
            inputs = copy.deepcopy(description.parameters)
            try:
                results, _run_id = execute(runtime, workflow, inputs)
            except (KeyboardInterrupt, EndlessFallbackError):
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a node raises is an outcome
                seen.append(("raised", error_of(error)))
            else:
                seen.append(("returned", Snapshot()(results)))
                spoil(results)
        return seen
    finally:
        runtime.close()


def assert_same(stock: Any, ours: Any, description: Description, execute: Any) -> Any:
    with quiet():
        if build_or_none(description) is None:
            return False
        try:
            expected = outcomes(stock(), description, execute)
        except EndlessFallbackError:
            return False
        runtime = ours()
        actual = outcomes(runtime, description, execute)
    answered.update(runtime.engine_statistics()["cache"]["runs"])
    for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
        difference = first_difference(one, other)
        assert difference is None, f"run {number} parts at {difference}\n{runtime.engine_statistics()['cache']}"
    return True


def _execute(runtime: Any, workflow: Any, inputs: Any) -> Any:
    return runtime.execute(workflow, parameters=inputs)


def _await(runtime: Any, workflow: Any, inputs: Any) -> Any:
    return asyncio.run(runtime.execute_workflow_async(workflow, inputs))


@given(description=descriptions() | routed())
def _any_in_a_thread(description: Description) -> None:
    note(repr(description))
    options = {**description.options, "max_concurrency": 1}
    assume(
        assert_same(
            lambda: GuardedStock(**options).mark_externally_managed(),
            lambda: LocalRuntime(**options, cache=True).mark_externally_managed(),
            description,
            _execute,
        )
    )


@given(description=async_descriptions(plans=("sync", "async", "mixed")))
def _any_on_a_loop(description: AsyncDescription) -> None:
    note(repr(description))
    # Where several nodes fail beside one another, stock reports the first in time.
    assume(description.is_chain)
    options = description.options
    assume(
        assert_same(
            lambda: StockAsyncRuntime(**options),
            lambda: AsyncLocalRuntime(**options, cache=True),
            description,
            _await,
        )
    )


@pytest.mark.parametrize("compare", [_any_in_a_thread, _any_on_a_loop])
def test_any_workflow(compare: Any) -> None:
    answered.clear()
    compare()
    # Without hits it would have shown nothing.
    assert answered.hits >= 2, vars(answered)
