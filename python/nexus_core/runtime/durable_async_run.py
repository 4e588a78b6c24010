"""A run of ``AsyncLocalRuntime`` that resumes, checkpoints, or tells subscribers of its nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from nexus_core._core import Places, RunOptions
from nexus_core.runtime.async_host import AsyncHost, Follower
from nexus_core.runtime.async_run import GRACE_SECONDS, AsyncRun, places_for
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.confirmations import Confirmations
from nexus_core.runtime.durability import Durability

__all__ = ["DurableAsyncRun"]


class DurableAsyncRun(AsyncRun):
    """As :class:`AsyncRun`; no node is finished before what stock does after it is done.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
        variables: See :class:`AsyncRun`.
        options: Of the native run; they say that it ``tracks``, and whether it ``confirms``.
        metrics: See :class:`AsyncHost`.
        follower: See :class:`AsyncHost`.
        registry: See :class:`AsyncRun`.
        durability: The durable side of the run.
    """

    __slots__ = ("_confirmations", "_durability")

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        variables: dict[str, Any],
        options: RunOptions,
        metrics: Any,
        follower: Follower | None,
        registry: Any,
        durability: Durability,
    ) -> None:
        AsyncHost.__init__(self, runtime, workflow, plan, variables, metrics, follower)
        self._registry = registry
        self._durability = durability
        places: Places = places_for(runtime)
        # Stock runs every node of such a workflow in a context of its own.
        self.run = plan.plan.start(
            self, options, variables or None, {}, (places, False), self.native_caching, runtime._figures, self.remote
        )
        self._confirmations = Confirmations(durability, self.run, self._begin, self._look)

    @property
    def is_mixed(self) -> bool:
        """Always: stock takes the way of mixed workflows."""
        return True

    def release(self) -> None:
        """Lets go of what refers to one another."""
        super().release()
        del self._confirmations

    # --- what the engine asks -----------------------------------------------------------

    def replayed(self, index: int) -> tuple[Any] | None:
        """The output of a node that an earlier run has completed."""
        found = self._durability.replayed(index)
        if found is not None:
            self._durability.record(index, *found)
            if self.metrics is not None:
                self.metrics.node_durations[self.compiled.node_ids[index]] = 0.0
        return found

    def record(self, index: int, output: Any) -> None:
        """A node has run."""
        self._durability.record(index, output)

    # --- on the loop --------------------------------------------------------------------

    def _begin(self, steps: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._start(steps, None, self.run.context().copy())

    def _look(self) -> None:
        super()._look()
        # Only after that: what comes from then on has the loop called again.
        if not self._over:
            self._confirmations.take()

    async def _executed(self, index: int, inputs: dict[str, Any]) -> Any:
        began = time.time()
        output = await super()._executed(index, inputs)
        self._durability.record(index, output)
        if self._durability.confirms:
            await self._confirmations.confirmed(index, output, began)
        return output

    async def _abandon(self) -> None:
        self._over = True
        self.run.abandon()
        await self._confirmations.last_save(GRACE_SECONDS)
        await super()._abandon()
