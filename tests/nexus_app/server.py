"""A Nexus app with every channel, served as users serve it; run as a script by the tests.

``server.py attached|stock|installed [durable]`` listens on free ports, and prints them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import logging
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

variant = sys.argv[1]

import nexus_core  # noqa: E402

if variant == "installed":
    nexus_core.install()

import uvicorn  # noqa: E402
from kailash.nodes.code.python import PythonCodeNode  # noqa: E402
from kailash.workflow.builder import WorkflowBuilder  # noqa: E402
from kailash.workflow.graph import Workflow  # noqa: E402
from nexus import Nexus  # noqa: E402
from nexus.transports import WebSocketTransport  # noqa: E402

calls: Counter[str] = Counter({"execute_workflow_async": 0, "execute_async": 0, "stream": 0})

MUCH = 400  # nodes of 100 kB each

runtimes_made: list[Any] = []

CODES = {
    "one": "result = {'seen': x}",
    "enveloped": "result = {'who': parameters.get('who', 'nobody')}",
    "failing": "result = 1 / 0",
}


def workflow(code: str) -> Any:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": code})
    return builder.build()


def chain() -> Any:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "first", {"code": "result = {'value': 20}"})
    builder.add_node("PythonCodeNode", "second", {"code": "result = {'got': data}"})
    builder.add_connection("first", "result", "second", "data")
    return builder.build()


def functions(steps: dict[str, Callable[..., Any]], *, chained: bool = True) -> Any:
    """A workflow of functions of this module, each after the last or all at once."""
    built = Workflow("functions", "functions")
    last = None
    for name, function in steps.items():
        built.add_node(name, PythonCodeNode.from_function(function, name=name))
        if chained and last is not None:
            built.connect(last, name, {"result": "after"})
        last = name
    return built


gate = threading.Event()
done: Counter[str] = Counter()


def wait_at_the_gate() -> str:
    done["waiting"] += 1
    assert gate.wait(60)
    done["through"] += 1
    return "through"


def come_after(after: Any = None) -> str:
    done["after"] += 1
    return "after"


def make_much() -> list[int]:
    done["much"] += 1
    return list(range(20_000))


def spying_runtime() -> Any:
    from nexus_core.runtime import AsyncLocalRuntime

    class Spy(AsyncLocalRuntime):
        async def execute_workflow_async(self, *args: Any, **kwargs: Any) -> Any:
            calls["execute_workflow_async"] += 1
            return await super().execute_workflow_async(*args, **kwargs)

        async def execute_async(self, *args: Any, **kwargs: Any) -> Any:
            calls["execute_async"] += 1
            return await super().execute_async(*args, **kwargs)

        async def stream(self, *args: Any, **kwargs: Any) -> Any:
            calls["stream"] += 1
            done["streams open"] += 1
            try:
                async with contextlib.aclosing(super().stream(*args, **kwargs)) as events:
                    async for event in events:
                        yield event
            finally:
                done["streams open"] -= 1

    return Spy()


def remember_runtimes() -> None:
    """Keeps every runtime that is made: Nexus drops the one of an own execution at once."""
    from nexus_core.runtime import AsyncLocalRuntime

    original = AsyncLocalRuntime.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        runtimes_made.append(self)

    AsyncLocalRuntime.__init__ = __init__  # type: ignore[method-assign]


def leaving() -> int:
    """How many streams are being ended because their client has gone."""
    from nexus_core.nexus_app import event_stream

    return sum(task.cancelling() for task in event_stream._ending)


def listening_socket() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)  # from now on clients wait for the server instead of being refused
    return listener


def free_port() -> int:
    with listening_socket() as probe:
        port: int = probe.getsockname()[1]
    return port


def main() -> None:
    logging.getLogger().setLevel(logging.WARNING)
    if variant == "attached":
        from nexus_core.nexus_app import event_stream

        event_stream.HEARTBEAT = 0.1  # nobody waits for 15 s
    if variant == "installed":
        remember_runtimes()
    mcp_port, websocket_port = free_port(), free_port()
    app = Nexus(mcp_port=mcp_port, enable_auth=False, rate_limit=None, enable_durability="durable" in sys.argv)
    app.add_transport(WebSocketTransport(port=websocket_port))

    for name, code in CODES.items():
        app.register(f"early-{name}", workflow(code))

    @app.handler("early-greet")
    async def greet(who: str) -> dict[str, str]:
        return {"greeting": f"hello {who}"}

    runtime = None
    if variant == "attached":
        runtime = spying_runtime()
        report = nexus_core.attach(app, runtime)
        assert not report.failures, report

    for name, code in CODES.items():
        app.register(f"late-{name}", workflow(code))
    app.register("chain", chain())
    app.register("gated", functions({"gate": wait_at_the_gate, "after": come_after}))
    app.register("much", functions({f"much {number}": make_much for number in range(MUCH)}, chained=False))

    @app.handler("odd")
    def odd(**inputs: Any) -> dict[str, Any]:
        return {"number": float("nan"), "fine": [1]}

    @app.handler("late-greet")
    def greet_later(who: str) -> dict[str, str]:
        return {"greeting": f"hello {who}"}

    @app.fastapi_app.get("/calls")
    def told() -> dict[str, int]:
        return dict(calls)

    @app.fastapi_app.get("/native")
    def native() -> int:
        """How many runs the native engine has done, on all runtimes together."""
        return sum(made.engine_statistics()["native_runs"] for made in runtimes_made)

    @app.fastapi_app.get("/foreign")
    def foreign() -> list[str]:
        """The open runtimes of the process that are not ours."""
        from nexus_core.runtime import LocalRuntime
        from nexus_core.runtime.stock import StockLocalRuntime

        found = [found for found in gc.get_objects() if StockLocalRuntime in type(found).__mro__ and found.ref_count]
        return [repr(runtime) for runtime in found if LocalRuntime not in type(runtime).__mro__]

    @app.fastapi_app.get("/done")
    async def told_done() -> dict[str, int]:
        return {"through": 0, "after": 0, "much": 0, "streams open": 0, **done, "leaving": leaving()}

    @app.fastapi_app.get("/gate")  # a durable gateway replays what is posted twice
    def open_gate(opened: bool) -> None:
        (gate.set if opened else gate.clear)()

    @app.fastapi_app.post("/own/{name}")
    async def own(name: str, inputs: dict[str, Any]) -> Any:
        return await app._execute_workflow(name, inputs)

    websocket = app._transports[-1]
    asyncio.run(websocket.start(app._registry))
    if app._mcp_server is not None:
        threading.Thread(target=app._run_mcp_server, daemon=True).start()

    listener = listening_socket()
    ports = {"http": listener.getsockname()[1], "mcp": mcp_port, "websocket": websocket_port}
    print(json.dumps(ports), flush=True)

    # As gateway.run() does, but on a socket that is bound already.
    config = uvicorn.Config(app._http_transport.gateway.app, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    # Uvicorn stops at a SIGTERM, and then hands it on: the app is still to be closed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[listener])
    asyncio.run(websocket.stop())
    app.close()
    if runtime is not None:
        assert runtime.ref_count == 1, runtime.ref_count
        runtime.close()
    print("closed", flush=True)


main()
