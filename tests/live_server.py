"""An attached app with a live page and something to do, served as users serve it; run as a script by tests.

``live_server.py [busy] [pools] [plain]`` listens on a free port, and prints it. With NEXUS_API_KEY_<NAME> in its
environment it asks for credentials. *busy* keeps runs going; *plain* leaves the page out.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from typing import Any

import uvicorn
from fastapi.responses import Response
from kailash.workflow.builder import WorkflowBuilder
from nexus import Nexus

import nexus_core

LOAD = {
    "orders": {"load": 0.012, "clean": 0.004, "price": 0.02, "store": 0.008},
    "forecast": {"history": 0.03, "north": 0.06, "south": 0.045, "merge": 0.006},
    "thumbnail": {"decode": 0.003, "scale": 0.009},
}


def workflow(nodes: dict[str, float]) -> Any:
    builder, last = WorkflowBuilder(), None
    for name, seconds in nodes.items():
        code = (
            "import time, random\n"
            f"time.sleep({seconds} * random.lognormvariate(0, 0.35))\n"
            "if refuse:\n    raise ValueError('no such order')\n"
            "result = {'done': True}"
        )
        builder.add_node("PythonCodeNode", name, {"code": code})
        if last is not None:
            builder.add_connection(last, "result", name, "data")
        last = name
    return builder.build()


class Alerts:
    """A monitor of the user's own, for as long as the test asks for."""

    name, description = "service-monitor", "watches the service"

    def __init__(self) -> None:
        self.active: list[dict[str, Any]] = []

    def install(self, app: Any) -> None:
        """There is nothing to do."""

    def get_active_alerts(self) -> list[dict[str, Any]]:
        return self.active


def keep_busy(runtime: Any, app: Nexus, stopped: threading.Event) -> None:
    import asyncio

    async def caller(name: str, pause: float) -> None:
        while not stopped.is_set():
            # Slow waves, as a day has them.
            wave = 1.3 + 1.0 * __import__("math").sin(time.time() / 23)
            await asyncio.sleep(pause * random.expovariate(1) * max(wave, 0.15))
            refuse = name == "orders" and random.random() < 0.02
            try:
                await runtime.execute_workflow_async(app._workflows[name], {"refuse": refuse})
            except Exception:
                assert refuse

    async def all_callers() -> None:
        callers = [caller("orders", 0.08) for _ in range(4)]
        callers += [caller("forecast", 0.4), caller("forecast", 0.5), *(caller("thumbnail", 0.05) for _ in range(3))]
        await asyncio.gather(*callers)

    asyncio.run(all_callers())


def main() -> None:
    logging.disable(logging.CRITICAL)
    secured = any(name.startswith("NEXUS_API_KEY_") for name in os.environ)
    app = Nexus(enable_auth=secured, rate_limit=None, enable_durability=False)
    app.name = "Order service <b>"  # a name is text
    for name, nodes in LOAD.items():
        app.register(name, workflow(nodes))
    alerts = Alerts()
    app.add_plugin(alerts)
    report = nexus_core.attach(
        app, live_page="plain" not in sys.argv, thread_pool_size=8, max_concurrent_nodes=16,
        cache=nexus_core.ResultCache(maxsize=100) if "cache" in sys.argv else None,
    )  # fmt: skip
    assert not report.failures, report
    stopped = threading.Event()
    if "pools" in sys.argv:
        manager = nexus_core.ResourcePoolManager(app, data_path=os.path.join(os.environ["HOME"], "app.db"))
        manager.create_connection_pool("orders database", pool_size=2, max_connections=5)
        manager.create_thread_pool("images", thread_count=4, max_queue_size=50)
    if "busy" in sys.argv:
        threading.Thread(target=keep_busy, args=(report.runtime, app, stopped), daemon=True).start()

    @app.fastapi_app.post("/alert")
    def alert(message: str, severity: str) -> None:
        told = {"severity": severity, "metric": "error_rate", "message": message, "timestamp": time.time()}
        alerts.active = [told] if message else []

    @app.fastapi_app.post("/detach")
    def detach() -> Response:
        nexus_core.detach(app)
        return Response()

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ.get("TEST_PORT", "0"))))
    listener.listen(128)
    print(json.dumps({"http": listener.getsockname()[1]}), flush=True)
    server = uvicorn.Server(uvicorn.Config(app.fastapi_app, log_level="warning", access_log=False))
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[listener])
    stopped.set()
    app.close()


if __name__ == "__main__":
    main()
