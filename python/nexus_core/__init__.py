"""A Rust execution core for task graphs and Kailash workflows.

>>> from nexus_core import TaskGraph, Input
>>> graph = TaskGraph()
>>> doubled = graph.add("doubled", lambda x: 2 * x, Input("x"))
>>> _ = graph.add("text", str, doubled)
>>> graph.run({"x": 21})
{'doubled': 42, 'text': '42'}
"""

from __future__ import annotations

import atexit

# A worker must not be the first thread to import it: it would pass for the main one.
import threading  # noqa: F401

from nexus_core._core import (
    CancellationToken,
    CompiledGraph,
    GraphStepper,
    Input,
    Ref,
    TaskGraph,
    __version__,
    _close_workers,
)

__all__ = [
    "CancellationToken",
    "CompiledGraph",
    "GraphStepper",
    "Input",
    "Ref",
    "TaskGraph",
    "__version__",
]

atexit.register(_close_workers)
