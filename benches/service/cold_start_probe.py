"""The first call of a trivial workflow in this process: time inside the call alone, printed as JSON."""

from __future__ import annotations

import time

started = time.perf_counter()

import argparse  # noqa: E402
import asyncio  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

from peers import PEERS  # noqa: E402
from peers.kailash_runtime import LIBRARIES, build, check_libraries  # noqa: E402
from service.variants import runtime_class  # noqa: E402
from workloads import Graph, values_of_results  # noqa: E402

ONE_NODE = Graph("one_node", "one node", ((),))


def check(results: dict[str, Any]) -> None:
    if values_of_results(results) != ONE_NODE.expected():
        raise AssertionError(f"wrong results: {results!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=("stock", "ours"))
    parser.add_argument("runtime", choices=("LocalRuntime", "AsyncLocalRuntime"))
    options = parser.parse_args()
    check_libraries(PEERS["stock_full"])
    found = runtime_class(options.variant, options.runtime)
    logging.getLogger("kailash").setLevel(logging.ERROR)
    asynchronous = options.runtime == "AsyncLocalRuntime"
    workflow = build(ONE_NODE, asynchronous=asynchronous)
    with asyncio.Runner() as runner, found() as runtime:
        # The loop's own start is not the runtime's.
        runner.run(asyncio.sleep(0))
        before = time.perf_counter() - started
        loaded = sum(library in sys.modules for library in LIBRARIES)

        async def call_async() -> float:
            begun = time.perf_counter()
            results, _ = await runtime.execute_workflow_async(workflow, {})
            took = time.perf_counter() - begun
            check(results)
            return took

        def call() -> float:
            if asynchronous:
                return runner.run(call_async())
            begun = time.perf_counter()
            results, _ = runtime.execute(workflow)
            took = time.perf_counter() - begun
            check(results)
            return took

        print(json.dumps({"before": before, "libraries_before": loaded, "first": call(), "second": call()}))


if __name__ == "__main__":
    main()
