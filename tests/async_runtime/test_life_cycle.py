"""How a runtime is shared, closed and used again, from any loop and any thread."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import subprocess
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kailash.runtime.local import LocalRuntime as StockLocalRuntime

from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime
from runtime.support import PRELUDE, run_python

from .support import PLANS, StockAsyncRuntime, both, code_workflow, plan_of

ONE = {"n": {"result": 1}}
RUN_ID = re.compile(r"run_\d{13,}_\w+")


def one() -> Any:
    return code_workflow({"n": "result = 1"})


def run(runtime: Any, workflow: Any = None, inputs: Any = None) -> dict[str, Any]:
    results, _ = asyncio.run(runtime.execute_workflow_async(workflow or one(), {} if inputs is None else inputs))
    found: dict[str, Any] = results
    return found


# --- what it is ---


def test_it_is_kailashs_async_runtime_and_our_local_one() -> None:
    runtime = AsyncLocalRuntime()
    for cls in (StockAsyncRuntime, StockLocalRuntime, LocalRuntime):
        assert isinstance(runtime, cls)
    runtime.close()
    assert not issubclass(LocalRuntime, StockAsyncRuntime)
    # Callers tell the two apart by it.
    assert not hasattr(LocalRuntime, "execute_workflow_async")


def test_the_constructor_takes_what_kailashs_does_and_our_keywords() -> None:
    theirs = inspect.signature(StockAsyncRuntime).parameters
    ours = inspect.signature(AsyncLocalRuntime).parameters
    for name, parameter in theirs.items():
        assert (ours[name].kind, ours[name].default) == (parameter.kind, parameter.default)
    own = {name: ours[name] for name in ours if name not in theirs}
    defaults = {name: parameter.default for name, parameter in own.items()}
    assert defaults == {
        "strict": False,
        "run_short_on_loop": True,
        "cache": None,
        "isolation": None,
        "process_pool": None,
    }
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in own.values())


@pytest.mark.parametrize("method", ["execute", "execute_async", "execute_workflow_async", "signal", "query", "cleanup", "close", "acquire", "release"])  # fmt: skip
def test_a_method_takes_what_kailashs_does(method: str) -> None:
    theirs = inspect.signature(getattr(StockAsyncRuntime, method)).parameters
    ours = inspect.signature(getattr(AsyncLocalRuntime, method)).parameters
    shared = [(p.name, p.kind, p.default) for p in ours.values() if p.name not in ("refresh", "cache")]
    assert shared == [(p.name, p.kind, p.default) for p in theirs.values()]
    own = [p for p in ours.values() if p.name in ("refresh", "cache")]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in own)
    assert [p.default for p in own] == ([False, None] if method.startswith("execute") else [])


@both
def test_positional_arguments_mean_what_they_mean_in_kailash(cls: type[Any]) -> None:
    runtime = cls(None, 3, False, False, 2, 60)
    assert (runtime.max_concurrent_nodes, runtime.enable_analysis, runtime.execution_timeout) == (3, False, 60)
    assert run(runtime) == ONE
    runtime.close()


def test_every_option_of_the_local_runtime_is_taken() -> None:
    for options in ({"debug": True}, {"enable_monitoring": False}, {"user_context": None}, {"max_concurrency": 2}):
        runtime = AsyncLocalRuntime(**options)
        assert run(runtime) == ONE
        runtime.close()
    with pytest.raises(TypeError):
        AsyncLocalRuntime(no_such_option=1)


@both
def test_the_timeout_comes_from_the_argument_or_the_environment(
    cls: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for variable, given in ((None, None), ("17", None), ("17", 5), ("17", 0), ("soon", None)):
        if variable is None:
            monkeypatch.delenv("DATAFLOW_EXECUTION_TIMEOUT", raising=False)
        else:
            monkeypatch.setenv("DATAFLOW_EXECUTION_TIMEOUT", variable)
        runtime = cls(execution_timeout=given)
        seen.append(runtime.execution_timeout)
        runtime.close()
    assert seen == [300, 17, 5, 0, 300]


# --- sharing and closing ---


@both
def test_it_is_closed_when_its_last_user_releases_it(cls: type[Any]) -> None:
    runtime = cls()
    assert runtime.ref_count == 1
    assert runtime.acquire() is runtime
    runtime.close()
    assert runtime.ref_count == 1
    assert run(runtime) == ONE
    runtime.release()
    assert runtime.ref_count == 0
    runtime.close()
    runtime.release()
    assert runtime.ref_count == 0
    with pytest.raises(RuntimeError, match="Cannot acquire a closed runtime"):
        runtime.acquire()


@both
@pytest.mark.parametrize("plan", PLANS)
def test_a_closed_runtime_runs_on(cls: type[Any], plan: str) -> None:
    runtime = cls()
    runtime.close()
    for _ in range(3):
        assert run(runtime, plan_of(plan), {"x": 5}) == {"a": {"result": 5}, "b": {"result": 5}}
    assert runtime.execute(one())[0] == ONE
    runtime.close()


@both
def test_a_context_manager_closes_it_also_when_its_body_raises(cls: type[Any]) -> None:
    with cls() as runtime:
        assert runtime.execute(one())[0] == ONE
    assert runtime.ref_count == 0

    async def main() -> Any:
        with pytest.raises(KeyError):
            async with cls() as runtime:
                assert (await runtime.execute_workflow_async(one(), {}))[0] == ONE
                raise KeyError("body")
        return runtime

    assert asyncio.run(main()).ref_count == 0


@both
def test_leaving_a_context_manager_only_releases_a_shared_runtime(cls: type[Any]) -> None:
    async def main() -> None:
        runtime = cls()
        runtime.acquire()
        async with runtime:
            pass
        assert runtime.ref_count == 1
        assert (await runtime.execute_workflow_async(one(), {}))[0] == ONE
        runtime.close()

    asyncio.run(main())


@both
def test_cleanup_may_be_repeated_and_closes_the_registry_once(cls: type[Any]) -> None:
    class Registry:
        cleaned = 0

        async def cleanup(self) -> None:
            self.cleaned += 1

    async def main() -> int:
        registry = Registry()
        runtime = cls(resource_registry=registry)
        await runtime.execute_workflow_async(one(), {})
        await runtime.cleanup()
        await runtime.cleanup()
        assert (await runtime.execute_workflow_async(one(), {}))[0] == ONE
        runtime.close()
        await runtime.cleanup()
        return registry.cleaned

    assert asyncio.run(main()) == 1


@both
def test_a_runtime_that_is_never_closed_warns(cls: type[Any]) -> None:
    runtime = cls()
    run(runtime)
    with pytest.warns(ResourceWarning, match=r"Unclosed AsyncLocalRuntime \(ref_count=1\)"):
        del runtime
        gc.collect()


@both
def test_a_closed_runtime_warns_of_nothing(cls: type[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for finish in (lambda r: r.close(), lambda r: asyncio.run(r.cleanup()) or r.close()):
            runtime = cls()
            run(runtime)
            finish(runtime)
            del runtime
            gc.collect()


def warned(cls: type[Any], use: Callable[[Any], None]) -> list[tuple[str, str]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        runtime = cls()
        use(runtime)
        runtime.close()
    return [(each.category.__name__, str(each.message)) for each in seen]


@pytest.mark.parametrize(
    "use",
    [
        lambda runtime: runtime.execute(one()),
        lambda runtime: runtime.mark_externally_managed().execute(one()),
        run,
        lambda runtime: asyncio.run(runtime.execute_async(one())),
    ],
    ids=["execute", "externally managed", "execute_workflow_async", "execute_async"],
)
def test_use_without_a_context_manager_warns_as_kailash_does(use: Callable[[Any], None]) -> None:
    assert warned(AsyncLocalRuntime, use) == warned(StockAsyncRuntime, use)


def test_closed_runtimes_are_collected() -> None:
    references = []
    for plan in PLANS:
        runtime = AsyncLocalRuntime()
        for _ in range(5):
            run(runtime, plan_of(plan))
        runtime.close()
        references.append(weakref.ref(runtime))
        del runtime
    gc.collect()
    assert [reference() for reference in references] == [None] * len(PLANS)


@pytest.mark.parametrize("plan", PLANS)
def test_workflows_are_collected_after_their_last_use(plan: str) -> None:
    references: list[weakref.ref[Any]] = []
    with closing(AsyncLocalRuntime(strict=True)) as runtime:
        for inputs in ({"x": 1}, {1: "refused"}):
            workflow = plan_of(plan)
            references += [weakref.ref(workflow), *map(weakref.ref, workflow._node_instances.values())]
            for _ in range(5):
                try:
                    run(runtime, workflow, inputs)
                except Exception:
                    assert 1 in inputs
            del workflow
        # A node beside one that failed may still be running.
        end = time.monotonic() + 20
        while any(reference() is not None for reference in references) and time.monotonic() < end:
            gc.collect()
            time.sleep(0.01)
        assert [reference() for reference in references if reference() is not None] == []


@both
def test_signals_and_queries_of_no_run_are_refused(cls: type[Any]) -> None:
    with closing(cls()) as runtime:
        with pytest.raises(KeyError, match="No active workflow found with ID 'run_1'"):
            runtime.signal("run_1", "go")
        with pytest.raises(KeyError, match="No active workflow found with ID 'run_1'"):
            asyncio.run(runtime.query("run_1", "progress"))


# --- loops and threads ---


@both
@pytest.mark.parametrize("plan", PLANS)
def test_every_run_may_have_a_loop_of_its_own(cls: type[Any], plan: str) -> None:
    workflow = plan_of(plan)
    with closing(cls()) as runtime:
        for number in range(30):
            assert run(runtime, workflow, {"x": number}) == {"a": {"result": number}, "b": {"result": number}}
            assert runtime.execute(workflow, parameters={"x": -number})[0]["b"] == {"result": -number}


def test_loops_of_their_own_may_meet_the_limit_of_nodes() -> None:
    # Kailash's semaphore belongs to the loop in which it was first waited for.
    workflow = plan_of("async")
    with closing(AsyncLocalRuntime(max_concurrent_nodes=1, strict=True)) as runtime:
        for number in range(10):
            assert run(runtime, workflow, {"x": number}) == {"a": {"result": number}, "b": {"result": number}}


@pytest.mark.parametrize("options", [{}, {"run_short_on_loop": False}, {"max_concurrent_nodes": 1}], ids=repr)
def test_threads_with_loops_of_their_own_share_a_runtime(options: dict[str, Any]) -> None:
    workflows = [plan_of(plan) for plan in PLANS] + [code_workflow({"a": "result = x", "b": "result = x"})]
    start = threading.Barrier(6)

    async def several(runtime: Any, thread: int) -> None:
        for number in range(20):
            value = 1000 * thread + number
            runs = [runtime.execute_workflow_async(workflow, {"x": value}) for workflow in workflows]
            for results, _ in await asyncio.gather(*runs):
                assert results == {"a": {"result": value}, "b": {"result": value}}

    def work(runtime: Any, thread: int) -> None:
        start.wait(20)
        if thread % 2:
            asyncio.run(several(runtime, thread))
            return
        for number in range(20):
            assert runtime.execute(workflows[number % 4], parameters={"x": number})[0]["a"] == {"result": number}

    with closing(AsyncLocalRuntime(strict=True, **options)) as runtime, ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work, runtime, thread) for thread in range(6)]:
            future.result(120)


def test_run_ids_are_unique_however_many_runs_there_are_at_once() -> None:
    ids: list[str] = []

    async def several(runtime: Any) -> None:
        workflow = one()
        runs = [runtime.execute_workflow_async(workflow, {}) for _ in range(200)]
        ids.extend([run_id for _, run_id in await asyncio.gather(*runs)])

    with closing(AsyncLocalRuntime(strict=True)) as runtime, closing(AsyncLocalRuntime(strict=True)) as other:
        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(asyncio.run, several(each)) for each in (runtime, other) * 2]:
                future.result(120)
        ids.extend(runtime.execute(one())[1] for _ in range(50))
    assert len(ids) == 850
    assert len(set(ids)) == 850
    assert all(RUN_ID.fullmatch(run_id) for run_id in ids)


def test_run_ids_of_forked_processes_differ(tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = run_python(
        """
        import asyncio
        from nexus_core.runtime import AsyncLocalRuntime
        workflow = code_workflow({"n": "result = 1"})
        child = os.fork()
        runtime = AsyncLocalRuntime().mark_externally_managed()
        suffix = runtime.execute(workflow)[1].split("_", 2)[2]
        os.write(1, f"{suffix}\\n".encode())  # at once: print may write the end of the line by itself
        runtime.close()
        if child:
            _, status = os.waitpid(child, 0)
            assert status == 0, f"the child ended with {status}"
        """,
        tmp_path,
        timeout=120,
        prelude=PRELUDE,
    )
    assert done.returncode == 0, done.stderr
    suffixes = done.stdout.split()
    assert len(suffixes) == 2
    assert len(set(suffixes)) == 2


# --- subclasses ---


@pytest.mark.parametrize("base", [StockAsyncRuntime, AsyncLocalRuntime], ids=["stock", "ours"])
def test_a_subclass_may_override_every_way_in_and_call_the_base(base: type[Any]) -> None:
    calls: list[str] = []

    class Counting(base):  # type: ignore[misc]
        async def execute_workflow_async(self, workflow: Any, inputs: Any, context: Any = None, **more: Any) -> Any:
            calls.append("execute_workflow_async")
            results, run_id = await super().execute_workflow_async(workflow, {**inputs, "x": "theirs"}, context, **more)
            return {**results, "extra": 1}, run_id

        async def execute_async(self, workflow: Any, *args: Any, **more: Any) -> Any:
            calls.append("execute_async")
            return await super().execute_async(workflow, *args, **more)

        def execute(self, workflow: Any, *args: Any, **more: Any) -> Any:
            calls.append("execute")
            return super().execute(workflow, *args, **more)

    expected = {"a": {"result": "theirs"}, "b": {"result": "theirs"}, "extra": 1}
    with closing(Counting()) as runtime:
        for plan in PLANS:
            workflow = plan_of(plan)
            assert run(runtime, workflow, {"x": "ours"}) == expected
            assert asyncio.run(runtime.execute_async(workflow, None, {"x": "ours"}))[0] == expected
            assert runtime.execute(workflow, None, {"x": "ours"})[0] == expected
    one_round = [
        "execute_workflow_async",
        "execute_async",
        "execute_workflow_async",
        "execute",
        "execute_workflow_async",
    ]
    assert calls == one_round * 3


@both
def test_a_subclass_may_replace_how_inputs_are_prepared(cls: type[Any]) -> None:
    class Preparing(cls):  # type: ignore[misc, valid-type]
        def _prepare_sync_node_inputs(self, *args: Any) -> Any:
            return {**super()._prepare_sync_node_inputs(*args), "x": "prepared"}

        async def _prepare_async_node_inputs(self, *args: Any) -> Any:
            return {**await super()._prepare_async_node_inputs(*args), "x": "prepared"}

    with closing(Preparing()) as runtime:
        for plan in PLANS:
            assert run(runtime, plan_of(plan)) == {"a": {"result": "prepared"}, "b": {"result": "prepared"}}
