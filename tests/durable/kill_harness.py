"""Kills checkpointed runs with SIGKILL at random moments, and resumes them until they are done.

    python -m durable.kill_harness --kills 200 --kind local

The process only imports what runs need; every run is a child that is forked from it, so
that nothing is imported again. A run has chained and parallel nodes of both kinds, each
of which appends its name to a file and synchronises that. After every kill the store is
read, as a resumed run will find it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kailash.middleware.gateway.checkpoint_manager import DiskStorage
from kailash.nodes.base import Node
from kailash.runtime.durable import build_checkpoint_key, compute_workflow_fingerprint
from kailash.workflow.graph import Workflow

from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import AwaitingNode, CallingNode

from .sqlite_store import SqliteStore

__all__ = ["Killer", "main"]

BRANCHES, LENGTH = 4, 3
KEY = "the order"
STORES: dict[str, Callable[[Path], Any]] = {
    "sqlite": lambda folder: SqliteStore(folder / "checkpoints.db"),
    "disk": lambda folder: DiskStorage(str(folder / "checkpoints")),
}
#: What may hang gets no more, in seconds.
PATIENCE = 120.0


def _effect(log: Path, name: str) -> None:
    """The side effect of a node: on the disk when this returns."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{name}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sum(inputs: dict[str, Any]) -> int:
    values = (value["result"] if isinstance(value, dict) else value for value in inputs.values())
    return 1 + sum(value for value in values if value is not None)


def _work(log: Path, name: str, node: Node, **inputs: Any) -> int:
    time.sleep(random.uniform(0, 0.004))
    _effect(log, name)
    return _sum(inputs)


async def _await(log: Path, name: str, node: Node, **inputs: Any) -> int:
    await asyncio.sleep(random.uniform(0, 0.004))
    _effect(log, name)
    return _sum(inputs)


def workflow_of(log: Path) -> Workflow:
    """A source, branches of chained nodes, and a chain that joins them."""
    workflow = Workflow("killed", "killed", metadata={"created_at": "2020-01-01"})

    def add(name: str, sources: dict[str, str], awaits: bool = False) -> str:
        node = AwaitingNode(partial(_await, log, name)) if awaits else CallingNode(partial(_work, log, name))
        workflow.add_node(name, node)
        for source, key in sources.items():
            workflow.connect(source, name, {"result": key})
        return name

    start = add("start", {})
    ends = []
    for branch in range(BRANCHES):
        last = start
        for place in range(LENGTH):
            last = add(f"branch {branch}.{place}", {last: "data"}, awaits=branch == 1 or (branch, place) == (2, 1))
        ends.append(last)
    joined = add("join", dict(zip(ends, ("a", "b", "c", "x"), strict=True)))
    add("end", {add("after", {joined: "data"}, awaits=True): "data"})
    return workflow


def expected_results() -> dict[str, int]:
    """What each node comes to."""
    values = {"start": 1}
    for branch in range(BRANCHES):
        values.update({f"branch {branch}.{place}": place + 2 for place in range(LENGTH)})
    values["join"] = 1 + BRANCHES * (LENGTH + 1)
    return {**values, "after": values["join"] + 1, "end": values["join"] + 2}


def _run(kind: str, store: Any, log: Path, begins: Callable[[], object]) -> dict[str, Any]:
    workflow = workflow_of(log)
    options = {"checkpoint_store": store, "checkpoint_after_each_node": True, "strict": True}
    results: dict[str, Any]
    if kind == "async":
        runtime = AsyncLocalRuntime(**options)
        begins()
        results, _ = asyncio.run(runtime.execute_workflow_async(workflow, {}, idempotency_key=KEY))
    else:
        runtime = LocalRuntime(enable_monitoring=False, **options).mark_externally_managed()
        begins()
        results, _ = runtime.execute(workflow, idempotency_key=KEY)
    runtime.close()
    return results


