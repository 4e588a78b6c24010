"""A hit is seen in the reply, and a client says whether it wants one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

if not find_spec("nexus"):
    pytest.skip("Nexus is not installed", allow_module_level=True)

import nexus
import requests
import uvicorn
from kailash.workflow.builder import WorkflowBuilder

import nexus_core
from nexus_core import CachePolicy, ResultCache
from nexus_core.cached_runs.status_lines import status_line
from nexus_core.errors import AttachError
from nexus_core.nexus_app.cache_status import wish_of

pytestmark = pytest.mark.timeout(300)


def builder(code: str = "result = [x]") -> WorkflowBuilder:
    made = WorkflowBuilder()
    made.add_node("PythonCodeNode", "node", {"code": code})
    return made


class Served:
    """An app behind a real server, on a thread of this process."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._server = uvicorn.Server(uvicorn.Config(app.fastapi_app, port=0, log_level="critical", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        """Serves until it is stopped."""
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Waits for the end of the server."""
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def served() -> Iterator[Served]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    app = nexus.Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
    server = Served(app)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        app.close()
        logging.disable(before)


@pytest.fixture
def app(served: Served) -> Any:
    return served.app


def post(served: Served, path: str, body: dict[str, Any], **headers: str) -> tuple[Any, str | None]:
    reply = requests.post(served.url + path, json=body, headers=headers, timeout=60)
    assert reply.status_code == 200
    told = reply.json()
    return told.get("outputs", told.get("result")), reply.headers.get("cache-status")


@pytest.mark.parametrize("path", ["/workflows/prices/execute", "/workflows/prices/"])
def test_the_reply_tells_how_it_was_answered(served: Served, app: Any, path: str) -> None:
    app.register("prices", builder())
    nexus_core.attach(app, cache=ResultCache(workflows={"prices": CachePolicy(ttl=60)}))
    body = {"inputs": {"x": 1}}
    first = post(served, path, body)
    assert first == ({"node": {"result": [1]}}, "nexus-core; fwd=miss; stored")
    assert post(served, path, body) == (first[0], "nexus-core; hit; age=0")
    no_cache = {"Cache-Control": "max-age=5, no-cache"}
    assert post(served, path, body, **no_cache)[1] == "nexus-core; fwd=request; stored"
    no_store = {"Cache-Control": "no-store"}
    assert post(served, path, body, **no_store)[1] == 'nexus-core; fwd=bypass; detail="the call says cache=False"'
    assert post(served, path, {"inputs": {"x": 2}})[1] == "nexus-core; fwd=miss; stored"


def test_the_enterprise_route_tells_it_too(served: Served, app: Any) -> None:
    app.register("prices", builder())
    nexus_core.attach(app, cache=ResultCache(workflows={"prices": True}))
    path = "/enterprise/workflows/prices/execute_async"
    found = [post(served, path, {"inputs": {"x": [1]}}) for _ in range(2)]
    assert [status for _, status in found] == ["nexus-core; fwd=miss; stored", "nexus-core; hit; age=0"]
    results = [result[0] for result, _ in found]
    assert results[0] == results[1] == {"node": {"result": [[1]]}}
    assert found[0][0][1] != found[1][0][1], "each run has an id of its own"


def test_workflows_say_it_themselves_and_may_come_later(served: Served, app: Any) -> None:
    report = nexus_core.attach(app, cache=True)
    assert "cached results" in report.attached
    app.register("says", builder().build(cacheable=True))
    app.register("silent", builder())
    for expected in ("nexus-core; fwd=miss; stored", "nexus-core; hit; age=0"):
        assert post(served, "/workflows/says/execute", {"inputs": {"x": 1}})[1] == expected
        status = post(served, "/workflows/silent/execute", {"inputs": {"x": 1}})[1]
        assert status == 'nexus-core; fwd=bypass; detail="the workflow does not say that it may be cached"'
    statistics = report.runtime.engine_statistics()["cache"]
    assert statistics["runs"]["hits"] == 1
    assert statistics["entries"] == 1


def test_without_a_cache_nothing_is_told(served: Served, app: Any) -> None:
    app.register("says", builder().build(cacheable=True))
    report = nexus_core.attach(app)
    assert "cached results" not in report.attached
    assert post(served, "/workflows/says/execute", {"inputs": {"x": 1}})[1] is None


def test_detaching_undoes_it(served: Served, app: Any) -> None:
    app.register("says", builder().build(cacheable=True))
    routes = app._http_transport.gateway._workflow_apis["says"].app.router.routes
    before = [type(getattr(route, "app", None)) for route in routes]
    nexus_core.attach(app, cache=True)
    assert post(served, "/workflows/says/execute", {"inputs": {"x": 1}})[1] is not None
    nexus_core.detach(app)
    assert [type(getattr(route, "app", None)) for route in routes] == before
    assert post(served, "/workflows/says/execute", {"inputs": {"x": 1}})[1] is None


