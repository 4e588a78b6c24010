"""The route that streams what happens in a run, for single workflows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from nexus_core.nexus_app.stream_routes import add_stream_routes, has_stream_routes, remove_stream_routes
from nexus_core.optimizer.changes import Change, Refused, Target, no_change

__all__ = ["is_streamed", "stream", "stream_not"]

_changing = threading.RLock()


def is_streamed(target: Target) -> bool:
    """Whether a workflow has the route.

    Args:
        target: The workflow.
    """
    return target.api is not None and has_stream_routes(target.api)


def stream(target: Target) -> Change:
    """Gives a workflow the route.

    Args:
        target: The workflow.

    Raises:
        Refused: If it is served nowhere, or has another route there.
    """
    if is_streamed(target):
        return no_change(f"POST and GET /workflows/{target.name}/stream are there already")
    api = target.api
    if api is None:
        raise Refused("the app's gateway does not serve it")
    if any(getattr(route, "path", None) == "/stream" for route in api.app.router.routes):
        raise Refused("it has another route /stream already")
    return Change(
        f"POST and GET /workflows/{target.name}/stream stream what happens in a run",
        lambda: _wish(target.attachment, api, True),
    )


def stream_not(target: Target) -> Change:
    """Takes the route from a workflow.

    Args:
        target: The workflow, which has it.
    """
    api = target.api
    return Change(f"there is no /workflows/{target.name}/stream", lambda: _wish(target.attachment, api, False))


def _wish(attachment: Any, api: Any, wished: bool) -> Callable[[], None]:
    """Has the route be there or not, until what is returned is called; the last who wishes is heard."""
    wishes: list[list[bool]] = attachment.stream_wishes.setdefault(api, [[has_stream_routes(api)]])
    mine = [wished]

    def take_back() -> None:
        with _changing:
            wishes[:] = [each for each in wishes if each is not mine]
            # What was detached has no such routes, and whoever attached it again has given it its own.
            if attachment.active:
                _obey(api, wishes[-1][0])
            if len(wishes) == 1:
                attachment.stream_wishes.pop(api, None)

    with _changing:
        _obey(api, wished)
        wishes.append(mine)
    return take_back


def _obey(api: Any, wished: bool) -> None:
    if wished and not has_stream_routes(api):
        add_stream_routes(api)
    elif not wished:
        remove_stream_routes(api)
