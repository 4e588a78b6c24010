"""Who waits for a run at the other end of a connection."""

from __future__ import annotations

from contextvars import ContextVar

from nexus_core._core import Client

__all__ = ["Client", "client", "has_left"]

#: The client that waits for the runs of the current context; ``None`` if nobody said.
client: ContextVar[Client | None] = ContextVar("nexus_core_client", default=None)


async def has_left(waiting: Client) -> bool:
    """Waits until a client goes away, or has its reply.

    Args:
        waiting: The client.

    Returns:
        Whether it has gone without a reply.
    """
    while (await waiting.receive())["type"] != "http.disconnect":
        pass
    return not waiting.answered
