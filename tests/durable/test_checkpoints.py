"""What is in a checkpoint, when it is saved, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from kailash.middleware.gateway.checkpoint_manager import DiskStorage, MemoryStorage
from kailash.nodes.base import Node
from kailash.runtime.durable import build_checkpoint_key, compute_workflow_fingerprint

from runtime.support import CallingNode, code_workflow, node_workflow

from .support import SIDES, LooseNode, RecordingStore, Side, blob_content, both_kinds, chain, completed_in, one, sides


@sides
@pytest.mark.parametrize("awaits", [False, True], ids=["sync nodes", "async nodes"])
def test_every_node_adds_itself_to_the_checkpoint(side: Side, awaits: bool) -> None:
    async def first(node: Node, **_: Any) -> int:
        return 1

    async def then(node: Node, data: Any, **_: Any) -> int:
        return 2

    store = RecordingStore()
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    functions = (first, then, then) if awaits else (one, lambda node, **_: 2, lambda node, **_: 2)
    workflow = chain(*functions, awaits=awaits)
    side.run(runtime, workflow, {"x": 1}, idempotency_key="k")
    runtime.close()
    fingerprint = compute_workflow_fingerprint(workflow)
    assert [completed_in(blob) for blob in store.blobs] == [["n0"], ["n0", "n1"], ["n0", "n1", "n2"]]
    assert list(store.kept) == [build_checkpoint_key(fingerprint, "k", {"x": 1})]
    assert blob_content(store.blobs[-1]) == {
        "version": 1,
        "workflow_fingerprint": fingerprint,
        "tenant_id": None,
        "workflow_id": workflow.workflow_id,
        "idempotency_key": "k",
        "tracker": {
            "completed_nodes": ["n0", "n1", "n2"],
            "node_outputs": {"n0": {"result": 1}, "n1": {"result": 2}, "n2": {"result": 2}},
        },
    }


@sides
def test_a_node_starts_only_after_its_predecessors_checkpoint_is_saved(side: Side) -> None:
    store = RecordingStore()
    seen: list[list[str]] = []

    def look(node: Node, **_: Any) -> int:
        seen.append(completed_in(store.blobs[-1]) if store.blobs else [])
        return 1

    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    side.run(runtime, chain(look, look, look), idempotency_key="k")
    runtime.close()
    assert seen == [[], ["n0"], ["n0", "n1"]]


@sides
@pytest.mark.parametrize(("key", "after_each"), [(None, True), ("k", False)])
def test_nothing_is_saved_without_a_key_or_without_being_asked(side: Side, key: str | None, after_each: bool) -> None:
    store = RecordingStore()
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=after_each)
    side.run(runtime, chain(one, lambda node, **_: 2), idempotency_key=key)
    runtime.close()
    assert store.saves == 0
    assert store.loads == (key is not None)


@sides
def test_a_save_that_fails_is_logged_and_stops_nobody(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    store = RecordingStore(fail_on=1, error=OSError("disk full"))
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    with caplog.at_level(logging.WARNING):
        side.run(runtime, chain(one, lambda node, **_: 2), idempotency_key="k")
    runtime.close()
    (record,) = [record for record in caplog.records if record.getMessage() == "durable.checkpoint.save_failed"]
    assert record.error_type == "OSError"  # type: ignore[attr-defined]
    assert record.node_id_hash == hashlib.sha256(b"n0").hexdigest()[:8]  # type: ignore[attr-defined]
    assert [completed_in(blob) for blob in store.blobs] == [["n0", "n1"]]


@sides
def test_a_load_that_fails_is_logged_and_everything_runs(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    class Unreadable(RecordingStore):
        async def load(self, key: str) -> bytes | None:
            raise ConnectionError("away")

    runtime = side.make(checkpoint_store=Unreadable(), checkpoint_after_each_node=True)
    with caplog.at_level(logging.WARNING):
        results = side.run(runtime, code_workflow({"a": "result = 1"}), idempotency_key="k")
    runtime.close()
    assert results == {"a": {"result": 1}}
    records = [record for record in caplog.records if record.getMessage() == "durable.checkpoint.load_failed"]
    assert [record.error_type for record in records] == ["ConnectionError"]  # type: ignore[attr-defined]


@sides
@pytest.mark.parametrize("blob", [b"\xff", b"no json", b"[]", b"{}", b'{"workflow_fingerprint": "x"}'], ids=repr)
def test_a_checkpoint_that_cannot_be_read_is_refused_in_kailashs_words(side: Side, blob: bytes) -> None:
    class Broken(RecordingStore):
        async def load(self, key: str) -> bytes | None:
            return blob

    runtime = side.make(checkpoint_store=Broken())
    with pytest.raises(ValueError, match=r"^Checkpoint payload "):
        side.run(runtime, code_workflow({"a": "result = 1"}), idempotency_key="k")
    runtime.close()


@pytest.mark.parametrize("kind", ["local", "async"])
@pytest.mark.parametrize("key", ["", 5, b"k", ["k"]], ids=repr)
def test_a_key_that_is_no_text_is_refused_in_kailashs_words(kind: str, key: Any) -> None:
    refusals = []
    for name in (f"{kind}-stock", f"{kind}-ours"):
        runtime = SIDES[name].make()
        with pytest.raises(ValueError, match="idempotency_key must be") as caught:
            SIDES[name].run(runtime, code_workflow({"a": "result = 1"}), idempotency_key=key)
        runtime.close()
        refusals.append((type(caught.value), str(caught.value), caught.value.__cause__))
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize("kind", ["local", "async"])
def test_outputs_that_json_cannot_hold_are_degraded_as_by_kailash(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    seen = []
    for name in (f"{kind}-stock", f"{kind}-ours"):
        side, store = SIDES[name], RecordingStore()
        runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            workflow = node_workflow({"n0": LooseNode(lambda node, **_: {1, 2})})
            side.run(runtime, workflow, idempotency_key="k")
        runtime.close()
        texts = [r.getMessage() for r in caplog.records if r.name == "kailash.runtime.execution_tracker"]
        seen.append((texts, [blob_content(blob)["tracker"] for blob in store.blobs]))
    assert seen[0] == seen[1]
    assert seen[1][1][-1]["node_outputs"]["n0"] == {"result": "{1, 2}", "_serialization_degraded": True}


@sides
@pytest.mark.parametrize(
    "make", [lambda path: MemoryStorage(), lambda path: DiskStorage(str(path))], ids=["memory", "disk"]
)
def test_kailashs_own_stores_hold_a_run(side: Side, make: Any, tmp_path: Path) -> None:
    ran: list[str] = []
    store = make(tmp_path)

    def work(node: Node, **_: Any) -> int:
        ran.append("n0")
        return 1

    def fail_once(node: Node, **_: Any) -> int:
        ran.append("n1")
        if ran.count("n1") == 1:
            raise ValueError("crash")
        return 2

    workflow = chain(work, fail_once, lambda node, **_: 3)
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    with pytest.raises(Exception, match="crash"):
        side.run(runtime, workflow, idempotency_key="k")
    results = side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert results == {"n0": {"result": 1}, "n1": {"result": 2}, "n2": {"result": 3}}
    assert ran == ["n0", "n1", "n1"]


@both_kinds
def test_completions_that_wait_together_are_saved_together(side: Side) -> None:
    """One save at a time: what ends meanwhile is in the next one, and is finished only after it."""
    nodes, release = 8, threading.Event()

    class Slow(RecordingStore):
        under_way = most = 0

        async def save(self, key: str, data: bytes) -> None:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if not self.blobs:  # until all nodes have run
                while not release.is_set():
                    await asyncio.sleep(0.005)
            await super().save(key, data)
            self.under_way -= 1

    store, ended = Slow(), []

    def work(node: Node, **_: Any) -> int:
        ended.append(1)
        if len(ended) == nodes:
            release.set()
        return 1

    workflow = node_workflow({f"n{place}": CallingNode(work) for place in range(nodes)})
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    events = []
    runtime.on_node_complete(lambda event: events.append((event.node_id, len(store.blobs))))
    side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert store.most == 1
    assert store.saves < nodes
    assert sorted(completed_in(store.blobs[-1])) == sorted(workflow.graph.nodes())
    assert sorted(node_id for node_id, _ in events) == sorted(workflow.graph.nodes())
    for node_id, blobs in events:
        assert node_id in completed_in(store.blobs[blobs - 1])


@sides
def test_a_tenants_checkpoints_are_its_own(side: Side) -> None:
    class User:
        tenant_id = "acme"
        user_id = "u"

    store = RecordingStore()
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True, user_context=User())
    workflow = code_workflow({"a": "result = 1"})
    side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    key = build_checkpoint_key(compute_workflow_fingerprint(workflow), "k", {}, tenant_id="acme")
    assert list(store.kept) == [key]
    assert json.loads(store.kept[key])["tenant_id"] == "acme"
