"""A Nexus app on a port of the loopback interface, serving the benchmark's workflows on one variant of the runtime.

Prints its port as JSON when it listens, and ends when its standard input does, so that it cannot outlive the benchmark.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import Any

from nexus import Nexus

from peers.kailash_runtime import build
from service.cases import WORKFLOWS, expected_outputs
from service.serving import serve


def stub_class() -> Any:
    from kailash.runtime import AsyncLocalRuntime

    class Stub(AsyncLocalRuntime):  # type: ignore[misc]
        """Answers at once: what remains of a request's time is the HTTP stack's."""

        def __init__(self, outputs: dict[str, Any]) -> None:
            super().__init__()
            self.outputs = outputs

        async def execute_workflow_async(self, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], str]:
            return self.outputs, "run_stub"

    return Stub


def use_stub(app: Any) -> Callable[[], None]:
    stub = stub_class()
    for name, api in app._http_transport.gateway._workflow_apis.items():
        # The API owns its runtime, and closes this one in its place.
        api.runtime.close()
        api.runtime = stub(expected_outputs(name))
    return lambda: None


def use_cache(app: Any) -> Callable[[], None]:
    from nexus_core import ResultCache, attach, detach

    attach(app, cache=ResultCache(workflows=dict.fromkeys(WORKFLOWS, True)))
    return lambda: detach(app)


def use_ours(app: Any, threads: int | None) -> Callable[[], None]:
    from nexus_core import attach, detach

    attach(app, **({} if threads is None else {"thread_pool_size": threads, "max_concurrent_nodes": threads}))
    return lambda: detach(app)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=("stock", "ours", "cached", "stub"))
    parser.add_argument("--logs", choices=("warning", "default"), default="warning")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    quiet = options.logs == "warning"
    if quiet:
        # Importing nexus has configured logging at INFO.
        logging.basicConfig(level=logging.WARNING, force=True)
    app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False, auto_discovery=False)
    for name, graph in WORKFLOWS.items():
        app.register(name, build(graph, asynchronous=True))
    uses = {
        "stock": lambda: None,
        "stub": lambda: use_stub(app),
        "ours": lambda: use_ours(app, options.threads),
        "cached": lambda: use_cache(app),
    }
    restore = uses[options.variant]() or (lambda: None)

    serve(app, quiet=quiet)
    restore()
    app.close()


if __name__ == "__main__":
    main()
