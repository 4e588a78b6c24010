"""Runs of an attached app as server-sent events, over real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from .clients import SentEvent, sent_events
from .support import Server

NODES = ("node_started", "node_finished")
HALF_A_MINUTE = 30


@contextlib.contextmanager
def streaming(server: Server, workflow: str, inputs: dict[str, Any] | None = None) -> Iterator[Iterator[SentEvent]]:
    """The events of a run while it goes on, comments included."""
    url = f"{server.http}/workflows/{workflow}/stream"
    with requests.post(url, json={"inputs": inputs or {}}, stream=True, timeout=HALF_A_MINUTE) as reply:
        assert reply.status_code == 200
        yield sent_events(line.decode() for line in reply.iter_lines(chunk_size=1))


def events_of(server: Server, workflow: str, inputs: dict[str, Any] | None = None) -> list[SentEvent]:
    """All events of a run."""
    with streaming(server, workflow, inputs) as events:
        return [event for event in events if event.event]


def eventually(holds: Callable[[], bool]) -> None:
    """Waits until something holds, and fails if it never does."""
    deadline = time.monotonic() + HALF_A_MINUTE
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def done(server: Server) -> dict[str, int]:
    """What the server's nodes have done, and how many streams are open."""
    told: dict[str, int] = server.get("/done").json()
    return told


@pytest.fixture
def gate(attached: Server) -> Iterator[Server]:
    """The server with its gate closed; it is opened in the end."""
    attached.get("/gate", params={"opened": "false"})
    yield attached
    attached.get("/gate", params={"opened": "true"})


def test_a_run_from_its_start_to_its_end(attached: Server) -> None:
    with attached.expecting_calls(stream=1):
        events = events_of(attached, "chain")
    assert [event.event for event in events] == ["run_started", *NODES, *NODES, "run_finished"]
    assert [event.id for event in events] == ["1", "2", "3", "4", "5", "6"]
    assert len({event.data["run_id"] for event in events}) == 1
    times = [event.data["time"] for event in events]
    assert times == sorted(times)
    started, _, first, _, second, finished = (event.data for event in events)
    assert started["node_ids"] == ["first", "second"]
    assert (first["node_id"], first["output"]) == ("first", {"result": {"value": 20}})
    assert second["output"] == {"result": {"got": {"result": {"value": 20}}}}
    assert finished["results"] == {"first": first["output"], "second": second["output"]}
    assert first["duration"] >= 0
    assert first["thread"]


def test_results_are_those_of_execute(attached: Server) -> None:
    for workflow, inputs in (("chain", {}), ("early-one", {"x": 3}), ("late-one", {"x": [1, {"y": None}]})):
        executed = attached.post(f"/workflows/{workflow}/execute", json={"inputs": inputs}).json()["outputs"]
        assert events_of(attached, workflow, inputs)[-1].data["results"] == executed


def test_parameters_are_bound_as_execute_binds_them(attached: Server) -> None:
    reply = attached.post("/workflows/late-enveloped/stream", json={"parameters": {"who": "Ada"}})
    assert list(sent_events(iter(reply.text.splitlines())))[-1].data["results"] == {"node": {"result": {"who": "Ada"}}}


def test_the_headers_keep_everybody_from_buffering(attached: Server) -> None:
    for reply in (
        attached.post("/workflows/chain/stream", json={"inputs": {}}),
        attached.get("/workflows/chain/stream"),
    ):
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (reply.headers["cache-control"], reply.headers["x-accel-buffering"]) == ("no-cache", "no")
        assert "content-length" not in reply.headers


def test_an_event_source_passes_inputs_in_the_address(attached: Server) -> None:
    reply = attached.get("/workflows/late-one/stream", params={"inputs": json.dumps({"x": "a b&c"})})
    assert list(sent_events(iter(reply.text.splitlines())))[-1].data["results"] == {
        "node": {"result": {"seen": "a b&c"}}
    }


def test_a_failing_run_ends_with_its_error(attached: Server) -> None:
    events = events_of(attached, "late-failing")
    assert [event.event for event in events] == ["run_started", "node_started", "node_failed", "run_failed"]
    failed, ended = events[2].data, events[3].data
    assert (failed["node_id"], failed["error"]["type"]) == ("node", "NodeExecutionError")
    assert ended["error"]["type"] == "WorkflowExecutionError"
    assert "Node 'node' execution failed: Code execution failed: division by zero" in ended["error"]["message"]


def test_values_that_json_cannot_express_are_marked(attached: Server) -> None:
    output = events_of(attached, "odd")[-1].data["results"]["handler"]
    assert output == {"number": {"repr": "nan", "not_json": "builtins.float"}, "fine": [1]}


MALFORMED: list[dict[str, Any]] = [
    {"data": "{", "headers": {"Content-Type": "application/json"}},
    {"data": "{"},
    {},
    {"json": [1]},
    {"json": {"inputs": 3}},
    {"json": {"parameters": [1]}},
    {"json": {"inputs": {}, "mode": "fast"}},
]


@pytest.mark.parametrize("body", MALFORMED, ids=repr)
def test_malformed_bodies_get_the_reply_of_execute(attached: Server, body: dict[str, Any]) -> None:
    stream, execute = (attached.post(f"/workflows/early-one/{route}", **body) for route in ("stream", "execute"))
    assert (stream.status_code, stream.json()) == (execute.status_code, execute.json())
    assert stream.status_code == 422


