"""The guide's workflow gives the same on Kailash's own runtimes and on ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core import PerformanceBestPractices


def _sync(module: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def execute(inputs: dict[str, Any]) -> dict[str, Any]:
        import importlib

        with importlib.import_module(module).LocalRuntime() as runtime:
            results: dict[str, Any] = runtime.execute(_workflow(), parameters=inputs)[0]
        return results

    return execute


def _async(module: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def execute(inputs: dict[str, Any]) -> dict[str, Any]:
        import importlib

        async def main() -> dict[str, Any]:
            async with importlib.import_module(module).AsyncLocalRuntime() as runtime:
                results: dict[str, Any] = (await runtime.execute_workflow_async(_workflow(), inputs))[0]
                return results

        return asyncio.run(main())

    return execute


def _workflow() -> Any:
    return PerformanceBestPractices.create_optimized_workflow().build()


_RUNTIMES = {
    "stock": _sync("kailash.runtime.local"),
    "ours": _sync("nexus_core.runtime"),
    "stock, asynchronous": _async("kailash.runtime.async_local"),
    "ours, asynchronous": _async("nexus_core.runtime"),
}


@pytest.fixture(params=list(_RUNTIMES))
def execute(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return _RUNTIMES[request.param]


def test_records_are_counted_and_batched(execute: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    records = [{"id": number, "more": "text"} for number in range(250)]
    results = execute({"data": {"records": records}})
    final = results["finalize_results"]["result"]
    assert final.pop("processing_time") >= 0
    assert final == {"status": "completed", "validation": "passed", "total_records": 250, "batches_processed": 3}
    batches = results["preprocess_data"]["result"]["processed_batches"]
    assert [len(batch) for batch in batches] == [100, 100, 50]
    assert batches[2][49] == {"id": 249, "processed": True}
    assert results["validate_input"]["result"] == {"validation": "passed", "record_count": 250}


@pytest.mark.parametrize("inputs", [{}, {"data": {}}, {"records": []}])
def test_without_records_there_are_none(
    execute: Callable[[dict[str, Any]], dict[str, Any]], inputs: dict[str, Any]
) -> None:
    assert execute(inputs)["finalize_results"]["result"]["total_records"] == 0


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"data": [1]}, "data must be a dict with records, got list"),
        ({"data": {"records": "all"}}, "records must be a list, got str"),
    ],
)
def test_wrong_data_is_refused_in_words(
    execute: Callable[[dict[str, Any]], dict[str, Any]], inputs: dict[str, Any], said: str
) -> None:
    try:
        results = execute(inputs)
    except Exception as error:
        assert said in str(error)
    else:  # LocalRuntime reports a node that others do not need in its results
        assert said in str(results["validate_input"])


def test_both_branches_are_independent() -> None:
    workflow = _workflow()
    assert sorted(workflow.graph.edges()) == [
        ("preprocess_data", "finalize_results"),
        ("validate_input", "finalize_results"),
    ]
