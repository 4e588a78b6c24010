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
        # ``None`` once it has left.
        self._close: Callable[[], object] | None = close
        self._closer: _Closer | None = None

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
        closer = vars(app).get("close")
        if not isinstance(closer, _Closer):
            closer = app.close = _Closer(app)
        closer.ends.append(self)
        self._closer = closer

    def end(self) -> None:
        """Closes it, unless it has left."""
        if self._close is not None:
            self._close()

    async def on_shutdown(self) -> None:
        """Closes it, which must wait for nothing; Nexus calls this."""
        self.end()

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
        self._close = None
        closer, self._closer = self._closer, None
        if closer is None:
            return
        closer.ends.remove(self)
        # Where somebody has put another in front since, ours stays behind it and only passes on.
        if not closer.ends and vars(app).get("close") is closer:
            closer.leave(app)


class _Closer:
    """An app's ``close`` that first ends what belongs to the app.

    One for all of them: had each its own around those before, they would stay behind whenever another came in between, and
    become deeper and deeper.

    Args:
        app: The app.
    """

    def __init__(self, app: Any) -> None:
        self.ends: list[EndsWithApp] = []
        self._original = app.close
        self._before = vars(app).get("close")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # First: what it uses of the app is still there. The last that came may use those before it.
        for each in reversed(self.ends.copy()):
            each.end()
        return self._original(*args, **kwargs)

    def leave(self, app: Any) -> None:
        """Gives the app what it had."""
        if self._before is None:
            del app.close
        else:
            app.close = self._before


def free_name(app: Any, name: str) -> str:
    """A plugin's name that the app has none of: this one, or with a number.

    Args:
        app: The app.
        name: The name.
    """
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if each not in app._plugins)