@pytest.mark.parametrize(
    ("inputs", "kind"), [("{", "json_invalid"), ("3", "dict_type"), ("[1]", "dict_type"), ('"x"', "dict_type")]
)
def test_malformed_inputs_in_the_address(attached: Server, inputs: str, kind: str) -> None:
    reply = attached.get("/workflows/early-one/stream", params={"inputs": inputs})
    assert reply.status_code == 422
    assert [(problem["type"], problem["loc"]) for problem in reply.json()["detail"]] == [(kind, ["query", "inputs"])]


def test_unknown_workflows(attached: Server) -> None:
    for reply in (attached.post("/workflows/nothing/stream", json={}), attached.get("/workflows/nothing/stream")):
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})


def test_the_streamed_mode_of_nexus_stays_as_it_is(attached: Server) -> None:
    reply = attached.post("/workflows/late-one/execute", json={"inputs": {"x": 1}, "mode": "stream"})
    assert [line for line in reply.text.splitlines() if line.startswith("event")] == ["event: start", "event: complete"]


def test_the_routes_are_documented(attached: Server) -> None:
    described = attached.get("/workflows/early-one/openapi.json").json()["paths"]["/stream"]
    assert set(described) == {"get", "post"}


def test_events_arrive_while_the_run_goes_on(gate: Server) -> None:
    with streaming(gate, "gated") as events:
        assert [next(events).event for _ in range(2)] == ["run_started", "node_started"]
        assert gate.post("/workflows/late-one/execute", json={"inputs": {"x": 1}}).status_code == 200
        gate.get("/gate", params={"opened": "true"})
        rest = [event.event for event in events if event.event]
    assert rest == ["node_finished", *NODES, "run_finished"]


def test_a_comment_is_sent_while_nothing_happens(gate: Server) -> None:
    with streaming(gate, "gated") as events:
        assert [next(events).event for _ in range(2)] == ["run_started", "node_started"]
        assert [next(events) for _ in range(3)] == [SentEvent("", "", "nothing new")] * 3
        gate.get("/gate", params={"opened": "true"})
        assert list(events)[-1].event == "run_finished"


def leave_a_run(server: Server) -> None:
    """Goes away while the first node waits at the gate; the second must not run."""
    before = done(server)
    with streaming(server, "gated") as events:
        assert [next(events).event for _ in range(2)] == ["run_started", "node_started"]
    eventually(lambda: done(server)["leaving"] == 1 or done(server)["streams open"] == 0)
    # The node itself cannot be stopped: the run ends around it.
    server.get("/gate", params={"opened": "true"})
    eventually(lambda: done(server)["through"] > before["through"])
    eventually(lambda: done(server)["streams open"] == 0)
    assert done(server)["after"] == before["after"]


def test_a_client_that_goes_away_cancels_its_run(gate: Server) -> None:
    leave_a_run(gate)


def test_a_client_that_does_not_read_pauses_its_run_and_nobody_elses(attached: Server) -> None:
    host, port = attached.http.removeprefix("http://").split(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        client.settimeout(HALF_A_MINUTE)
        client.connect((host, int(port)))
        client.sendall(b"GET /workflows/much/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        before = -1
        while (now := done(attached)["much"]) == 0 or now != before:
            before = now
            time.sleep(0.5)
        assert now < 400
        events = events_of(attached, "chain")
        assert events[-1].event == "run_finished"
        assert done(attached)["much"] == now
        received = bytearray()
        while chunk := client.recv(1 << 20):
            received += chunk
    assert done(attached)["much"] == 400
    assert (received.count(b"event: node_finished"), received.count(b"event: run_finished")) == (400, 1)


def test_a_client_that_goes_away_without_having_read_frees_its_run(attached: Server) -> None:
    host, port = attached.http.removeprefix("http://").split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=HALF_A_MINUTE) as client:
            client.sendall(b"GET /workflows/much/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(16)
            assert done(attached)["streams open"] == 1
        eventually(lambda: done(attached)["streams open"] == 0)


def test_many_streams_at_once(attached: Server) -> None:
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(streaming(attached, "late-one", {"x": number})) for number in range(20)]
        ends = [[event for event in events if event.event][-1].data["results"] for events in streams]
    assert ends == [{"node": {"result": {"seen": number}}} for number in range(20)]


def test_a_durable_gateway_does_not_buffer_either(tmp_path: Path) -> None:
    with Server("attached", tmp_path, "durable") as server:
        for _ in range(2):  # the same body again: nothing may be replayed
            server.get("/gate", params={"opened": "false"})
            with streaming(server, "gated") as events:
                assert [next(events).event for _ in range(2)] == ["run_started", "node_started"]
                server.get("/gate", params={"opened": "true"})
                assert [event.event for event in events if event.event][-1] == "run_finished"
        # And its middleware hands on that a client has gone.
        server.get("/gate", params={"opened": "false"})
        leave_a_run(server)
    assert (server.status, server.output) == (0, "closed\n"), server.log


def test_a_stream_asks_for_the_credentials_that_execute_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    import httpx
    from nexus import Nexus

    import nexus_core

    from .apps import one_node

    monkeypatch.setenv("NEXUS_JWT_SECRET", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("KAILASH_JWT_SECRET", "0123456789abcdef0123456789abcdef")

    async def ask(app: Nexus) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app.fastapi_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [
                await client.post("/workflows/w/execute", json={"inputs": {}}),
                await client.post("/workflows/w/stream", json={"inputs": {}}),
                await client.get("/workflows/w/stream"),
            ]

    with Nexus(enable_auth=True, rate_limit=None, enable_durability=False) as app:
        nexus_core.attach(app)
        app.register("w", one_node())
        replies = asyncio.run(ask(app))
    assert [reply.status_code for reply in replies] == [401] * 3
    assert replies[0].text == replies[1].text == replies[2].text