class Killer:
    """One run after the other, killed and resumed until it is done.

    Args:
        kind: ``"local"`` or ``"async"``.
        store: The name of a store.
        seed: Of the moments at which runs are killed.
    """

    def __init__(self, kind: str, store: str, seed: int) -> None:
        self.kind = kind
        self.make_store = STORES[store]
        self.random = random.Random(seed)
        self.kills = 0
        #: Nodes that ran again because their checkpoint was not saved yet.
        self.in_window = 0
        #: Kills of runs of which some nodes were checkpointed and some were not.
        self.in_the_middle = 0
        #: How long an undisturbed run takes, as far as is known; in seconds.
        self.lasts = 1.0

    def one_run(self, most_kills: int) -> None:
        """Kills one run, again and again, and checks what it leaves behind.

        Args:
            most_kills: After so many kills it is let go on to its end.
        """
        with tempfile.TemporaryDirectory(prefix="nexus-core-killed-") as name:
            folder = Path(name)
            log = folder / "effects"
            log.touch()
            known: dict[str, Any] = {}
            graph = workflow_of(log).graph
            kills = 0
            while True:
                before = log.read_text().splitlines()
                is_killed = self._attempt(folder, log, kills < most_kills)
                new = log.read_text().splitlines()[len(before) :]
                again = known.keys() & set(new)
                assert not again, f"{sorted(again)} ran again although their completion had been checkpointed"
                self.in_window += len(set(before) & set(new))
                found = asyncio.run(self._checkpoint(folder))
                lost = {node: value for node, value in known.items() if found.get(node) != value}
                assert not lost, f"checkpointed results are gone or changed: {lost}, now {found}"
                assert found.keys() <= {*before, *new}, "a node is checkpointed that never ran"
                built_on = {source for node in new for source in graph.predecessors(node)}
                assert built_on <= found.keys(), (
                    f"{sorted(built_on - found.keys())} were built on before they were saved"
                )
                known = found
                if not is_killed:
                    break
                kills += 1
                self.kills += 1
                self.in_the_middle += 0 < len(found) < len(graph.nodes())
            wanted = {node: {"result": value} for node, value in expected_results().items()}
            assert json.loads((folder / "results").read_text()) == wanted
            assert known == wanted
            counts = Counter(log.read_text().splitlines())
            assert counts.keys() == wanted.keys()

    def _attempt(self, folder: Path, log: Path, kill: bool) -> bool:
        """One process; says whether it was killed."""
        seed = self.random.randrange(1 << 30)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(self.kind, self.make_store, folder, log, seed, writing)
        os.close(writing)
        try:
            _readable(reading, PATIENCE)
            began = time.monotonic()
            if os.read(reading, 1) and kill:
                # It is about to run; after its end there is nothing to kill.
                _readable(reading, self.random.uniform(0, self.lasts))
                os.kill(child, signal.SIGKILL)
            else:
                assert _readable(reading, PATIENCE), "a run hangs"
                self.lasts = min(self.lasts, time.monotonic() - began)
            _, status = os.waitpid(child, 0)
        finally:
            os.close(reading)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, f"ended by signal {os.WTERMSIG(status)}"
            return True
        assert os.WEXITSTATUS(status) == 0, f"a run failed with status {os.WEXITSTATUS(status)}"
        return False

    async def _checkpoint(self, folder: Path) -> dict[str, Any]:
        """The outputs of the nodes whose completion the store holds."""
        store = self.make_store(folder)
        key = build_checkpoint_key(compute_workflow_fingerprint(workflow_of(folder / "effects")), KEY, {})
        blob = await store.load(key)
        if hasattr(store, "close"):
            store.close()
        if blob is None:
            return {}
        tracker = json.loads(blob)["tracker"]
        return {node: tracker["node_outputs"][node] for node in tracker["completed_nodes"]}


def _readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def _child(kind: str, make_store: Callable[[Path], Any], folder: Path, log: Path, seed: int, begins: int) -> None:
    """The process that runs, or goes on with, the workflow. Never returns."""
    status = 1
    try:
        random.seed(seed)
        store = make_store(folder)
        results = _run(kind, store, log, lambda: os.write(begins, b"!"))
        part = folder / "results.part"
        part.write_text(json.dumps(results))
        part.rename(folder / "results")
        status = 0
    except BaseException:  # noqa: BLE001 - reported, and by the status
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main(arguments: list[str] | None = None) -> None:
    """Kills as often as it is told, and says how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--kind", choices=("local", "async"), required=True)
    parser.add_argument("--store", choices=sorted(STORES), default="sqlite")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.randrange(1 << 30)
    print(f"{given.kind}, {given.store}, --seed {seed}", flush=True)
    killer = Killer(given.kind, given.store, seed)
    # Each of the test nodes is warned of because of its function.
    logging.disable(logging.WARNING)
    began, told, runs = time.monotonic(), 0, 0
    killer.one_run(0)  # how long it takes
    while killer.kills < given.kills:
        killer.one_run(min(6, given.kills - killer.kills))
        runs += 1
        if killer.kills - told >= 20 or killer.kills >= given.kills:
            told = killer.kills
            print(f"{told} kills in {time.monotonic() - began:.0f} s", flush=True)
    print(
        f"{killer.kills} kills of {runs} runs, {killer.in_the_middle} of them in the middle; "
        "no checkpointed node ran again; "
        f"{killer.in_window} nodes ran again that had not been checkpointed yet",
        flush=True,
    )


if __name__ == "__main__":
    main()
