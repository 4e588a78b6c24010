"""Whoever replaces an internal method of the runtime is called as stock calls it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from kailash.workflow.graph import Workflow

from nexus_core.runtime import LocalRuntime, stock

from .support import code_workflow

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

METHODS = (
    "_execute_async",
    "_execute_workflow_async",
    "_get_effective_trust_context",
    "_prepare_node_inputs",
    "_process_workflow_parameters",
    "_should_skip_conditional_node",
    "_should_stop_on_error",
    "_validate_connection_contracts",
)


def counting(method: Any, calls: list[str]) -> Any:
    """The method, keeping count."""
    if inspect.iscoroutinefunction(method):

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            calls.append(method.__name__)
            return await method(*args, **kwargs)

        return awaited

    def called(*args: Any, **kwargs: Any) -> Any:
        calls.append(method.__name__)
        return method(*args, **kwargs)

    return called


def two_nodes() -> Workflow:
    """The second fails, and nothing depends on it."""
    return code_workflow({"a": "result = 1", "b": "result = a / 0"}, [("a", "b")])


def calls_of_subclass(base: type[Any], name: str) -> int:
    calls: list[str] = []
    subclass = type("Derived", (base,), {name: counting(getattr(base, name), calls)})
    with subclass(enable_monitoring=False) as runtime:
        results, _ = runtime.execute(two_nodes())
    assert results["b"]["failed"] is True
    return len(calls)


@pytest.mark.parametrize("name", METHODS)
def test_a_subclass_is_asked_as_often_as_by_stock(name: str) -> None:
    expected = calls_of_subclass(stock.StockLocalRuntime, name)
    assert expected > 0
    assert calls_of_subclass(LocalRuntime, name) == expected


@pytest.mark.parametrize("name", METHODS)
def test_a_method_set_on_the_runtime_is_called(name: str) -> None:
    calls: list[str] = []
    with LocalRuntime(enable_monitoring=False) as runtime:
        setattr(runtime, name, counting(getattr(runtime, name), calls))
        runtime.execute(two_nodes())
    assert calls


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (LocalRuntime, "_execute_async"),
        (LocalRuntime, "_prepare_node_inputs"),
        (stock.StockLocalRuntime, "_prepare_node_inputs"),
    ],
)
def test_a_class_may_be_patched_between_two_runs(monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str) -> None:
    calls: list[str] = []
    with LocalRuntime(enable_monitoring=False) as runtime:
        runtime.execute(two_nodes())
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, counting(getattr(owner, name), calls))
            runtime.execute(two_nodes())
        assert calls
        before = runtime.engine_statistics()["native_runs"]
        runtime.execute(two_nodes())
        assert runtime.engine_statistics()["native_runs"] == before + 1
