"""A run inside a run waits for no turn, however the outer one is executed; others do."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from kailash.nodes.base import Node
from kailash.nodes.logic.operations import SwitchNode
from kailash.workflow.graph import Workflow
from tests.runtime.support import AwaitingNode, CallingNode, code_workflow, node_workflow

from nexus_core.runtime import AsyncLocalRuntime
from nexus_core.runtime.turns import Turns
from nexus_core.runtime.workflow_rules import add_rule


class Nested:
    """A workflow whose node runs it once more, one run at a time."""

    def __init__(self, *, is_awaited: bool, has_switch: bool) -> None:
        self.runtime: AsyncLocalRuntime
        self.is_inner = False
        node = AwaitingNode(self.awaited) if is_awaited else CallingNode(self.called)
        nodes: dict[str, Node] = {"a": node}
        if has_switch:
            nodes["switch"] = SwitchNode(condition_field="x", operator="==", value=1)
        self.workflow: Workflow = node_workflow(nodes)
        if has_switch:
            self.workflow.connect("a", "switch", {"result": "input_data"})

    async def awaited(self, *_: Any, **inputs: Any) -> dict[str, Any]:
        if not self.is_inner:
            self.is_inner = True
            await self.runtime.execute_workflow_async(self.workflow, {})
        return {"x": 1}

    def called(self, *_: Any, **inputs: Any) -> dict[str, Any]:
        if not self.is_inner:
            self.is_inner = True
            own = contextvars.copy_context()

            def run() -> None:
                own.run(asyncio.run, self.runtime.execute_workflow_async(self.workflow, {}))

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            thread.join(60)
            assert not thread.is_alive()
        return {"x": 1}


@pytest.mark.parametrize("is_awaited", [False, True])
@pytest.mark.parametrize("kind", ["native", "pruned", "delegated"])
def test_it_does_not_wait_for_itself(kind: str, is_awaited: bool) -> None:
    nested = Nested(is_awaited=is_awaited, has_switch=kind == "pruned")

    class Delegating(AsyncLocalRuntime):
        def _async_plan_for(self, *_: Any) -> Any:
            return ("it is asked for",)

    options: dict[str, Any] = {"conditional_execution": "skip_branches"} if kind == "pruned" else {}

    async def main() -> None:
        async with (Delegating if kind == "delegated" else AsyncLocalRuntime)(**options) as runtime:
            nested.runtime = runtime
            turns = Turns(1)
            add_rule(runtime, nested.workflow, turns=turns)
            await asyncio.wait_for(runtime.execute_workflow_async(nested.workflow, {}), 60)
            assert bool(runtime.engine_statistics()["delegated_runs"]) is (kind == "delegated")
            assert nested.is_inner
            # In this context there is no run any more.
            async with turns:
                waiting = asyncio.ensure_future(runtime.execute_workflow_async(nested.workflow, {}))
                while not turns.waiting:
                    await asyncio.sleep(0)
            await asyncio.wait_for(waiting, 60)
            assert turns.waited == 1

    asyncio.run(main())


def test_whoever_reads_events_is_not_inside_the_run() -> None:
    workflow = code_workflow({"a": "result = 1"})

    async def main() -> None:
        async with AsyncLocalRuntime() as runtime:
            turns = Turns(1)
            add_rule(runtime, workflow, turns=turns)
            others = []
            async for _ in runtime.stream(workflow, {}):
                if not others:
                    others.append(asyncio.ensure_future(runtime.execute_workflow_async(workflow, {})))
                    while not turns.waiting:
                        await asyncio.sleep(0)
            await asyncio.wait_for(others[0], 60)
            assert (turns.most, turns.waited) == (1, 1)

    asyncio.run(main())
