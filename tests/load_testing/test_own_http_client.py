"""Our own client reads what servers send, in whatever pieces, and says what is no reply."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core.load_testing.own_http_client import BadReply, OwnHttpClient

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


class Peer:
    """A server that does with every request what the test says, and counts."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.requests: list[bytes] = []

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                self.requests.append(head + await reader.readexactly(length))
                await self._serve(reader, writer, self.requests[-1])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def ask(self, times: int = 1, headers: dict[str, str] | None = None, login: str = "") -> list[Any]:
        """Posts so many times, one after the other; replies, or what was raised."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = OwnHttpClient(f"http://{login}127.0.0.1:{port}", headers or {})
        post = client.poster(f"http://127.0.0.1:{port}/workflows/any/execute")
        found: list[Any] = []
        try:
            async with asyncio.timeout(60):
                for _ in range(times):
                    try:
                        found.append((await post(b'{"parameters": {}}'))[:2])
                    except OSError as error:
                        found.append(error)
        finally:
            await client.close()
            server.close()
            await server.wait_closed()
        return found


def sends(*pieces: bytes, closes: bool = False) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if closes:
            writer.close()

    return serve


_BODY = b"an answer that is longer than a few bytes"
_REPLIES = {
    "length": b"HTTP/1.1 500 Wrong\r\nContent-Length: %d\r\nX: y\r\n\r\n%b" % (len(_BODY), _BODY),
    "chunks": b"HTTP/1.1 500 Wrong\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (_BODY[:5], len(_BODY) - 5, _BODY[5:]),
    "trailers": b"HTTP/1.1 500 Wrong\r\ntransfer-encoding: Chunked\r\n\r\n%X\r\n%b\r\n0\r\nA: b\r\nC: d\r\n\r\n"
    % (len(_BODY), _BODY),
    "continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Wrong\r\ncontent-length:%d\r\n\r\n%b" % (len(_BODY), _BODY),
}


@settings(max_examples=25)
@given(kind=st.sampled_from(sorted(_REPLIES)), cuts=st.lists(st.integers(0, 150), max_size=6), times=st.integers(1, 3))
def test_a_reply_in_any_pieces(kind: str, cuts: list[int], times: int) -> None:
    reply = _REPLIES[kind]
    places = [0, *sorted(cut % len(reply) for cut in cuts), len(reply)]
    peer = Peer(sends(*(reply[a:b] for a, b in itertools.pairwise(places))))
    assert asyncio.run(peer.ask(times)) == [(500, _BODY.decode())] * times
    assert peer.connections == 1
    assert peer.requests[0].endswith(b'Content-Length: 18\r\n\r\n{"parameters": {}}')


def test_every_cut_of_a_chunked_reply() -> None:
    # Fed directly: what the network makes of pieces is up to it.
    reply = _REPLIES["trailers"]

    async def read() -> None:
        client = OwnHttpClient("http://127.0.0.1:1", {})
        from nexus_core.load_testing.own_http_client import _Connection

        for cut in range(1, len(reply)):
            connection = _Connection(client)
            connection._begin(True)
            connection._reply = asyncio.get_running_loop().create_future()
            connection.data_received(reply[:cut])
            assert not connection._reply.done(), cut
            connection.data_received(reply[cut:])
            assert (await connection._reply)[:2] == (500, _BODY.decode()), cut

    asyncio.run(read())


def test_what_succeeds_is_not_kept() -> None:
    peer = Peer(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
    assert asyncio.run(peer.ask(3)) == [(200, "")] * 3


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 404 Not\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.0 404 Not\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 404 Not\r\n\r\nno",
    ],
)
def test_a_connection_that_ends_with_its_reply(reply: bytes) -> None:
    peer = Peer(sends(reply, closes=True))
    assert asyncio.run(peer.ask(3)) == [(404, "no")] * 3
    assert peer.connections == 3


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 404 Not\r\nContent-Length: 2\r\n\r\nno" + b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 404 Not\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n" + b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_what_comes_after_a_reply_is_taken_for_no_other(reply: bytes) -> None:
    peer = Peer(sends(reply))
    assert asyncio.run(peer.ask(3)) == [(404, "no")] * 3
    assert peer.connections == 3


@pytest.mark.parametrize("status", [b"204 Nothing", b"304 Same"])
def test_replies_without_a_body(status: bytes) -> None:
    peer = Peer(sends(b"HTTP/1.1 " + status + b"\r\n\r\n"))
    assert asyncio.run(peer.ask(2)) == [(int(status[:3]), "")] * 2
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (b"", ConnectionResetError, "did not reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", BadReply, "in the middle of its reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", BadReply, "in the middle of its reply"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", BadReply, "in the middle of its reply"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BadReply, "no HTTP reply: it begins with b'SSH-2.0-OpenSSH'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", BadReply, "a length of b' -4'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", BadReply, "a chunk of -5 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", BadReply, "no HTTP reply"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, BadReply, "more than 65536 bytes"),
    ],
)
def test_what_is_no_reply(reply: bytes, error: type[Exception], said: str) -> None:
    (found,) = asyncio.run(Peer(sends(reply, closes=True)).ask())
    assert type(found) is error
    assert said in str(found)


def test_a_server_that_closes_an_idle_connection_is_asked_on_another() -> None:
    async def main() -> tuple[list[Any], int]:
        closed = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            closed.set()

        peer = Peer(serve)
        server = await asyncio.start_server(peer._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = OwnHttpClient(f"http://127.0.0.1:{port}", {})
        post = client.poster(f"http://127.0.0.1:{port}/")
        found = []
        for _ in range(3):
            closed.clear()
            found.append((await post(b"{}"))[0])
            await closed.wait()
            while client._open:
                await asyncio.sleep(0.001)
        await client.close()
        server.close()
        return found, peer.connections

    assert asyncio.run(main()) == ([200] * 3, 3)


def test_headers_and_a_login_are_sent() -> None:
    peer = Peer(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    asyncio.run(peer.ask(headers={"X-Key": "of mine"}, login="me:a%40b@"))
    (request,) = peer.requests
    assert b"X-Key: of mine\r\n" in request
    assert b"Authorization: Basic " + base64.b64encode(b"me:a@b") + b"\r\n" in request
    assert b"@" not in request.partition(b"Host: ")[2].partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nY: b"}, {"X\n": "a"}, {"X": 3}, {3: "a"}, {"X": "é"}, {"Content-Length": "3"}]
)
def test_headers_that_cannot_be_sent_are_refused(headers: Any) -> None:
    with pytest.raises(ValueError, match="no header that can be sent"):
        OwnHttpClient("http://127.0.0.1:1", headers)
