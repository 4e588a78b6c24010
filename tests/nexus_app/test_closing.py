"""App, runtime and attachment end in any order without a warning: processes in which warnings are errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support import run_strictly

ORDERS = [
    "app.close(); runtime.close()",
    "runtime.close(); app.close()",
    "nexus_core.detach(app); app.close(); runtime.close()",
    "nexus_core.detach(app); runtime.close(); app.close()",
    "runtime.close(); nexus_core.detach(app); app.close()",
    "app.close(); nexus_core.detach(app); runtime.close()",
    "app.close(); runtime.close(); nexus_core.detach(app)",
    "runtime.close(); app.close(); nexus_core.detach(app)",
    "app.stop(); runtime.close(); app.close()",
    "app.close(); app.close(); runtime.close(); runtime.close()",
    "nexus_core.detach(app); nexus_core.attach(app, runtime); app.close(); runtime.close()",
]

USED = """
    def use(app):
        app.register("late", one_node())
        for name in ("early", "late"):
            assert asyncio.run(app._execute_workflow(name, {})) == {"node": {"result": 1}}
"""


def ends_quietly(code: str, home: Path) -> None:
    done = run_strictly(USED + code, home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


@pytest.mark.parametrize("order", ORDERS)
def test_a_given_runtime(order: str, home: Path) -> None:
    ends_quietly(
        f"""
    runtime = AsyncLocalRuntime()
    app = make_app()
    app.register("early", one_node())
    nexus_core.attach(app, runtime)
    use(app)
    {order}
    assert runtime.ref_count == 0
    """,
        home,
    )


@pytest.mark.parametrize("order", [order for order in ORDERS if "attach(app, runtime)" not in order])
def test_an_owned_runtime(order: str, home: Path) -> None:
    own = order.replace("runtime.close(); ", "").replace("; runtime.close()", "")
    ends_quietly(
        f"""
    app = make_app()
    app.register("early", one_node())
    runtime = nexus_core.attach(app).runtime
    use(app)
    {own}
    assert runtime.ref_count == 0
    """,
        home,
    )


def test_an_app_with_a_runtime_of_the_users(home: Path) -> None:
    ends_quietly(
        """
    from kailash.runtime import AsyncLocalRuntime as Stock
    theirs, ours = Stock(), AsyncLocalRuntime()
    app = make_app(runtime=theirs)
    app.register("early", one_node())
    nexus_core.attach(app, ours)
    use(app)
    theirs.close()
    ours.close()
    app.close()
    assert (theirs.ref_count, ours.ref_count) == (0, 0)
    """,
        home,
    )


def test_no_thread_is_left(home: Path) -> None:
    """Kailash's own runtimes have thread pools; those that were replaced are gone."""
    ends_quietly(
        """
    before = set(threading.enumerate())
    app = make_app()
    for number in range(20):
        app.register(f"w{number}", one_node())
        pool = app._http_transport.gateway._workflow_apis[f"w{number}"].runtime.thread_pool
        pool.submit(int).result()  # its thread exists
    assert len(set(threading.enumerate()) - before) >= 20
    nexus_core.attach(app)
    assert not {thread for thread in set(threading.enumerate()) - before if "ThreadPool" in thread.name}
    app.close()
    """,
        home,
    )


def test_an_app_with_an_mcp_channel(home: Path) -> None:
    pytest.importorskip("kailash_mcp")
    ends_quietly(
        """
    app = make_app(enable_http_transport=True)
    app.register("early", one_node())
    report = nexus_core.attach(app)
    assert not report.failures, report
    app.register("late", one_node("result = {'x': x}"))
    channel = app._mcp_channel
    assert channel.runtime is report.runtime
    arguments = {"workflow_name": "late", "inputs": {"x": 3}}
    reply = asyncio.run(channel._handle_execute_workflow(arguments))
    assert (reply["success"], reply["results"]) == (True, {"node": {"result": {"x": 3}}}), reply
    app.close()
    assert report.runtime.ref_count == 0
    """,
        home,
    )


def test_detaching_gives_an_mcp_channel_a_runtime_of_its_kind(home: Path) -> None:
    pytest.importorskip("kailash_mcp")
    ends_quietly(
        """
    from kailash.runtime import LocalRuntime
    app = make_app(enable_http_transport=True)
    report = nexus_core.attach(app)
    nexus_core.detach(app)
    assert type(app._mcp_channel.runtime) is LocalRuntime
    app._mcp_channel.close()
    app.close()
    """,
        home,
    )


def test_attaching_works_where_kailash_mcp_is_not_installed(home: Path) -> None:
    ends_quietly(
        """
    import sys
    sys.modules["kailash_mcp"] = None
    app = make_app()
    app.register("early", one_node())
    report = nexus_core.attach(app)
    assert [problem.channel for problem in report.absent] == ["MCP tools"], report
    use(app)
    app.close()
    """,
        home,
    )


def test_the_package_itself_imports_neither_kailash_nor_nexus(home: Path) -> None:
    from .support import run_program

    done = run_program(
        "-c",
        "import nexus_core, sys; nexus_core.TaskGraph(); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'kailash', 'nexus', 'asyncio', 'runpy'}), "
        "[name for name in sys.modules if name.startswith('nexus_core.')])",
        home=home,
    )
    assert (done.stdout, done.stderr) == ("[] ['nexus_core._core']\n", "")
