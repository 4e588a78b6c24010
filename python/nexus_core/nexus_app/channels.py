"""Channels that are made beside an app: ``CLIChannel`` and ``MCPChannel`` objects.

The app does not know them; they know the app's gateway or its MCP server.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["adopt_later_channels", "channels_of", "forget"]

_CLASSES = (("kailash.channels.cli_channel", "CLIChannel"), ("kailash.channels.mcp_channel", "MCPChannel"))

# What is told of new channels, by app. Weakly: an app that is forgotten goes.
_told: weakref.WeakKeyDictionary[Any, weakref.WeakMethod[Callable[[Any], None]]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_originals: dict[type, Callable[..., None]] = {}


def channels_of(app: Any) -> Iterator[Any]:
    """The live channels that serve the app's workflows, its own ones included."""
    own = getattr(app, "_mcp_channel", None)
    if own is not None:
        yield own
    kinds: set[type] = set()
    for module, name in _CLASSES:
        if module in sys.modules:  # nobody has made one otherwise
            kinds.update(_with_subclasses(getattr(sys.modules[module], name)))
    if kinds:
        # By type: isinstance would ask arbitrary objects, which may answer with code of their own.
        yield from (
            found for found in gc.get_objects() if type(found) in kinds and found is not own and _serves(found, app)
        )


def adopt_later_channels(app: Any, adopt: Callable[[Any], None]) -> None:
    """From now on, channels made for the app without a runtime are handed to ``adopt``."""
    import importlib

    with _lock:
        _told[app] = weakref.WeakMethod(adopt)
        for module, name in _CLASSES:
            cls = getattr(importlib.import_module(module), name)
            if cls not in _originals:
                _originals[cls] = cls.__init__
                cls.__init__ = _telling(cls.__init__)


def forget(app: Any) -> None:
    """Undoes ``adopt_later_channels``."""
    with _lock:
        _told.pop(app, None)
        if _told:
            return
        for cls, original in list(_originals.items()):
            # If somebody has wrapped it since, it stays: there is nobody to tell.
            if getattr(vars(cls)["__init__"], "__wrapped__", None) is original:
                cls.__init__ = original  # type: ignore[misc]
                del _originals[cls]


def _telling(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        if getattr(self, "_owns_runtime", False):
            for app, reference in list(_told.items()):
                adopt = reference()
                if adopt is not None and _serves(self, app):
                    adopt(self)

    return __init__


def _with_subclasses(cls: Any) -> Iterator[type]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _with_subclasses(subclass)


def _serves(channel: Any, app: Any) -> bool:
    held = vars(channel)
    gateway = app._http_transport.gateway
    server = getattr(app, "_mcp_server", None)
    return (gateway is not None and held.get("workflow_server") is gateway) or (
        server is not None and held.get("mcp_server") is server
    )
