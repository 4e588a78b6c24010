"""HTTP clients for load tests: our own on this machine; elsewhere aiohttp, which Nexus brings along, or else httpx.

aiohttp first: it takes a tenth of a millisecond of CPU time for a request where httpx takes two or three, and what the
client takes is missing to the load. Both know of encryption and proxies, which our own does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from nexus_core.errors import NexusCoreError

__all__ = ["HttpClient", "PostReply", "Poster", "from_cache", "http_client"]


class PostReply(NamedTuple):
    """A reply to what was posted.

    Attributes:
        status: The status.
        text: The body of what is no success.
        when: When all of it was there, by the event loop's clock.
        from_cache: Whether it says that a cache gave it.
    """

    status: int
    text: str
    when: float
    from_cache: bool


#: Posts a body as JSON.
Poster = Callable[[bytes], Awaitable[PostReply]]


#: How the durability of a Nexus app begins what it replays: the reply of before, in an envelope, and without the header
#: that ``DurableGateway._check_duplicate`` means to send.
_REPLAYED = b'{"data":{"content":'


def from_cache(cache_status: str | None, body: bytes) -> bool:
    """Whether a reply says that no run was made for it.

    Args:
        cache_status: Its ``Cache-Status`` (RFC 9211), as our own cache's.
        body: How its body begins.

    Example:
        >>> from_cache("nexus-core; hit; age=3", b""), from_cache("nexus-core; fwd=miss; stored", b"")
        (True, False)
    """
    told = [part.strip() for part in (cache_status or "").lower().split(";")]
    return "hit" in told or "collapsed" in told or body.startswith(_REPLAYED)


_JSON = {"Content-Type": "application/json"}


class HttpClient(Protocol):
    """What a load test asks of a client: nothing is retried, no redirect is followed, every connection may be used."""

    #: What it raises if a server cannot be reached.
    failures: tuple[type[Exception], ...]

    async def get(self, url: str) -> tuple[int, str]:
        """Status and text."""

    def poster(self, url: str) -> Poster:
        """What posts to a URL."""

    async def close(self) -> None:
        """Closes the connections."""


class AiohttpClient:
    """On aiohttp."""

    def __init__(self, headers: Mapping[str, str], trust_env: bool) -> None:
        import aiohttp

        self.failures: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError)  # a TimeoutError is one
        self._session = aiohttp.ClientSession(
            # What waits for a connection here would be the generator's doing, not the server's.
            connector=aiohttp.TCPConnector(limit=0),
            # The test has a limit of its own.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            trust_env=trust_env,
        )

    async def get(self, url: str) -> tuple[int, str]:
        """Status and text."""
        async with self._session.get(url, allow_redirects=False) as reply:
            return reply.status, await reply.text(errors="replace")

    def poster(self, url: str) -> Poster:
        """What posts to a URL."""
        time = asyncio.get_running_loop().time

        async def post(body: bytes) -> PostReply:
            async with self._session.post(url, data=body, headers=_JSON, allow_redirects=False) as reply:
                content = await reply.read()
                now = time()
                cached = from_cache(reply.headers.get("Cache-Status"), content)
                text = "" if reply.status < 300 else await reply.text(errors="replace")
                return PostReply(reply.status, text, now, cached)

        return post

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


class HttpxClient:
    """On httpx."""

    def __init__(self, headers: Mapping[str, str], trust_env: bool) -> None:
        import httpx

        self.failures: tuple[type[Exception], ...] = (httpx.HTTPError, OSError)
        self._client = httpx.AsyncClient(
            timeout=None,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            headers=dict(headers),
            follow_redirects=False,
            trust_env=trust_env,
        )

    async def get(self, url: str) -> tuple[int, str]:
        """Status and text."""
        reply = await self._client.get(url)
        return reply.status_code, reply.text

    def poster(self, url: str) -> Poster:
        """What posts to a URL."""
        time = asyncio.get_running_loop().time

        async def post(body: bytes) -> PostReply:
            reply = await self._client.post(url, content=body, headers=_JSON)
            now = time()
            cached = from_cache(reply.headers.get("Cache-Status"), reply.content)
            return PostReply(reply.status_code, "" if reply.status_code < 300 else reply.text, now, cached)

        return post

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def http_client() -> type[AiohttpClient] | type[HttpxClient]:
    """The client that is installed.

    Raises:
        NexusCoreError: If none is.
    """
    try:
        import aiohttp  # noqa: F401 - only to see whether it is there

        return AiohttpClient
    except ImportError:
        pass
    try:
        import httpx  # noqa: F401

        return HttpxClient
    except ImportError as missing:
        raise NexusCoreError(
            "a load test over HTTP needs aiohttp or httpx, and neither is installed: pip install nexus-core-rs[httpx]"
        ) from missing
