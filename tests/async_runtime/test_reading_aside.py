"""A large workflow is read on a thread, while the loop goes on and may change it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core.runtime import LocalRuntime, compiler
from runtime.support import code_workflow

OnLoop = Callable[..., Any]
MANY = 150


def large() -> Any:
    return code_workflow({f"n{i}": "result = 1" for i in range(MANY)})


class Meanwhile:
    """Stands for the loop: does something each time the reader lets others have a turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
        self.calls = 0
        self.threads: set[str] = set()
        self.act = act
        monkeypatch.setattr(compiler, "Breaths", lambda: self)

    def __call__(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.calls += 1
        self.act(self.calls)


@pytest.mark.parametrize("at", [1, MANY, MANY + MANY // 2, 2 * MANY, 3 * MANY - 1])
def test_what_changes_while_it_is_read_counts(on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    workflow = large()

    def change(call: int) -> None:
        if call == at:
            for node in workflow._node_instances.values():
                node.code = "result = 2"

    meanwhile = Meanwhile(monkeypatch, change)

    async def body(runtime: Any) -> None:
        results, _ = await runtime.execute_workflow_async(workflow, {})
        assert set(map(str, results.values())) == {"{'result': 2}"}
        assert runtime.engine_statistics()["native_runs"] == 1

    on_loop(body)
    assert meanwhile.calls >= 3 * MANY
    assert threading.current_thread().name not in meanwhile.threads


def test_what_never_stops_changing_is_read_on_the_loop(on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = large()
    first = next(iter(workflow._node_instances.values()))

    def change(call: int) -> None:
        if call % MANY == MANY - 1:
            first.code = f"result = {call}"

    meanwhile = Meanwhile(monkeypatch, change)

    async def body(runtime: Any) -> None:
        results, _ = await runtime.execute_workflow_async(workflow, {})
        assert f"result = {results['n0']['result']}" == first.code

    on_loop(body)
    # Each time before, while and after its nodes are described.
    assert meanwhile.calls == compiler._READINGS * 3 * MANY


def test_a_node_that_comes_while_the_order_is_looked_at_is_run(
    on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = large()
    ordered = compiler._ordered

    def and_then_add(workflow: Any, awaits: Any) -> Any:
        order = ordered(workflow, awaits)
        if "late" not in workflow._node_instances:
            workflow.add_node("late", code_workflow({"late": "result = 3"})._node_instances["late"])
        return order

    monkeypatch.setattr(compiler, "_ordered", and_then_add)

    async def body(runtime: Any) -> None:
        results, _ = await runtime.execute_workflow_async(workflow, {})
        assert len(results) == MANY + 1
        assert results["late"] == {"result": 3}

    on_loop(body)


def test_what_changes_while_a_caller_has_it_read_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = large()
    calls = 0
    describe = compiler._describe

    def and_then_change(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        described = describe(*arguments)
        if calls == 2:
            workflow._node_instances["n0"].code = "result = 2"
        return described

    monkeypatch.setattr(compiler, "_describe", and_then_change)
    with LocalRuntime(enable_monitoring=False, strict=True) as runtime:
        assert runtime.execute(workflow)[0]["n0"] == {"result": 2}
    assert calls == 2 * MANY


def test_what_does_not_change_is_read_once(on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = large()
    meanwhile = Meanwhile(monkeypatch, lambda _: None)

    async def body(runtime: Any) -> None:
        for _ in range(2):
            await runtime.execute_workflow_async(workflow, {})

    on_loop(body)
    assert meanwhile.calls == 3 * MANY
