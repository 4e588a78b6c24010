"""What a ``PerformanceMonitor`` of the app warns of, if it has one."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["active_alerts"]

_log = logging.getLogger("nexus_core.live")
_MOST = 50
_LONGEST = 2000
_reported: set[str] = set()


def active_alerts(app: Any) -> list[dict[str, Any]]:
    """Alerts that are active, oldest first.

    Args:
        app: The app; its monitor is a plugin whose name or class says so.

    Returns:
        ``severity``, ``metric``, ``message`` and ``timestamp`` of each; nothing without a monitor,
        or from one that fails, which is logged once.
    """
    found: list[dict[str, Any]] = []
    for plugin in list(app._plugins.values()):
        monitor = _monitor(plugin)
        if monitor is None:
            continue
        try:
            found += [_told(alert) for alert in list(monitor.get_active_alerts())[-_MOST:]]
        except Exception:
            kind = type(monitor).__qualname__
            if kind not in _reported:
                _reported.add(kind)
                _log.warning("the alerts of a %s cannot be read", kind, exc_info=True)
    return found


def _monitor(plugin: Any) -> Any:
    """The plugin itself, or what it keeps in the app."""
    for holder in (plugin, getattr(plugin, "monitor", None), getattr(plugin, "_monitor", None)):
        if holder is not None and callable(getattr(type(holder), "get_active_alerts", None)):
            return holder
    return None


def _told(alert: Any) -> dict[str, Any]:
    get = alert.get if isinstance(alert, Mapping) else lambda name, default=None: getattr(alert, name, default)
    timestamp = get("timestamp", None)
    return {
        "severity": str(get("severity", "") or ""),
        "metric": str(get("metric", "") or ""),
        "message": str(get("message", "") or alert)[:_LONGEST],
        "timestamp": float(timestamp) if isinstance(timestamp, (int, float)) and math.isfinite(timestamp) else None,
    }
