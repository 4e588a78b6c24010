"""The route that streams what happens in a run, for single workflows."""

from __future__ import annotations

from nexus_core.nexus_app.stream_routes import add_stream_routes, has_stream_routes, remove_stream_routes
from nexus_core.optimizer.changes import Change, Refused, Target, no_change

__all__ = ["is_streamed", "stream", "stream_not"]


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
        lambda: add_stream_routes(api),
        lambda: remove_stream_routes(api),
    )


def stream_not(target: Target) -> Change:
    """Takes the route from a workflow.

    Args:
        target: The workflow, which has it.
    """
    api = target.api
    return Change(
        f"there is no /workflows/{target.name}/stream",
        lambda: remove_stream_routes(api),
        lambda: add_stream_routes(api),
    )
