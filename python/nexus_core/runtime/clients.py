"""Who waits for a run at the other end of a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

__all__ = ["Client", "client"]


class Client:
    """A client that has sent its request and waits for the reply.

    Args:
        receive: As ASGI tells of what a client sends, or that it has gone.
    """

    __slots__ = ("_receive", "answered")

    def __init__(self, receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        #: Whether the reply has begun: what still runs then, runs in the background.
        self.answered = False

    async def has_left(self) -> bool:
        """Waits until the client goes away, or has its reply.

        Returns:
            Whether it has gone without one.
        """
        while (await self._receive())["type"] != "http.disconnect":
            pass
        return not self.answered


#: The client that waits for the runs of the current context; ``None`` if nobody said.
client: ContextVar[Client | None] = ContextVar("nexus_core_client", default=None)
