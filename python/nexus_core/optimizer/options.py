"""The guide's options for a workflow, checked, and what each of them plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nexus_core._checks import checked_seconds, checked_whole
from nexus_core.optimizer import caching, limits, pooling, streaming
from nexus_core.optimizer.changes import Change, Target
from nexus_core.optimizer.memory_return import give_back_after_runs
from nexus_core.optimizer.sizes import room_for
from nexus_core.parallel_execution.runtime_sizes import MOST_NODES

__all__ = ["checked_switch_options", "planners"]

_OFF = "it was not asked for"


def planners(
    *,
    cacheable: Any,
    enable_caching: Any,
    parallel_nodes: Any,
    resource_pooling: Any,
    result_streaming: Any,
    memory_optimization: Any,
    execution_timeout: Any,
    max_concurrent_executions: Any,
) -> dict[str, Callable[[Target], Change] | str]:
    """For each option, what plans its change, or why it is not wanted.

    Args:
        cacheable: See ``PerformanceOptimizer.optimize_workflow_execution``.
        enable_caching: See there.
        parallel_nodes: See there.
        resource_pooling: See there.
        result_streaming: See there.
        memory_optimization: See there.
        execution_timeout: See there.
        max_concurrent_executions: See there.

    Raises:
        TypeError: If one is of the wrong kind.
        ValueError: If a number is out of range.
    """
    _checked_cacheable(cacheable)
    flags = {
        "enable_caching": enable_caching,
        "resource_pooling": resource_pooling,
        "result_streaming": result_streaming,
        "memory_optimization": memory_optimization,
    }
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    nodes = None
    if not isinstance(parallel_nodes, bool):
        nodes = checked_whole("parallel_nodes", parallel_nodes, 1, MOST_NODES)
    seconds = None if execution_timeout is None else checked_seconds("execution_timeout", execution_timeout)
    runs = None
    if max_concurrent_executions is not None:
        runs = checked_whole("max_concurrent_executions", max_concurrent_executions, 1)
    plans: dict[str, Callable[[Target], Change] | str] = {
        "enable_caching": lambda target: caching.keep(target, cacheable),
        "parallel_nodes": lambda target: room_for(target, nodes),
        "resource_pooling": pooling.offer,
        "result_streaming": streaming.stream,
        "memory_optimization": give_back_after_runs,
        "execution_timeout": lambda target: limits.time_limit(target, seconds or 0.0),
        "max_concurrent_executions": lambda target: limits.at_once(target, runs or 1),
    }
    wanted = flags | {
        "parallel_nodes": parallel_nodes is not False,
        "execution_timeout": seconds is not None,
        "max_concurrent_executions": runs is not None,
    }
    return {option: plan if wanted[option] else _OFF for option, plan in plans.items()}


def checked_switch_options(strategy: str, known: tuple[str, ...], given: dict[str, Any]) -> None:
    """Checks the options that a strategy is given.

    Args:
        strategy: Its name.
        known: The options that it has.
        given: Those that it is given.

    Raises:
        TypeError: If there is no such option, or one is of the wrong kind.
        ValueError: If a number is out of range.
    """
    for name in given:
        if name not in known:
            has = f"has {', '.join(map(repr, known))}" if known else "has none"
            raise TypeError(f"{strategy} has no option {name!r}; it {has}")
    if "cacheable" in given:
        _checked_cacheable(given["cacheable"])
    if given.get("nodes") is not None:
        checked_whole("nodes", given["nodes"], 1, MOST_NODES)


def _checked_cacheable(given: Any) -> None:
    from nexus_core.cached_runs.policies import CachePolicy

    if not (given is None or isinstance(given, (bool, CachePolicy))):
        raise TypeError(f"cacheable must be True, False, None or a CachePolicy, got {given!r}")
