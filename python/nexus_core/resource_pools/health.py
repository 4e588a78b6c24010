"""Whether pools do well, by what they have measured, in the guide's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["GOOD", "NEEDS_ATTENTION", "NEEDS_OPTIMIZATION", "complaints", "verdict"]

GOOD = "good"
NEEDS_ATTENTION = "needs_attention"
NEEDS_OPTIMIZATION = "needs_optimization"

_FULL = 90.0
"""Percent of a pool's connections in use, from the guide."""
_EFFICIENT = 80.0
"""Percent of tasks that complete, from the guide."""
_UNANSWERED = 0.01
"""Share of requests without a connection that is too much."""
_NOTICED = 0.1
"""Seconds; nobody minds a shorter wait."""


def complaints(
    connections: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
    threads: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> list[tuple[str, str]]:
    """What is wrong with each pool.

    Args:
        connections: By name of a connection pool, its ``get_pool_stats()`` and ``figures()``.
        threads: The same of thread pools.

    Returns:
        A verdict and a sentence for each thing that is wrong.
    """
    return [
        *((NEEDS_ATTENTION, text) for name, both in connections.items() for text in _of_connections(name, *both)),
        *((NEEDS_OPTIMIZATION, text) for name, both in threads.items() for text in _of_threads(name, *both)),
    ]


def verdict(found: list[tuple[str, str]]) -> str:
    """The guide's word for all of it; as there, what thread pools need weighs more."""
    verdicts = {word for word, _ in found}
    return next((word for word in (NEEDS_OPTIMIZATION, NEEDS_ATTENTION) if word in verdicts), GOOD)


def _of_connections(name: str, stats: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    if stats["utilization_percent"] > _FULL:
        yield (
            f"connection pool {name!r}: {stats['active']} of {stats['max_size']} connections are in use, "
            f"more than {_FULL:g} %"
        )
    asked, unanswered = figures["checkouts"], figures["checkout_errors"]
    if asked and unanswered > _UNANSWERED * asked:
        yield f"connection pool {name!r}: {unanswered} of {asked} requests got no connection"
    wait, usage = figures["wait"], figures["usage"]
    if wait.p99 > max(_NOTICED, usage.mean) and wait.count > _UNANSWERED * max(usage.count, 1):
        yield (
            f"connection pool {name!r}: {wait.count} of {asked} requests had to wait, the slowest hundredth of these "
            f"for {wait.p99:.3g} s, where a connection is used for {usage.mean:.3g} s"
        )


def _of_threads(name: str, stats: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    if stats["efficiency"] < _EFFICIENT:
        ended = figures["done"] + figures["failed"]
        yield f"thread pool {name!r}: {figures['failed']} of {ended} tasks failed"
    if figures["rejected"]:
        yield f"thread pool {name!r}: {figures['rejected']} tasks were rejected, the queue being full"
    wait, run = figures["queue_wait"], figures["run_time"]
    if wait.p99 > max(_NOTICED, 2 * run.p99):
        yield (
            f"thread pool {name!r}: a hundredth of the tasks waited for {wait.p99:.3g} s or longer, "
            f"where they run for {run.p99:.3g} s"
        )
