"""``python -m nexus_core run``: programs that know nothing of us, run as Python would run them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .support import LIMIT, environment, run_program

SCRIPT = """
import logging, sys
logging.disable(logging.CRITICAL)
from kailash.runtime import LocalRuntime
from kailash.workflow.builder import WorkflowBuilder

if __name__ == "__main__":
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": "result = 6 * 7"})
    with LocalRuntime() as runtime:
        results, run_id = runtime.execute(builder.build())
    print(results["node"]["result"], sys.argv[1:], getattr(runtime, "engine_statistics", dict)())
"""

LOOKS = """
import sys
print(__name__, __file__, sys.argv, sys.path[0], __package__, __doc__, __spec__ and __spec__.name,
      sys.modules["__main__"].__dict__ is globals(), sorted(set(globals()) - {"sys", "__annotations__"}))
"""


def run(home: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run_program("-m", "nexus_core", "run", *arguments, home=home, cwd=cwd)


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_an_unmodified_script_runs_on_the_core(home: Path) -> None:
    script = written(home, "app.py", SCRIPT)
    done = run(home, script, "a", "--b", "-m", "--help")
    expected = "42 ['a', '--b', '-m', '--help'] {'native_runs': 1, 'delegated_runs': {}}\n"
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    assert run_program(script, home=home).stdout == "42 [] {}\n"


def test_a_script_sees_what_it_sees_under_python(home: Path) -> None:
    written(home, "app/look.py", LOOKS)
    for script, cwd in (("look.py", home / "app"), ("app/look.py", home), (str(home / "app" / "look.py"), home)):
        ours, pythons = run(home, script, "x", cwd=cwd), run_program(script, "x", home=home, cwd=cwd)
        assert (ours.returncode, ours.stdout) == (0, pythons.stdout), ours.stderr


def test_objects_of_a_script_can_be_pickled_to_the_end(home: Path) -> None:
    """By what is registered for the exit, and by threads that outlive the script."""
    script = written(
        home,
        "app.py",
        "import atexit, pickle, threading, time\n"
        "class Thing: pass\n"
        "def there_and_back(name): print(name, type(pickle.loads(pickle.dumps(Thing()))) is Thing)\n"
        "atexit.register(there_and_back, 'exit')\n"
        "threading.Timer(0.2, there_and_back, ['thread']).start()\n",
    )
    assert run(home, script).stdout == "thread True\nexit True\n"


def test_a_script_imports_what_lies_beside_it(home: Path) -> None:
    written(home, "app/beside.py", "value = 'beside'\n")
    script = written(home, "app/main.py", "import beside\nprint(beside.value)\n")
    link = home / "link.py"
    link.symlink_to(script)
    for path in (script, str(link)):
        done = run(home, path, cwd=home)
        assert done.stdout == "beside\n", done.stderr


def test_a_module(home: Path) -> None:
    written(home, "package/__init__.py", "")
    written(home, "package/tool.py", LOOKS)
    written(home, "package/__main__.py", LOOKS)
    for module in ("package.tool", "package"):
        ours = run(home, "-m", module, "x", "--y", cwd=home)
        pythons = run_program("-m", module, "x", "--y", home=home, cwd=home)
        assert (ours.returncode, ours.stdout) == (0, pythons.stdout), ours.stderr


def test_a_folder_with_a_main_module(home: Path) -> None:
    written(home, "folder/__main__.py", "import beside\n")
    written(home, "folder/beside.py", "print('beside')\n")
    assert run(home, "folder", cwd=home).stdout == "beside\n"


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(7)",
        "sys.exit('said so')",
        "sys.exit()",
        "sys.exit(True)",
        "raise SystemExit(3)",
        "raise KeyboardInterrupt",
        "raise ValueError('broken')",
        "def deep(): raise ValueError('broken')\ndeep()",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('broken') from error",
        "raise ExceptionGroup('several', [ValueError('broken')])",
        "import os; os._exit(5)",
        "import nothing_of_this_name",
        "x = (",
        "import json; json.loads('{')",
        "sys.excepthook = lambda *told: print('hook', told[0].__name__, told[2].tb_frame.f_code.co_name)\n1 / 0",
        "import atexit; atexit.register(print, 'at exit')\n1 / 0",
        "import threading; threading.Timer(0.1, print, ['late']).start()",
    ],
)
def test_a_program_ends_as_it_ends_under_python(home: Path, ending: str) -> None:
    script = written(home, "app.py", "import sys\nprint('begun')\n" + ending + "\n")
    ours, pythons = run(home, script), run_program(script, home=home)
    assert (ours.returncode, ours.stdout, ours.stderr) == (pythons.returncode, pythons.stdout, pythons.stderr)


def test_a_module_that_fails(home: Path) -> None:
    written(home, "failing.py", "def deep():\n    raise ValueError('broken')\ndeep()\n")
    ours = run(home, "-m", "failing", cwd=home)
    assert ours.returncode == 1
    assert ours.stderr.splitlines()[1:] == [
        f'  File "{home / "failing.py"}", line 3, in <module>',
        "    deep()",
        f'  File "{home / "failing.py"}", line 2, in deep',
        "    raise ValueError('broken')",
        "ValueError: broken",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("missing.py",), 2, "nexus-core: can't open file '{cwd}/missing.py': [Errno 2] No such file or directory\n"),
        (("-m", "missing_module"), 1, "nexus-core: No module named missing_module\n"),
        (("-m", "json"), 1, "'json' is a package and cannot be directly executed\n"),
        (("empty",), 1, "nexus-core: can't find '__main__' module in 'empty'\n"),
        ((), 2, "the following arguments are required"),
        (("-m",), 2, "the following arguments are required"),
        (("--nothing", "x.py"), 2, "usage: nexus-core"),
    ],
)
def test_what_cannot_be_run(home: Path, arguments: tuple[str, ...], status: int, reason: str) -> None:
    (home / "empty").mkdir()
    done = run(home, *arguments, cwd=home)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason.format(cwd=home) in done.stderr
    assert "Traceback" not in done.stderr


def test_without_kailash_it_says_what_is_missing(home: Path) -> None:
    script = written(home, "app.py", "print('begun')")
    code = (
        "import sys, importlib.util as util; real = util.find_spec; "
        "util.find_spec = lambda name, *rest: None if name == 'kailash' else real(name, *rest); "
        f"import nexus_core.__main__ as command; sys.exit(command.main(['run', {script!r}]))"
    )
    done = run_program("-c", code, home=home)
    reason = "nexus-core: Kailash is not installed: pip install nexus-core-rs[nexus]\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", reason)


def test_help(home: Path) -> None:
    for arguments in (("--help",), ("run", "--help")):
        done = run_program("-m", "nexus_core", *arguments, home=home)
        assert (done.returncode, done.stderr) == (0, "")
        assert "usage: nexus-core" in done.stdout
        assert "script" in done.stdout


def test_the_version(home: Path) -> None:
    import nexus_core

    done = run_program("-m", "nexus_core", "--version", home=home)
    assert done.stdout == f"nexus-core {nexus_core.__version__}\n"


def test_a_nexus_app_is_served_unmodified(home: Path) -> None:
    """The script starts the app's own server in a thread, asks it over a socket, and stops."""
    script = written(home, "app.py", APP)
    command = [sys.executable, "-m", "nexus_core", "run", script]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (0, "{'node': {'result': 42}}\nAsyncLocalRuntime 1\n"), done.stderr


