"""How a scaler belongs to an app: as a plugin, which ends with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.auto_scaler import AutoScaler

__all__ = ["ScalerPlugin", "join"]

_NAME = "nexus-core-auto-scaler"


class ScalerPlugin:
    """A Nexus plugin: the app's end is the scaler's.

    Args:
        scaler: The scaler.
        name: The plugin's name, which no other of the app has.
    """

    def __init__(self, scaler: AutoScaler, name: str) -> None:
        self.scaler = scaler
        self._name = name
        self._closer: Callable[..., Any] | None = None
        self._closer_before: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self._name

    @property
    def description(self) -> str:
        """What the plugin does."""
        return "ends an AutoScaler with the app"

    def install(self, app: Any) -> None:
        """Has closing the app close the scaler, too: Nexus calls its hooks only when it stops serving.

        Args:
            app: The app.
        """
        original = app.close
        self._closer_before = vars(app).get("close")
        scaler = self.scaler

        def close(*args: Any, **kwargs: Any) -> Any:
            # First: nothing is to be scaled while it goes down.
            scaler.close()
            return original(*args, **kwargs)

        self._closer = app.close = close

    async def on_shutdown(self) -> None:
        """Closes the scaler, which waits for nothing; Nexus calls this."""
        self.scaler.close()

    def leave(self, app: Any) -> None:
        """Takes the scaler's traces out of the app.

        Args:
            app: The app.
        """
        if app._plugins.get(self._name) is self:
            del app._plugins[self._name]
        if self.on_shutdown in app._shutdown_hooks:
            # Another list: the one there may be gone through just now.
            app._shutdown_hooks = [hook for hook in app._shutdown_hooks if hook != self.on_shutdown]
        # Where somebody has put another in front since, ours stays behind it and passes on.
        if vars(app).get("close") is self._closer:
            if self._closer_before is None:
                del app.close
            else:
                app.close = self._closer_before


def join(app: Any, scaler: AutoScaler) -> ScalerPlugin:
    """Makes a scaler one of an app's.

    Args:
        app: An open app.
        scaler: The scaler.

    Returns:
        What ends it.
    """
    names = itertools.chain([_NAME], (f"{_NAME}-{number}" for number in itertools.count(2)))
    plugin = ScalerPlugin(scaler, next(name for name in names if name not in app._plugins))
    app.add_plugin(plugin)
    return plugin
