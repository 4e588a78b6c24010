"""What a connection pool counts and measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nexus_core.durations import Durations

__all__ = ["ConnectionPoolStatistics"]


@dataclass(frozen=True, slots=True)
class ConnectionPoolStatistics:
    """A connection pool at one moment, and what happened since it was made.

    Attributes:
        name: The pool's name.
        min_size: Connections that are there always.
        max_size: Connections that may exist.
        size: Connections that exist, those being made included.
        idle: Connections that lie ready.
        in_use: Connections that are out.
        tended: Connections that are being checked or reset.
        connecting: Connections that are being made.
        waiting: Callers that wait.
        requests: Connections that were asked for.
        queued: Requests that had to wait.
        errors: Requests that ended in an error.
        cancelled: Requests that were cancelled or interrupted.
        returns_bad: Connections that came back broken.
        returns_dropped: Connections that were dropped instead of returned.
        attempts: Attempts to connect.
        failures: Attempts that failed.
        lost: Connections that a check found broken.
        closed: Connections that were closed.
        leaks: Connections that were out for longer than ``leak_limit``.
        wait: How long those requests waited that had to.
        usage: How long connections were out.
        connect: How long it took to connect.
        last_error: What the last attempt to connect raised, if that failed.
    """

    name: str
    min_size: int
    max_size: int
    size: int
    idle: int
    in_use: int
    tended: int
    connecting: int
    waiting: int
    requests: int
    queued: int
    errors: int
    cancelled: int
    returns_bad: int
    returns_dropped: int
    attempts: int
    failures: int
    lost: int
    closed: int
    leaks: int
    wait: Durations
    usage: Durations
    connect: Durations
    last_error: str | None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain dicts, for a log or a metrics endpoint."""
        return asdict(self)