APP = """
import logging, threading, time
logging.disable(logging.CRITICAL)
import requests, socket, uvicorn
from kailash.workflow.builder import WorkflowBuilder
from nexus import Nexus

app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False)
builder = WorkflowBuilder()
builder.add_node("PythonCodeNode", "node", {"code": "result = 6 * 7"})
app.register("answer", builder)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
server = uvicorn.Server(uvicorn.Config(app.fastapi_app, log_level="critical"))
thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
thread.start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/workflows/answer/execute"
print(requests.post(url, json={"inputs": {}}, timeout=60).json()["outputs"])
runtime = app._http_transport.gateway._workflow_apis["answer"].runtime
print(type(runtime).__name__, runtime.engine_statistics()["native_runs"])
server.should_exit = True
thread.join()
app.close()
"""


def test_a_script_s_runs_are_traced(home: Path) -> None:
    from nexus_core.tracing import Trace

    script = written(home, "app.py", SCRIPT)
    done = run(home, "--trace", "run.json", script, "a", "--trace", "b", cwd=home)
    assert (done.returncode, done.stdout.split(" {")[0]) == (0, "42 ['a', '--trace', 'b']"), done.stderr
    assert "nexus-core: wrote <Trace of 1 run, 1 node event on 1 thread>" in done.stderr
    trace = Trace.read(home / "run.json")
    assert [trace.node_id(event) for event in trace.events] == ["node"]
    assert [run.status for run in trace.runs] == ["completed"]


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise ValueError('broken')", "raise KeyboardInterrupt"])
def test_a_program_that_ends_early_leaves_its_trace_and_its_status(home: Path, ending: str) -> None:
    from nexus_core.tracing import Trace

    script = written(home, "app.py", SCRIPT + f"    {ending}\n")
    traced, plain = run(home, "--trace", "run.json", script, cwd=home), run(home, script, cwd=home)
    assert traced.returncode == plain.returncode != 0
    assert len(Trace.read(home / "run.json")) == 1


