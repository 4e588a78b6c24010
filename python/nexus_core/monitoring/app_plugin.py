"""How a monitor belongs to an app: as a plugin, which ends with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.performance_monitor import PerformanceMonitor

__all__ = ["MonitorPlugin", "join"]

_NAME = "nexus-core-performance-monitor"


class MonitorPlugin:
    """A Nexus plugin: the app's end is the monitor's.

    Args:
        monitor: The monitor.
        name: The plugin's name, which no other of the app has.
    """

    def __init__(self, monitor: PerformanceMonitor, name: str) -> None:
        self.monitor = monitor
        self._name = name
        self._ended: list[PerformanceMonitor] = []
        self._closer: Callable[..., Any] | None = None
        self._closer_before: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self._name

    @property
    def description(self) -> str:
        """What the plugin does."""
        return "ends a PerformanceMonitor with the app"

    @property
    def monitoring_active(self) -> bool:
        """Whether the monitor samples."""
        return self.monitor.monitoring_active

    def install(self, app: Any) -> None:
        """Has closing the app close the monitor, too: Nexus calls its hooks only when it stops serving.

        Args:
            app: The app.
        """
        original = app.close
        self._closer_before = vars(app).get("close")
        ended = self._ended = [self.monitor]

        def close(*args: Any, **kwargs: Any) -> Any:
            for monitor in ended.copy():
                monitor.close()
            return original(*args, **kwargs)

        self._closer = app.close = close

    async def on_shutdown(self) -> None:
        """Closes the monitor, which waits for nothing; Nexus calls this."""
        self.monitor.close()

    def leave(self, app: Any) -> None:
        """Takes the monitor's traces out of the app.

        Args:
            app: The app.
        """
        if app._plugins.get(self._name) is self:
            del app._plugins[self._name]
        if self.on_shutdown in app._shutdown_hooks:
            # Another list: the one there may be gone through just now.
            app._shutdown_hooks = [hook for hook in app._shutdown_hooks if hook != self.on_shutdown]
        # Where somebody has put another in front since, ours stays behind it and passes on, without the monitor.
        self._ended.clear()
        if vars(app).get("close") is self._closer:
            if self._closer_before is None:
                del app.close
            else:
                app.close = self._closer_before


def join(app: Any, monitor: PerformanceMonitor) -> MonitorPlugin:
    """Makes a monitor one of an app's.

    Args:
        app: An open app.
        monitor: The monitor.

    Returns:
        What ends it.
    """
    names = itertools.chain([_NAME], (f"{_NAME}-{number}" for number in itertools.count(2)))
    plugin = MonitorPlugin(monitor, next(name for name in names if name not in app._plugins))
    app.add_plugin(plugin)
    return plugin
