"""What the process uses of the machine."""

from __future__ import annotations

import sys
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
    # Nobody has asked for any to be given back before this is imported, and it needs Kailash.
    giver = sys.modules.get("nexus_core.optimizer.memory_return")
    return ProcessMetrics(**found, returned_bytes=0 if giver is None else giver.returned_bytes())
