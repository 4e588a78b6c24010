"""With all nodes cached, run after run has the outcome that stock has, side effects apart."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncRuntime

from differential.comparison import build_or_none
from differential.description import Description
from differential.observe import EndlessFallbackError, GuardedStock, quiet
from differential.snapshot import Picture, Snapshot, first_difference
from differential.strategies import descriptions, routed
from differential_async.description import AsyncDescription
from differential_async.observe import error_picture
from differential_async.strategies import descriptions as async_descriptions
from differential_async.strategies import routed as async_routed
from nexus_core.cached_runs import ResultCache
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

pytestmark = pytest.mark.timeout(1800)

#: What is changed of the inputs of the run in the middle.
changes = st.sampled_from(({"data": [3, {"v": 1}]}, {"x": 7}, {"y": "text"}, {}))


class Apart(Snapshot):
    """A picture that does not tell what shares what: what was kept shares nothing with others."""

    def _container(self, value: Any, name: str, depth: int) -> Picture:
        if id(value) in self._numbers and depth > 60:
            return ("again", name)
        self._numbers.pop(id(value), None)
        picture = super()._container(value, name, depth)
        self._numbers[id(value)] = 0
        return (picture[0], *picture[2:])


def outcome(results: Any, error: BaseException | None, is_ordered: bool = True) -> Picture:
    """A picture of what was returned or raised; which of several failures is told may depend on timing."""
    if error is not None:
        return ("raised", error_picture(error)) if is_ordered else ("raised",)
    order = list(results) if is_ordered else sorted(results)
    return ("returned", order, Apart()({node_id: results[node_id] for node_id in order}))


def changed(parameters: Any, change: dict[str, Any], node_ids: list[str]) -> Any:
    """Parameters that differ for every node."""
    if not isinstance(parameters, dict):
        parameters = {}
    merged = copy.deepcopy(parameters)
    for node_id in node_ids:
        own = merged.get(node_id)
        if own is None or isinstance(own, dict):
            merged[node_id] = {**(own or {}), **copy.deepcopy(change)}
    return merged


def three_runs(runtime: Any, description: Description, change: dict[str, Any]) -> list[Picture]:
    workflow = description.build()
    seen = []
    for number in range(3):
        parameters = copy.deepcopy(description.parameters)
        if number == 1:
            parameters = changed(parameters, change, list(description.nodes))
        results, error = None, None
        try:
            results, _ = runtime.execute(workflow, parameters=parameters)
        except (KeyboardInterrupt, EndlessFallbackError):
            raise
        except BaseException as raised:  # noqa: BLE001 - whatever a node raises is an outcome
            error = raised
        seen.append(outcome(results, error))
    return seen


async def three_awaited(runtime: Any, description: AsyncDescription, change: dict[str, Any]) -> list[Picture]:
    workflow = description.build()
    seen = []
    for number in range(3):
        inputs = copy.deepcopy(description.parameters)
        if number == 1:
            inputs = changed(inputs, change, list(description.nodes))
        results, error = None, None
        tasks = asyncio.all_tasks()
        try:
            results, _ = await runtime.execute_workflow_async(workflow, inputs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:  # noqa: BLE001 - whatever a node raises is an outcome
            error = raised
        others = asyncio.all_tasks() - tasks
        if others:
            await asyncio.wait(others, timeout=20)
        seen.append(outcome(results, error, description.is_sequential))
    return seen


def compare(description: Description, change: dict[str, Any]) -> Counter[str]:
    """Compares LocalRuntime with a cache to stock; returns what the cache has counted."""
    with quiet():
        if build_or_none(description) is None:
            return Counter()
        options = {**description.options, "max_concurrency": 1}
        stock = GuardedStock(**options).mark_externally_managed()
        try:
            expected = three_runs(stock, description, change)
        except EndlessFallbackError:
            return Counter()
        finally:
            stock.close()
        cache = ResultCache(nodes=dict.fromkeys(description.nodes, True))
        ours = LocalRuntime(**options, cache=cache).mark_externally_managed()
        try:
            actual = three_runs(ours, description, change)
        finally:
            ours.close()
    difference = first_difference(tuple(expected), tuple(actual))
    assert difference is None, f"outcomes part at {difference}\n{cache.node_runs.as_dict()}"
    return counted(cache)


def can_be_compared(description: AsyncDescription) -> bool:
    """Whether stock's own outcome is certain: not where nodes that run together see each other's traces."""
    return description.is_chain or not any(spec.order_matters for spec in description.nodes.values())


def compare_async(description: AsyncDescription, change: dict[str, Any]) -> Counter[str]:
    """The same for AsyncLocalRuntime."""

    async def runs(runtime: Any) -> list[Picture]:
        try:
            return await three_awaited(runtime, description, change)
        finally:
            await runtime.cleanup()
            runtime.close()

    with quiet():
        if build_or_none(description) is None or not can_be_compared(description):
            return Counter()
        try:
            expected = asyncio.run(runs(StockAsyncRuntime(**description.options)))
        except SystemExit:
            return Counter()
        cache = ResultCache(nodes=dict.fromkeys(description.nodes, True))
        actual = asyncio.run(runs(AsyncLocalRuntime(**description.options, cache=cache)))
    difference = first_difference(tuple(expected), tuple(actual))
    assert difference is None, f"outcomes part at {difference}\n{cache.node_runs.as_dict()}"
    return counted(cache)


def counted(cache: ResultCache) -> Counter[str]:
    told = cache.node_runs.as_dict()
    return Counter({name: told[name] for name in ("hits", "misses")})


def test_any_workflow_has_stocks_outcome_three_times() -> None:
    total: Counter[str] = Counter()

    @given(description=descriptions(), change=changes)
    def compared(description: Description, change: dict[str, Any]) -> None:
        note(repr(description))
        total.update(compare(description, change))

    compared()
    assert total["hits"] > 20, total


def test_any_routing_of_branches_has_stocks_outcome_three_times() -> None:
    total: Counter[str] = Counter()

    @given(description=routed(), change=changes)
    def compared(description: Description, change: dict[str, Any]) -> None:
        note(repr(description))
        total.update(compare(description, change))

    compared()
    assert total["hits"] > 20, total


@pytest.mark.parametrize("plans", ["sync", "async", "mixed"])
def test_any_awaited_workflow_has_stocks_outcome_three_times(plans: str) -> None:
    total: Counter[str] = Counter()

    @given(description=async_descriptions(plans=(plans,)), change=changes)
    def compared(description: AsyncDescription, change: dict[str, Any]) -> None:
        note(repr(description))
        total.update(compare_async(description, change))

    compared()
    assert total["hits"] > 10, total


def test_any_awaited_routing_of_branches_has_stocks_outcome_three_times() -> None:
    total: Counter[str] = Counter()

    @given(description=async_routed(), change=changes)
    def compared(description: AsyncDescription, change: dict[str, Any]) -> None:
        note(repr(description))
        total.update(compare_async(description, change))

    compared()
    assert total["hits"] > 10, total
