"""The ways into ``AsyncLocalRuntime`` that lead through Kailash's own methods."""

from __future__ import annotations

from typing import Any

from nexus_core.runtime import stock
from nexus_core.runtime.cache_wishes import Wish, wishing

__all__ = ["AsyncEntries"]


class AsyncEntries(stock.StockAsyncLocalRuntime):
    """Hands on what a caller asks of the cache, around methods that know of none."""

    _cached_runs: Any

    def execute(
        self,
        workflow: Any,
        task_manager: Any | None = None,
        parameters: dict[str, Any] | None = None,
        cancellation_token: Any = None,
        search_attributes: dict[str, Any] | None = None,
        *,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
        refresh: bool = False,
        cache: bool | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], str | None]:
        """Executes a workflow on a loop of its own; follows ``AsyncLocalRuntime.execute``.

        Args:
            workflow: A built workflow.
            task_manager: Ignored, as Kailash does.
            parameters: As ``inputs`` of :meth:`execute_workflow_async`.
            cancellation_token: Ignored, as Kailash does.
            search_attributes: The same.
            soft_time_limit: As Kailash takes it.
            time_limit: The same.
            refresh: As for :meth:`execute_workflow_async`.
            cache: The same.
            **kwargs: Ignored, as Kailash does.

        Returns:
            As :meth:`execute_workflow_async`.
        """
        limits: dict[str, Any] = {"soft_time_limit": soft_time_limit, "time_limit": time_limit, **kwargs}
        # Kailash's own, which comes before LocalRuntime's.
        execute: Any = super().execute
        given = (workflow, task_manager, parameters, cancellation_token, search_attributes)
        outcome: tuple[dict[str, Any], str | None]
        if self._cached_runs is None:
            outcome = execute(*given, **limits)
            return outcome
        with wishing(Wish(refresh, cache)) as wish:
            outcome = execute(*given, **limits)
        # The task that ran it had a context of its own.
        self._cached_runs.note_again(wish.outcome)
        return outcome

    async def execute_async(
        self,
        workflow: Any,
        task_manager: Any | None = None,
        parameters: dict[str, Any] | None = None,
        cancellation_token: Any = None,
        execution_tracker: Any = None,
        search_attributes: dict[str, Any] | None = None,
        *,
        refresh: bool = False,
        cache: bool | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], str | None]:
        """Executes a workflow; follows ``AsyncLocalRuntime.execute_async``.

        Args:
            workflow: A built workflow.
            task_manager: Ignored, as Kailash does.
            parameters: As ``inputs`` of :meth:`execute_workflow_async`.
            cancellation_token: Ignored, as Kailash does.
            execution_tracker: The same.
            search_attributes: The same.
            refresh: As for :meth:`execute_workflow_async`.
            cache: The same.
            **kwargs: Ignored, as Kailash does.

        Returns:
            As :meth:`execute_workflow_async`.
        """
        given = (workflow, task_manager, parameters, cancellation_token, execution_tracker, search_attributes)
        outcome: tuple[dict[str, Any], str | None]
        if self._cached_runs is None or (not refresh and cache is None):
            outcome = await super().execute_async(*given, **kwargs)
            return outcome
        with wishing(Wish(refresh, cache)):
            outcome = await super().execute_async(*given, **kwargs)
        return outcome
