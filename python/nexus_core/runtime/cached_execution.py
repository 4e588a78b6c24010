"""Executions of a runtime that has a cache of results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kailash.runtime.metrics import get_metrics_bridge

from nexus_core.cached_runs.nodes_asked import Asked, asked
from nexus_core.runtime.cache_wishes import Wish
from nexus_core.runtime.delegation import metrics_are_read
from nexus_core.runtime.run_ids import new_run_id
from nexus_core.runtime.run_records import RecordedRun

if TYPE_CHECKING:
    from nexus_core.cached_runs.cached_runs import CachedRuns

__all__ = [
    "IN_TURN",
    "UNCACHED",
    "Call",
    "aexecute_cached",
    "cached_runs_of",
    "call_locally",
    "execute_cached",
    "finished_async",
    "finished_locally",
]

#: Given for a call's ``cache`` by what runs on behalf of the cache itself.
UNCACHED: Any = object()

#: The same, by what has done already what a workflow's rule says.
IN_TURN: Any = object()

#: Nodes from which on a workflow is read on a thread.
_LARGE = 100

Outcome = tuple[dict[str, Any], Any]


class Call(NamedTuple):
    """What a caller asks of the cache, and what keeps its run from it.

    Attributes:
        refresh: Whether the results are computed anew in any case.
        cache: ``False`` if the cache has no part in it.
        alone: Whether the run may end by limits that are this caller's own.
        beside: What the run is given that no key has; the first that is anything is the reason.
        wish: Where these came from, if not from arguments; told how the run was answered.
    """

    refresh: bool = False
    cache: bool | None = None
    alone: bool = False
    beside: tuple[tuple[str, object], ...] = ()
    wish: Wish | None = None

    def reason(self) -> str | None:
        """Why the run is not cached; ``None`` if nothing is known against it.

        Raises:
            TypeError: If ``cache`` is no truth value.
        """
        if self.cache is False:
            return "the call says cache=False"
        if self.cache is not None and self.cache is not True:
            raise TypeError(f"cache must be True, False or None for a single run, got {self.cache!r}")
        return next((reason for reason, given in self.beside if given), None)

    def of_nodes(self) -> Asked:
        """What is asked of the run's cached nodes."""
        if self.cache is False:
            return "nothing"
        return "refresh" if self.refresh else "usual"


def call_locally(
    refresh: bool,
    cache: bool | None,
    token: Any,
    has_limits: bool,
    task_manager: Any,
    idempotency_key: str | None,
    search_attributes: Any,
    tracker: Any = None,
) -> Call:
    """What a caller of ``LocalRuntime`` asks of the cache.

    Args:
        refresh: As the caller has given it.
        cache: The same.
        token: The same.
        has_limits: Whether the run is given limits of time.
        task_manager: As the caller has given it.
        idempotency_key: The same.
        search_attributes: The same.
        tracker: The same.
    """
    return Call(
        refresh,
        cache,
        has_limits or token is not None,
        (
            ("a task manager is given", task_manager is not None),
            ("an idempotency key is given", idempotency_key is not None),
            ("search attributes are given", search_attributes is not None),
            ("an execution tracker is given", tracker is not None),
            ("it is cancelled already", token is not None and token.is_cancelled),
        ),
    )


def cached_runs_of(cache: Any) -> CachedRuns | None:
    """What answers a runtime's runs from a cache.

    Args:
        cache: As the runtime was given it; ``None`` or ``False`` for none.

    Raises:
        TypeError: If it is nothing to keep results in.
    """
    if cache is None or cache is False:
        return None
    from nexus_core.cached_runs.cached_runs import CachedRuns, as_result_cache

    return CachedRuns(as_result_cache(cache))


