"""Nodes of a run that are awaited on its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from nexus_core.cached_runs.nodes import awaited, node_caching
from nexus_core.runtime.run_records import RecordedRun
from nexus_core.runtime.task_creation import keeping_create_task, replaces_create_task

if TYPE_CHECKING:
    from nexus_core._core import WorkflowRun
    from nexus_core.runtime.durability import Durability

__all__ = ["AwaitedNodesRun"]


class AwaitedNodesRun(RecordedRun):
    """A run that awaits nodes; arguments as of :class:`RecordedRun`."""

    __slots__ = ()

    _durability: Durability | None

    async def _await_nodes(
        self, run: WorkflowRun, waiting: list[tuple[int, dict[str, Any]]], *, cleans_up: bool = True
    ) -> None:
        """Awaits nodes together, in the run's own context."""
        if len(waiting) == 1:
            index, inputs = waiting[0]
            await self._in_context(run, partial(self._await_node, run, index, inputs, cleans_up))
            return
        tasks = [
            self._in_context(run, partial(self._await_node, run, index, inputs, cleans_up)) for index, inputs in waiting
        ]
        await asyncio.gather(*tasks)

    @staticmethod
    def _in_context(run: WorkflowRun, start: Callable[[], Any]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(start(), context=run.context())
        return task

    async def _await_node(self, run: WorkflowRun, index: int, inputs: dict[str, Any], cleans_up: bool) -> None:
        output: Any = None
        failure: BaseException | None = None
        try:
            output, taken = await self._execute_awaited(run.is_nested(), index, inputs)
            if taken:
                run.mark_taken(index)
            if self._durability is not None and self._durability.tracker is not None:
                self._durability.record(index, output)
        except Exception as error:
            failure = error
        run.finish_pinned(index, output, failure)
        del run  # as in ``_run_nodes``
        if cleans_up:
            await self._clean_up(index, failure)

    async def _await_to_confirm(
        self, index: int, inputs: dict[str, Any], ran: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> tuple[Any, BaseException | None]:
        output: Any = None
        failure: BaseException | None = None
        try:
            assert self._run is not None
            output, taken = await self._execute_awaited(self._run.is_nested(), index, inputs)
            if taken:
                self._run.mark_taken(index)
            await ran(output)
        except Exception as error:
            failure = error
        await self._clean_up(index, failure)
        return output, failure

    async def _execute_awaited(self, is_nested: bool, index: int, inputs: dict[str, Any]) -> tuple[Any, bool]:
        """The node's output, and whether it was taken from the cache."""
        caching = node_caching(self.runtime, self.workflow, self.plan)
        execute = partial(self._execute_node, self.plan.instances[index], inputs)
        return await awaited(caching, is_nested, index, inputs, None, execute)

    async def _execute_node(self, node: Any, inputs: dict[str, Any]) -> Any:
        if self.runtime.enable_async and hasattr(node, "execute_async"):
            if replaces_create_task(node):
                return await keeping_create_task(node.execute_async, **inputs)
            return await node.execute_async(**inputs)
        return node.execute(**inputs)

    async def _clean_up(self, index: int, failure: BaseException | None) -> None:
        node = self.plan.instances[index]
        if hasattr(node, "cleanup"):
            self.runtime._snapshot_async_sql_pool_keys()
            try:
                await node.cleanup()
            except Exception as error:
                when = "cleanup" if failure is None else "cleanup after failure"
                self.runtime.logger.warning(f"Error during node {self.plan.node_ids[index]} {when}: {error}")
