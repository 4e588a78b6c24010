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
import threading
from typing import TYPE_CHECKING

from nexus_core._core import (
    CancellationToken,
    CompiledGraph,
    GraphStepper,
    Input,
    Ref,
    TaskGraph,
    __version__,
    _close_workers,
    _finish_pools,
)

if TYPE_CHECKING:
    from nexus_core.auto_scaler import AutoScaler
    from nexus_core.cache import Cache
    from nexus_core.cached_functions import cached
    from nexus_core.cached_runs import CachePolicy, ResultCache, last_cache_outcome
    from nexus_core.connection_pool import ConnectionPool
    from nexus_core.installation import install, uninstall
    from nexus_core.intelligent_cache import IntelligentCache
    from nexus_core.nexus_app import attach, detach
    from nexus_core.parallel_execution_manager import ParallelExecutionManager
    from nexus_core.performance_best_practices import PerformanceBestPractices
    from nexus_core.performance_monitor import PerformanceMonitor
    from nexus_core.performance_optimizer import PerformanceOptimizer
    from nexus_core.process_pool import ProcessPool
    from nexus_core.resource_pool_manager import ResourcePoolManager
    from nexus_core.thread_pool import ThreadPool
    from nexus_core.tiered_cache import TieredCache

__all__ = [
    "AutoScaler",
    "Cache",
    "CachePolicy",
    "CancellationToken",
    "CompiledGraph",
    "ConnectionPool",
    "GraphStepper",
    "Input",
    "IntelligentCache",
    "ParallelExecutionManager",
    "PerformanceBestPractices",
    "PerformanceMonitor",
    "PerformanceOptimizer",
    "ProcessPool",
    "Ref",
    "ResourcePoolManager",
    "ResultCache",
    "TaskGraph",
    "ThreadPool",
    "TieredCache",
    "__version__",
    "attach",
    "cached",
    "detach",
    "install",
    "last_cache_outcome",
    "uninstall",
]

atexit.register(_close_workers)
# As the standard library's executors do: before threads are waited for, which may wait for tasks.
try:
    threading._register_atexit(_finish_pools)  # type: ignore[attr-defined]
except (AttributeError, RuntimeError):  # a Python without it, or one that is going down already
    atexit.register(_finish_pools)

# What is for Nexus and Kailash, or needs asyncio, is imported when it is asked for.
_LATER = {
    "AutoScaler": "nexus_core.auto_scaler",
    "Cache": "nexus_core.cache",
    "CachePolicy": "nexus_core.cached_runs",
    "ConnectionPool": "nexus_core.connection_pool",
    "IntelligentCache": "nexus_core.intelligent_cache",
    "ParallelExecutionManager": "nexus_core.parallel_execution_manager",
    "PerformanceBestPractices": "nexus_core.performance_best_practices",
    "PerformanceMonitor": "nexus_core.performance_monitor",
    "PerformanceOptimizer": "nexus_core.performance_optimizer",
    "ProcessPool": "nexus_core.process_pool",
    "ResourcePoolManager": "nexus_core.resource_pool_manager",
    "ResultCache": "nexus_core.cached_runs",
    "ThreadPool": "nexus_core.thread_pool",
    "TieredCache": "nexus_core.tiered_cache",
    "attach": "nexus_core.nexus_app",
    "cached": "nexus_core.cached_functions",
    "detach": "nexus_core.nexus_app",
    "install": "nexus_core.installation",
    "last_cache_outcome": "nexus_core.cached_runs",
    "uninstall": "nexus_core.installation",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'nexus_core' has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
