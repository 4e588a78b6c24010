"""How a scaler belongs to an app: as a plugin, which ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_core._app_end import EndsWithApp, free_name

if TYPE_CHECKING:
    from nexus_core.auto_scaler import AutoScaler

__all__ = ["ScalerPlugin", "join"]


class ScalerPlugin(EndsWithApp):
    """A Nexus plugin: the app's end is the scaler's.

    Args:
        scaler: The scaler.
        name: The plugin's name, which no other of the app has.
    """

    def __init__(self, scaler: AutoScaler, name: str) -> None:
        super().__init__(name, "ends an AutoScaler with the app", scaler.close)
        self.scaler = scaler


def join(app: Any, scaler: AutoScaler) -> ScalerPlugin:
    """Makes a scaler one of an app's.

    Args:
        app: An open app.
        scaler: The scaler.

    Returns:
        What ends it.
    """
    plugin = ScalerPlugin(scaler, free_name(app, "nexus-core-auto-scaler"))
    app.add_plugin(plugin)
    return plugin