def execute_cached(
    runtime: Any, workflow: Any, parameters: Any, call: Call, compute: Callable[[Any], Outcome]
) -> Outcome:
    """Executes a workflow, or hands out what an earlier execution has come to.

    Args:
        runtime: A runtime with a cache.
        workflow: The workflow.
        parameters: The run's.
        call: What the caller asks for.
        compute: Executes it with some parameters.
    """
    runs, inputs = runtime._cached_runs, {} if parameters is None else parameters
    reason, began = call.reason(), time.perf_counter()
    if reason is None and not call.refresh:
        found = runs.find(runtime, workflow, inputs)
        if found is not None:
            return _told(call, runs, found.value, finished_locally(runtime, workflow, inputs, began))
    ready = runs.ready(runtime, workflow, inputs, reason)
    if ready is None:
        with asked(call.of_nodes()):
            return _told(call, runs, *compute(parameters))
    run_id: list[Any] = []

    def computed(own: dict[str, Any]) -> dict[str, Any]:
        with asked(call.of_nodes()):
            results, number = compute(own)
        run_id.append(number)
        return results

    handed = runs.run(ready, computed, refresh=call.refresh, alone=call.alone)
    number = run_id[-1] if run_id else finished_locally(runtime, workflow, inputs, began)
    return _told(call, runs, handed.value, number)


async def aexecute_cached(
    runtime: Any,
    workflow: Any,
    parameters: Any,
    call: Call,
    compute: Callable[[Any], Coroutine[Any, Any, Outcome]],
    finished: Callable[[Any, Any, Any, float], Any],
) -> Outcome:
    """As :func:`execute_cached`, for a task.

    Args:
        runtime: See there.
        workflow: See there.
        parameters: See there.
        call: See there.
        compute: See there.
        finished: Called with runtime, workflow, inputs and the time of the beginning for what
            a run leaves behind that was answered from the cache; returns its id.
    """
    runs, inputs = runtime._cached_runs, {} if parameters is None else parameters
    reason, began = call.reason(), time.perf_counter()
    if reason is None and not call.refresh:
        found = runs.find(runtime, workflow, inputs)
        if found is not None:
            return _told(call, runs, found.value, finished(runtime, workflow, inputs, began))
    if reason is None and len(getattr(workflow, "nodes", ())) >= _LARGE and not runs.is_read(workflow):
        # The caller may change its own meanwhile.
        inputs = parameters = dict(inputs) if type(inputs) is dict else inputs
        await asyncio.to_thread(runs.read, runtime, workflow)
    ready = runs.ready(runtime, workflow, inputs, reason)
    if ready is None:
        with asked(call.of_nodes()):
            return _told(call, runs, *await compute(parameters))
    run_id: list[Any] = []

    async def computed(own: dict[str, Any]) -> dict[str, Any]:
        with asked(call.of_nodes()):
            results, number = await compute(own)
        run_id.append(number)
        return results

    handed = await runs.arun(ready, computed, refresh=call.refresh, alone=call.alone)
    number = run_id[-1] if run_id else finished(runtime, workflow, inputs, began)
    return _told(call, runs, handed.value, number)


def _told(call: Call, runs: CachedRuns, results: dict[str, Any], run_id: Any) -> Outcome:
    if call.wish is not None:
        call.wish.tell(runs.last_outcome())
    return results, run_id


def finished_locally(runtime: Any, workflow: Any, inputs: Any, began: float) -> str | None:
    """Writes a run of ``LocalRuntime`` that was answered from the cache into the books; returns its id.

    It has no tasks there, since no node ran.
    """
    _tell(workflow, began)
    if not runtime.enable_monitoring:
        return None
    now = datetime.now(UTC)
    processed = runtime._process_workflow_parameters(workflow, inputs) if inputs else None
    record = RecordedRun(runtime, workflow, None, None, None)  # type: ignore[arg-type] # of no nodes
    record._begin_tracking(processed)
    record._end_tracking("completed", None, processed, now)
    return record.run_id


def finished_async(runtime: Any, workflow: Any, inputs: Any, began: float) -> str:
    """Ends a run of ``AsyncLocalRuntime``, which keeps no books, that was answered from the cache; returns its id."""
    _tell(workflow, began)
    return new_run_id()


def _tell(workflow: Any, began: float) -> None:
    bridge = get_metrics_bridge()
    if metrics_are_read(bridge):
        bridge.record_workflow_execution(workflow.name or "", time.perf_counter() - began, success=True)
