"""Prints, as JSON, the bytes a node that a TaskGraph and its plan take (resident memory of a fresh process)."""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path

from peers.nexus_core_graph import task_graph
from workloads import Graph, chain, layered


def resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return pages * resource.getpagesize()


def main(name: str) -> dict[str, float]:
    graphs: dict[str, Graph] = {g.name: g for g in (chain(100_000), layered(100, 1_000, name="layered_100x1000"))}
    graph = graphs[name]
    # Whatever is allocated once, at first use, must not be charged to the graph.
    task_graph(chain(10)).compile().run()
    gc.collect()
    before = resident()
    tasks = task_graph(graph)
    described = resident()
    plan = tasks.compile()
    compiled = resident()
    count = len(graph)
    sizes = {"described": (described - before) / count, "compiled": (compiled - described) / count}
    if "__sizeof__" in vars(type(plan)):
        sizes["own"] = sys.getsizeof(plan) / count
    return sizes


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
