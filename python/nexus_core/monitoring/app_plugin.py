"""How a monitor belongs to an app: as a plugin, which ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_core._app_end import EndsWithApp, free_name

if TYPE_CHECKING:
    from nexus_core.performance_monitor import PerformanceMonitor

__all__ = ["MonitorPlugin", "join"]


class MonitorPlugin(EndsWithApp):
    """A Nexus plugin: the app's end is the monitor's.

    Args:
        monitor: The monitor.
        name: The plugin's name, which no other of the app has.
    """

    def __init__(self, monitor: PerformanceMonitor, name: str) -> None:
        super().__init__(name, "ends a PerformanceMonitor with the app", monitor.close)
        self.monitor = monitor

    @property
    def monitoring_active(self) -> bool:
        """Whether the monitor samples."""
        return self.monitor.monitoring_active


def join(app: Any, monitor: PerformanceMonitor) -> MonitorPlugin:
    """Makes a monitor one of an app's.

    Args:
        app: An open app.
        monitor: The monitor.

    Returns:
        What ends it.
    """
    plugin = MonitorPlugin(monitor, free_name(app, "nexus-core-performance-monitor"))
    app.add_plugin(plugin)
    return plugin
