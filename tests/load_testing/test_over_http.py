"""A served app under load, and what may not be tested."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from nexus import Nexus

from apps import code_workflow
from nexus_core.errors import LoadTestError, NexusCoreError, UnknownWorkflow
from nexus_core.load_testing import ClosedLoop, OpenLoop, run_load_test


@contextmanager
def served(app: Any) -> Iterator[str]:
    config = uvicorn.Config(app.fastapi_app, host="127.0.0.1", port=0, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(params=["own", "aiohttp", "httpx"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client; for the others this is no machine that our own one is for."""
    from nexus_core.load_testing import targets

    if request.param != "own":
        monkeypatch.setattr(targets, "_is_this_machine", lambda host: False)
        monkeypatch.setattr(targets, "checked_url", lambda url, allow_remote: url.rstrip("/"))
    if request.param == "httpx":
        monkeypatch.setitem(sys.modules, "aiohttp", None)


def test_a_served_workflow(app: Any, client: None) -> None:
    app.register("sleeping", code_workflow("import time\ntime.sleep(0.02)\nresult = parameters['x']"))
    app.register("failing", code_workflow("result = 1 / 0"))
    with served(app) as url:
        # Without the app: as from another process.
        result = run_load_test(None, "sleeping", ClosedLoop(3), requests=12, inputs={"x": 1}, url=url + "/")
        assert (result.succeeded, result.failed, result.errors) == (12, 0, ())
        assert result.target == url + "/"
        assert result.latency.min >= 0.02
        result = run_load_test(app, "sleeping", OpenLoop(50.0), requests=5, inputs={"x": 1}, url=url)
        assert result.succeeded == 5
        result = run_load_test(None, "failing", ClosedLoop(2), requests=4, url=url)
        assert (result.failed, result.error_rate) == (4, 100.0)
        assert [(group.type, group.count) for group in result.errors] == [("HTTP 500", 4)]
        with pytest.raises(UnknownWorkflow, match=r"no workflow 'sleepin' is registered; did you mean 'sleeping'\?"):
            run_load_test(None, "sleepin", ClosedLoop(2), requests=4, url=url)


def test_a_server_that_does_not_answer_is_an_error_before_anything_is_sent(client: None) -> None:
    with pytest.raises(LoadTestError, match="does not answer"):
        run_load_test(None, "any", ClosedLoop(2), requests=4, url=f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://10.0.0.1:8000", "http://0.0.0.0:1", "http://localhost.example.com"]
)
def test_another_machine_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"may be another machine.*allow_remote=True"):
        run_load_test(None, "any", url=url)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_this_machine_is_not(host: str) -> None:
    from nexus_core.load_testing.targets import checked_url

    assert checked_url(f"http://{host}:8000/", allow_remote=False) == f"http://{host}:8000"
    assert checked_url("https://example.com/", allow_remote=True) == "https://example.com"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", ""])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"url must be like http://127.0.0.1:8000"):
        run_load_test(None, "any", url=url)


def test_without_a_client_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(NexusCoreError, match=r"needs aiohttp or httpx.*pip install nexus-core-rs\[httpx\]"):
        run_load_test(None, "any", url="https://127.0.0.1:8000")


def test_inputs_that_a_function_makes_and_that_cannot_be_posted_end_the_test(app: Any, client: None) -> None:
    app.register("quick", code_workflow())
    with served(app) as url, pytest.raises(TypeError, match="inputs cannot be posted as JSON: Object of type set"):
        run_load_test(app, "quick", ClosedLoop(1), requests=5, inputs=lambda number: {"x": {number}}, url=url)


def test_replies_that_no_run_was_made_for_are_counted(client: None, make_app: Callable[[], Any]) -> None:
    import nexus_core
    from nexus_core._app_workflows import attached_runtime

    app = make_app()
    cached = code_workflow("result = x")
    cached.metadata["cacheable"] = True
    app.register("cached", cached)
    nexus_core.attach(app, cache=True)
    with served(app) as url:
        result = run_load_test(app, "cached", ClosedLoop(1), requests=12, inputs=[{"x": 1}, {"x": 2}], url=url)
        assert (result.succeeded, result.from_cache) == (12, 10)
        assert attached_runtime(app).engine_statistics()["cache"]["runs"]["hits"] == 10


def test_what_durability_replays_is_no_run(client: None) -> None:
    import nexus_core
    from nexus_core._app_workflows import attached_runtime

    with Nexus(enable_auth=False, rate_limit=None) as app:
        app.register("quick", code_workflow("result = x"))
        nexus_core.attach(app)
        with served(app) as url:
            result = run_load_test(app, "quick", ClosedLoop(1), requests=9, inputs={"x": 1}, url=url)
            assert (result.succeeded, result.from_cache) == (9, 8)
            assert attached_runtime(app).metrics().runs == 1
