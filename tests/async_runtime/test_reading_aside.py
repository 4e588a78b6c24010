"""A large workflow is read on a thread, while the loop goes on and may change it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core.runtime import compiler
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

    Meanwhile(monkeypatch, change)

    async def body(runtime: Any) -> None:
        results, _ = await runtime.execute_workflow_async(workflow, {})
        assert f"result = {results['n0']['result']}" == first.code

    on_loop(body)


def test_what_does_not_change_is_read_once(on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = large()
    meanwhile = Meanwhile(monkeypatch, lambda _: None)

    async def body(runtime: Any) -> None:
        for _ in range(2):
            await runtime.execute_workflow_async(workflow, {})

    on_loop(body)
    assert meanwhile.calls == 3 * MANY
