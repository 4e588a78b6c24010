"""A response that streams the events of a run, as fast as the client reads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from nexus_core.nexus_app.event_encoding import encoded_event
from nexus_core.runtime.events import RunEvent, RunFailed

__all__ = ["HEARTBEAT", "EventStream"]

_log = logging.getLogger("nexus_core.attach")

#: Seconds after which a comment is sent when nothing happens, so that proxies keep the connection.
HEARTBEAT = 15.0

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# Runs that are being cancelled for clients that went away: a task that nobody refers to may vanish.
_ending: set[asyncio.Task[None]] = set()


class EventStream(StreamingResponse):
    """Server-sent events of one run; the run ends when the client goes away.

    The next event is asked for only when the client has taken the last, so that a client that
    does not read pauses its run.

    Args:
        events: The run, as ``AsyncLocalRuntime.stream`` gives it.
        heartbeat: Seconds between comments while nothing happens.
    """

    def __init__(self, events: AsyncGenerator[RunEvent, None], heartbeat: float | None = None) -> None:
        self._frames = _frames(events)
        super().__init__(self._frames, headers=_HEADERS, media_type="text/event-stream")
        self._heartbeat = HEARTBEAT if heartbeat is None else heartbeat
        self._sending = asyncio.Lock()
        self._last_sent = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events; also cancels the run when the server does not say that the client is gone."""
        # Tasks of their own: a middleware's cancellation must not reach the clean-up of a run.
        # Of the loop itself: an AsyncPythonCodeNode puts another function in asyncio's place.
        loop = asyncio.get_running_loop()
        sender = loop.create_task(self._send_all(send))
        gone = loop.create_task(self.listen_for_disconnect(receive))
        _ending.add(sender)
        sender.add_done_callback(_ending.discard)
        try:
            await asyncio.wait({sender, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            sender.cancel()
        await asyncio.wait({sender, gone})
        if not sender.cancelled() and (error := sender.exception()) is not None and not isinstance(error, OSError):
            raise error

    async def _send_all(self, send: Send) -> None:
        beats = None
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._last_sent = asyncio.get_running_loop().time()
            beats = asyncio.get_running_loop().create_task(self._send_heartbeats(send))
            async for frame in self._frames:
                await self._send(send, frame)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if beats is not None:
                beats.cancel()
            await self._frames.aclose()

    async def _send_heartbeats(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        while True:
            pause = self._last_sent + self._heartbeat - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self._sending.locked():  # the client has not taken the last event yet
                await asyncio.sleep(self._heartbeat)
            else:
                await self._send(send, b": nothing new\n\n")

    async def _send(self, send: Send, frame: bytes) -> None:
        async with self._sending:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
            self._last_sent = asyncio.get_running_loop().time()


async def _frames(events: AsyncGenerator[RunEvent, None]) -> AsyncGenerator[bytes, None]:
    number = 0
    try:
        try:
            async for event in events:
                number += 1
                yield encoded_event(number, event)
        finally:
            await events.aclose()
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as error:
        # The status has been sent; the end of a run is told by its last event.
        _log.exception("a stream of events broke off")
        yield encoded_event(number + 1, RunFailed("", 0.0, error))
