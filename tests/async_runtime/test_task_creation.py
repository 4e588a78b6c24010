"""Nodes of Kailash's that put another ``asyncio.create_task`` in its place while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import run_python


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = asyncio.create_task
    yield
    asyncio.create_task = before


def _overlapping() -> Any:
    """The one that begins first ends first."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "source", {"code": "result = 1"})
    for number, seconds in enumerate((0.02, 0.06, 0.1)):
        code = f"import asyncio\nawait asyncio.create_task(asyncio.sleep({seconds}))\nresult = {number}"
        builder.add_node("AsyncPythonCodeNode", f"n{number}", {"code": code})
        builder.add_connection("source", "result", f"n{number}", "x")
    return builder.build()


async def _run_async(options: dict[str, Any]) -> Any:
    async with AsyncLocalRuntime(**options) as runtime:
        return (await runtime.execute_workflow_async(_overlapping(), {}))[0]


@pytest.mark.parametrize("options", [{}, {"conditional_execution": "skip_branches"}, {"cache": True}], ids=str)
def test_it_is_as_before_once_none_runs(options: dict[str, Any]) -> None:
    before = asyncio.create_task
    outputs = asyncio.run(_run_async(options))
    assert asyncio.create_task is before
    assert [outputs[f"n{number}"] for number in range(3)] == [{"result": number} for number in range(3)]
    with LocalRuntime(**options) as runtime:
        assert runtime.execute(_overlapping())[0] == outputs
    assert asyncio.create_task is before


def test_what_kailash_has_left_is_put_right() -> None:
    from kailash.nodes.code.async_python import AsyncPythonCodeNode

    async def overlapping() -> None:
        nodes = [
            AsyncPythonCodeNode(name=name, code=f"import asyncio\nawait asyncio.sleep({seconds})")
            for name, seconds in (("a", 0.02), ("b", 0.06))
        ]
        await asyncio.gather(*(node.execute_async() for node in nodes))

    asyncio.run(overlapping())
    assert asyncio.create_task is not asyncio.tasks.create_task, "Kailash does so no more: task_creation.py can go"
    asyncio.run(_run_async({}))
    assert asyncio.create_task is asyncio.tasks.create_task


def test_another_that_somebody_has_put_there_stays() -> None:
    def own(*args: Any, **kwargs: Any) -> Any:
        return asyncio.tasks.create_task(*args, **kwargs)

    asyncio.create_task = own  # type: ignore[assignment]
    asyncio.run(_run_async({}))
    assert asyncio.create_task is own


PROGRAM = """\
import asyncio
from kailash.nodes.code.async_python import AsyncPythonCodeNode
from nexus_core.runtime.task_creation import contain_create_task
CODE = '''
import asyncio
state = {"now": 0, "most": 0}
async def one():
    state["now"] += 1
    state["most"] = max(state["most"], state["now"])
    await asyncio.sleep(0.01)
    state["now"] -= 1
await asyncio.gather(*[asyncio.create_task(one()) for _ in range(6)])
result = state["most"]
'''
async def main():
    async def other():
        return await asyncio.create_task(asyncio.sleep(0, 7), name="of another")
    node = AsyncPythonCodeNode(name="n", code=CODE, max_concurrent_tasks=2)
    running = asyncio.ensure_future(node.execute_async())
    await asyncio.sleep(0.005)
    print(await other(), await running, await other())
contain_create_task()
contain_create_task()
asyncio.run(main())
"""


def test_contained_it_is_as_ever_for_others_and_limits_the_node(tmp_path: Path) -> None:
    done = run_python(PROGRAM, tmp_path, prelude="")
    assert done.stdout == "7 {'result': 2} 7\n", done.stderr
