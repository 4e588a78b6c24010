"""Runs that a trace takes down."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from nexus_core._core import _RecordedRun

__all__ = ["begin_traced", "tracing_delegation"]

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


async def tracing_delegation(runtime: Any, workflow: Any, reasons: tuple[str, ...], steps: Awaitable[_T]) -> _T:
    """Awaits a run of Kailash's own, of which a trace shows that it was, how long it took, and why.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        reasons: Why it is not native.
        steps: The run.

    Returns:
        What it returns.
    """
    recorder = runtime._recorder
    if recorder is None:
        return await steps
    traced = recorder.begin_run(_name(workflow), None, f"run by Kailash: {'; '.join(reasons)}")
    try:
        outcome = await steps
    except BaseException as error:
        traced.end(error)
        raise
    run_id = outcome[1] if isinstance(outcome, tuple) and len(outcome) == 2 else None
    traced.end(None, run_id if isinstance(run_id, str) else None)
    return outcome


def _name(workflow: Any) -> str:
    name = getattr(workflow, "name", None)
    return name if isinstance(name, str) else ""
