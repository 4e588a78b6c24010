"""A lean HTTP/1.1 client for load tests of this machine.

What a client takes is missing to the load, and on a busy machine whoever asks for little time gets it sooner. It speaks
plain HTTP to one server, follows nothing, retries nothing, and uses as many connections as there are requests at once.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from nexus_core.load_testing.http_clients import Poster, PostReply, from_cache

__all__ = ["BadReply", "OwnHttpClient"]

# More than that in front of a body is no reply that anybody sends.
_LONGEST_HEAD = 64 * 1024
# Enough to say what was wrong; workflows' replies are not looked at.
_LONGEST_TEXT = 1024 * 1024
# Enough to see what kind of reply it is.
_BEGINNING = 64
_WITHOUT_BODY = (204, 304)
_OF_THE_BODY = ("content-type", "content-length", "transfer-encoding")


class BadReply(OSError):
    """What a server sent is no HTTP reply, or ended before its end."""


class OwnHttpClient:
    """Asks one server.

    Args:
        base: Where it is, ``http://host:port``.
        headers: Sent with every request.

    Raises:
        ValueError: If a header cannot be sent.
    """

    failures: tuple[type[Exception], ...] = (OSError,)  # a TimeoutError is one

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(base)
        self._host, self._port = parts.hostname or "", parts.port or 80
        own = {"Host": parts.netloc.rpartition("@")[2], "Accept": "*/*", "User-Agent": "nexus-core"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            own["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        given = {str(name).lower() for name in headers}
        lines = {name: value for name, value in own.items() if name.lower() not in given} | dict(headers)
        for name, value in lines.items():
            if not isinstance(name, str) or not isinstance(value, str) or {"\r", "\n", "\0"} & {*name, *value}:
                raise ValueError(f"no header that can be sent: {name!r}: {value!r}")
            if not (name.isascii() and value.isascii()):
                raise ValueError(f"no header that can be sent, as it is not ASCII: {name!r}: {value!r}")
            if name.lower() in _OF_THE_BODY:
                raise ValueError(f"no header that can be sent, as it follows from the body: {name!r}: {value!r}")
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()

    async def get(self, url: str) -> tuple[int, str]:
        """Status and text."""
        reply = await self._ask(f"GET {_target(url)} HTTP/1.1\r\n{self._headers}\r\n".encode(), True)
        return reply.status, reply.text

    def poster(self, url: str) -> Poster:
        """What posts JSON to a URL."""
        lines = f"POST {_target(url)} HTTP/1.1\r\n{self._headers}Content-Type: application/json\r\nContent-Length: "
        head = lines.encode()

        async def post(body: bytes) -> PostReply:
            return await self._ask(b"%b%d\r\n\r\n%b" % (head, len(body), body), False)

        return post

    async def _ask(self, request: bytes, keeps: bool) -> PostReply:
        connection = self._idle.pop() if self._idle else await self._connected()
        try:
            reply = await connection.ask(request, keeps)
        except BaseException:
            connection.close()
            raise
        if connection.is_usable:
            self._idle.append(connection)
        return reply

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), self._host, self._port)
        if self._host == "localhost":
            # Once found, it need not be looked up again, which takes a thread.
            self._host = connection.peer
        self._open.add(connection)
        return connection

    def _lost(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def close(self) -> None:
        """Closes the connections."""
        for connection in list(self._open):
            connection.close()
        self._idle.clear()
        # A closed socket is given back by the loop's next turn.
        await asyncio.sleep(0)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Connection(asyncio.Protocol):
    """One request after the other."""

    __slots__ = (
        "_body", "_buffer", "_cache_status", "_chunked", "_client", "_keeps", "_left", "_loop", "_reply", "_status", "_stays", "_transport",
        "peer",
    )  # fmt: skip

    def __init__(self, client: OwnHttpClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[PostReply] | None = None
        self.peer = ""
        self._begin(False)

    def _begin(self, keeps: bool) -> None:
        self._buffer = b""
        self._status = 0  # none yet
        self._left: int | None = None  # bytes of the body that are missing; None until the connection ends
        self._chunked = False
        self._cache_status: str | None = None
        self._stays = True
        self._keeps = keeps
        self._body = bytearray()

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent on it."""
        return self._stays and self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes, keeps: bool) -> PostReply:
        """The reply; its text, too, of what succeeds, if that is to be kept."""
        if self._transport is None:
            raise ConnectionResetError("the server has closed the connection")
        self._begin(keeps)
        self._reply = self._loop.create_future()
        self._transport.write(request)
        try:
            return await self._reply
        finally:
            self._reply = None

    def close(self) -> None:
        """Ends it at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the event loop calls --------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer = transport.get_extra_info("peername")[0]

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._client._lost(self)
        if self._reply is None or self._reply.done():
            return
        if error is None and self._status and self._left is None and not self._chunked:
            self._complete()
        elif error is not None:
            self._reply.set_exception(error)
        elif self._status or self._buffer:
            self._reply.set_exception(BadReply("the server closed the connection in the middle of its reply"))
        else:
            self._reply.set_exception(ConnectionResetError("the server closed the connection and did not reply"))

    def data_received(self, data: bytes) -> None:
        if self._reply is None or self._reply.done():
            self.close()  # nobody has asked
            return
        try:
            self._read(data)
        except ValueError as error:
            self._reply.set_exception(BadReply(f"no HTTP reply: {error}"))
            self.close()

    # --- a reply ------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        if not self._status:
            data = self._buffer + data
            while not self._status:
                end = data.find(b"\r\n\r\n")
                if end < 0:
                    if len(data) > _LONGEST_HEAD:
                        raise ValueError(f"more than {_LONGEST_HEAD} bytes in front of a body")
                    self._buffer = data
                    return
                self._head(data[:end])
                data = data[end + 4 :]
        if self._chunked:
            self._chunks(data)
        elif self._left is None:
            self._keep(data)
        else:
            self._keep(data[: self._left])
            extra = len(data) - self._left
            self._left -= len(data)
            if extra >= 0:
                self._stays = self._stays and not extra
                self._complete()

    def _head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ValueError(f"it begins with {first[:80]!r}")
        status = int(rest[:3])
        if 100 <= status < 200:
            return  # the reply itself is to come
        self._status = status
        self._buffer = b""
        self._stays = version != b"HTTP/1.0"
        for line in lines:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name == b"content-length":
                if not value.strip().isdigit():
                    raise ValueError(f"a length of {value[:80]!r}")
                self._left = int(value)
            elif name == b"transfer-encoding":
                self._chunked = b"chunked" in value.lower()
            elif name == b"cache-status":
                self._cache_status = value.decode("latin-1")
            elif name == b"connection":
                self._stays = b"close" not in value.lower() and (self._stays or b"keep-alive" in value.lower())
        if status in _WITHOUT_BODY:
            self._left, self._chunked = 0, False
        if self._left is None and not self._chunked:
            self._stays = False

    def _chunks(self, data: bytes) -> None:
        data = self._buffer + data
        while True:
            if self._left:
                self._keep(data[: self._left])
                if len(data) < self._left:
                    self._left -= len(data)
                    self._buffer = b""
                    return
                data, self._left = data[self._left :], 0
            # A chunk's end, or none at the beginning, before the next one's size.
            start = 2 if data.startswith(b"\r\n") and self._left == 0 else 0
            end = data.find(b"\r\n", start)
            if end < 0:
                self._buffer = data
                if len(data) > _LONGEST_HEAD:
                    raise ValueError("a chunk without a size")
                return
            size = int(data[start:end].partition(b";")[0], 16)
            if size < 0:
                raise ValueError(f"a chunk of {size} bytes")
            if size == 0:
                # Trailers, if any, end with an empty line.
                last = data.find(b"\r\n\r\n", end) if data[end + 2 : end + 4] != b"\r\n" else end
                if last < 0 or len(data) < end + 4:
                    self._buffer = data
                    return
                self._stays = self._stays and len(data) == last + 4
                self._complete()
                return
            data, self._left = data[end + 2 :], size

    def _keep(self, data: bytes) -> None:
        most = _LONGEST_TEXT if self._keeps or self._status >= 300 else _BEGINNING
        if len(self._body) < most:
            self._body += data[:most]

    def _complete(self) -> None:
        if self._reply is not None and not self._reply.done():
            now, body = self._loop.time(), bytes(self._body)
            text = body.decode("utf-8", "replace") if self._keeps or self._status >= 300 else ""
            self._reply.set_result(PostReply(self._status, text, now, from_cache(self._cache_status, body)))
        if not self._stays and self._transport is not None:
            self._transport.close()
