"""What interrupts a durable run from outside: Ctrl-C, ``SystemExit``, a caller that goes away, time limits."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kailash.nodes.base import Node

from nexus_core.runtime import AsyncLocalRuntime, NodeFinished
from runtime.support import AwaitingNode, CallingNode, code_workflow, node_workflow, run_python

from .support import SIDES, RecordingStore, Side, both_kinds, chain, completed_in, events_of, one

PRELUDE = """
    import asyncio, os, signal, sys, threading, time
    sys.path[:0] = {paths!r}
    from durable.support import RecordingStore, SIDES, completed_in
    from runtime.support import AwaitingNode, CallingNode, node_workflow
"""


def program(code: str, home: Path) -> Any:
    paths = [str(Path(__file__).resolve().parents[1])]
    return run_python(code, home, timeout=120, prelude=PRELUDE.format(paths=paths))


@pytest.mark.parametrize("name", ["local-ours", "async-ours"])
@pytest.mark.parametrize("awaits", [False, True], ids=["in a sync node", "in an async node"])
def test_ctrl_c_ends_a_durable_run_and_leaves_what_was_completed(name: str, awaits: bool, tmp_path: Path) -> None:
    done = program(
        f"""
        store, events, here = RecordingStore(), [], threading.Event()
        def first(node, **_):
            return 1
        def interrupt():
            here.wait(60)
            # A signal that comes just before the loop waits is noticed only after that.
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)
        def holds(node, **_):
            here.set()
            time.sleep(60)
        async def waits(node, **_):
            here.set()
            await asyncio.sleep(60)
        last = AwaitingNode(waits) if {awaits} else CallingNode(holds)
        workflow = node_workflow({{"a": CallingNode(first), "b": last}}, [("a", "b")])
        side = SIDES[{name!r}]
        runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
        threading.Thread(target=interrupt, daemon=True).start()
        began = time.monotonic()
        try:
            side.run(runtime, workflow, idempotency_key="k")
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - began < 30, completed_in(store.blobs[-1]))
        workflow._node_instances["b"].function = first if not {awaits} else (lambda node, **_: asyncio.sleep(0, 2))
        print(list(side.run(runtime, workflow, idempotency_key="k")))
        runtime.close()
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["interrupted True ['a']", "['a', 'b']"], done.stderr


@both_kinds
def test_a_node_that_ends_with_system_exit_ends_the_run(side: Side) -> None:
    def leave(node: Node, **_: Any) -> None:
        raise SystemExit(3)

    store = RecordingStore()
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    with pytest.raises(SystemExit):
        side.run(runtime, chain(one, leave), idempotency_key="k")
    runtime.close()
    assert completed_in(store.blobs[-1]) == ["n0"]


@both_kinds
@pytest.mark.parametrize("where", ["save", "hook"])
def test_system_exit_of_a_store_or_a_hook_ends_the_run(side: Side, where: str) -> None:
    def leave(event: Any) -> None:
        raise SystemExit(3)

    store = RecordingStore(fail_on=1 if where == "save" else 0, error=SystemExit(3))
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    if where == "hook":
        runtime.on_node_complete(leave)
    ran: list[int] = []
    with pytest.raises(SystemExit):
        side.run(runtime, chain(one, lambda node, **_: ran.append(1)), idempotency_key="k")
    runtime.close()
    assert ran == []


def test_a_cancelled_task_saves_and_tells_what_has_run() -> None:
    side, store = SIDES["async-ours"], RecordingStore()
    ran = threading.Event()

    async def wait(node: Node, **_: Any) -> None:
        await asyncio.sleep(60)

    async def main() -> list[str]:
        runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
        events = events_of(runtime)
        workflow = node_workflow({"a": CallingNode(lambda node, **_: ran.set()), "b": AwaitingNode(wait)})
        task = asyncio.ensure_future(runtime.execute_workflow_async(workflow, {}, idempotency_key="k"))
        while not ran.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        runtime.close()
        return [event.node_id for event in events]

    assert asyncio.run(main()) == ["a"]
    assert completed_in(store.blobs[-1]) == ["a"]


def test_a_time_out_leaves_what_was_completed() -> None:
    side, store = SIDES["async-ours"], RecordingStore()

    async def wait(node: Node, **_: Any) -> None:
        await asyncio.sleep(60)

    workflow = node_workflow({"a": CallingNode(one), "b": AwaitingNode(wait)}, [("a", "b")])
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True, execution_timeout=1)
    with pytest.raises(TimeoutError):
        side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    assert completed_in(store.blobs[-1]) == ["a"]


@both_kinds
def test_a_run_inside_a_node_is_durable_by_itself(side: Side) -> None:
    store = RecordingStore()
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)
    inner = code_workflow({"i": "result = 1"})
    workflow = chain(lambda node, **_: side.run(runtime, inner, idempotency_key="inner")["i"]["result"])
    assert side.run(runtime, workflow, idempotency_key="outer") == {"n0": {"result": 1}}
    runtime.close()
    assert [completed_in(blob) for blob in store.blobs] == [["i"], ["n0"]]


def test_a_durable_run_inside_an_event_loop_goes_over_kailashs_bridge() -> None:
    side, store = SIDES["local-ours"], RecordingStore()
    runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True)

    async def main() -> Any:
        return side.run(runtime, chain(one, lambda node, **_: threading.current_thread().name), idempotency_key="k")

    results = asyncio.run(main())
    runtime.close()
    assert results["n0"] == {"result": 1}
    assert [completed_in(blob) for blob in store.blobs] == [["n0"], ["n0", "n1"]]
    assert runtime.engine_statistics() == {"native_runs": 1, "delegated_runs": {}}


def test_a_stream_tells_hooks_too() -> None:
    async def main() -> tuple[list[str], list[str]]:
        async with AsyncLocalRuntime(strict=True) as runtime:
            events = events_of(runtime)
            workflow = code_workflow({"a": "result = 1", "b": "result = a"}, [("a", "b")])
            seen = [event.node_id async for event in runtime.stream(workflow) if isinstance(event, NodeFinished)]
            return seen, [event.node_id for event in events]

    seen, told = asyncio.run(main())
    assert seen == told == ["a", "b"]


@both_kinds
def test_what_a_durable_run_refers_to_is_let_go_of(side: Side) -> None:
    import gc
    import weakref

    class Kept:
        pass

    kept: list[weakref.ref[Kept]] = []

    def keep(node: Node, **_: Any) -> int:
        value = Kept()
        kept.append(weakref.ref(value))
        node.value = value
        return 1

    runtime = side.make(checkpoint_store=RecordingStore(), checkpoint_after_each_node=True)
    workflow = chain(keep)
    side.run(runtime, workflow, idempotency_key="k")
    runtime.close()
    del workflow
    deadline = time.monotonic() + 20
    while kept[0]() is not None and time.monotonic() < deadline:
        gc.collect()
    assert kept[0]() is None
