"""Who waits for a run at the other end of a connection."""

from __future__ import annotations

from nexus_core._core import Client, current_client

__all__ = ["Client", "current_client", "has_left"]


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
