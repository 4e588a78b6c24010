#!/usr/bin/env python3
"""A server of known service times, for a process of its own; prints the port that it listens on.

Each name that is posted to is a station with its own line: ``{kind}-{seconds}-{seed}``, where the kind is ``free`` (all are
served at once) or ``queue`` (one after the other), followed by ``constant`` or ``exponential``, or ``queue-stall``: one
request takes two seconds. The times come from the standard library's generator with the seed, so that whoever asks can
compute them, too. ``GET /observed/{name}`` gives what the server saw of its own: seconds from a request's receipt to its
reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

from nexus_core.load_testing.precise_loop import precise_loop

STALL_AT, STALL = 500, 2.0


def service_times(model: str, seconds: float, seed: int) -> Iterator[float]:
    """The service times of a station, in the order of its requests."""
    source = random.Random(f"service {seed}")
    number = 0
    while True:
        if model == "stall":
            yield STALL if number == STALL_AT else seconds
        else:
            yield source.expovariate(1 / seconds) if model == "exponential" else seconds
        number += 1


class Station:
    """Says when a request that comes now is to be answered."""

    def __init__(self, name: str) -> None:
        line, model, seconds, seed = name.split("-")
        self._has_line = line == "queue"
        self._times = service_times(model, float(seconds), int(seed))
        self._free_at = 0.0
        self.observed: list[float] = []

    def answer_at(self, now: float) -> float:
        begin = max(now, self._free_at) if self._has_line else now
        self._free_at = begin + next(self._times)
        return self._free_at


class Protocol(asyncio.Protocol):
    """HTTP/1.1 with connections that stay, as much of it as the client speaks."""

    def __init__(self, stations: dict[str, Station]) -> None:
        self._stations = stations
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            lines = head.decode("ascii").split("\r\n")
            length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._request(*lines[0].split(" ")[:2], now)

    def _request(self, method: str, path: str, now: float) -> None:
        parts = path.strip("/").split("/")
        if method == "POST":
            station = self._stations.setdefault(parts[1], Station(parts[1]))
            asyncio.get_running_loop().call_at(station.answer_at(now), self._reply, {"outputs": {}}, station, now)
        elif parts[0] == "observed":
            self._reply(self._stations[parts[1]].observed)
        else:
            self._reply({})

    def _reply(self, content: object, station: Station | None = None, received: float = 0.0) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        if station is not None:
            station.observed.append(asyncio.get_running_loop().time() - received)


async def serve() -> None:
    stations: dict[str, Station] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Protocol(stations), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=precise_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(serve())
