"""A Nexus app on a free port of the loopback interface, for a process of its own."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

import uvicorn


def serve(app: Any, *, quiet: bool = True) -> None:
    """Serves an app until the standard input ends, so that it cannot outlive the benchmark.

    Prints its port as JSON when it listens.

    Args:
        app: The app.
        quiet: Whether nothing is logged of what goes well.
    """
    # As Nexus's own gateway runs it, but on a port that is known to be free.
    settings: dict[str, Any] = {"log_level": "warning", "access_log": False} if quiet else {}
    server = uvicorn.Server(uvicorn.Config(app.fastapi_app, **settings))
    listener = socket.create_server(("127.0.0.1", 0))

    def end_with_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_input, daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    # Whatever is printed from here on goes where the log goes; nobody reads the pipe.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    server.run(sockets=[listener])
