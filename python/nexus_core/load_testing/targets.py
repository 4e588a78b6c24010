"""What a load test executes: a workflow of an app in this process, or one that a server has."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from nexus_core._app_workflows import WorkflowExecutor
from nexus_core.cached_runs.outcomes import forget_outcome, noted_outcome
from nexus_core.errors import LoadTestError, UnknownWorkflow
from nexus_core.load_testing.http_clients import HttpClient, Poster, http_client
from nexus_core.load_testing.own_http_client import OwnHttpClient

__all__ = ["Answer", "HttpTarget", "InProcessTarget", "Target", "UnexpectedReply"]


class Answer(NamedTuple):
    """A request that was answered.

    Attributes:
        when: When, by the event loop's clock; ``None`` for now.
        from_cache: Whether a cache answered it, and no run was made.
    """

    when: float | None = None
    from_cache: bool = False


class Target(Protocol):
    """Something that executes a workflow; an event loop opens, uses and closes it.

    Attributes:
        apart: Whether it runs in another process, so that this one's CPU time is the generator's.
    """

    apart: bool

    async def open(self) -> None:
        """Gets ready; raises if it cannot be used."""

    def prepared(self, inputs: Mapping[str, Any]) -> Any:
        """What :meth:`execute` is given for these inputs; raises if it cannot be sent."""

    async def execute(self, prepared: Any) -> Answer:
        """Executes the workflow once; raises if that fails."""

    async def close(self) -> None:
        """Gives back what ``open`` has taken."""


_ANSWERED = Answer()


class UnexpectedReply(Exception):
    """A reply over HTTP that is none of success.

    Attributes:
        label: What errors of this kind are counted under.
    """

    def __init__(self, status: int, body: str) -> None:
        self.label = f"HTTP {status}"
        super().__init__(body or "no text")


class InProcessTarget:
    """A registered workflow, executed on the app's runtime.

    Args:
        app: An open app.
        name: The workflow's name.
    """

    apart = False

    def __init__(self, app: Any, name: str) -> None:
        self._executor = WorkflowExecutor(app, name)

    async def open(self) -> None:
        """Gets the runtime ready."""
        self._execute = await self._executor.__aenter__()

    def prepared(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The inputs themselves."""
        return inputs

    async def execute(self, prepared: Mapping[str, Any]) -> Answer:
        """Executes the workflow once, and raises what it raises."""
        if not self._executor.has_cache:
            await self._execute(prepared)
            return _ANSWERED
        # Of the task that this one came from.
        forget_outcome()
        await self._execute(prepared)
        noted = noted_outcome()
        return Answer(from_cache=noted is not None and noted[0] in ("hit", "waited"))

    async def close(self) -> None:
        """Closes a runtime that was made for the test."""
        await self._executor.__aexit__()


class HttpTarget:
    """A workflow behind ``POST {url}/workflows/{name}/execute``.

    Args:
        url: Where the server is, ``http://host:port``.
        name: The workflow's name.
        timeout: Seconds that a request may take.
        allow_remote: Whether the server may be on another machine.
        headers: Sent with every request, such as ``Authorization``.

    Raises:
        NexusCoreError: If neither aiohttp nor httpx is installed, and the server is elsewhere or encrypts.
        TypeError: If the URL is no string.
        ValueError: If the URL is none, or of another machine without ``allow_remote``, or a header cannot be sent.
    """

    apart = True

    def __init__(
        self,
        url: str,
        name: str,
        timeout: float,
        allow_remote: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._base = checked_url(url, allow_remote)
        self._name = name
        self._timeout = timeout
        given, base = dict(headers or {}), self._base
        self._make_client: Callable[[], HttpClient]
        if base.startswith("http://") and _is_this_machine(urlsplit(base).hostname or ""):
            OwnHttpClient(base, given)  # what it refuses is refused now
            self._make_client = lambda: OwnHttpClient(base, given)
        else:
            found = http_client()
            # A proxy would take requests for this machine to another.
            self._make_client = lambda: found(given, trust_env=allow_remote)
        self._address = f"{self._base}/workflows/{quote(name, safe='')}/execute"
        self._client: HttpClient | None = None
        self._post: Poster | None = None

    async def open(self) -> None:
        """Connects, and asks the server for its workflows where it tells them.

        Raises:
            LoadTestError: If the server cannot be reached.
            UnknownWorkflow: If it says that it has no such workflow.
        """
        client = self._client = self._make_client()
        try:
            async with asyncio.timeout(self._timeout):
                status, text = await client.get(f"{self._base}/workflows")
        except client.failures as error:
            await self.close()
            raise LoadTestError(f"{self._base} does not answer: {str(error) or type(error).__name__}") from error
        except BaseException:
            await self.close()
            raise
        known = _names(status, text)
        if known is not None and self._name not in known:
            await self.close()
            raise UnknownWorkflow(self._name, known)
        self._post = client.poster(self._address)

    def prepared(self, inputs: Mapping[str, Any]) -> bytes:
        """The inputs as ``parameters`` of a body.

        Raises:
            TypeError: If they cannot be written as JSON.
        """
        try:
            return json.dumps({"parameters": dict(inputs)}).encode()
        except (TypeError, ValueError) as error:
            raise TypeError(f"inputs cannot be posted as JSON: {error}") from error

    async def execute(self, prepared: bytes) -> Answer:
        """Posts what :meth:`prepared` has made.

        Raises:
            UnexpectedReply: If the status is not of success.
        """
        assert self._post is not None, "not open"
        reply = await self._post(prepared)
        if not 200 <= reply.status < 300:
            raise UnexpectedReply(reply.status, reply.text[:500])
        return Answer(reply.when, reply.from_cache)

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.close()


def checked_url(url: Any, allow_remote: bool) -> str:
    """The URL without a slash at its end, if a load test may be sent there.

    Raises:
        TypeError: If it is no string.
        ValueError: If it is no URL, or of another machine without ``allow_remote``.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be a string, got {url!r}")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url must be like http://127.0.0.1:8000, got {url!r}")
    if not allow_remote and not _is_this_machine(parts.hostname):
        raise ValueError(
            f"{parts.hostname} may be another machine, which a load test can bring down; "
            "if it is yours to test, pass allow_remote=True"
        )
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(status: int, text: str) -> tuple[str, ...] | None:
    """The workflows that a server has told, or ``None`` if it has not."""
    try:
        told = json.loads(text) if status == 200 else None
    except ValueError:
        return None
    return tuple(map(str, told)) if isinstance(told, dict) and told else None
