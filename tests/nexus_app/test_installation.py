"""The drop-in for a whole process; each test in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support import run_program

PROGRAM = """
import asyncio, gc, logging, sys, textwrap, threading, types
logging.disable(logging.CRITICAL)
import nexus_core

def names():
    '''Every name of the process that stands for one of Kailash's runtimes, and for what.'''
    from nexus_core.runtime.stock import StockLocalRuntime
    found = {}
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and not module.__name__.startswith("nexus_core"):
            for name, value in list(vars(module).items()):
                if isinstance(value, type) and StockLocalRuntime in value.__mro__ and name[:4] != "Mine":
                    found[module.__name__, name] = value
    return found

def is_ours(cls):
    from nexus_core.runtime import LocalRuntime
    return LocalRuntime in cls.__mro__

def one_node(code="result = 1"):
    from kailash.workflow.builder import WorkflowBuilder
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": code})
    return builder.build()
"""


def passes(code: str, home: Path, *options: str) -> None:
    done = run_program(*options, "-c", PROGRAM + code + "\nprint('ended')", home=home)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_every_name_stands_for_ours_and_afterwards_for_stocks(home: Path) -> None:
    passes(
        """
import kailash, kailash.runtime, kailash.runtime.local, kailash.runtime.async_local, nexus
import kailash.channels, kailash.middleware, kailash.gateway, kailash.api.gateway
import nexus_core.runtime
before = names()
assert len(before) > 10 and not any(map(is_ours, before.values()))
nexus_core.install()
installed = names()
assert set(installed) == set(before) and all(map(is_ours, installed.values())), installed
assert issubclass(kailash.LocalRuntime, nexus_core.runtime.LocalRuntime)
assert issubclass(nexus.core.AsyncLocalRuntime, nexus_core.runtime.AsyncLocalRuntime)
assert kailash.runtime.async_local.AsyncLocalRuntime is kailash.runtime.AsyncLocalRuntime is nexus.core.AsyncLocalRuntime
nexus_core.install()
assert names() == installed
nexus_core.uninstall()
assert names() == before
nexus_core.uninstall()
assert names() == before
nexus_core.install()
assert all(map(is_ours, names().values()))
""",
        home,
    )


def test_modules_imported_later_get_ours_and_lose_it_again(home: Path) -> None:
    passes(
        """
nexus_core.install()
import kailash, nexus, kailash.channels.cli_channel, kailash.middleware.core.workflows
from kailash.runtime import LocalRuntime
from kailash.runtime.local import LocalRuntime as again
from nexus_core.runtime import LocalRuntime as Mine
assert LocalRuntime is again and all(map(is_ours, names().values()))
def inside():
    from kailash.runtime.async_local import AsyncLocalRuntime
    return AsyncLocalRuntime
assert is_ours(inside())
nexus_core.uninstall()
assert not any(map(is_ours, names().values())) and not is_ours(inside())
assert not is_ours(LocalRuntime)  # a name of this module, too
assert is_ours(Mine)  # which was imported on purpose
""",
        home,
    )


def test_runs_execute_on_the_core(home: Path) -> None:
    passes(
        """
from kailash.runtime import LocalRuntime, AsyncLocalRuntime, get_runtime
nexus_core.install()
with LocalRuntime() as runtime:
    results, _ = runtime.execute(one_node())
    assert results == {"node": {"result": 1}} and runtime.engine_statistics()["native_runs"] == 1
async def run():
    async with AsyncLocalRuntime() as runtime:
        results, _ = await runtime.execute_workflow_async(one_node(), {})
        assert results == {"node": {"result": 1}} and runtime.engine_statistics()["native_runs"] == 1
asyncio.run(run())
for context in ("sync", "async"):
    with get_runtime(context) as runtime:
        assert is_ours(type(runtime))
""",
        home,
    )


def test_inner_workflows_execute_on_the_core(home: Path) -> None:
    passes(
        """
nexus_core.install()
from kailash.nodes.logic.workflow import WorkflowNode
from kailash.runtime import LocalRuntime
made = []
original = LocalRuntime.__init__
def remember(self, *args, **kwargs):
    made.append(self)
    original(self, *args, **kwargs)
LocalRuntime.__init__ = remember
WorkflowNode(workflow=one_node(), name="inner").execute()
assert made and all(is_ours(type(runtime)) for runtime in made)
""",
        home,
    )


def test_runtimes_made_before_stay_and_count_as_instances(home: Path) -> None:
    passes(
        """
from kailash.runtime import LocalRuntime, AsyncLocalRuntime
from kailash.runtime.parallel_cyclic import ParallelCyclicRuntime
import nexus_core.runtime as ours, kailash.runtime
class MineLocal(LocalRuntime): pass
before = [LocalRuntime(), AsyncLocalRuntime(), MineLocal(), ours.LocalRuntime(), ours.AsyncLocalRuntime()]
def answers():
    kinds = (kailash.runtime.LocalRuntime, kailash.runtime.AsyncLocalRuntime, MineLocal, ours.LocalRuntime, ours.AsyncLocalRuntime)
    return [[isinstance(runtime, kind) for kind in kinds] for runtime in [*before, 3, None, ParallelCyclicRuntime]]
asked = answers()
nexus_core.install()
assert answers() == asked, answers()
class MineLater(kailash.runtime.LocalRuntime): pass
assert isinstance(MineLater(), kailash.runtime.LocalRuntime)
assert isinstance(MineLater(), ours.LocalRuntime) and is_ours(MineLater)
assert not isinstance(before[0], MineLater)
new = [kailash.runtime.LocalRuntime(), kailash.runtime.AsyncLocalRuntime()]
assert isinstance(new[1], kailash.runtime.LocalRuntime) and not isinstance(new[0], kailash.runtime.AsyncLocalRuntime)
assert before[0].execute(one_node())[0] == {"node": {"result": 1}} and not is_ours(type(before[0]))
nexus_core.uninstall()
assert answers() == asked
assert isinstance(new[0], kailash.runtime.LocalRuntime) and isinstance(new[1], kailash.runtime.AsyncLocalRuntime)
assert new[0].execute(one_node())[0] == {"node": {"result": 1}}
for runtime in [*before, *new]:
    runtime.close()
