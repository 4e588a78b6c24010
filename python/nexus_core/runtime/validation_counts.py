"""Counts of connection validations, kept where stock measures each one.

Stock writes two metrics for every node of every run, which costs more than many nodes
do. Here a finished run leaves one entry, and the metrics are written when somebody reads
them. What stock records by itself (its own assembling of inputs, a refused input) is
not counted again. Durations are not measured: such a validation counts as instant.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from kailash.runtime.validation.metrics import ValidationMetricsCollector, get_metrics_collector

from nexus_core.runtime.explain import NodeExplanation

__all__ = ["count", "install_read_barrier"]

#: As many as stock's collector keeps metrics; every run leaves at least one there.
_KEPT = 10_000

_Entry = tuple[Sequence[NodeExplanation], str, Collection[int]]

# Only ever appended to and taken from, each in one step: runs end on any thread.
_pending: deque[_Entry] = deque(maxlen=_KEPT)
_settling = threading.Lock()


def count(nodes: Sequence[NodeExplanation], mode: str, recorded: Collection[int]) -> None:
    """Counts the validations of a run.

    Args:
        nodes: The nodes whose inputs were assembled.
        mode: The runtime's ``connection_validation``.
        recorded: Places in ``nodes`` of those that stock has recorded itself.
    """
    _pending.append((nodes, mode, recorded))


def install_read_barrier() -> None:
    """Lets whoever reads stock's collector see every validation of a finished run."""
    # A reset passes over a collector that was never made, and with it over our counts.
    get_metrics_collector()
    for name in ("get_performance_summary", "export_metrics", "reset_metrics"):
        method = getattr(ValidationMetricsCollector, name)
        if not hasattr(method, "_nexus_core_barrier"):
            setattr(ValidationMetricsCollector, name, _behind_barrier(name, method))


def _behind_barrier(name: str, method: Any) -> Any:
    forgets = name == "reset_metrics"

    @functools.wraps(method)
    def settled(self: ValidationMetricsCollector, *args: Any, **kwargs: Any) -> Any:
        if _pending and self is get_metrics_collector():
            with _settling:
                if forgets:
                    _pending.clear()
                else:
                    _write(self)
        return method(self, *args, **kwargs)

    settled._nexus_core_barrier = True  # type: ignore[attr-defined]
    return settled


def _write(collector: ValidationMetricsCollector) -> None:
    entries = [_pending.popleft() for _ in range(len(_pending))]
    # The collector forgets its oldest metrics; those need not be written at all.
    latest: list[tuple[str, str, str]] = []
    for nodes, mode, recorded in reversed(entries):
        if len(latest) >= _KEPT:
            break
        latest.extend(
            (node.node_id, node.node_type, mode)
            for place, node in reversed(list(enumerate(nodes)))
            if place not in recorded
        )
    for node_id, node_type, mode in reversed(latest):
        if mode == "off":
            collector.record_mode_bypass(node_id, node_type, mode)
        else:
            collector.start_validation(node_id, node_type, mode)
            collector.end_validation(node_id, node_type, success=True)
