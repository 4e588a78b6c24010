"""The physical floor: `floor/floor.c`."""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

from floor.build import FloorUnavailable, load
from peers import Peer, PeerUnavailable, Prepared
from workloads import Graph, callables, code_strings, input_names, values_of_results

# As many entries as Kailash gives a code node: its cost is that of copying two dictionaries of this size.
MODULES = 47
BUILTINS = 90


@contextmanager
def prepare(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    try:
        floor = load()
    except FloorUnavailable as error:
        raise PeerUnavailable(str(error)) from None
    names = list(graph.names)
    keywords = [tuple(map(sys.intern, input_names(len(p)))) for p in graph.predecessors]
    indices = list(graph.predecessors)
    if peer.key == "floor_code":
        codes = [compile(source, "node", "exec") for source in code_strings(graph)]
        modules = {f"module_{i}": types for i in range(MODULES)}
        allowed = {name: getattr(builtins, name) for name in sorted(dir(builtins), key=sandbox_order)[:BUILTINS]}
        plan = floor.plan(codes, names, keywords, indices)
        yield Prepared(lambda: floor.run_code(plan, modules, allowed), values_of_results)
        return
    by_name = peer.key == "floor_keywords"
    run = floor.run_keywords if by_name else floor.run_positional
    plan = floor.plan(callables(graph, keywords=by_name), names, keywords, indices)
    yield Prepared(lambda: run(plan), dict)


def sandbox_order(name: str) -> tuple[bool, str]:
    """Functions before exception classes, as a sandbox would choose them."""
    return (name != "__import__" and not name.islower(), name)
