"""``nexus-core doctor``: facts as they are, and problems where they are."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from kailash.workflow.builder import WorkflowBuilder

import nexus_core
from apps import code_workflow, make_app  # noqa: F401 - a fixture
from nexus_core.commands import main
from nexus_core.doctor import Diagnosis, Finding, examine
from nexus_core.doctor.app import check_app, examine_app
from nexus_core.doctor.environment import examine_environment
from nexus_core.doctor.environment_checks import check_environment, check_logging
from nexus_core.doctor.text import as_text

from .support import command, environment, program

MakeApp = Callable[..., Any]


def names(findings: Any) -> list[str]:
    return [finding.name for finding in findings]


@pytest.fixture
def healthy() -> dict[str, Any]:
    """The facts of this environment, as they would be where all is well."""
    facts = copy.deepcopy(examine_environment())
    facts["interpreter"].update(debug_build=False, development_mode=False, gc_enabled=True)
    facts["extension"].update(debug_assertions=False, opt_level="3", profile="release")
    facts["limits"].update(container_processors=None, container_memory_bytes=None, address_space_bytes=None)
    facts["limits"]["open_files"] = 65536
    facts["event_loop"]["debug"] = False
    facts["science"] = dict.fromkeys(facts["science"], True)
    facts["extras"] = dict.fromkeys(facts["extras"], True)
    facts["versions"]["nexus-core-rs"] = facts["versions"]["nexus_core"]
    for package in ("kailash", "kailash-nexus", "kailash-mcp"):
        facts["versions"][package]["tested"] = True
    facts["run_history"].update(bytes=0, writable=True)
    return facts


@pytest.mark.own_process
def test_facts_are_those_of_this_process() -> None:
    facts = examine_environment()
    assert facts["versions"]["python"] == platform.python_version()
    assert facts["versions"]["nexus_core"] == nexus_core.__version__ == facts["extension"]["version"]
    assert facts["extension"]["features"] == ["python"]
    assert facts["machine"]["processors"] == os.cpu_count()
    assert facts["machine"]["usable_processors"] == len(os.sched_getaffinity(0))
    assert facts["machine"]["memory_bytes"] == psutil.virtual_memory().total
    assert facts["limits"]["resident_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert facts["interpreter"]["gil_enabled"] == getattr(sys, "_is_gil_enabled", lambda: True)()


def test_nothing_is_found_where_all_is_well(healthy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert check_environment(healthy) == []


@pytest.mark.parametrize(
    ("path", "value", "name", "said"),
    [
        (("versions", "kailash", "tested"), False, "untested-version", "kailash 2."),
        (("versions", "nexus-core-rs"), "0.0.7", "mixed-versions", "0.0.7"),
        (("extension", "opt_level"), "0", "unoptimised-build", "level 0"),
        (("extension", "debug_assertions"), True, "unoptimised-build", "debugging"),
        (("interpreter", "debug_build"), True, "debug-interpreter", "debug build"),
        (("interpreter", "development_mode"), True, "development-mode", "development mode"),
        (("event_loop", "debug"), True, "asyncio-debug", "asyncio"),
        (("interpreter", "gc_enabled"), False, "no-garbage-collection", "off"),
        (("limits", "container_processors"), 0.5, "processor-limit", "0.5"),
        (("limits", "address_space_bytes"), 1 << 30, "address-space", "1024 MiB"),
        (("limits", "open_files"), 256, "open-files", "256"),
        (("science", "scipy"), False, "science-missing", "scipy"),
        (("extras", "metrics"), False, "no-prometheus", "prometheus_client"),
        (("run_history", "writable"), False, "history-read-only", "tracking.db"),
        (("run_history", "bytes"), 3 << 30, "history-large", "3.0 GiB"),
    ],
)
def test_what_is_wrong_is_named(
    healthy: dict[str, Any], path: tuple[str, ...], value: Any, name: str, said: str
) -> None:
    *inner, last = path
    place = healthy
    for part in inner:
        place = place[part]
    place[last] = value
    (found,) = check_environment(healthy)
    assert found.name == name
    assert said in found.seen
    assert found.remedy


def test_a_tight_memory_limit_is_a_problem(healthy: dict[str, Any]) -> None:
    healthy["limits"].update(container_memory_bytes=100 << 20, container_memory_used_bytes=90 << 20)
    (found,) = check_environment(healthy)
    assert (found.level, found.name) == ("problem", "memory-limit")
    assert "90%" in found.seen
    healthy["limits"]["container_memory_used_bytes"] = 50 << 20
    assert check_environment(healthy) == []


def test_a_lock_that_was_switched_on(healthy: dict[str, Any]) -> None:
    healthy["interpreter"].update(free_threaded_build=True, gil_enabled=True)
    assert names(check_environment(healthy)) == ["lock-switched-on"]
    healthy["interpreter"]["gil_enabled"] = False
    assert check_environment(healthy) == []


def test_debug_lines_that_are_read(caplog: pytest.LogCaptureFixture) -> None:
    assert list(check_logging()) == []
    with caplog.at_level(logging.DEBUG, logger="kailash"):
        (found,) = check_logging()
    assert found.name == "debug-logging"
    assert "kailash" in found.seen


def test_an_app_in_order(make_app: MakeApp) -> None:  # noqa: F811
    app = make_app()
    app.register("one", code_workflow())
    nexus_core.attach(app)
    seen = examine_app(app)
    assert seen["attached"] and seen["failures"] == {}
    assert seen["workflows"]["one"]["native"]
    assert seen["workflows"]["one"]["nodes"] == {"node": {"type": "PythonCodeNode", "program": "code", "reason": None}}
    assert check_app(app, seen) == []


def test_an_app_that_is_not_attached_stays_so(make_app: MakeApp) -> None:  # noqa: F811
    app = make_app()
    runtime = app.runtime
    diagnosis = examine(app)
    assert "not-attached" in names(diagnosis.findings)
    assert diagnosis.app is not None and "workflows over HTTP" in diagnosis.app["channels"]
    assert app._plugins == {} and type(app.runtime) is type(runtime)


def test_delegation_is_told_with_its_reason(make_app: MakeApp) -> None:  # noqa: F811
    from kailash.workflow.graph import Workflow

    class Own(Workflow):
        pass

    app = make_app()
    app.register("plain", code_workflow())
    nexus_core.attach(app)
    app._workflows["own"] = Own("own", "own")
    seen = examine_app(app)
    assert seen["workflows"]["plain"]["native"] and not seen["workflows"]["own"]["native"]
    (delegated,) = check_app(app, seen)
    assert (delegated.level, delegated.name) == ("advice", "delegated")
    assert "'own'" in delegated.seen and "not a built Workflow" in delegated.seen
    assert "not a built Workflow" in as_text(Diagnosis(examine_environment(), seen, (delegated,)))
    del app._workflows["own"]


def test_threads_that_are_never_used_or_too_few(make_app: MakeApp) -> None:  # noqa: F811
    builder = WorkflowBuilder()
    for number in range(5):
        builder.add_node("PythonCodeNode", f"node_{number}", {"code": "result = 1"})
    app = make_app()
    app.register("wide", builder.build())
    nexus_core.attach(app, max_concurrent_nodes=2, thread_pool_size=3)
    found = {each.name: each.seen for each in check_app(app, examine_app(app))}
    assert set(found) == {"idle-threads", "few-threads"}
    assert "1 threads are never used" in found["idle-threads"]
    assert "wide (5)" in found["few-threads"] and "2 threads" in found["few-threads"]


def test_requests_that_are_replayed_and_a_limit_that_does_not_hold(home: Path, tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import nexus_core
        print("a line of the program's own")
        service = made(enable_durability=True, rate_limit=7)
        service.register("one", one())
        nexus_core.attach(service)
        try:
            service.start()
        except Exception:
            raise SystemExit(7)
        """,
    )
    done = command("doctor", "--json", path, home=home)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["app"]["attached"] and list(told["app"]["workflows"]) == ["one"]
    found = {each["name"]: each for each in told["findings"]}
    assert found["replayed-requests"]["level"] == "problem"
    assert "rate_limit=7" in found["rate-limit"]["seen"]
    assert told["problems"] == sum(each["level"] == "problem" for each in told["findings"])


