"""A TCP proxy on 127.0.0.1 whose network can hang, refuse and break."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

__all__ = ["Proxy"]


class Proxy:
    """Forwards connections to a server, as long as it is told to.

    Args:
        port: The server's port on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-proxy", daemon=True)
        self._thread.start()
        self._do(self._listen())

    @property
    def connections(self) -> int:
        """How many connections go through it."""
        return len(self._links)

    def hang(self) -> None:
        """Nothing is forwarded any more; connections stay open, and new ones are taken."""
        self._do(self._set_flowing(False))

    def forward(self) -> None:
        """Everything is forwarded, what came meanwhile too, and connections are taken."""
        self._do(self._set_flowing(True))
        self._do(self._listen())

    def refuse(self) -> None:
        """New connections are refused; those that are there go on."""
        self._do(self._stop_listening())

    def cut(self) -> None:
        """Every connection is reset, on both sides."""
        self._do(self._cut())

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Inside the block nothing is forwarded."""
        self.hang()
        try:
            yield
        finally:
            self.forward()

    def close(self) -> None:
        """Cuts everything and ends."""
        if self._loop.is_closed():
            return
        self._do(self._stop_listening())
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- in the loop ------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            # Not `sock_accept`: cancelled at the wrong moment, it loses the connection.
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        link = asyncio.ensure_future(self._link(connection))
        self._links.add(link)
        # Also where it is cancelled before it has begun.
        link.add_done_callback(lambda done: self._ended(done, connection))

    def _ended(self, link: asyncio.Task[None], connection: socket.socket) -> None:
        self._links.discard(link)
        connection.close()

    async def _link(self, here: socket.socket) -> None:
        with socket.socket() as there:
            there.setblocking(False)
            try:
                await self._flowing.wait()
                await self._loop.sock_connect(there, ("127.0.0.1", self._target))
                ways = [asyncio.ensure_future(self._pump(*way)) for way in ((here, there), (there, here))]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            except OSError:
                pass
            except asyncio.CancelledError:
                for end in (here, there):
                    # Reset rather than end: what a network does that goes away.
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _pump(self, source: socket.socket, target: socket.socket) -> None:
        while True:
            await self._flowing.wait()
            data = await self._loop.sock_recv(source, 65536)
            # What was read while the network stopped waits with the rest.
            await self._flowing.wait()
            if not data:
                return
            await self._loop.sock_sendall(target, data)
