"""Bad input gets the status and the body that stock Nexus gives: the same requests to two servers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .clients import call_mcp_tool, call_websocket
from .support import Server

EXECUTE = [
    ("malformed JSON", {"data": "{", "headers": {"Content-Type": "application/json"}}),
    ("malformed JSON without a content type", {"data": "{"}),
    ("no body", {}),
    ("an empty object", {"json": {}}),
    ("null", {"json": None, "headers": {"Content-Type": "application/json"}}),
    ("a list", {"json": [1]}),
    ("inputs of a wrong type", {"json": {"inputs": 3}}),
    ("inputs as a list", {"json": {"inputs": [1]}}),
    ("parameters of a wrong type", {"json": {"parameters": "x"}}),
    ("an unknown mode", {"json": {"inputs": {"x": 1}, "mode": "fast"}}),
    ("a configuration of a wrong type", {"json": {"inputs": {"x": 1}, "config": 3}}),
    ("unknown keys", {"json": {"inputs": {"x": 1}, "colour": "red"}}),
    ("missing inputs", {"json": {"inputs": {}}}),
    ("inputs for a node", {"json": {"inputs": {"node": {"x": 2}}}}),
    ("a node's inputs of a wrong type", {"json": {"inputs": {"node": 3}}}),
    ("deep nesting", {"json": {"inputs": {"x": [[[[[[1]]]]]]}}}),
    ("markup", {"json": {"inputs": {"x": "<script>alert(1)</script>a"}}}),
    ("a long text", {"json": {"inputs": {"x": "a" * 20_000}}}),
    ("a number that JSON lacks", {"data": '{"inputs": {"x": NaN}}', "headers": {"Content-Type": "application/json"}}),
]


def shape(reply: Any) -> tuple[int, str, Any]:
    """What has to be equal: all but ids, durations and dates."""
    text = reply.text
    text = re.sub(r'"(request_id|workflow_id|execution_id)":\s*"[0-9a-f-]{36}"', r'"\1":"…"', text)
    text = re.sub(r'"(execution_time|timestamp)":\s*[-0-9.e]+', r'"\1":0', text)
    text = re.sub(r'"(started_at|completed_at)":\s*"[^"]*"', r'"\1":"…"', text)
    text = re.sub(r"run_\d+(_\w+)?", "run_…", text)
    text = re.sub(r"reference: [0-9a-f]{12}", "reference: …", text)
    text = re.sub(r"/status/[0-9a-f-]{36}", "/status/…", text)
    return reply.status_code, reply.headers.get("content-type", ""), text


@pytest.mark.parametrize(("what", "arguments"), EXECUTE, ids=[what for what, _ in EXECUTE])
def test_bodies(attached: Server, stock: Server, what: str, arguments: dict[str, Any]) -> None:
    for workflow in ("early-one", "late-one", "late-failing"):
        path = f"/workflows/{workflow}/execute"
        assert shape(attached.post(path, **arguments)) == shape(stock.post(path, **arguments))


@pytest.mark.parametrize(
    "path",
    [
        "/workflows/nothing/execute",
        "/workflows/nothing/stream",
        "/workflows/nothing",
        "/workflows/early-one/nothing",
        "/enterprise/workflows/nothing/execute_async",
        "/workflows/early-one",
        "/workflows/early-one/",
        "/own/nothing",
        "/own/..%2Fx",
    ],
)
def test_paths(attached: Server, stock: Server, path: str) -> None:
    for arguments in ({"json": {"inputs": {"x": 1}}}, {"json": {}}, {"data": "{"}):
        assert shape(attached.post(path, **arguments)) == shape(stock.post(path, **arguments))


@pytest.mark.parametrize("workflow", ["early-failing", "late-failing", "late-greet"])
def test_workflows_that_fail(attached: Server, stock: Server, workflow: str) -> None:
    requests = [
        (f"/workflows/{workflow}/execute", {"inputs": {}}),
        (f"/workflows/{workflow}/execute", {"inputs": {}, "mode": "stream"}),
        (f"/workflows/{workflow}/execute", {"inputs": {}, "mode": "async"}),
        (f"/enterprise/workflows/{workflow}/execute_async", {"inputs": {}}),
        (f"/own/{workflow}", {}),
    ]
    for path, body in requests:
        assert shape(attached.post(path, json=body)) == shape(stock.post(path, json=body)), path


@pytest.mark.parametrize("inputs", [3, [1], "x", None, {"node": 3}])
def test_the_enterprise_route(attached: Server, stock: Server, inputs: Any) -> None:
    path = "/enterprise/workflows/late-one/execute_async"
    assert shape(attached.post(path, json={"inputs": inputs})) == shape(stock.post(path, json={"inputs": inputs}))


@pytest.mark.parametrize(
    ("method", "params"), [("nothing", {}), ("late-failing", {}), ("late-one", {}), ("late-one", [1])]
)
def test_the_websocket_transport(attached: Server, stock: Server, method: str, params: Any) -> None:
    replies = [call_websocket(server.websocket + "/ws", method, params) for server in (attached, stock)]
    assert replies[0] == replies[1]
    assert "error" in replies[0]


@pytest.mark.parametrize("name", ["nothing", "late-failing", "late-one"])
def test_mcp_tools(attached: Server, stock: Server, name: str) -> None:
    replies = []
    for server in (attached, stock):
        try:
            replies.append(call_mcp_tool(server.mcp, name, {}).model_dump())
        except BaseExceptionGroup as errors:  # the client's task group
            replies.append(str(errors.exceptions[0]))
    assert replies[0] == replies[1]


def test_the_log_names_the_node_and_the_cause_of_a_failure(attached: Server) -> None:
    before = len(attached.log)
    attached.post("/workflows/late-failing/execute", json={"inputs": {}})
    attached.get("/calls")
    named = [line for line in attached.log[before:].splitlines() if "'node'" in line and "division by zero" in line]
    assert named
