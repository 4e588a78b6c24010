"""How a manager belongs to an app: as a plugin, which ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_core._app_end import EndsWithApp
from nexus_core.errors import NexusCoreError
from nexus_core.resource_pools.app_resources import PLUGIN_NAME, AppResources

if TYPE_CHECKING:
    from nexus_core.resource_pool_manager import ResourcePoolManager

__all__ = ["Membership", "join"]


class Membership(EndsWithApp):
    """A Nexus plugin: the app's shutdown closes the manager.

    Args:
        app: The app.
        manager: Its manager.
    """

    def __init__(self, app: Any, manager: ResourcePoolManager) -> None:
        # The connections are to be back before the runtime goes.
        super().__init__(PLUGIN_NAME, "closes the pools of a ResourcePoolManager with the app", manager.close)
        self.resources = AppResources(app)
        self._manager = manager

    async def on_shutdown(self) -> None:
        """Closes the manager without holding the event loop up; Nexus calls this."""
        await self._manager.aclose()

    def follow(self, runtime: Any) -> None:
        """Makes the pools visible on a runtime that the app was attached to later.

        Args:
            runtime: The runtime.
        """
        self.resources.follow(runtime)

    def leave(self, app: Any) -> None:
        """Takes the manager's traces out of the app.

        Args:
            app: The app.
        """
        self.resources.remove_all()
        super().leave(app)


def join(app: Any, manager: ResourcePoolManager) -> Membership:
    """Makes a manager the app's.

    Args:
        app: The app.
        manager: The manager.

    Returns:
        What ends it.

    Raises:
        TypeError: If it is no Nexus app.
        NexusCoreError: If the app is closed, or has a manager.
    """
    try:
        from nexus import Nexus
    except ImportError as missing:
        raise NexusCoreError(
            "ResourcePoolManager needs Nexus, which is not installed: pip install nexus-core-rs[nexus]"
        ) from missing
    if not isinstance(app, Nexus):
        raise TypeError(f"not a Nexus app: {type(app).__module__}.{type(app).__qualname__}")
    if app.runtime is None:
        raise NexusCoreError("the app is closed; make a new one")
    if PLUGIN_NAME in app._plugins:
        raise NexusCoreError("the app has a ResourcePoolManager already; use that one, or close it first")
    membership = Membership(app, manager)
    app.add_plugin(membership)
    return membership
