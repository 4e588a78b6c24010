"""A client that goes away stops the run that it asked for."""

from __future__ import annotations

from typing import Any

from nexus_core._core import Noticing

__all__ = ["forget_clients", "notice_clients"]

#: The route on which a request waits for a run.
_PATH = "/execute"


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
        route.app = Noticing(route.app)


def forget_clients(api: Any) -> None:
    """Undoes what ``notice_clients`` did.

    Args:
        api: The ``WorkflowAPI`` of the workflow.
    """
    for route in api.app.router.routes:
        if isinstance(getattr(route, "app", None), Noticing):
            route.app = route.app.inner
