"""Apps that are served, and workflows that use resources."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
import uvicorn
from kailash.workflow.builder import WorkflowBuilder

__all__ = ["Served", "async_node", "served", "until"]


class Served:
    """An app that answers over HTTP.

    Args:
        port: Its port on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def execute(self, workflow: str, **inputs: Any) -> dict[str, Any]:
        """The outputs of a workflow's nodes."""
        reply = requests.post(f"{self.url}/workflows/{workflow}/execute", json={"inputs": inputs}, timeout=60)
        assert reply.status_code == 200, reply.text
        outputs: dict[str, Any] = reply.json()["outputs"]
        return outputs

    def get(self, path: str) -> requests.Response:
        """What is at a path."""
        return requests.get(self.url + path, timeout=60)


@contextmanager
def served(app: Any) -> Iterator[Served]:
    """Serves an app as users do, and stops it as they do."""
    config = uvicorn.Config(app.fastapi_app, host="127.0.0.1", port=0, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield Served(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def async_node(code: str) -> Any:
    """A workflow of one asynchronous code node."""
    builder = WorkflowBuilder()
    builder.add_node("AsyncPythonCodeNode", "node", {"code": textwrap.dedent(code)})
    return builder.build()


def until(condition: Callable[[], object], limit: float = 60.0) -> None:
    """Waits for what another thread is about to do."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
