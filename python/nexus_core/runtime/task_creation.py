"""``asyncio.create_task``, left as it was by nodes that put another in its place.

Kailash's ``AsyncPythonCodeNode`` does so while it runs, and puts back what it has found. Where two overlap, the one that
ends last puts back the other's, which takes no name: tasks of the whole process would be made by it from then on.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from kailash.nodes.code.async_python import AsyncPythonCodeNode

__all__ = ["keeping_create_task", "replaces_create_task"]

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


def _begin_anew() -> None:
    global _lock, _running
    _lock = threading.Lock()
    # The threads that ran them are not there.
    _running = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
