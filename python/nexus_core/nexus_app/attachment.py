"""One app on one runtime: what has been changed about the app, and how it is undone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from nexus_core.metrics.loops import LoopLag
from nexus_core.metrics.prometheus import hide, show
from nexus_core.nexus_app import channels, execution_hook
from nexus_core.nexus_app.disconnects import forget_clients, notice_clients
from nexus_core.nexus_app.places import (
    Place,
    app_place,
    channel_place,
    gateway_places,
    tool_cell,
    transport_places,
    workflow_place,
)
from nexus_core.nexus_app.report import AttachReport, ChannelProblem
from nexus_core.nexus_app.swapping import Swap
from nexus_core.resource_pools.app_resources import PLUGIN_NAME as POOLS
from nexus_core.versions import installed_versions

__all__ = ["PLUGIN_NAME", "Attachment"]

PLUGIN_NAME = "nexus-core"

_log = logging.getLogger("nexus_core.attach")


class Attachment:
    """A Nexus plugin that keeps every channel of an app on one runtime.

    Args:
        app: The app.
        runtime: The runtime, open.
        owned: Whether the runtime goes with the attachment.
        live_page: Whether the app serves the live page.
    """

    def __init__(self, app: Any, runtime: Any, owned: bool, live_page: bool = False) -> None:
        self.runtime = runtime
        self.owned = owned
        self.active = False
        self.report: AttachReport | None = None
        self._app = app
        self._has_live_page = live_page
        self._swap = Swap(runtime)
        self._undo: list[Callable[[], None]] = []
        self._attached: list[str] = []
        self._absent: list[ChannelProblem] = []
        self._failures: list[ChannelProblem] = []
        self._loop_lag: LoopLag | None = None
        self._told_cache: Any = None
        #: Called with the name and the ``WorkflowAPI`` of what is registered from now on.
        self.on_registered: list[Callable[[str, Any], object]] = []
        #: By a workflow's API, whether it has its stream routes: as it had them, and as was wished since.
        self.stream_wishes: dict[Any, list[list[bool]]] = {}

    # --- what Nexus asks of a plugin --------------------------------------------------

    @property
    def name(self) -> str:
        """The plugin's name."""
        return PLUGIN_NAME

    @property
    def description(self) -> str:
        """What the plugin does."""
        return "executes every channel of the app on nexus-core"

    def install(self, app: Any) -> None:
        """Puts every channel of the app on the runtime, or leaves the app as it was.

        Args:
            app: The app that the attachment was made for.
        """
        if app is not self._app:
            raise ValueError("an attachment belongs to the app that it was made for")
        try:
            for channel, attach in self._channels():
                self._try(channel, attach)
            self._replace(app, "close", self._closing(app.close))
        except BaseException:
            self._roll_back()
            raise
        self._swap.commit()
        self.active = True
        self._measure()
        pools = app._plugins.get(POOLS)
        if pools is not None:
            pools.follow(self.runtime)
        self.report = AttachReport(
            self.runtime,
            self.owned,
            tuple(self._attached),
            tuple(self._absent),
            tuple(self._failures),
            installed_versions(),
        )

    # --- the channels -----------------------------------------------------------------

    def _channels(self) -> Iterator[tuple[str, Callable[[], str | None]]]:
        yield "app and enterprise route", self._attach_app
        yield "workflows over HTTP", self._attach_workflows
        yield "event streams", self._attach_streams
        yield "clients that go away", self._attach_clients
        if self.runtime._cached_runs is not None:
            yield "cached results", self.tell_of_cache
        yield "MCP tools", self._attach_tools
        yield "WebSocket and MCP transports", self._attach_transports
        yield "CLIChannel and MCPChannel objects", self._attach_channel_objects
        yield "the app's own executions", self._attach_own_executions
        if self._has_live_page:
            yield "live page at /nexus-core/", self._attach_live_page

    def _attach_app(self) -> None:
        self._swap.put(app_place(self._app))
        for place in gateway_places(self._gateway):
            self._swap.put(place)

    def _attach_workflows(self) -> None:
        for api in self._apis():
            self._swap.put(workflow_place(api))
        # Whoever registers a workflow, by whatever way, comes through here.
        self._replace(self._gateway, "register_workflow", self._registering(self._gateway.register_workflow))

    def _attach_streams(self) -> None:
        from nexus_core.nexus_app.stream_routes import add_stream_routes, remove_stream_routes

        def remove() -> None:
            for api in self._apis():
                remove_stream_routes(api)

        self._undo.append(remove)
        for api in self._apis():
            add_stream_routes(api)

    def _attach_clients(self) -> None:
        def forget() -> None:
            for api in self._apis():
                forget_clients(api)

        self._undo.append(forget)
        for api in self._apis():
            notice_clients(api)

    def tell_of_cache(self) -> None:
        """Has replies and metrics tell of the cache that the runtime has."""
        from nexus_core.cached_runs import prometheus
        from nexus_core.nexus_app.cache_status import tell_of_gateway, tell_of_workflow

        cache = self._told_cache = self.runtime._cached_runs.cache
        prometheus.show(cache)
        if self.stop_telling_of_cache not in self._undo:
            self._undo.append(self.stop_telling_of_cache)
        for name, api in list(getattr(self._gateway, "_workflow_apis", {}).items()):
            tell_of_workflow(api, name)
        tell_of_gateway(self._gateway)

    def stop_telling_of_cache(self) -> None:
        """Undoes it; a second time there is nothing to do."""
        from nexus_core.cached_runs import prometheus
        from nexus_core.nexus_app.cache_status import stop_telling

        cache, self._told_cache = self._told_cache, None
        if cache is not None:
            stop_telling(self._gateway, self._apis())
            prometheus.hide(cache)

    def _attach_tools(self) -> str | None:
        server = getattr(self._app, "_mcp_server", None)
        if server is None:
            return "the app has no MCP server; Kailash's needs kailash-mcp and mcp<2"
        if hasattr(server, "register_workflow"):
            raise LookupError(f"a {type(server).__name__} executes workflows by itself")
        if getattr(self._app, "_mcp_channel", None) is None:
            for workflow in self._app._workflows:
                cell = tool_cell(server, workflow)
                if cell is None:
                    raise LookupError(f"the tool of workflow {workflow!r} keeps its runtime out of sight")
                self._swap.put(cell)
        return None

    def _attach_transports(self) -> None:
        for transport in self._app._transports:
            self._put_transport(transport)
        self._replace(self._app, "add_transport", self._adding_transport(self._app.add_transport))

    def _attach_channel_objects(self) -> None:
        for channel in channels.channels_of(self._app):
            self._put_channel(channel)
        self._undo.append(lambda: channels.forget(self._app))
        channels.adopt_later_channels(self._app, self.adopt)

    def _attach_own_executions(self) -> None:
        self._undo.append(lambda: execution_hook.unfollow(self._app))
        execution_hook.follow(self._app, self.runtime)

    def _attach_live_page(self) -> None:
        from nexus_core.nexus_app.live_page import add_live_page, remove_live_page

        add_live_page(self._app, self.runtime)  # all of it, or nothing
        self._undo.append(lambda: remove_live_page(self._app))

    @property
    def _gateway(self) -> Any:
        return self._app._http_transport.gateway

    def _apis(self) -> list[Any]:
        return list(getattr(self._gateway, "_workflow_apis", {}).values())

    def _put_transport(self, transport: Any) -> None:
        for place in transport_places(transport):
            self._swap.put(place)

    def _put_channel(self, channel: Any) -> None:
        place = channel_place(channel)
        # One that was given another runtime on purpose keeps it.
        if place.own or any(place.get() is old for old in self._swap.replaced()):
            self._swap.put(place)

    # --- what comes later -------------------------------------------------------------

    def adopt(self, channel: Any) -> None:
        """Puts a channel object that was made after attaching on the runtime."""
        if self.active:
            self._later(f"a new {type(channel).__name__}", lambda: self._put_channel(channel))

    def _registering(self, original: Callable[..., Any]) -> Callable[..., Any]:
        from nexus_core.nexus_app.stream_routes import add_stream_routes

        def register_workflow(name: str, *args: Any, **kwargs: Any) -> Any:
            outcome = original(name, *args, **kwargs)
            api = getattr(self._gateway, "_workflow_apis", {}).get(name)
            if self.active and api is not None:

                def put() -> None:
                    self._swap.put(workflow_place(api))
                    add_stream_routes(api)
                    notice_clients(api)
                    if self.runtime._cached_runs is not None:
                        from nexus_core.nexus_app.cache_status import tell_of_workflow

                        tell_of_workflow(api, name)
                    for told in list(self.on_registered):
                        told(name, api)

                self._later(f"workflow {name!r}", put)
            return outcome

        return register_workflow

    def _adding_transport(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def add_transport(transport: Any, *args: Any, **kwargs: Any) -> Any:
            outcome = original(transport, *args, **kwargs)
            if self.active:
                self._later(f"transport {type(transport).__name__}", lambda: self._put_transport(transport))
            return outcome

        return add_transport

    def _later(self, what: str, put: Callable[[], None]) -> None:
        try:
            put()
        except Exception as reason:
            self._swap.roll_back()
            _log.warning("%s was not attached, and runs as it would without: %s", what, reason, exc_info=True)
        else:
            self._swap.commit()

    # --- the end ----------------------------------------------------------------------

    def detach(self) -> None:
        """Gives every channel what it had, or what Kailash would have made meanwhile."""
        if self.active:
            self.active = False
            self._undo_changes()
            self._swap.take_back(self._places(), app_place(self._app))
            self._release()

    def _closing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def close(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            finally:
                self._app_closed()

        return close

    def _app_closed(self) -> None:
        if not self.active:
            return
        self.active = False
        # Kailash leaves this one to ``stop()``; it would keep the runtime open.
        channel = getattr(self._app, "_mcp_channel", None)
        if channel is not None:
            channel.close()
        self._undo_changes()
        self._swap.let_go()
        self._release()

    def _measure(self) -> None:
        """Has what is measured of the runtime appear where the app's figures are, and the loop watched."""
        runtime = self.runtime
        if runtime._loop_lag is None:
            runtime.watch_loop_lag()
            self._loop_lag = runtime._loop_lag
        elif runtime._loop_lag.apps:  # otherwise it is there because somebody has asked for it
            self._loop_lag = runtime._loop_lag
        if self._loop_lag is not None:
            self._loop_lag.apps += 1
        show(runtime, str(getattr(self._app, "name", None) or "nexus"))

    def _release(self) -> None:
        hide(self.runtime)
        lag, self._loop_lag = self._loop_lag, None
        if lag is not None:
            lag.apps -= 1
            if not lag.apps and self.runtime._loop_lag is lag:
                self.runtime.watch_loop_lag(False)
        if self.owned:
            self.runtime.release()

    def _places(self) -> Iterator[Place]:
        yield app_place(self._app)
        yield from gateway_places(self._gateway)
        yield from map(workflow_place, self._apis())
        for transport in self._app._transports:
            yield from transport_places(transport)
        yield from map(channel_place, channels.channels_of(self._app))
        server = getattr(self._app, "_mcp_server", None)
        for workflow in self._app._workflows if server is not None else ():
            cell = tool_cell(server, workflow)
            if cell is not None:
                yield cell

    # --- changing, and changing back --------------------------------------------------

    def _try(self, channel: str, attach: Callable[[], str | None]) -> None:
        """Attaches one channel; if that fails, the others go on without."""
        swapped, changed = self._swap.mark(), len(self._undo)
        try:
            missing = attach()
        except Exception as reason:
            self._swap.roll_back(swapped)
            self._undo_changes(changed)
            self._failures.append(ChannelProblem(channel, str(reason) or repr(reason)))
            _log.warning("%s could not be attached, and run as they did before: %s", channel, reason)
        else:
            if missing is None:
                self._attached.append(channel)
            else:
                self._absent.append(ChannelProblem(channel, missing))

    def _replace(self, holder: Any, attribute: str, replacement: Any) -> None:
        """Puts a function in front of a method of one object."""
        had = vars(holder).get(attribute)

        def undo() -> None:
            # If somebody has put another in front since, ours stays behind it, and passes on.
            if vars(holder).get(attribute) is replacement:
                if had is None:
                    delattr(holder, attribute)
                else:
                    setattr(holder, attribute, had)

        self._undo.append(undo)
        setattr(holder, attribute, replacement)

    def _undo_changes(self, mark: int = 0) -> None:
        while len(self._undo) > mark:
            self._undo.pop()()

    def _roll_back(self) -> None:
        self._undo_changes()
        self._swap.roll_back()
