"""``asyncio.create_task``, left as it was by nodes that put another in its place.

Kailash's ``AsyncPythonCodeNode`` does so while it runs, and puts back what it has found. Where two overlap, the one that
ends last puts back the other's, which takes no name: tasks of the whole process would be made by it from then on.

Where others depend on it all the time, as the event loop of a Dask worker does, what such a node puts there is kept to the
node's own context.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeVar

from kailash.nodes.code import async_python
from kailash.nodes.code.async_python import AsyncPythonCodeNode

__all__ = ["contain_create_task", "keeping_create_task", "replaces_create_task"]

_T = TypeVar("_T")

_lock = threading.Lock()
#: How many such nodes run, on whatever loops.
_running = 0
#: What was there before the first of them.
_before: Callable[..., Any] = asyncio.create_task


def replaces_create_task(node: Any) -> bool:
    """Whether a node puts another ``asyncio.create_task`` in its place while it runs.

    Args:
        node: A node.
    """
    return isinstance(node, AsyncPythonCodeNode)


async def keeping_create_task(execute: Callable[..., Awaitable[_T]], /, **inputs: Any) -> _T:
    """Runs such a node; once none runs any more, ``asyncio.create_task`` is what it was.

    Args:
        execute: Its ``execute_async``.
        inputs: What that is called with.

    Returns:
        What that returns.
    """
    global _running, _before
    with _lock:
        if not _running:
            _before = asyncio.tasks.create_task if _is_a_nodes(asyncio.create_task) else asyncio.create_task
        _running += 1
    try:
        return await execute(**inputs)
    finally:
        with _lock:
            _running -= 1
            if not _running and _is_a_nodes(asyncio.create_task):
                asyncio.create_task = _before


def _is_a_nodes(create_task: Any) -> bool:
    return getattr(create_task, "__module__", None) == AsyncPythonCodeNode.__module__


#: What the node of a context has put there.
_of_context: ContextVar[Callable[..., Any] | None] = ContextVar("nexus_core_create_task", default=None)


def _create_task(*args: Any, **kwargs: Any) -> Any:
    return (_of_context.get() or asyncio.tasks.create_task)(*args, **kwargs)


class _Asyncio(ModuleType):
    """``asyncio``, as Kailash's module of such nodes sees it."""

    def __getattr__(self, name: str) -> Any:
        # Not the one above, which would call the node's, which would call this one.
        return asyncio.tasks.create_task if name == "create_task" else getattr(asyncio, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "create_task":
            _of_context.set(value if _is_a_nodes(value) else None)
        else:
            setattr(asyncio, name, value)


def contain_create_task() -> None:
    """Keeps what such nodes put in the place of ``asyncio.create_task`` to their own contexts, in this process."""
    with _lock:
        if not isinstance(async_python.asyncio, _Asyncio):
            async_python.asyncio = _Asyncio("asyncio")
            asyncio.create_task = _create_task


def _begin_anew() -> None:
    global _lock, _running
    _lock = threading.Lock()
    # The threads that ran them are not there.
    _running = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
