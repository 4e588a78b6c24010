"""How processes tell each other through Redis what they wrote and removed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from nexus_core.cache_tiers.tier import Event

__all__ = ["ORIGIN_SIZE", "RedisSubscription", "message", "parse"]

_log = logging.getLogger("nexus_core.cache_tiers")

ORIGIN_SIZE = 16
_KINDS: dict[bytes, Literal["key", "done", "tag", "clear"]] = {b"k": "key", b"d": "done", b"t": "tag", b"c": "clear"}
_LETTERS = {kind: letter for letter, kind in _KINDS.items()}

#: Seconds between two signs of life.
_HEARTBEAT = 2.0


def message(kind: Literal["key", "done", "tag", "clear"], origin: bytes, what: bytes = b"") -> bytes:
    """The bytes of an event."""
    return _LETTERS[kind] + origin.ljust(ORIGIN_SIZE, b"\0")[:ORIGIN_SIZE] + what


def parse(data: object) -> Event | None:
    """The event of bytes; ``None`` if they are not of ours."""
    if not isinstance(data, bytes) or len(data) < 1 + ORIGIN_SIZE or data[:1] not in _KINDS:
        return None
    kind, origin, what = _KINDS[data[:1]], data[1 : 1 + ORIGIN_SIZE], data[1 + ORIGIN_SIZE :]
    if kind in ("key", "done"):
        return Event(kind, origin, key=what) if len(what) == 32 else None
    if kind == "tag":
        try:
            return Event(kind, origin, tag=what.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            return None
    return Event(kind, origin)


class RedisSubscription:
    """Listens in a thread, and comes back after each interruption.

    Args:
        connect: Makes a client with a connection of its own.
        channel: What it listens to.
        listener: Told of each event, and of a gap whenever one may have been missed.
        timeout: Seconds after which silence is taken for an interruption.
    """

    def __init__(
        self, connect: Callable[[], Any], channel: str, listener: Callable[[Event], None], timeout: float
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._listener = listener
        self._timeout = timeout
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nexus-core-redis-events", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout: float) -> bool:
        """Waits until it listens."""
        return self._ready.wait(timeout)

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join(self._timeout + 1.0)

    def _run(self) -> None:
        pause = 0.05
        while not self._closed.is_set():
            try:
                self._listen()
            except Exception as error:
                # Whatever it is, the way back is the same: once more, later.
                if self._ready.is_set():
                    pause = 0.05
                    _log.info("events of other processes may be missed: %s", error)
                self._ready.clear()
            self._closed.wait(pause)
            pause = min(pause * 2, 5.0)

    def _listen(self) -> None:
        client = self._connect()
        try:
            subscription = client.pubsub()
            try:
                subscription.subscribe(self._channel)
                self._receive(subscription)
            finally:
                subscription.close()
        finally:
            client.close()

    def _receive(self, subscription: Any) -> None:
        heard = time.monotonic()
        asked = False
        while not self._closed.is_set():
            received = subscription.get_message(timeout=0.25)
            now = time.monotonic()
            if received is not None:
                heard, asked = now, False
                if received["type"] == "subscribe":
                    # From here on nothing is missed; what was before may have been.
                    self._listener(Event("gap"))
                    self._ready.set()
                elif received["type"] == "message":
                    event = parse(received["data"])
                    if event is not None:
                        self._listener(event)
            elif now - heard > _HEARTBEAT + self._timeout:
                raise TimeoutError("no sign of life")
            elif now - heard > _HEARTBEAT and not asked:
                asked = True
                subscription.ping()