def test_the_status_without_problems_and_with_strictness(home: Path, tmp_path: Path) -> None:
    path = program(
        tmp_path, "import nexus_core\ndef build():\n    app = made()\n    nexus_core.attach(app)\n    return app\n"
    )
    done = command("doctor", f"{path}:build", home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "by the program" in done.stdout and "on the core" in done.stdout
    strict = command("doctor", "--strict", f"{path}:build", home=home, PYTHONASYNCIODEBUG="1")
    assert (strict.returncode, "asyncio" in strict.stdout) == (1, True)


def test_a_program_with_the_drop_in_installed_needs_no_attaching(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        "import nexus_core\nnexus_core.install()\nfrom nexus import Nexus\n"
        "app = Nexus(enable_auth=False, rate_limit=None, enable_durability=False)\n"
    )
    done = command("doctor", str(path), home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "install() is in force" in done.stdout


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("", "missing.py", "no file"),
        ("", "missing_module", "no module"),
        ("", "app.py", "no Nexus app"),
        ("a, b = made(), made()", "app.py", "several"),
        ("app = made()", "app.py:other", "no 'other'"),
        ("app = 1", "app.py:app", "no Nexus app"),
        ("def build(): raise KeyError('x')", "app.py:build", "KeyError"),
        ("1 / 0", "app.py", "ZeroDivisionError"),
        ("raise SystemExit(3)", "app.py", "status 3"),
        ("app = made(); app.close()", "app.py", "closed"),
        ("def build(): raise SystemExit(4)", "app.py:build", "status 4"),
        ("", "serving.inner", "serves when it is imported"),
    ],
)
def test_bad_programs_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    asked: str,
    said: str,
) -> None:
    program(tmp_path, text)
    (tmp_path / "serving").mkdir()
    program(tmp_path, "made().start()", "serving/__init__.py")
    program(tmp_path, "app = made()", "serving/inner.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["doctor", asked]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.out == ""


def test_the_text_fits_and_says_what_to_do() -> None:
    diagnosis = examine()
    text = as_text(diagnosis, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert nexus_core.__version__ in text and "\x1b" not in text
    assert "\x1b" in as_text(diagnosis, 80, colour=True)
    for finding in diagnosis.findings:
        assert finding.remedy.split()[0] in text


def test_narrow_terminals_and_names_that_are_orders_to_them() -> None:
    finding = Finding("advice", "made-up", "a node \x1b[31mred", "call it \x9b32m otherwise")
    text = as_text(dataclasses.replace(examine(), findings=(finding,)), 40)
    assert max(map(len, text.splitlines())) <= 40
    assert "\\x1b[31mred" in text and not {"\x1b", "\x9b"} & set(text)


@pytest.mark.parametrize(
    ("serving", "asked"),
    [
        ("app.start()", "served"),
        ("app.start()", "package.served"),
        ("import uvicorn; uvicorn.run(app.fastapi_app)", "served.py"),
        ("import asyncio, uvicorn as u; asyncio.run(u.Server(u.Config(app.fastapi_app)).serve())", "served.py"),
    ],
)
def test_programs_that_serve_where_they_are_imported(home: Path, tmp_path: Path, serving: str, asked: str) -> None:
    (tmp_path / "package").mkdir()
    for name in ("served.py", "package/served.py"):
        program(
            tmp_path, f"app = made()\napp.register('only', one())\n{serving}\nraise ValueError('it went on')\n", name
        )
    done = command("doctor", asked, home=home, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "not-attached" not in done.stdout and "does not attach its app" in done.stdout
    assert "only" in done.stdout and "Traceback" not in done.stderr


def test_an_app_that_cannot_be_attached_is_a_finding(home: Path, tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        class Own(Nexus):
            def add_plugin(self, plugin):
                return self

        app = Own(enable_auth=False, rate_limit=None, enable_durability=False)
        """,
    )
    done = command("doctor", path, home=home)
    assert (done.returncode, "Own.add_plugin did not install the plugin" in done.stdout) == (1, True), done.stderr


@pytest.mark.parametrize("package", ["kailash", "nexus"])
def test_what_is_installed_and_broken_is_a_problem(home: Path, tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise ImportError('half of it is missing')\n")
    path = program(tmp_path, "app = made()\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        found = environment(home)
        found["PYTHONPATH"] = os.pathsep.join([str(tmp_path), found["PYTHONPATH"]])
        done = subprocess.run(
            [sys.executable, "-m", "nexus_core", *arguments], env=found,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr and done.returncode != 0
        return done

    shown = run("doctor").stdout
    assert "cannot be imported: ImportError: half of it is missing" in " ".join(shown.split())
    for arguments in (("doctor", path), ("bench", path)):
        assert "half of it is missing" in run(*arguments).stderr
    if package == "kailash":
        assert "half of it is missing" in run("run", path).stderr


def test_a_home_that_cannot_be_looked_into_is_no_end(tmp_path: Path) -> None:
    done = command("doctor", "--json", home=tmp_path / ("x" * 300))
    assert json.loads(done.stdout)["environment"]["run_history"]["bytes"] == 0, done.stderr


def test_what_nodes_are_configured_with_is_not_shown(home: Path, tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        app = made()
        builder = WorkflowBuilder()
        secrets = {"api_key": "sk-hunter2", "password": "hunter2", "url": "http://me:hunter2@localhost/"}
        builder.add_node("PythonCodeNode", "code", {"code": "result = 'hunter2'", **secrets})
        builder.add_node("HTTPRequestNode", "fetch", {"headers": {"Authorization": "Bearer hunter2"}, **secrets})
        builder.add_node("SwitchNode", "choose", {"condition_field": "x", "operator": "==", "value": "hunter2"})
        app.register("private", builder)
        """,
    )
    for arguments in ([path], [path, "--json"]):
        done = command("doctor", *arguments, home=home, NEXUS_JWT_SECRET="hunter2" * 8, NEXUS_API_KEY_ME="hunter2")
        assert "private" in done.stdout and "fetch" in done.stdout + done.stderr, done.stderr
        assert "hunter2" not in done.stdout + done.stderr
