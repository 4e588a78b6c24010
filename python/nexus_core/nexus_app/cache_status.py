"""What an HTTP client asks of the cache of results, and how it learns what it got.

The request's ``Cache-Control`` is followed where it says ``no-cache``, ``max-age=0`` or
``no-store``; the reply has a ``Cache-Status`` (RFC 9211).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from nexus_core._core import Noticing
from nexus_core.cached_runs.cached_workflows import call_workflow
from nexus_core.cached_runs.status_lines import status_line
from nexus_core.runtime.cache_wishes import Wish, wishing

__all__ = ["CacheStatus", "stop_telling", "tell_of_gateway", "tell_of_workflow", "wish_of"]

_WORKFLOW_PATHS = ("/execute", "/")
_ENTERPRISE_PATH = "/enterprise/workflows/{workflow_id}/execute_async"


class CacheStatus:
    """An ASGI app whose replies tell how the run was answered that they are of.

    Args:
        inner: The app.
    """

    __slots__ = ("inner",)

    def __init__(self, inner: Callable[..., Awaitable[None]]) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handles one request."""
        wish = wish_of(scope["headers"])

        async def telling(message: Any) -> None:
            if wish.outcome is not None and message["type"] == "http.response.start":
                line = status_line(wish.outcome).encode("ascii")
                message = {**message, "headers": [*message.get("headers", ()), (b"cache-status", line)]}
            await send(message)

        with wishing(wish):
            await self.inner(scope, receive, telling)


def wish_of(headers: Iterable[tuple[bytes, bytes]]) -> Wish:
    """What a request's headers ask of the cache.

    Args:
        headers: As ASGI gives them, the names in lower case.

    Example:
        >>> wish_of([(b"cache-control", b"no-cache")]).refresh
        True
    """
    wish = Wish()
    for name, value in headers:
        if name == b"cache-control":
            directives = {part.strip().lower() for part in value.split(b",")}
            if b"no-store" in directives:
                wish.cache = False
            elif b"no-cache" in directives or b"max-age=0" in directives:
                wish.refresh = True
    return wish


def tell_of_workflow(api: Any, name: str) -> None:
    """Has replies of a workflow's routes tell, and policies found under its registered name.

    Args:
        api: The ``WorkflowAPI`` of the workflow.
        name: The name.

    Raises:
        LookupError: If it has no such route.
    """
    call_workflow(api.workflow_graph, name)
    routes = [route for route in api.app.router.routes if getattr(route, "path", None) in _WORKFLOW_PATHS]
    if not routes:
        raise LookupError(f"there is no route {_WORKFLOW_PATHS[0]}")
    _wrap(routes)


def tell_of_gateway(gateway: Any) -> None:
    """The same for the enterprise route of a gateway, if it has one.

    Args:
        gateway: The gateway.
    """
    _wrap(_enterprise_routes(gateway))


def stop_telling(gateway: Any, apis: Iterable[Any]) -> None:
    """Undoes both.

    Args:
        gateway: The gateway.
        apis: The ``WorkflowAPI`` of each workflow.
    """
    routes = [*_enterprise_routes(gateway), *(route for api in apis for route in api.app.router.routes)]
    for route in routes:
        app = getattr(route, "app", None)
        if isinstance(app, CacheStatus):
            route.app = app.inner
        elif isinstance(app, Noticing) and app.tells:
            route.app = Noticing(app.inner)


def _enterprise_routes(gateway: Any) -> Iterator[Any]:
    app = getattr(gateway, "app", None)
    for route in getattr(getattr(app, "router", None), "routes", ()):
        if getattr(route, "path", None) == _ENTERPRISE_PATH:
            yield route


def _wrap(routes: Iterable[Any]) -> None:
    for route in routes:
        app = getattr(route, "app", None)
        if isinstance(app, Noticing):
            # It looks at every request already.
            route.app = Noticing(app.inner, True)
        elif app is not None and not isinstance(app, CacheStatus):
            route.app = CacheStatus(app)
