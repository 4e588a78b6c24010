"""What a subclass puts around a run is called once a run, whatever the runtime has to do for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.runtime.support import code_workflow

from nexus_core import ResultCache
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from nexus_core.runtime.turns import Turns
from nexus_core.runtime.workflow_rules import add_rule


class Guarded(AsyncLocalRuntime):
    """Lets one run in at a time, with a lock that nobody may take twice."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lock = asyncio.Lock()

    # Kailash's own arguments, and none of ours.
    async def execute_workflow_async(self, workflow: Any, inputs: Any, context: Any = None) -> Any:  # type: ignore[override]
        async with self.lock:
            return await super().execute_workflow_async(workflow, inputs, context)


class GuardedLocal(LocalRuntime):
    """Counts runs."""

    calls = 0

    def execute(self, workflow: Any, task_manager: Any = None, parameters: Any = None) -> Any:  # type: ignore[override]
        self.calls += 1
        return super().execute(workflow, task_manager, parameters)


@pytest.mark.parametrize("has_cache", [False, True])
def test_a_run_that_waits_for_its_turn_or_asks_the_cache(has_cache: bool) -> None:
    async def main() -> Any:
        async with Guarded(cache=ResultCache() if has_cache else None) as runtime:
            workflow = code_workflow({"a": "result = 1"})
            if not has_cache:
                add_rule(runtime, workflow, turns=Turns(1))
            return await asyncio.wait_for(runtime.execute_workflow_async(workflow, {}), 60)

    assert asyncio.run(main())[0] == {"a": {"result": 1}}


def test_a_run_that_is_not_awaited() -> None:
    with GuardedLocal(cache=ResultCache(), enable_monitoring=False) as runtime:
        results, _ = runtime.execute(code_workflow({"a": "result = 1"}))
        assert (results, runtime.calls) == ({"a": {"result": 1}}, 1)
