"""What is answered natively, hit after hit, still notices whatever a first look does."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from kailash.runtime.cancellation import CancellationToken
from kailash.runtime.trust import RuntimeTrustContext, runtime_trust_context
from kailash.tracking import TaskManager
from kailash.workflow.credentials import get_credential_store

from nexus_core import CachePolicy, ResultCache
from nexus_core.cached_runs.cached_workflows import call_workflow
from nexus_core.runtime import LocalRuntime
from nexus_core.runtime.cache_wishes import Wish, wishing

from .workflows import answer, close_runtimes, code, counted, local, on_loop


class Warm:
    """A runtime and a workflow whose next run would be a native hit."""

    def __init__(self, cache: Any = True) -> None:
        self.runtime = local(cache)
        self.workflow, self.calls = counted(lambda data: {"result": [1]}, name="warm")
        for _ in range(4):
            self.runtime.execute(self.workflow)
        assert answer()[0] == "hit"
        assert self.runtime._cached_runs is not None
        assert self.runtime._cached_runs.attempt(self.runtime, self.workflow, {}) is not None
        assert self.calls.count == 1

    def run(self, **options: Any) -> tuple[str, str | None]:
        """How another run is answered."""
        results, _ = self.runtime.execute(self.workflow, **options)
        assert results == {"node": {"result": [1]}}
        return answer()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (lambda: {"refresh": True}, ("refresh", None)),
        (lambda: {"cache": False}, ("bypass", "the call says cache=False")),
        (lambda: {"task_manager": TaskManager()}, ("bypass", "a task manager is given")),
        (lambda: {"idempotency_key": "k"}, ("bypass", "an idempotency key is given")),
        (lambda: {"search_attributes": {"a": 1}}, ("bypass", "search attributes are given")),
        (lambda: {"parameters": {"workflow_context": {}}}, ("bypass", "the caller gives a workflow context")),
        (lambda: {"parameters": {"other": 1}}, ("miss", None)),
        (lambda: {"cancellation_token": CancellationToken()}, ("hit", None)),
        (lambda: {"time_limit": 10}, ("hit", None)),
    ],
)
def test_what_a_call_says(options: Callable[[], dict[str, Any]], expected: tuple[str, str | None]) -> None:
    warm = Warm()
    assert warm.run(**options()) == expected
    assert warm.run() == ("hit", None)


def test_what_is_around_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = Warm()
    store = get_credential_store()
    store._store["key"] = object()
    assert warm.run() == ("bypass", "credentials are given for the run")
    assert warm.run() == ("hit", None)
    with runtime_trust_context(RuntimeTrustContext(trace_id="t")):
        assert warm.run() == ("bypass", "Kailash runs it: trust verification is Kailash's")
    with wishing(Wish(refresh=True)):
        assert warm.run() == ("hit", None), "a wish is for the runtime of tasks"
    with monkeypatch.context() as patched:
        patched.setattr(LocalRuntime, "_should_skip_conditional_node", lambda *_: False)
        assert warm.run()[0] == "bypass"
    assert warm.run() == ("hit", None)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("user_context", object(), "the runtime runs for a user"),
        ("secret_provider", object(), "the runtime provides secrets"),
        ("enable_audit", True, "Kailash runs it: audit logging is Kailash's"),
        ("_tracing", True, "the run is traced"),
        ("conditional_execution", "skip_branches", None),
        ("content_aware_success_detection", False, None),
    ],
)
def test_an_attribute_of_the_runtime_that_is_set(name: str, value: Any, expected: str | None) -> None:
    warm = Warm()
    before = getattr(warm.runtime, name)
    setattr(warm.runtime, name, value)
    status, reason = warm.run()
    assert (status, reason) == (("miss", None) if expected is None else ("bypass", expected))
    setattr(warm.runtime, name, before)
    assert warm.run() == ("hit", None)


def test_a_subscriber() -> None:
    warm = Warm()

    async def tell(event: Any) -> None:
        pass

    stop = warm.runtime._hook_registry.register(tell)
    assert warm.run() == ("bypass", "somebody is told of every node")
    stop()
    assert warm.run() == ("hit", None)


def test_a_change_of_the_workflow_or_of_its_policy() -> None:
    warm = Warm()
    warm.workflow.metadata["cacheable"] = False
    assert warm.run()[0] == "bypass"
    warm.workflow.metadata["cacheable"] = CachePolicy(vary=lambda inputs: 1)
    assert warm.run()[0] == "miss"
    assert [warm.run()[0] for _ in range(3)] == ["hit"] * 3
    named = Warm(ResultCache(workflows={"registered": False}))
    call_workflow(named.workflow, "registered")
    assert named.run()[0] == "bypass"
    node = named.workflow._node_instances["node"]
    other = Warm()
    other.workflow._node_instances["node"].config["more"] = {"deep": [1]}
    assert other.run()[0] == "miss"
    assert [other.run()[0] for _ in range(3)] == ["hit"] * 3
    other.workflow._node_instances["node"].config["more"]["deep"].append(2)
    assert other.run()[0] == "miss"
    del node


def test_results_are_the_callers_own() -> None:
    warm = Warm()
    for _ in range(3):
        results, _ = warm.runtime.execute(warm.workflow)
        assert results == {"node": {"result": [1]}}
        results["node"]["result"].append("spoilt")
        results["more"] = 1


def test_what_was_removed_or_has_expired_is_run() -> None:
    cache = ResultCache()
    warm = Warm(cache)
    cache.clear()
    assert warm.run()[0] == "miss"
    assert warm.run()[0] == "hit"


def test_every_hit_is_counted() -> None:
    warm = Warm()
    before = warm.runtime.engine_statistics()["cache"]["runs"]["hits"]
    for _ in range(10):
        warm.run()
    assert warm.runtime.engine_statistics()["cache"]["runs"]["hits"] == before + 10
    assert warm.runtime.engine_statistics()["native_runs"] == 1


def test_inputs_of_other_types_are_looked_at_closely() -> None:
    runtime = local(True)
    workflow, calls = counted(lambda data: {"result": 1})

    class Mapping(dict):  # type: ignore[type-arg]
        pass

    for _ in range(4):
        runtime.execute(workflow, parameters={"node": {"data": 1}})
    runtime.execute(workflow, parameters={"node": Mapping(data=1)})
    assert answer()[0] == "bypass"
    runtime.execute(workflow, parameters=Mapping(node={"data": 1}))
    assert answer() == ("bypass", "the inputs are not a dict")
    shared = [1]
    for expected in ("miss", "hit", "hit", "hit"):
        runtime.execute(workflow, parameters={"node": {"data": [shared, shared]}})
        assert answer()[0] == expected
    assert calls.count == 4


def test_on_a_loop_hits_in_a_row_let_others_have_their_turn() -> None:
    runtime = on_loop(True)
    workflow = code("result = 1")
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(other())
        ids = set()
        for _ in range(2000):
            results, run_id = await runtime.execute_workflow_async(workflow, {})
            assert results == {"node": {"result": 1}}
            ids.add(run_id)
        assert answer()[0] == "hit"
        assert len(ids) == 2000
        task.cancel()

    asyncio.run(main())
    assert len(turns) > 2


def test_what_is_known_natively_keeps_nothing_alive() -> None:
    warm = Warm()
    gone = weakref.ref(warm.workflow), weakref.ref(warm.runtime)
    close_runtimes()
    del warm
    gc.collect()
    assert [each() for each in gone] == [None, None]
