"""The routes that stream a workflow's runs: ``/workflows/{name}/stream``."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from kailash.api.workflow_api import WorkflowRequest
from pydantic import ValidationError
from starlette.responses import Response

from nexus_core.nexus_app.event_stream import EventStream

__all__ = ["add_stream_routes", "has_stream_routes", "remove_stream_routes"]

_PATH = "/stream"
# Marks our routes, so that those of others under the same path are left alone.
_MARK = "_nexus_core_route"


def add_stream_routes(api: Any) -> None:
    """Adds the routes to a workflow's own app, inside its authentication.

    Args:
        api: The ``WorkflowAPI`` of the workflow.

    Raises:
        LookupError: If the path is taken.
    """
    if any(getattr(route, "path", None) == _PATH for route in api.app.router.routes):
        raise LookupError(f"there is a route {_PATH} already")

    async def stream(request: WorkflowRequest) -> Response:
        """Executes the workflow, and streams what happens as server-sent events."""
        return _events(api, request)

    async def stream_to_event_source(
        inputs: str = Query("{}", description="The inputs, as a JSON object"),
    ) -> Response:
        """The same for an EventSource, which cannot send a body."""
        return _events(api, _request(inputs))

    before = len(api.app.router.routes)
    # No response model: the response is made here.
    api.app.add_api_route(_PATH, stream, methods=["POST"], response_model=None)
    api.app.add_api_route(_PATH, stream_to_event_source, methods=["GET"], response_model=None)
    for route in api.app.router.routes[before:]:
        setattr(route, _MARK, True)
    api.app.openapi_schema = None


def has_stream_routes(api: Any) -> bool:
    """Whether a workflow has the routes.

    Args:
        api: The ``WorkflowAPI`` of the workflow.
    """
    return any(getattr(route, _MARK, False) for route in api.app.router.routes)


def remove_stream_routes(api: Any) -> None:
    """Takes away what ``add_stream_routes`` has added.

    Args:
        api: The ``WorkflowAPI`` of the workflow.
    """
    routes = api.app.router.routes
    routes[:] = [route for route in routes if not getattr(route, _MARK, False)]
    api.app.openapi_schema = None


def _events(api: Any, request: WorkflowRequest) -> Response:
    return EventStream(api.runtime.stream(api.workflow_graph, request.get_inputs()))


def _request(inputs: str) -> WorkflowRequest:
    try:
        given = json.loads(inputs)
    except ValueError as error:
        wrong = {"type": "json_invalid", "loc": ("query", "inputs"), "msg": f"JSON decode error: {error}"}
        raise RequestValidationError([{**wrong, "input": inputs}]) from error
    try:
        return WorkflowRequest(inputs=given)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise RequestValidationError(
            [{**problem, "loc": ("query", *problem["loc"])} for problem in problems]
        ) from error
