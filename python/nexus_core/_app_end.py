"""What ends with an app: a plugin that closes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

__all__ = ["EndsWithApp", "free_name"]


class EndsWithApp:
    """A Nexus plugin: the app's end is that of what belongs to it.

    Args:
        name: The plugin's name, which no other of the app has.
        description: What it does.
        close: Closes what belongs to the app; more than once does nothing more.
    """

    def __init__(self, name: str, description: str, close: Callable[[], object]) -> None:
        self._name = name
        self._description = description
        # Emptied when it leaves, so that nothing is kept alive by a closer that stays behind.
        self._closes: list[Callable[[], object]] = [close]
        self._closer: Callable[..., Any] | None = None
        self._closer_before: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self._name

    @property
    def description(self) -> str:
        """What the plugin does."""
        return self._description

    def install(self, app: Any) -> None:
        """Has closing the app close it, too: Nexus calls its hooks only when it stops serving.

        Args:
            app: The app.
        """
        original = app.close
        self._closer_before = vars(app).get("close")
        closes = self._closes

        def close(*args: Any, **kwargs: Any) -> Any:
            # First: what it uses of the app is still there.
            for each in closes.copy():
                each()
            return original(*args, **kwargs)

        self._closer = app.close = close

    async def on_shutdown(self) -> None:
        """Closes it, which must wait for nothing; Nexus calls this."""
        for each in self._closes.copy():
            each()

    def leave(self, app: Any) -> None:
        """Takes its traces out of the app.

        Args:
            app: The app.
        """
        if app._plugins.get(self._name) is self:
            del app._plugins[self._name]
        if self.on_shutdown in app._shutdown_hooks:
            # Another list: the one there may be gone through just now.
            app._shutdown_hooks = [hook for hook in app._shutdown_hooks if hook != self.on_shutdown]
        # Where somebody has put another in front since, ours stays behind it and only passes on.
        self._closes.clear()
        if vars(app).get("close") is self._closer:
            if self._closer_before is None:
                del app.close
            else:
                app.close = self._closer_before


def free_name(app: Any, name: str) -> str:
    """A plugin's name that the app has none of: this one, or with a number.

    Args:
        app: The app.
        name: The name.
    """
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if each not in app._plugins)
