"""HTTP clients for load tests: aiohttp, which Nexus brings along, or else httpx.

aiohttp first: it takes a tenth of a millisecond of CPU time for a request where httpx takes two or three, and what the
client takes is missing to the load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from nexus_core.errors import NexusCoreError

__all__ = ["HttpClient", "http_client"]


class HttpClient(Protocol):
    """What a load test asks of a client: nothing is retried, no redirect is followed, every connection may be used."""

    #: What it raises if a server cannot be reached.
    failures: tuple[type[Exception], ...]

    async def get(self, url: str) -> tuple[int, str]:
        """Status and text."""

    async def post(self, url: str, content: Any) -> tuple[int, str]:
        """Posts as JSON; status and text."""

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

    async def post(self, url: str, content: Any) -> tuple[int, str]:
        """Posts as JSON; status and text."""
        async with self._session.post(url, json=content, allow_redirects=False) as reply:
            if reply.status < 300:
                await reply.read()  # nobody looks at it
                return reply.status, ""
            return reply.status, await reply.text(errors="replace")

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

    async def post(self, url: str, content: Any) -> tuple[int, str]:
        """Posts as JSON; status and text."""
        reply = await self._client.post(url, json=content)
        return reply.status_code, "" if reply.status_code < 300 else reply.text

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
