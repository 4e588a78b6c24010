"""The places in an app that hold a runtime, and how each holds it.

Found in kailash 2.65.0 and kailash-nexus 2.16.0: ``Nexus.runtime``, the gateway's, one for every
registered workflow, the transports', the channels', and the one that each MCP tool has captured.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CellType
from typing import Any

__all__ = ["Place", "app_place", "channel_place", "gateway_places", "tool_cell", "transport_places", "workflow_place"]

# The name under which Nexus hands the runtime to the function of an MCP tool.
_CAPTURED_AS = "shared_runtime"


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """An attribute that holds a runtime.

    Attributes:
        holder: The object whose attribute it is.
        attribute: The attribute's name.
        counted: Whether the holder has a reference of its own, which it releases when it closes.
        fill: Whether it takes a runtime although it is empty: where it is only looked at later.
        own: Whether Kailash made what is there itself, for this holder.
        remake: Makes what Kailash would put there; ``None`` where it only holds what it is given.
    """

    holder: Any
    attribute: str
    counted: bool = True
    fill: bool = False
    own: bool = False
    remake: Callable[[], Any] | None = None

    @property
    def key(self) -> tuple[int, str]:
        """Tells it from every other place, as long as its holder lives."""
        return id(self.holder), self.attribute

    def get(self) -> Any:
        """What it holds, or ``None``."""
        return getattr(self.holder, self.attribute, None)

    def put(self, runtime: Any) -> None:
        """Puts a runtime there; references are the caller's business."""
        setattr(self.holder, self.attribute, runtime)


def app_place(app: Any) -> Place:
    """``Nexus.runtime``, which MCP tools are registered with."""
    return _owner_place(app, "runtime", _async_runtime)


def gateway_places(gateway: Any) -> Iterator[Place]:
    """What the gateway itself executes on: enterprise route, durable gateway, signals and queries."""
    if hasattr(gateway, "_async_runtime"):
        yield _owner_place(gateway, "_async_runtime", _async_runtime)
        yield Place(gateway, "_injected_runtime", counted=False)
    if hasattr(gateway, "_runtime"):
        registry = getattr(gateway, "resource_registry", None)
        yield Place(gateway, "_runtime", own=True, remake=lambda: _async_runtime(resource_registry=registry))
    if hasattr(gateway, "runtime"):
        yield Place(gateway, "runtime", counted=False)


def workflow_place(api: Any) -> Place:
    """The runtime of one registered workflow."""
    return _owner_place(api, "runtime", _async_runtime)


def transport_places(transport: Any) -> Iterator[Place]:
    """The runtime that a transport was given, and the reference that it takes when first called."""
    if hasattr(transport, "_injected_runtime"):
        made_itself = transport._injected_runtime is None  # asked before it is filled
        yield Place(transport, "_injected_runtime", counted=False, fill=True)
        # Left empty, it takes another by itself at the next call.
        yield Place(transport, "_shared_runtime", own=made_itself, remake=lambda: None)


def channel_place(channel: Any) -> Place:
    """The runtime of a ``CLIChannel`` or ``MCPChannel``."""
    from kailash.channels.mcp_channel import MCPChannel

    return _owner_place(channel, "runtime", _sync_runtime if isinstance(channel, MCPChannel) else _async_runtime)


def tool_cell(server: Any, name: str) -> Place | None:
    """Where the MCP tool of a workflow keeps the runtime, or ``None`` if it cannot be found."""
    registered = getattr(server, "_tool_registry", {}).get(name)
    if not isinstance(registered, dict):
        return None
    function = registered.get("original_function") or inspect.unwrap(registered["function"])
    names: tuple[str, ...] = getattr(getattr(function, "__code__", None), "co_freevars", ())
    if _CAPTURED_AS not in names:
        return None
    cell: CellType = function.__closure__[names.index(_CAPTURED_AS)]
    return Place(cell, "cell_contents", counted=False)


def _owner_place(holder: Any, attribute: str, make: Callable[[], Any]) -> Place:
    own = getattr(holder, "_owns_runtime", False)
    return Place(holder, attribute, own=own, remake=make if own else None)


# By module, at the time of the call: it is the drop-in's while that is installed.
def _async_runtime(**options: Any) -> Any:
    from kailash.runtime import async_local

    return async_local.AsyncLocalRuntime(**options)


def _sync_runtime() -> Any:
    from kailash.runtime import local

    return local.LocalRuntime()
