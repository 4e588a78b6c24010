"""Clients over real sockets: some wait for their reply, some go away before it comes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from soak import plan


class Connection:
    """An HTTP connection that is made again when it has been closed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def send(self, order: plan.Order, route: str) -> asyncio.StreamReader:
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps({"inputs": order.inputs}).encode()
        head = (
            f"POST /workflows/soaked/{route} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        return self.reader

    def go_away(self) -> None:
        """At once, as a client does that is killed."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def close(self) -> None:
        writer = self.writer
        self.reader = self.writer = None
        if writer is not None:
            writer.close()
            await writer.wait_closed()


async def reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body, whole or in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in fields:
        return status, await reader.readexactly(int(fields["content-length"]))
    body = b""
    while size := int((await reader.readline()).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, body


async def run(connection: Connection, order: plan.Order) -> str:
    """One run to its end; says how it ended."""
    # Each kind of order takes each route, the plain one more often.
    route = "stream" if order.number // 6 % 4 == 0 else "execute"
    reader = await connection.send(order, route)
    if order.cancelled:
        await asyncio.sleep(plan.MIDWAY)
        connection.go_away()
        return "went away"
    status, body = await reply(reader)
    if route == "execute":
        if status == 500:
            return "failed"
        return "fine" if json.loads(body)["outputs"] == order.results else f"{status}: {body[:300]!r}"
    last = body.decode().strip().rpartition("\n\n")[2]
    data = json.loads(last.rpartition("data: ")[2])
    if "event: run_failed" in last and "told to fail" in data["error"]["message"]:
        return "failed"
    return "fine" if data.get("results") == order.results else f"{status}: {last[:300]}"


async def send_all(port: int, orders: list[plan.Order]) -> Counter[str]:
    """Sends all orders, some at a time; how often runs ended how."""
    ended: Counter[str] = Counter()

    async def work(share: list[plan.Order]) -> None:
        connection = Connection(port)
        for order in share:
            ended[f"{order.ending}: {await run(connection, order)}"] += 1
        await connection.close()

    await asyncio.gather(*(work(orders[start :: plan.AT_ONCE]) for start in range(plan.AT_ONCE)))
    return ended
