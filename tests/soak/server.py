"""A Nexus app, attached, that answers for what it holds.

Prints its port as JSON when it listens. Then, for each line ``account`` or ``memory`` on standard input, the answer as
JSON; ends when standard input does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from typing import Any

import uvicorn
from nexus import Nexus

import nexus_core
from nexus_core.runtime import AsyncLocalRuntime
from soak import accounts, plan


def say(answer: Any) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


class Server(uvicorn.Server):
    """Listens to standard input while it serves."""

    def __init__(self, config: uvicorn.Config, runtime: Any, workflow: Any) -> None:
        super().__init__(config)
        self.runtime = runtime
        self.workflow = workflow

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self.obey, args=(loop,), name="obeying", daemon=True).start()
        assert sockets is not None
        say({"port": sockets[0].getsockname()[1]})

    def obey(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in sys.stdin:
            if line.strip() == "memory":
                say(accounts.resident())
            else:
                say(asyncio.run_coroutine_threadsafe(self.account(), loop).result())
        self.should_exit = True

    async def account(self) -> accounts.Account:
        return accounts.take(self.runtime, self.workflow)


def main() -> None:
    logging.disable(logging.CRITICAL)
    app = Nexus(
        api_port=0, mcp_port=0, enable_auth=False, rate_limit=None, enable_durability=False, auto_discovery=False
    )
    app.register("soaked", plan.soaked_workflow())
    runtime = AsyncLocalRuntime()
    nexus_core.attach(app, runtime)
    workflow = app._http_transport.gateway._workflow_apis["soaked"].workflow_graph
    config = uvicorn.Config(app.fastapi_app, log_level="critical", access_log=False)
    Server(config, runtime, workflow).run(sockets=[socket.create_server(("127.0.0.1", 0))])
    app.close()
    acquired = runtime.ref_count
    runtime.close()
    say({"acquired": acquired})


if __name__ == "__main__":
    main()