def test_a_runtime_s_own_trace_goes_before_that_of_the_program(home: Path) -> None:
    from nexus_core.tracing import Trace

    twice = SCRIPT.replace(
        "        results, run_id = runtime.execute(builder.build())",
        "        with runtime.trace() as own:\n            runtime.execute(builder.build())\n"
        "        results, run_id = runtime.execute(builder.build())\n        print(len(own))",
    )
    done = run(home, "--trace", "run.json", written(home, "app.py", twice), cwd=home)
    assert done.stdout.startswith("1\n42"), done.stderr
    assert len(Trace.read(home / "run.json")) == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [("run.txt", "--trace writes .json, .json.gz or .html, not 'run.txt'"), ("missing/run.json", "there is no folder")],
)
def test_a_trace_that_could_not_be_written_is_refused_at_once(home: Path, path: str, words: str) -> None:
    done = run(home, "--trace", path, written(home, "app.py", "print('begun')"), cwd=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_processes_that_a_program_spawns_have_the_drop_in_too(home: Path) -> None:
    script = written(
        home,
        "app.py",
        "import multiprocessing\n"
        "from kailash.runtime import LocalRuntime\n"
        "def where(_): return LocalRuntime.__module__\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'forkserver', 'spawn'):\n"
        "        with multiprocessing.get_context(method).Pool(1) as pool: print(method, *pool.map(where, [0]))\n",
    )
    expected = "".join(f"{method} nexus_core.runtime.local\n" for method in ("fork", "forkserver", "spawn"))
    for arguments in ((script,), ("-m", "app")):
        assert run(home, *arguments, cwd=home).stdout == expected
    assert "nexus_core" not in run_program(script, home=home).stdout


@pytest.mark.parametrize("kind", ["script", "uvicorn"])
def test_a_program_that_is_terminated_leaves_its_trace(home: Path, kind: str) -> None:
    """As services are stopped: a script that waits, and uvicorn, which ends by the signal that it has caught."""
    from nexus_core.tracing import Trace

    waits = {
        "script": "    print('begun', flush=True)\n    import threading; threading.Event().wait()\n",
        "uvicorn": "    import uvicorn\n"
        "    async def app(scope, receive, send):\n"
        "        await receive()\n"
        "        print('begun', flush=True)\n"
        "        await send({'type': 'lifespan.startup.complete'})\n"
        "        await receive()\n"
        "        await send({'type': 'lifespan.shutdown.complete'})\n"
        "    uvicorn.run(app, port=0, log_level='error')\n",
    }
    script = written(home, "app.py", SCRIPT + waits[kind])
    with subprocess.Popen(
        [sys.executable, "-m", "nexus_core", "run", "--trace", "run.json", script],
        env=environment(home), cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            while process.stdout.readline() != "begun\n":
                assert process.poll() is None
            process.terminate()
            _, err = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGTERM, err
    assert "nexus-core: wrote <Trace of 1 run" in err
    assert len(Trace.read(home / "run.json")) == 1
