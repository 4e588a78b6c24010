"""A client that goes away stops the run that it asked for, over real sockets."""

from __future__ import annotations

import json
import socket

from .support import Server
from .test_event_streams import done, eventually, gate  # noqa: F401  # a fixture


def _post_and_leave(server: Server, workflow: str) -> None:
    """Leaves while the first node waits at the gate."""
    waiting = done(server).get("waiting", 0)
    body = json.dumps({"inputs": {}}).encode()
    host, port = server.http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            f"POST /workflows/{workflow}/execute HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        eventually(lambda: done(server).get("waiting", 0) > waiting)


def test_a_client_of_execute_that_goes_away_stops_its_run(gate: Server) -> None:  # noqa: F811
    before = done(gate)
    _post_and_leave(gate, "gated")
    # Other requests are answered; the run has let go of everything but the waiting thread.
    assert gate.post("/workflows/late-one/execute", json={"inputs": {"x": 1}}).status_code == 200
    eventually(lambda: "the client went away" in gate.log)
    gate.get("/gate", params={"opened": "true"})
    eventually(lambda: done(gate)["through"] > before["through"])
    assert gate.post("/workflows/gated/execute", json={"inputs": {}}).status_code == 200
    assert done(gate)["after"] == before["after"] + 1


def test_a_client_that_stays_gets_its_reply_and_the_next_on_the_same_connection(attached: Server) -> None:
    import requests

    with requests.Session() as session:
        for _ in range(3):
            reply = session.post(f"{attached.http}/workflows/gated/execute", json={"inputs": {}}, timeout=30)
            assert reply.status_code == 200
            assert reply.json()["outputs"]["after"]
