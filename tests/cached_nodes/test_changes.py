"""What was removed or written while a node ran stays so, and nobody is told what was computed before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node, NodeParameter

from nexus_core import CachePolicy
from nexus_core.cache_tiers import SQLiteTier
from nexus_core.cached_runs import ResultCache

from .support import Kind, Traced, both, count, node_workflow, runs_on
from .waiting import until, waiting

POLICY = CachePolicy(tags=("prices",))

REMOVE = pytest.mark.parametrize(
    "remove",
    [
        lambda cache, key: cache.clear(),
        lambda cache, key: cache.invalidate_tag("prices"),
        lambda cache, key: cache.store.invalidate(key),
    ],
    ids=["clear", "tag", "key"],
)


class Source:
    """What a node reads, as others would read a database; no part of the node's key."""

    def __init__(self) -> None:
        self.value = 1
        self.reads = 0
        #: Each read waits for one of its own, in the order of their coming.
        self.gates = [threading.Event() for _ in range(8)]

    def __deepcopy__(self, memo: Any) -> Source:
        return self

    def read(self) -> int:
        value, number = self.value, self.reads
        self.reads += 1
        assert self.gates[number].wait(60)
        return value


SOURCE = Source()


class Reads(Node):
    """Returns what the source had when it began."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {}

    def run(self, **inputs: Any) -> dict[str, Any]:
        import importlib

        return {"value": importlib.import_module("cached_nodes.test_changes").SOURCE.read()}


@pytest.fixture
def source() -> Source:
    SOURCE.__init__()  # type: ignore[misc]
    return SOURCE


def spied(cache: ResultCache) -> list[bytes]:
    """The keys that the cache is asked for; filled as that happens."""
    keys: list[bytes] = []
    begin = cache._begin

    def noted(key: bytes, *rest: Any) -> Any:
        keys.append(key)
        return begin(key, *rest)

    cache._begin = noted  # type: ignore[method-assign]
    return keys


@REMOVE
@both
def test_what_is_removed_while_a_node_runs_is_not_there_once_it_has_run(
    kind: Kind, remove: Callable[[ResultCache, bytes], Any], source: Source
) -> None:
    cache = ResultCache(nodes={"a": POLICY})
    keys, run, workflow = spied(cache), runs_on(kind, cache), node_workflow(Reads())
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(run, workflow)
        until(lambda: source.reads == 1)
        source.value = 2
        remove(cache, keys[0])
        # Who asks from now on does not wait for what began before.
        late = pool.submit(run, workflow)
        until(lambda: source.reads == 2)
        source.gates[1].set()
        assert late.result(60)["a"]["value"] == 2
        source.gates[0].set()
        assert early.result(60)["a"]["value"] == 1
    assert run(workflow)["a"]["value"] == 2
    assert (source.reads, cache.node_runs.as_dict()["hits"]) == (2, 1)
    assert list(cache.node_runs.as_dict()["not_kept"]) == ["node 'a': it was removed or written while it was computed"]


@both
def test_what_is_removed_from_a_tier_while_a_node_runs_stays_removed(
    kind: Kind, source: Source, tmp_path: Path
) -> None:
    with ResultCache(nodes={"a": POLICY}, tier=SQLiteTier(tmp_path / "tier.db")) as cache:
        run, workflow = runs_on(kind, cache), node_workflow(Reads())
        with ThreadPoolExecutor(1) as pool:
            early = pool.submit(run, workflow)
            until(lambda: source.reads == 1)
            source.value = 2
            cache.invalidate_tag("prices")
            for gate in source.gates:
                gate.set()
            assert early.result(60)["a"]["value"] == 1
        assert run(workflow)["a"]["value"] == 2
        assert run(workflow)["a"]["value"] == 2
        assert source.reads == 2


@both
def test_a_node_that_began_before_a_refresh_does_not_undo_it(kind: Kind, source: Source) -> None:
    cache = ResultCache(nodes={"a": True})
    run, workflow = runs_on(kind, cache), node_workflow(Reads())
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(run, workflow)
        until(lambda: source.reads == 1)
        source.value = 2
        fresh = pool.submit(run, workflow, {"refresh": True})
        until(lambda: source.reads == 2)
        source.gates[1].set()
        assert fresh.result(60)["a"]["value"] == 2
        source.gates[0].set()
        assert early.result(60)["a"]["value"] == 1
    assert run(workflow)["a"]["value"] == 2
    assert source.reads == 2


@both
def test_a_refresh_that_began_before_a_removal_is_not_kept(kind: Kind, source: Source) -> None:
    cache = ResultCache(nodes={"a": True})
    run, workflow = runs_on(kind, cache), node_workflow(Reads())
    with ThreadPoolExecutor(1) as pool:
        fresh = pool.submit(run, workflow, {"refresh": True})
        until(lambda: source.reads == 1)
        source.value = 2
        cache.clear()
        for gate in source.gates:
            gate.set()
        assert fresh.result(60)["a"]["value"] == 1
    assert run(workflow)["a"]["value"] == 2


class Limited(Traced):
    """Ends as a node does that has a time limit of its own, the first time."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        import importlib

        from kailash.sdk_exceptions import SoftTimeLimitExceeded

        if importlib.import_module("cached_nodes.test_changes").SOURCE.read() == 1:
            raise SoftTimeLimitExceeded("its own limit")
        return super().run(**inputs)


def test_what_the_time_limit_of_one_ends_the_next_runs(source: Source, tmp_path: Path) -> None:
    cache, trace = ResultCache(nodes={"a": True}), tmp_path / "trace"
    run, workflow = runs_on("local", cache), node_workflow(Limited(trace=str(trace), answer=3))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, workflow)
        until(lambda: source.reads == 1)
        source.value = 2
        second = pool.submit(run, workflow)
        until(lambda: waiting(cache) == 1)
        source.gates[0].set()
        source.gates[1].set()
        assert first.result(60)["a"]["failed"] is True
        assert "its own limit" in first.result()["a"]["error"]
        assert second.result(60)["a"]["answer"] == 3
    assert count(trace) == 1
