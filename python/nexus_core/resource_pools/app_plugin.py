"""How a manager belongs to an app: as a plugin, which ends with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nexus_core.errors import NexusCoreError
from nexus_core.resource_pools.app_resources import PLUGIN_NAME, AppResources

if TYPE_CHECKING:
    from nexus_core.resource_pool_manager import ResourcePoolManager

__all__ = ["Membership", "join"]


class Membership:
    """A Nexus plugin: the app's shutdown closes the manager.

    Args:
        app: The app.
        manager: Its manager.
    """

    def __init__(self, app: Any, manager: ResourcePoolManager) -> None:
        self.resources = AppResources(app)
        self._app = app
        self._manager = manager
        self._closer: Callable[..., Any] | None = None
        self._closer_before: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The plugin's name."""
        return PLUGIN_NAME

    @property
    def description(self) -> str:
        """What the plugin does."""
        return "closes the pools of a ResourcePoolManager with the app"

    def install(self, app: Any) -> None:
        """Has closing the app close the manager, too: Nexus calls its hooks only when it stops serving.

        Args:
            app: The app.
        """
        original = app.close
        self._closer_before = vars(app).get("close")
        manager = self._manager

        def close(*args: Any, **kwargs: Any) -> Any:
            # First: the connections are to be back before the runtime goes.
            manager.close()
            return original(*args, **kwargs)

        self._closer = app.close = close

    async def on_shutdown(self) -> None:
        """Closes the manager without holding the event loop up; Nexus calls this."""
        await self._manager.aclose()

    def follow(self, runtime: Any) -> None:
        """Makes the pools visible on a runtime that the app was attached to later.

        Args:
            runtime: The runtime.
        """
        self.resources.follow(runtime)

    def leave(self) -> None:
        """Takes the manager's traces out of the app."""
        self.resources.remove_all()
        app = self._app
        if app._plugins.get(PLUGIN_NAME) is self:
            del app._plugins[PLUGIN_NAME]
        if self.on_shutdown in app._shutdown_hooks:
            # Another list: the one there may be gone through just now.
            app._shutdown_hooks = [hook for hook in app._shutdown_hooks if hook != self.on_shutdown]
        # Where somebody has put another in front since, ours stays behind it and passes on.
        if vars(app).get("close") is self._closer:
            if self._closer_before is None:
                del app.close
            else:
                app.close = self._closer_before


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
