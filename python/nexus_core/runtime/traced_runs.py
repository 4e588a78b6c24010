"""Runs as traces and metrics see them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nexus_core._core import _RecordedRun

__all__ = ["ANSWERED", "begin_traced", "observe_answer", "observe_call", "observe_delegation"]

#: What a trace says of a run that was answered from a cache.
ANSWERED = "answered from the cache of results"

_T = TypeVar("_T")


def begin_traced(runtime: Any, workflow: Any, plan: Any) -> _RecordedRun | None:
    """Begins a run in the runtime's trace.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.

    Returns:
        What its nodes are taken down with; ``None`` while the runtime is not traced.
    """
    recorder = runtime._recorder
    return None if recorder is None else recorder.begin_run(_name(workflow), plan.plan)


def observe_answer(runtime: Any, workflow: Any, seconds: float, run_id: str | None) -> None:
    """Notes a run that was not needed, because a cache had its results.

    Args:
        runtime: The runtime, which has a cache.
        workflow: The workflow.
        seconds: How long it took to answer.
        run_id: The run's id, if it has one.
    """
    recorder, figures = runtime._recorder, runtime._figures
    if recorder is not None:
        recorder.answered(_name(workflow), ANSWERED, seconds, run_id)
    if figures is not None:
        cached_runs = runtime._cached_runs
        # It may have been taken away since.
        figures.answered(None if cached_runs is None else cached_runs.plan_of(workflow), workflow)


async def observe_delegation(runtime: Any, workflow: Any, reasons: tuple[str, ...], steps: Awaitable[_T]) -> _T:
    """Awaits a run of Kailash's own, of which only its duration and its end are known.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        reasons: Why it is not native; a trace says so.
        steps: The run.

    Returns:
        What it returns.
    """
    with _observed(runtime, workflow, reasons) as ended:
        return ended(await steps)


def observe_call(runtime: Any, workflow: Any, reasons: tuple[str, ...], call: Callable[[], _T]) -> _T:
    """The same for a run that is not awaited.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        reasons: Why it is not native.
        call: The run.

    Returns:
        What it returns.
    """
    with _observed(runtime, workflow, reasons) as ended:
        return ended(call())


@contextmanager
def _observed(runtime: Any, workflow: Any, reasons: tuple[str, ...]) -> Iterator[Callable[[Any], Any]]:
    recorder, figures = runtime._recorder, runtime._figures
    traced = None
    if recorder is not None:
        traced = recorder.begin_run(_name(workflow), None, f"run by Kailash: {'; '.join(reasons)}")
    if figures is not None:
        figures.begins()
    began = time.perf_counter()
    failure: BaseException | None = None
    run_id: str | None = None

    def ended(outcome: Any) -> Any:
        nonlocal run_id
        if isinstance(outcome, tuple) and len(outcome) == 2 and isinstance(outcome[1], str):
            run_id = outcome[1]
        return outcome

    try:
        yield ended
    except BaseException as error:
        failure = error
        raise
    finally:
        if traced is not None:
            traced.end(failure, run_id)
        if figures is not None:
            figures.ran(None, workflow, time.perf_counter() - began, failure)
        del failure


def _name(workflow: Any) -> str:
    name = getattr(workflow, "name", None)
    return name if isinstance(name, str) else ""
