"""Clients of the channels: MCP, WebSocket, and server-sent events."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import websockets

LIMIT = 60  # seconds


def call_websocket(url: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """One request to Nexus's WebSocket transport."""

    async def call() -> dict[str, Any]:
        async with websockets.connect(url) as connection:
            await connection.send(json.dumps({"id": "1", "method": method, "params": params}))
            while True:  # the server greets first
                reply: dict[str, Any] = json.loads(await connection.recv())
                if reply.get("id") == "1":
                    return reply

    return asyncio.run(asyncio.wait_for(call(), LIMIT))


def with_mcp_session(url: str, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """What ``use`` gives for a session of the MCP package's client."""
    from mcp import ClientSession, types
    from mcp.client.websocket import websocket_client

    # ClientSession.initialize() refuses the capabilities of kailash-mcp 0.6.0, which are not as
    # the protocol wants them: the same handshake, without looking at them.
    hello = types.InitializeRequest(
        params=types.InitializeRequestParams(
            protocolVersion=types.LATEST_PROTOCOL_VERSION,
            capabilities=types.ClientCapabilities(),
            clientInfo=types.Implementation(name="nexus-core tests", version="0"),
        )
    )

    async def session() -> Any:
        async with websocket_client(url) as streams, ClientSession(*streams) as client:
            await client.send_request(types.ClientRequest(hello), types.EmptyResult)
            await client.send_notification(types.ClientNotification(types.InitializedNotification()))
            return await use(client)

    with warnings.catch_warnings():
        # It says that the protocol has no WebSocket; Nexus serves nothing else.
        warnings.filterwarnings("ignore", "The WebSocket client transport", DeprecationWarning)
        return asyncio.run(asyncio.wait_for(session(), LIMIT))


def call_mcp_tool(url: str, name: str, arguments: dict[str, Any]) -> Any:
    """One ``tools/call``."""
    return with_mcp_session(url, lambda session: session.call_tool(name, arguments))


@dataclass(frozen=True)
class SentEvent:
    """One server-sent event, or a comment.

    Attributes:
        id: Its ``id``, or "".
        event: Its type, or "" for a comment.
        data: Its data, decoded from JSON; the text of a comment.
    """

    id: str
    event: str
    data: Any


def sent_events(lines: Iterator[str]) -> Iterator[SentEvent]:
    """Reads a stream of events by the rules of the HTML standard, as far as they are used."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield SentEvent("", "", line[1:].strip())
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield SentEvent(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}
