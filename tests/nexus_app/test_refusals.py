"""What cannot be attached is refused with a reason, and the app is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from nexus import Nexus
from nexus.engine import NexusEngine

import nexus_core
from nexus_core.errors import AttachError, NexusCoreError
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from nexus_core.runtime.stock import StockAsyncLocalRuntime, StockLocalRuntime
from nexus_core.versions import TESTED_RANGE

from .apps import api, gateway, make_app, one_node, routes


@pytest.fixture
def app() -> Iterator[Nexus]:
    with make_app() as made:
        made.register("w", one_node())
        yield made


def looks(app: Nexus) -> list[Any]:
    """What attach would change about an app."""
    return [
        app.runtime,
        app.runtime and app.runtime.ref_count,
        gateway(app)._async_runtime,
        api(app, "w").runtime if app.runtime else None,
        routes(app, "w") if app.runtime else None,
        set(vars(app)),
        set(vars(gateway(app))),
        dict(app._plugins),
    ]


def refused(app: Any, *arguments: Any, **options: Any) -> str:
    """The text of the refusal; the app is checked to be as it was."""
    before = looks(app) if isinstance(app, Nexus) else None
    with pytest.raises(AttachError) as caught:
        nexus_core.attach(app, *arguments, **options)
    assert isinstance(caught.value, NexusCoreError)
    assert before is None or looks(app) == before
    return str(caught.value)


@pytest.mark.parametrize("kind", [LocalRuntime, StockLocalRuntime, StockAsyncLocalRuntime])
def test_a_runtime_of_another_type(app: Nexus, kind: type) -> None:
    with kind() as runtime:
        text = refused(app, runtime)
        assert runtime.ref_count == 1
    assert f"{kind.__module__}.{kind.__qualname__}" in text
    assert "pass a nexus_core.runtime.AsyncLocalRuntime" in text


@pytest.mark.parametrize("runtime", ["runtime", 3, object(), AsyncLocalRuntime, SimpleNamespace(ref_count=1)])
def test_something_that_is_no_runtime(app: Nexus, runtime: Any) -> None:
    assert "cannot be attached to a" in refused(app, runtime)


def test_a_closed_runtime(app: Nexus) -> None:
    runtime = AsyncLocalRuntime()
    runtime.close()
    assert "the runtime is closed" in refused(app, runtime)


def test_a_closed_app(app: Nexus) -> None:
    app.close()
    assert "the app is closed" in refused(app)


def test_an_app_that_was_closed_while_attached(app: Nexus) -> None:
    nexus_core.attach(app)
    app.close()
    assert "the app is closed" in refused(app)


def test_attaching_twice(app: Nexus) -> None:
    first = nexus_core.attach(app).runtime
    assert "attached already" in refused(app)
    with AsyncLocalRuntime() as other:
        assert "attached already" in refused(app, other)
        assert (app.runtime, other.ref_count) == (first, 1)


@pytest.mark.parametrize("thing", [None, 3, object(), SimpleNamespace(runtime=1), Nexus])
def test_something_that_is_no_app(thing: Any) -> None:
    assert "not a Nexus app" in refused(thing)


def test_an_engine_around_an_app(app: Nexus) -> None:
    engine = NexusEngine.__new__(NexusEngine)
    engine._nexus = app
    assert refused(engine).endswith("NexusEngine; pass its .nexus")


def test_an_unknown_option(app: Nexus) -> None:
    assert refused(app, max_concurent_nodes=3) == (
        "attach has no option 'max_concurent_nodes'; did you mean 'max_concurrent_nodes'?"
    )
    assert "options are the arguments of AsyncLocalRuntime" in refused(app, colour="red")


def test_options_beside_a_runtime(app: Nexus) -> None:
    with AsyncLocalRuntime() as runtime:
        assert "one was given, with: debug, strict" in refused(app, runtime, strict=True, debug=True)


def test_an_option_of_a_wrong_value_is_refused_by_the_runtime(app: Nexus) -> None:
    before = looks(app)
    with pytest.raises(ValueError, match="connection_validation"):
        nexus_core.attach(app, connection_validation="sometimes")
    assert looks(app) == before


@pytest.mark.parametrize("option", ["max_concurrent_nodes", "thread_pool_size", "execution_timeout", "max_concurrency"])
def test_known_options(app: Nexus, option: str) -> None:
    nexus_core.attach(app, **{option: 2, "strict": True})


def test_detaching_what_is_not_attached(app: Nexus) -> None:
    for thing in (app, None, object()):
        with pytest.raises(AttachError, match="not attached"):
            nexus_core.detach(thing)
    nexus_core.attach(app)
    nexus_core.detach(app)
    with pytest.raises(AttachError, match="not attached"):
        nexus_core.detach(app)


def test_a_failure_midway_is_rolled_back(app: Nexus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app refuses its last change: everything before it is undone."""

    def no_close(self: Nexus, name: str, value: Any) -> None:
        if name == "close":
            raise ValueError("nobody touches my close")
        object.__setattr__(self, name, value)

    monkeypatch.setattr(Nexus, "__setattr__", no_close)
    assert "nobody touches my close" in refused(app)
    with AsyncLocalRuntime() as runtime:
        assert "nobody touches my close" in refused(app, runtime)
        assert runtime.ref_count == 1


def test_an_interrupt_midway_is_rolled_back(app: Nexus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway(app), "_workflow_apis", InterruptingDict(gateway(app)._workflow_apis))
    before = looks(app)
    with pytest.raises(KeyboardInterrupt):
        nexus_core.attach(app)
    assert looks(app) == before


class InterruptingDict(dict[str, Any]):
    """Is interrupted the first time that it is looked through."""

    interrupted = False

    def values(self) -> Any:
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
        return super().values()


def test_a_channel_that_cannot_be_attached_is_named_and_goes_on(
    app: Nexus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a version of Nexus that keeps its runtimes elsewhere."""

    async def elsewhere(self: Nexus, name: str, inputs: dict[str, Any]) -> str:
        return "elsewhere"

    monkeypatch.setattr(Nexus, "_execute_workflow", elsewhere)
    with AsyncLocalRuntime() as runtime:
        report = nexus_core.attach(app, runtime)
        assert [problem.channel for problem in report.failures] == ["the app's own executions"]
        assert "NOT attached: the app's own executions: Nexus._execute_workflow does not ask" in str(report)
        assert "the app's own executions could not be attached" in caplog.text
        assert api(app, "w").runtime is app.runtime is runtime
        app.close()


def test_an_app_without_an_mcp_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nexus, "_initialize_mcp_server", lambda self: None)
    with make_app() as app:
        report = nexus_core.attach(app)
        assert [problem.channel for problem in report.absent] == ["MCP tools"]
        assert "kailash-mcp" in str(report)


def test_a_tool_that_keeps_its_runtime_out_of_sight(app: Nexus) -> None:
    pytest.importorskip("kailash_mcp")
    app._mcp_server._tool_registry["w"]["original_function"] = lambda: None
    report = nexus_core.attach(app)
    assert [problem.channel for problem in report.failures] == ["MCP tools"]
    assert "'w'" in report.failures[0].reason


def test_an_untested_version_is_tried_and_named(
    app: Nexus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("kailash_mcp")
    monkeypatch.setitem(TESTED_RANGE, "kailash-mcp", ("1.0", "1.1"))
    assert not nexus_core.attach(app).failures
    assert "attached with kailash-mcp 0.6.0; tested is kailash-mcp 1.0 to 1.1" in caplog.text
