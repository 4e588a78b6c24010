"""Every channel of an attached app executes on the attached runtime: a server process, and real clients.

The server counts the calls of its runtime, and tells them at ``/calls``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .clients import call_mcp_tool, call_websocket, with_mcp_session
from .support import Server, run_program

WHEN = ("early", "late")  # registered before and after attaching


@pytest.mark.parametrize("when", WHEN)
def test_raw_inputs_over_http(attached: Server, when: str) -> None:
    with attached.expecting_calls(execute_workflow_async=1):
        reply = attached.post(f"/workflows/{when}-one/execute", json={"inputs": {"x": 3}})
    assert (reply.status_code, reply.json()["outputs"]) == (200, {"node": {"result": {"seen": 3}}})


@pytest.mark.parametrize("when", WHEN)
def test_enveloped_parameters_over_http(attached: Server, when: str) -> None:
    with attached.expecting_calls(execute_workflow_async=1):
        reply = attached.post(f"/workflows/{when}-enveloped/execute", json={"parameters": {"who": "Ada"}})
    assert (reply.status_code, reply.json()["outputs"]) == (200, {"node": {"result": {"who": "Ada"}}})


@pytest.mark.parametrize("when", WHEN)
def test_the_enterprise_route(attached: Server, when: str) -> None:
    with attached.expecting_calls(execute_async=1, execute_workflow_async=1):
        reply = attached.post(f"/enterprise/workflows/{when}-one/execute_async", json={"inputs": {"x": 4}})
    body = reply.json()
    assert (reply.status_code, body["status"], body["error"]) == (200, "completed", None)
    assert body["result"][0] == {"node": {"result": {"seen": 4}}}
    assert body["result"][1].startswith("run_")


def test_execution_in_the_background_and_the_streamed_mode_of_nexus(attached: Server) -> None:
    with attached.expecting_calls(execute_workflow_async=2):
        begun = attached.post("/workflows/late-one/execute", json={"inputs": {"x": 5}, "mode": "async"}).json()
        told = attached.post("/workflows/late-one/execute", json={"inputs": {"x": 6}, "mode": "stream"})
        # The background task ends before the connection takes another request.
        status = attached.get(f"/workflows/late-one/status/{begun['execution_id']}").json()
    assert status["result"]["outputs"] == {"node": {"result": {"seen": 5}}}
    assert '"seen": 6' in told.text


@pytest.mark.parametrize("when", WHEN)
def test_handlers(attached: Server, when: str) -> None:
    with attached.expecting_calls(execute_workflow_async=1):
        reply = attached.post(f"/workflows/{when}-greet/execute", json={"parameters": {"who": "Ada"}})
    assert (reply.status_code, reply.json()["outputs"]) == (200, {"handler": {"greeting": "hello Ada"}})


@pytest.mark.parametrize("when", WHEN)
def test_the_apps_own_executions(attached: Server, when: str) -> None:
    with attached.expecting_calls(execute_workflow_async=1):
        reply = attached.post(f"/own/{when}-enveloped", json={"who": "Ada"})
    assert (reply.status_code, reply.json()) == (200, {"node": {"result": {"who": "Ada"}}})


@pytest.mark.parametrize("when", WHEN)
def test_the_websocket_transport(attached: Server, when: str) -> None:
    with attached.expecting_calls(execute_workflow_async=1):
        reply = call_websocket(attached.websocket + "/ws", f"{when}-one", {"x": 7})
    assert reply["result"]["results"] == {"node": {"result": {"seen": 7}}}
    assert reply["result"]["run_id"].startswith("run_")


@pytest.mark.parametrize("when", WHEN)
def test_mcp_tools(attached: Server, when: str) -> None:
    with attached.expecting_calls(execute_workflow_async=1):
        reply = call_mcp_tool(attached.mcp, f"{when}-enveloped", {"who": "Ada"})
    assert not reply.isError
    assert json.loads(reply.content[0].text) == {"who": "Ada"}


def test_mcp_lists_what_was_registered_before_and_after(attached: Server, stock: Server) -> None:
    def names(server: Server) -> list[str]:
        listed = with_mcp_session(server.mcp, lambda session: session.list_tools())
        return [tool.name for tool in listed.tools]

    assert names(attached) == names(stock)
    assert {"early-one", "late-one", "early-greet", "late-greet"} <= set(names(attached))


@pytest.mark.parametrize("when", WHEN)
def test_the_command_line(attached: Server, when: str, home: Path) -> None:
    arguments = ("--url", attached.http, "run", f"{when}-enveloped", "--param", "who=Ada")
    with attached.expecting_calls(execute_workflow_async=1):
        done = run_program("-m", "nexus.cli", *arguments, home=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "who: Ada\n", "")


def test_the_server_closes_without_a_warning(tmp_path: Path) -> None:
    with Server("attached", tmp_path) as server:
        server.post("/workflows/early-one/execute", json={"inputs": {"x": 1}})
        server.post("/own/late-one", json={"x": 1})
        call_websocket(server.websocket + "/ws", "late-one", {"x": 1})
    assert (server.status, server.output) == (0, "closed\n"), server.log
    assert "Warning" not in server.log
    assert "Traceback" not in server.log


def test_an_app_made_after_install_executes_every_channel_on_the_core(tmp_path: Path, home: Path) -> None:
    with Server("installed", tmp_path) as server:
        for path in ("/workflows/early-one/execute", "/workflows/late-one/execute"):
            reply = server.post(path, json={"inputs": {"x": 3}})
            assert reply.json()["outputs"] == {"node": {"result": {"seen": 3}}}
        before = server.get("/native").json()
        server.post("/workflows/late-one/execute", json={"inputs": {"x": 3}})
        server.post("/enterprise/workflows/late-one/execute_async", json={"inputs": {"x": 4}})
        server.post("/own/late-one", json={"x": 5})
        call_websocket(server.websocket + "/ws", "late-one", {"x": 7})
        run_program("-m", "nexus.cli", "--url", server.http, "run", "late-one", "--param", "x=1", home=home)
        after = server.get("/native").json()
        assert server.get("/foreign").json() == []
    assert after - before == 5
