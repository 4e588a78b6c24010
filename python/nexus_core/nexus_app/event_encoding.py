"""Events of a run as server-sent events."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from fastapi.encoders import jsonable_encoder
from kailash.utils.http_errors import mask_exception_text

from nexus_core.runtime.events import RunEvent

__all__ = ["encoded_event", "event_name", "expressed"]

# As deep as a document gets that Python's own JSON reader takes without special measures.
_DEEPEST = 100


def encoded_event(number: int, event: RunEvent) -> bytes:
    """An event as it goes over the wire.

    Args:
        number: Its number in the stream; the ``id``.
        event: The event.
    """
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    data = {name: _error(value) if isinstance(value, BaseException) else value for name, value in fields.items()}
    return f"id: {number}\nevent: {event_name(type(event))}\ndata: {_json(data)}\n\n".encode()


def event_name(kind: type) -> str:
    """The name of a kind of event: ``NodeStarted`` is ``node_started``.

    Args:
        kind: A class of events.
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def expressed(value: Any, depth: int = 0) -> Any:
    """A value in JSON's terms: as FastAPI encodes it, or marked where that cannot be done.

    Args:
        value: Any value.
        depth: How deep in a document it lies.

    Returns:
        The value in JSON's terms; what has none is ``{"repr": ..., "not_json": "module.Class"}``.
    """
    if depth > _DEEPEST:
        return _marked(value)
    if isinstance(value, dict):
        return {_key(key): expressed(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [expressed(item, depth + 1) for item in value]
    try:
        encoded = jsonable_encoder(value)
        json.dumps(encoded, allow_nan=False)
    except Exception:  # objects may answer with whatever errors they like
        return _marked(value)
    return encoded


def _json(data: dict[str, Any]) -> str:
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return json.dumps(expressed(data), allow_nan=False, separators=(",", ":"))


def _key(key: Any) -> Any:
    return key if isinstance(key, str | int | None) else str(key)


def _marked(value: Any) -> dict[str, str]:
    kind = type(value)
    try:
        shown = repr(value)
    except Exception:
        shown = f"<{kind.__name__} that cannot be shown>"
    return {"repr": shown, "not_json": f"{kind.__module__}.{kind.__qualname__}"}


def _error(error: BaseException) -> dict[str, str]:
    # Masked as Kailash masks what leaves the server: drivers put credentials into messages.
    return {"type": type(error).__name__, "message": mask_exception_text(error)}
