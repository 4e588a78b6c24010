"""What attach changes about an app, reference by reference, and that detach changes it back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import kailash.runtime
import pytest
from kailash.channels import CLIChannel
from kailash.servers import EnterpriseWorkflowServer
from nexus import Nexus
from nexus.transports import MCPTransport, WebSocketTransport

import nexus_core
from nexus_core.runtime import AsyncLocalRuntime
from nexus_core.runtime.stock import StockAsyncLocalRuntime, StockLocalRuntime

from .apps import CountingRuntime, api, cli_channel, gateway, make_app, one_node, routes

STREAM = [("/stream", frozenset({"POST"})), ("/stream", frozenset({"GET"}))]


@pytest.fixture
def runtime() -> Iterator[CountingRuntime]:
    made = CountingRuntime()
    yield made
    made.close()
    assert made.ref_count == 0, "somebody has kept a reference"


@pytest.fixture
def app(runtime: CountingRuntime) -> Iterator[Nexus]:  # closed before the runtime is
    with make_app() as made:
        made.register("before", one_node())
        yield made


def test_the_report_names_what_is_attached(app: Nexus, runtime: CountingRuntime) -> None:
    report = nexus_core.attach(app, runtime)
    assert (report.runtime, report.owns_runtime, report.failures) == (runtime, False, ())
    assert report.versions["kailash"] == kailash.__version__
    named = {*report.attached, *(problem.channel for problem in report.absent)}
    assert {"workflows over HTTP", "MCP tools", "app and enterprise route", "event streams"} <= named
    for name in report.attached:
        assert f"on it: {name}" in str(report)
    assert app.plugins["nexus-core"].report is report
    with pytest.raises(AttributeError):
        report.runtime = None  # type: ignore[misc]


def test_every_place_holds_the_runtime_with_a_reference(app: Nexus, runtime: CountingRuntime) -> None:
    nexus_core.attach(app, runtime)
    # This test, the app, the gateway, one workflow.
    assert runtime.ref_count == 4
    assert app.runtime is gateway(app)._async_runtime is api(app, "before").runtime is runtime
    app.register("after", one_node())
    assert (api(app, "after").runtime, runtime.ref_count) == (runtime, 5)
    app.deregister("after")
    assert runtime.ref_count == 4
    app.close()
    assert runtime.ref_count == 1


def test_stocks_own_runtimes_are_really_closed(app: Nexus, runtime: CountingRuntime) -> None:
    old = [app.runtime, api(app, "before").runtime]
    nexus_core.attach(app, runtime)
    assert [(stock.ref_count, stock.thread_pool) for stock in old] == [(0, None)] * 2


def test_detach_makes_stocks_runtimes_anew_and_takes_the_routes_away(app: Nexus, runtime: CountingRuntime) -> None:
    before = routes(app, "before")
    nexus_core.attach(app, runtime)
    app.register("after", one_node())
    assert routes(app, "before") == routes(app, "after") == before + STREAM
    nexus_core.detach(app)
    assert runtime.ref_count == 1
    assert routes(app, "before") == routes(app, "after") == before
    assert type(app.runtime) is StockAsyncLocalRuntime
    assert app.runtime is gateway(app)._async_runtime is gateway(app)._injected_runtime
    assert app.runtime.ref_count == 2
    for name in ("before", "after"):
        assert type(api(app, name).runtime) is StockAsyncLocalRuntime
        assert api(app, name).runtime.ref_count == 1
    app.register("later", one_node())
    assert type(api(app, "later").runtime) is StockAsyncLocalRuntime


def test_detach_leaves_no_trace(app: Nexus, runtime: CountingRuntime) -> None:
    def looks() -> list[Any]:
        return [
            set(vars(app)),
            set(vars(gateway(app))),
            dict(app._plugins),
            list(app._startup_hooks),
            list(app._shutdown_hooks),
            kailash.runtime.get_runtime,
            CLIChannel.__init__,
        ]

    before = looks()
    nexus_core.attach(app, runtime)
    assert looks() != before
    nexus_core.detach(app)
    assert looks() == before


def test_attaching_again_after_detaching(app: Nexus, runtime: CountingRuntime) -> None:
    for _ in range(3):
        nexus_core.attach(app, runtime)
        assert runtime.ref_count == 4
        nexus_core.detach(app)
        assert runtime.ref_count == 1


def test_a_shared_runtime_of_the_users_comes_back_with_its_references(runtime: CountingRuntime) -> None:
    theirs = StockLocalRuntime().mark_externally_managed()
    with make_app(runtime=theirs) as app:
        held = theirs.ref_count
        nexus_core.attach(app, runtime)
        theirs.close()  # its owner is done with it; the app would still have had it
        nexus_core.detach(app)
        assert (app.runtime, gateway(app)._async_runtime, theirs.ref_count) == (theirs, theirs, held - 1)
    assert theirs.ref_count == 0


def test_a_shared_runtime_of_the_users_is_released_when_the_attached_app_closes(runtime: CountingRuntime) -> None:
    theirs = StockAsyncLocalRuntime()
    with make_app(runtime=theirs) as app:
        nexus_core.attach(app, runtime)
    assert (theirs.ref_count, runtime.ref_count) == (1, 1)
    theirs.close()


def test_an_owned_runtime_is_closed_by_detach(app: Nexus) -> None:
    report = nexus_core.attach(app, max_concurrent_nodes=3)
    made = report.runtime
    assert (type(made), made.max_concurrent_nodes, report.owns_runtime) == (AsyncLocalRuntime, 3, True)
    nexus_core.detach(app)
    assert made.ref_count == 0


def test_an_owned_runtime_is_closed_with_the_app(app: Nexus) -> None:
    made = nexus_core.attach(app).runtime
    app.stop()
    assert made.ref_count == 0
    nexus_core.detach(app)  # there is nothing left to do


def test_one_runtime_for_two_apps(runtime: CountingRuntime) -> None:
    with make_app() as first, make_app() as second:
        nexus_core.attach(first, runtime)
        nexus_core.attach(second, runtime)
        nexus_core.detach(first)
        second.register("w", one_node())
        assert asyncio.run(second._execute_workflow("w", {})) == {"node": {"result": 1}}
        assert runtime.calls == 1
        assert type(first.runtime) is StockAsyncLocalRuntime


def test_an_own_execution_by_a_method_taken_before_attaching(app: Nexus, runtime: CountingRuntime) -> None:
    execute = app._execute_workflow
    nexus_core.attach(app, runtime)
    assert asyncio.run(execute("before", {})) == {"node": {"result": 1}}
    assert runtime.calls == 1


def test_get_runtime_gives_everybody_else_a_runtime_of_their_own(app: Nexus, runtime: CountingRuntime) -> None:
    nexus_core.attach(app, runtime)
    with kailash.runtime.get_runtime("async") as theirs, kailash.runtime.get_runtime("sync") as local:
        assert (type(theirs), type(local)) == (StockAsyncLocalRuntime, StockLocalRuntime)


def test_command_lines_made_before_and_after(app: Nexus, runtime: CountingRuntime) -> None:
    early = cli_channel(app)
    taken = early.runtime
    nexus_core.attach(app, runtime)
    late, given = cli_channel(app), cli_channel(app, runtime=app.runtime)
    assert early.runtime is late.runtime is given.runtime is runtime
    assert taken.ref_count == 0
    for channel in (early, late, given):
        channel.register_workflow("w", one_node("result = {'x': x}"))
        arguments = {"workflow": "w", "input": '{"x": 1}'}
        reply = asyncio.run(channel._execute_workflow_command({"command_arguments": arguments}))
        assert reply["results"] == {"node": {"result": {"x": 1}}}, reply
    assert runtime.calls == 3
    nexus_core.detach(app)
    assert {type(channel.runtime) for channel in (early, late, given)} == {StockAsyncLocalRuntime}
    assert runtime.ref_count == 1
    for channel in (early, late, given):
        channel.close()


def test_a_command_line_that_was_given_another_runtime_keeps_it(app: Nexus, runtime: CountingRuntime) -> None:
    with AsyncLocalRuntime() as other:
        channel = cli_channel(app, runtime=other)
        nexus_core.attach(app, runtime)
        late = cli_channel(app, runtime=other)
        assert channel.runtime is late.runtime is other
        channel.close()
        late.close()


def test_command_lines_of_other_servers_are_left_alone(app: Nexus, runtime: CountingRuntime) -> None:
    nexus_core.attach(app, runtime)
    with make_app() as other:
        channel = cli_channel(other)
        assert type(channel.runtime) is StockAsyncLocalRuntime
        channel.close()


def test_a_command_line_outlives_the_app(app: Nexus) -> None:
    channel = cli_channel(app)
    made = nexus_core.attach(app).runtime
    app.close()
    assert made.ref_count == 1  # the channel's
    channel.close()
    assert made.ref_count == 0


@pytest.mark.parametrize("kind", [WebSocketTransport, MCPTransport])
def test_transports_added_before_and_after(app: Nexus, runtime: CountingRuntime, kind: Any) -> None:
    early, given, late = kind(), kind(runtime=app.runtime), kind()
    early_runtime = early._get_shared_runtime()
    given._get_shared_runtime()
    app.add_transport(early)
    app.add_transport(given)
    nexus_core.attach(app, runtime)
    app.add_transport(late)
    for transport in (early, given, late):
        assert transport._get_shared_runtime() is runtime
    assert early_runtime.ref_count == 0
    nexus_core.detach(app)
    assert runtime.ref_count == 1
    assert early._injected_runtime is late._injected_runtime is None
    assert given._injected_runtime is given._get_shared_runtime() is app.runtime
    assert type(early._get_shared_runtime()) is type(late._get_shared_runtime()) is StockAsyncLocalRuntime


@pytest.mark.parametrize("server_type", ["basic", "durable", "enterprise"])
def test_every_kind_of_gateway(server_type: str, runtime: CountingRuntime) -> None:
    with make_app(server_type=server_type) as app:
        app.register("before", one_node())
        stock = gateway(app).runtime
        report = nexus_core.attach(app, runtime)
        app.register("after", one_node())
        assert not report.failures
        assert api(app, "before").runtime is api(app, "after").runtime is runtime
        # For signals and queries, where the gateway takes them at all.
        assert gateway(app).runtime is (None if stock is None else runtime)
        nexus_core.detach(app)
        assert gateway(app).runtime is (None if stock is None else app.runtime)


def test_a_durable_gateway(runtime: CountingRuntime) -> None:
    from kailash.gateway.enhanced_gateway import EnhancedDurableAPIGateway

    async def attach_and_detach(app: Nexus) -> None:
        enhanced = EnhancedDurableAPIGateway(require_auth=False)
        app._http_transport._gateway = enhanced
        old = enhanced._runtime
        nexus_core.attach(app, runtime)
        assert (enhanced._runtime, old.ref_count) == (runtime, 0)
        app.register("w", one_node())
        assert api(app, "w").runtime is runtime
        nexus_core.detach(app)
        assert type(enhanced._runtime) is StockAsyncLocalRuntime
        assert enhanced._runtime.resource_registry is enhanced.resource_registry
        enhanced._runtime.close()
        # Nothing of Kailash's closes it, and it is stock's own again.
        assert type(api(app, "w").runtime) is StockAsyncLocalRuntime
        api(app, "w").runtime.close()
        await enhanced.shutdown()

    app = make_app()
    gateway(app).close()
    asyncio.run(attach_and_detach(app))
    app._http_transport._gateway = None
    app.close()


def test_a_workflow_whose_route_is_taken_is_named_in_the_log(
    app: Nexus, runtime: CountingRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    original = gateway(app).register_workflow

    def with_a_route(name: str, *args: Any, **kwargs: Any) -> None:
        original(name, *args, **kwargs)
        api(app, name).app.add_api_route("/stream", lambda: "theirs")

    gateway(app).register_workflow = with_a_route
    nexus_core.attach(app, runtime)
    with caplog.at_level(logging.WARNING, "nexus_core.attach"):
        app.register("after", one_node())
    assert "workflow 'after' was not attached" in caplog.text
    assert type(api(app, "after").runtime) is StockAsyncLocalRuntime
    assert runtime.ref_count == 4
    nexus_core.detach(app)
    assert gateway(app).register_workflow is with_a_route
    del gateway(app).register_workflow


def test_closing_takes_everything_away_that_is_in_the_way_of_others(app: Nexus, runtime: CountingRuntime) -> None:
    before = (set(vars(app)), set(vars(gateway(app))), kailash.runtime.get_runtime, CLIChannel.__init__)
    nexus_core.attach(app, runtime)
    app.close()
    assert (set(vars(app)), set(vars(gateway(app))), kailash.runtime.get_runtime, CLIChannel.__init__) == before


def test_a_server_made_by_hand_is_not_touched(app: Nexus, runtime: CountingRuntime) -> None:
    server = EnterpriseWorkflowServer(require_auth=False, enable_durability=False)
    nexus_core.attach(app, runtime)
    server.register_workflow("w", one_node())
    assert type(server._workflow_apis["w"].runtime) is StockAsyncLocalRuntime
    server.close()
    server.executor.shutdown()