""",
        home,
    )


def test_an_app_with_a_runtime_from_before_still_awaits_it(home: Path) -> None:
    """Nexus chooses by isinstance between awaiting a run and a thread of its own for it."""
    passes(
        """
from kailash.api.workflow_api import WorkflowAPI, WorkflowRequest
from kailash.runtime import AsyncLocalRuntime
called = []
class MineTelling(AsyncLocalRuntime):
    async def execute_workflow_async(self, *args, **kwargs):
        called.append(threading.current_thread())
        return await super().execute_workflow_async(*args, **kwargs)
    def execute(self, *args, **kwargs):
        raise AssertionError("on a thread of its own")
api = WorkflowAPI(one_node(), runtime=MineTelling(), require_auth=False)
nexus_core.install()
reply = asyncio.run(api._execute_sync(WorkflowRequest(inputs={})))
assert reply.outputs == {"node": {"result": 1}} and called == [threading.main_thread()]
""",
        home,
    )


def test_it_may_come_before_or_after_our_own_modules(home: Path) -> None:
    passes(
        """
nexus_core.install()
import nexus_core.runtime, nexus_core.nexus_app
from nexus_core.runtime import stock
from kailash.runtime import LocalRuntime
assert not is_ours(stock.StockLocalRuntime) and not is_ours(stock.StockAsyncLocalRuntime)
assert stock.StockLocalRuntime in nexus_core.runtime.LocalRuntime.__mro__
runtime = LocalRuntime(enable_cycles=True, enable_audit=True)  # what is delegated still reaches Kailash's
assert runtime.execute(one_node())[0] == {"node": {"result": 1}}
runtime.close()
""",
        home,
    )


def test_names_and_signatures_look_as_before(home: Path) -> None:
    passes(
        """
import inspect
from kailash.runtime import LocalRuntime, AsyncLocalRuntime
before = [cls.__name__ for cls in (LocalRuntime, AsyncLocalRuntime)]
required = [set(inspect.signature(cls.__init__).parameters) for cls in (LocalRuntime, AsyncLocalRuntime)]
nexus_core.install()
from kailash.runtime import LocalRuntime, AsyncLocalRuntime
assert [cls.__name__ for cls in (LocalRuntime, AsyncLocalRuntime)] == before
for cls, names in zip((LocalRuntime, AsyncLocalRuntime), required):
    assert names <= set(inspect.signature(cls.__init__).parameters)
""",
        home,
    )


def test_attached_and_installed_at_once(home: Path) -> None:
    passes(
        """
nexus_core.install()
import nexus
app = nexus.Nexus(enable_auth=False, enable_durability=False)
app.register("w", one_node())
stock = app.runtime
report = nexus_core.attach(app)
assert not report.failures and app.runtime is report.runtime is not stock and stock.ref_count == 0
assert asyncio.run(app._execute_workflow("w", {})) == {"node": {"result": 1}}
assert report.runtime.engine_statistics()["native_runs"] == 1
nexus_core.detach(app)
assert is_ours(type(app.runtime))  # what Nexus would have made by itself
app.close()
nexus_core.uninstall()
from nexus_core.runtime import stock
with nexus.Nexus(enable_auth=False, enable_durability=False) as app:
    assert type(app.runtime) is stock.StockAsyncLocalRuntime
    nexus_core.install()
    try:
        nexus_core.attach(app, stock.StockAsyncLocalRuntime())
    except nexus_core.errors.AttachError:
        pass
    else:
        raise AssertionError("one of Kailash's own was attached")
""",
        home,
    )


def test_threads_may_install_at_once(home: Path) -> None:
    passes(
        """
import kailash.runtime
def both():
    for _ in range(5):
        nexus_core.install()
        nexus_core.uninstall()
threads = [threading.Thread(target=both) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not any(map(is_ours, names().values()))
nexus_core.install()
assert all(map(is_ours, names().values()))
""",
        home,
    )


def test_modules_that_answer_badly_are_left_alone(home: Path) -> None:
    passes(
        """
from kailash.runtime import LocalRuntime
class Liar:
    __hash__ = None
    __class__ = property(lambda self: 1 / 0)
    def __eq__(self, other): raise RuntimeError
    def __getattr__(self, name): raise RuntimeError
odd = types.ModuleType("odd")
odd.liar = Liar()
odd.LocalRuntime = LocalRuntime
sys.modules.update({"odd": odd, "no module": Liar(), "none": None})
nexus_core.install()
assert is_ours(odd.LocalRuntime)
nexus_core.uninstall()
assert not is_ours(odd.LocalRuntime)
del sys.modules["no module"]
""",
        home,
    )


def test_without_kailash_it_says_what_is_missing(home: Path) -> None:
    code = "import sys; sys.modules['kailash'] = None; import nexus_core; nexus_core.install()"
    done = run_program("-c", code, home=home)
    assert done.returncode == 1
    assert "pip install nexus-core-rs[nexus]" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["attach", "detach", "install", "uninstall"])
def test_public_functions_are_found_lazily(name: str) -> None:
    import nexus_core

    assert name in dir(nexus_core)
    assert callable(getattr(nexus_core, name))
    with pytest.raises(AttributeError, match="nexus_core"):
        nexus_core.nothing  # noqa: B018
