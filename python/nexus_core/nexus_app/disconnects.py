"""A client that goes away stops the run that it asked for."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nexus_core.runtime.clients import Client, client

__all__ = ["forget_clients", "notice_clients"]

#: The route on which a request waits for a run.
_PATH = "/execute"


class _Noticing:
    """Lets the run of a request know its client; a run that takes long listens to it.

    Args:
        inner: The route's own app.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        waiting = Client(receive)

        def answer(message: Message) -> Awaitable[None]:
            waiting.answered = True
            return send(message)

        token = client.set(waiting)
        try:
            await self.inner(scope, receive, answer)
        finally:
            client.reset(token)


def notice_clients(api: Any) -> None:
    """Has runs of ``POST /workflows/{name}/execute`` stopped when their client goes away.

    Args:
        api: The ``WorkflowAPI`` of the workflow.

    Raises:
        LookupError: If it has no such route.
    """
    routes = [route for route in api.app.router.routes if getattr(route, "path", None) == _PATH]
    if not routes:
        raise LookupError(f"there is no route {_PATH}")
    for route in routes:
        route.app = _Noticing(route.app)


def forget_clients(api: Any) -> None:
    """Undoes what ``notice_clients`` did.

    Args:
        api: The ``WorkflowAPI`` of the workflow.
    """
    for route in api.app.router.routes:
        if isinstance(getattr(route, "app", None), _Noticing):
            route.app = route.app.inner
