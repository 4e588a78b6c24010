"""The wheel installs and works where there is no Rust, no network and no Kailash.

``make test`` hands over the wheel it has built in ``NEXUS_CORE_WHEEL``; without it the
wheel is built here.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[[str], "subprocess.CompletedProcess[str]"]


def _build(into: Path) -> Path:
    # The test session has a home directory of its own, in which rustup finds no toolchain.
    home = pwd.getpwuid(os.getuid()).pw_dir
    maturin = [sys.executable, "-m", "maturin", "build", "--release", "--locked"]
    subprocess.run(
        [*maturin, "--interpreter", sys.executable, "--out", str(into)],
        cwd=ROOT,
        env={**os.environ, "HOME": home},
        check=True,
        timeout=1200,
    )
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = os.environ.get("NEXUS_CORE_WHEEL")
    return Path(built) if built else _build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program in an empty environment that has nothing but the wheel."""
    place = tmp_path_factory.mktemp("empty")
    venv.create(place / "venv", with_pip=True)
    python = place / "venv" / "bin" / "python"
    clean = {"PATH": str(python.parent), "HOME": str(place), "LANG": "C.UTF-8"}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), *arguments], cwd=place, env=clean, capture_output=True, text=True, timeout=120
        )

    installed = call("-m", "pip", "install", "--no-index", str(wheel))
    assert installed.returncode == 0, installed.stderr
    return lambda program: call("-c", program)


def _output(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_environment_has_neither_rust_nor_kailash(run: Run) -> None:
    program = """
import importlib.util, shutil
print([name for name in ("cargo", "rustc", "cc") if shutil.which(name)],
      [name for name in ("kailash", "nexus") if importlib.util.find_spec(name)])
"""
    assert _output(run(program)) == "[] []"


def test_package_comes_from_the_installed_wheel(run: Run) -> None:
    found = _output(run("import nexus_core, nexus_core._core as core; print(nexus_core.__file__, core.__file__)"))
    assert found.count("site-packages") == 2
    assert str(ROOT) not in found


def test_task_graph_runs_without_kailash(run: Run) -> None:
    program = """
from nexus_core import Input, TaskGraph
graph = TaskGraph()
double = graph.add("double", lambda n: 2 * n, Input("n"))
graph.add("square", lambda n: n * n, double)
print(graph.run({"n": 3}))
"""
    assert _output(run(program)) == "{'double': 6, 'square': 36}"


def test_a_trace_is_written_and_shown_without_kailash(run: Run) -> None:
    program = """
from nexus_core.commands import main
from nexus_core.tracing import NodeEvent, RunTrace, Trace
trace = Trace([("main", 1)], [RunTrace("w", "r", 0, 1, nodes=[("a", "T")])], [NodeEvent(0, 0, 0, 0, 0, 1)])
trace.write("run.json")
main(["trace", "run.json", "--html", "run.html"])
print(open("run.html").read().count("<canvas"))
main(["trace", "run.json", "--gantt", "--width", "40"])
"""
    assert _output(run(program)).splitlines()[:2] == ["2", "a │██████████████████████│     1 s  main"]


def test_drop_in_without_kailash_names_the_extra_to_install(run: Run) -> None:
    program = """
try:
    import nexus_core.runtime
except ImportError as error:
    print(error)
"""
    assert "pip install nexus-core-rs[nexus]" in _output(run(program)).replace("'", "").replace('"', "")


def test_wheel_carries_types_and_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"nexus_core/py.typed", "nexus_core/_core.pyi"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert len([name for name in names if name.endswith((".so", ".pyd"))]) == 1


def test_wheel_needs_nothing_outside_its_extras(metadata: Message) -> None:
    needed = metadata.get_all("Requires-Dist", [])
    assert needed, "the extras themselves must be listed"
    assert [line for line in needed if "extra ==" not in line] == []
    extras: dict[str, set[str]] = {}
    for line in needed:
        package, _, extra = line.partition("extra == ")
        extras.setdefault(extra.strip("'\""), set()).add(re.split("[<>=; ]", package)[0])
    assert extras == {
        "nexus": {"kailash", "kailash-nexus"},
        "sqlalchemy": {"sqlalchemy"},
        "psycopg": {"psycopg[binary]"},
        "asyncpg": {"asyncpg"},
        "httpx": {"httpx"},
        "metrics": {"prometheus-client"},
        "cache": {"msgpack"},
        "redis": {"msgpack", "redis"},
        "top": {"textual"},
        "processes": {"cloudpickle"},
        "dask": {"cloudpickle", "distributed"},
    }


def test_readme_of_the_wheel_is_the_project_s(metadata: Message) -> None:
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text().strip()


def test_wheel_is_tagged_for_a_libc_not_for_this_machine(wheel: Path) -> None:
    assert "-linux_" not in wheel.name
