"""The live page of an attached app: ``/nexus-core/``, and the figures that it asks for."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import HTTPException, Query
from starlette.responses import RedirectResponse, Response

from nexus_core import __version__
from nexus_core._app_workflows import asks_for_credentials
from nexus_core.live.monitors import active_alerts
from nexus_core.live.page import live_page
from nexus_core.live.readings import Reading, read_app
from nexus_core.live.sampler import Sampler

__all__ = ["DATA_PATH", "PAGE_PATH", "add_live_page", "remove_live_page"]

PAGE_PATH = "/nexus-core/"
DATA_PATH = "/nexus-core/data"
_BARE_PATH = "/nexus-core"
# Marks our routes, so that those of others are left alone.
_MARK = "_nexus_core_live_route"
_DATA_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_log = logging.getLogger("nexus_core.attach")


def add_live_page(app: Any, runtime: Any) -> None:
    """Adds the page to an app's own routes, and so behind whatever the app lets requests pass through.

    Args:
        app: The app.
        runtime: The runtime that it is attached to.

    Raises:
        LookupError: If a path is taken.
    """
    server = app.fastapi_app
    ours = (PAGE_PATH, DATA_PATH, _BARE_PATH)
    taken = [path for route in server.router.routes if (path := getattr(route, "path", None)) in ours]
    if taken:
        raise LookupError(f"there is a route {taken[0]} already")

    def read() -> Reading:
        return read_app(app, runtime, active_alerts(app))

    # FastAPI keeps endpoints for good: what they read goes when they are removed.
    samplers = [Sampler(read)]
    kind, name = type(runtime).__name__, str(getattr(app, "name", None) or "nexus")
    text, policy = live_page(name)
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
    }

    async def page() -> Response:
        return Response(text, media_type="text/html; charset=utf-8", headers=headers)

    async def bare() -> Response:
        # Relative, so that it holds behind a proxy that serves the app under a path of its own.
        return RedirectResponse("nexus-core/")

    # Not async: reading is done beside the event loop.
    def data(after: int = Query(0, ge=0, description="The number of the last sample seen")) -> Response:
        found = samplers[:]
        if not found:  # removed while the request was on its way
            raise HTTPException(404)
        about = {"app": name, "version": __version__, "runtime": kind}
        # Not Starlette's JSON, which fails for names with lone surrogates, as files and tools of others may bring them.
        told = json.dumps({**about, **found[0].ask(after)}, separators=(",", ":"), allow_nan=False)
        return Response(told, media_type="application/json", headers=_DATA_HEADERS)

    before = len(server.router.routes)
    for path, endpoint in ((PAGE_PATH, page), (_BARE_PATH, bare), (DATA_PATH, data)):
        server.add_api_route(path, endpoint, methods=["GET"], response_model=None, include_in_schema=False)
    for route in server.router.routes[before:]:
        setattr(route, _MARK, samplers)
    if not asks_for_credentials(app):
        _log.warning(
            "the live page %s is there for everybody who reaches the app, which asks for no credentials: "
            "Nexus(enable_auth=True) protects both",
            PAGE_PATH,
        )


def remove_live_page(app: Any) -> None:
    """Takes the page away.

    Args:
        app: The app.
    """
    routes = app.fastapi_app.router.routes
    for route in routes:
        getattr(route, _MARK, []).clear()
    routes[:] = [route for route in routes if not hasattr(route, _MARK)]