def test_a_nested_run_does_not_take_the_request_for_its_own(served: Served, app: Any) -> None:
    inner = builder("result = 1").build(cacheable=True, name="inner")
    runtimes: list[Any] = []
    from .workflows import counted

    def act(data: Any) -> Any:
        return {"result": runtimes[0].execute(inner)[0]["node"]["result"]}

    outer, calls = counted(act)
    app.register("outer", outer)
    runtimes.append(nexus_core.attach(app, cache=True).runtime)
    no_cache = {"Cache-Control": "no-cache"}
    for _ in range(2):
        assert (
            post(served, "/workflows/outer/execute", {"inputs": {}}, **no_cache)[1] == "nexus-core; fwd=request; stored"
        )
    assert calls.count == 2
    counts = runtimes[0].engine_statistics()["cache"]["runs"]
    assert (counts["refreshed"], counts["misses"], counts["hits"]) == (2, 1, 1)


def test_the_event_stream_runs_the_workflow_and_counts_it(served: Served, app: Any) -> None:
    app.register("says", builder().build(cacheable=True))
    runtime = nexus_core.attach(app, cache=True).runtime
    for _ in range(2):
        reply = requests.post(f"{served.url}/workflows/says/stream", json={"inputs": {"x": 1}}, timeout=60)
        assert "NodeFinished" in reply.text or "node_finished" in reply.text
    bypassed = runtime.engine_statistics()["cache"]["runs"]["bypassed"]
    assert bypassed == {"the events of the run are asked for": 2}


def test_metrics_show_it_while_the_app_is_attached(served: Served, app: Any) -> None:
    pytest.importorskip("prometheus_client")
    from prometheus_client import REGISTRY

    def value(answer: str) -> float | None:
        labels = {"cache": "shown", "of": "runs", "answer": answer}
        return REGISTRY.get_sample_value("nexus_core_result_cache_answers_total", labels)

    app.register("says", builder().build(cacheable=True))
    nexus_core.attach(app, cache=ResultCache(name="shown"))
    for _ in range(3):
        post(served, "/workflows/says/execute", {"inputs": {"x": 1}})
    assert (value("miss"), value("hit")) == (1, 2)
    assert REGISTRY.get_sample_value("nexus_core_result_cache_entries", {"cache": "shown"}) == 1
    text = requests.get(f"{served.url}/metrics", timeout=60).text
    assert 'nexus_core_result_cache_answers_total{answer="hit",cache="shown",of="runs"} 2.0' in text
    nexus_core.detach(app)
    assert value("hit") is None


def test_what_is_no_cache_is_refused(served: Served, app: Any) -> None:
    with pytest.raises((AttachError, TypeError), match="cache must be True, a ResultCache"):
        nexus_core.attach(app, cache="redis://")
    assert nexus_core.attach(app, cache=False).failures == ()


@pytest.mark.parametrize(
    ("value", "refresh", "cache"),
    [
        (b"no-cache", True, None),
        (b"max-age=0", True, None),
        (b"Max-Age=0 , private", True, None),
        (b"no-store", False, False),
        (b"no-cache, no-store", False, False),
        (b"max-age=60", False, None),
        (b"", False, None),
        (b"no-cachet", False, None),
    ],
)
def test_directives_of_a_request(value: bytes, refresh: bool, cache: bool | None) -> None:
    wish = wish_of([(b"host", b"no-store"), (b"cache-control", value)])
    assert (wish.refresh, wish.cache) == (refresh, cache)


def test_a_reason_is_told_in_what_a_header_may_hold() -> None:
    line = status_line(("bypass", 'inputs["\u00e9"]\\ \r\nX:1' + "x" * 500, None, None))
    assert line.startswith('nexus-core; fwd=bypass; detail="inputs[\\"?\\"]\\\\ ??X:1xxx')
    assert line.endswith('..."')
    assert len(line) < 300


def test_a_client_is_not_told_what_an_exception_said(served: Served, app: Any) -> None:
    def vary(_: Any) -> Any:
        raise ValueError("password=hunter2")

    app.register("prices", builder())
    nexus_core.attach(app, cache=ResultCache(workflows={"prices": CachePolicy(vary=vary)}))
    status = post(served, "/workflows/prices/execute", {"inputs": {"x": 1}})[1]
    assert status == 'nexus-core; fwd=bypass; detail="vary raised a ValueError"'
