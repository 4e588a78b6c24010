"""What the process uses of the machine."""

from __future__ import annotations

from typing import Any

from nexus_core._core import _process
from nexus_core.metrics.model import ProcessMetrics

__all__ = ["process_metrics"]


def process_metrics() -> ProcessMetrics:
    """What this process uses now, and what it may use.

    Read natively from the system: on Linux from ``/proc`` and the control groups of either
    version; elsewhere, what there is.

    Returns:
        The figures; ``None`` for what the system does not tell.

    Example:
        >>> process_metrics().cpu_seconds > 0.0
        True
    """
    found: dict[str, Any] = _process()
    return ProcessMetrics(**found)
