"""What is wrong with an environment, or could be better, from what was seen of it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nexus_core.doctor.findings import Finding
from nexus_core.versions import TESTED_RANGE

__all__ = ["check_environment", "check_imports", "check_logging"]

Facts = Mapping[str, Any]

_FEW_FILES = 1024
_LARGE_HISTORY = 1 << 30
_TIGHT = 0.85
_LOGGERS = ("kailash", "nexus")
_MODULES = {"kailash": "kailash.runtime", "kailash-nexus": "nexus"}


def check_environment(facts: Facts) -> list[Finding]:
    """What to change about an environment.

    Args:
        facts: As ``examine_environment`` tells them.

    Returns:
        Findings; none if all is well.
    """
    return [finding for check in _CHECKS for finding in check(facts)]


def check_imports(facts: Facts) -> Iterator[Finding]:
    """What is installed and cannot be imported: its version is no sign of that.

    Args:
        facts: As ``examine_environment`` tells them.
    """
    for package, module in _MODULES.items():
        if facts["versions"][package]["installed"] is None:
            continue
        try:
            with contextlib.redirect_stdout(sys.stderr):
                importlib.import_module(module)
        except Exception as error:
            yield Finding(
                "problem",
                "import-fails",
                f"{package} is installed, and cannot be imported: {type(error).__name__}: {error}",
                f"`python -c 'import {module}'` tells where; `pip check` tells what does not fit together",
            )
            return  # what depends on it fails for the same reason


def check_logging() -> Iterator[Finding]:
    """What to change about this process's logging; an app's own, once it is imported."""
    from nexus_core.runtime.log_visibility import is_visible  # which needs Kailash

    loud = [name for name in _LOGGERS if is_visible(logging.getLogger(name), logging.DEBUG)]
    if loud:
        yield Finding(
            "problem",
            "debug-logging",
            f"debug lines of {' and '.join(loud)} are logged: several for every node, and workflows with switches "
            "that prune, or with cycles, are left to Kailash so that the lines are right",
            'logging.getLogger("kailash").setLevel(logging.WARNING), or the level of the root logger',
        )


def _versions(facts: Facts) -> Iterator[Finding]:
    versions = facts["versions"]
    for name in TESTED_RANGE:
        if versions[name]["tested"] is False:
            yield Finding(
                "problem",
                "untested-version",
                f"{name} {versions[name]['installed']} is not a version that nexus-core is tested with "
                f"({versions[name]['tested_range']}); what differs is left to Kailash",
                'pip install "nexus-core-rs[nexus]" takes versions that are tested; or try a newer nexus-core',
            )
    installed = versions["nexus-core-rs"]
    if installed is not None and installed != versions["nexus_core"]:
        yield Finding(
            "problem",
            "mixed-versions",
            f"nexus-core-rs {installed} is installed, but nexus_core {versions['nexus_core']} is imported",
            "remove the other copy from PYTHONPATH, or install it again",
        )
    if versions["kailash"]["installed"] is None:
        yield Finding(
            "advice",
            "no-kailash",
            "Kailash is not installed: task graphs, pools and caches work, workflows do not",
            "pip install nexus-core-rs[nexus]",
        )


def _extension(facts: Facts) -> Iterator[Finding]:
    built = facts["extension"]
    if built["debug_assertions"] or built["opt_level"] in ("0", "1"):
        yield Finding(
            "problem",
            "unoptimised-build",
            f"the extension was built for debugging (profile {built['profile']}, level {built['opt_level']}), and is "
            "many times slower",
            "install a wheel, or build with `maturin develop --release`",
        )


def _interpreter(facts: Facts) -> Iterator[Finding]:
    seen = facts["interpreter"]
    if seen["free_threaded_build"] and seen["gil_enabled"]:
        yield Finding(
            "problem",
            "lock-switched-on",
            "this is a free-threaded interpreter, but its lock is on: an extension asked for it, or PYTHON_GIL=1",
            "`python -X gil=0`, once the warnings at imports name no extension that needs the lock",
        )
    if seen["debug_build"]:
        yield Finding(
            "problem", "debug-interpreter", "the interpreter is a debug build, which is slow", "use an ordinary one"
        )
    if seen["development_mode"]:
        yield Finding(
            "advice",
            "development-mode",
            "Python's development mode is on: debug hooks on memory, and asyncio's debug mode",
            "leave out -X dev and PYTHONDEVMODE where it serves",
        )
    elif facts["event_loop"]["debug"]:
        yield Finding(
            "advice",
            "asyncio-debug",
            "asyncio's debug mode is on, which records a traceback for every task and callback",
            "leave out PYTHONASYNCIODEBUG where it serves",
        )
    if not seen["gc_enabled"]:
        yield Finding(
            "advice",
            "no-garbage-collection",
            "the garbage collector is off: what refers to itself (tracebacks, workflows) stays for ever",
            "gc.freeze() after start-up instead, which leaves it on for what comes later",
        )


def _limits(facts: Facts) -> Iterator[Finding]:
    limits, machine = facts["limits"], facts["machine"]
    processors, usable = limits["container_processors"], machine["usable_processors"]
    if processors is not None and usable is not None and processors < usable:
        yield Finding(
            "advice",
            "processor-limit",
            f"Python sees {usable} processors, of which the container may use the time of {processors:g}: a pool "
            "sized by os.cpu_count() is too large, and is stopped for parts of every 0.1 s",
            f"size pools of threads that compute for {processors:g} processors",
        )
    memory, used = limits["container_memory_bytes"], limits["container_memory_used_bytes"]
    if memory and used is not None and used > _TIGHT * memory:
        yield Finding(
            "problem",
            "memory-limit",
            f"{used / memory:.0%} of the container's memory limit is used ({used >> 20} of {memory >> 20} MiB)",
            "raise the limit, or bound caches in bytes (max_bytes)",
        )
    if limits["address_space_bytes"] is not None:
        yield Finding(
            "advice",
            "address-space",
            f"the address space is limited to {limits['address_space_bytes'] >> 20} MiB, of which every thread takes "
            "8 MiB for its stack and 64 MiB for its heap, whether it uses them or not",
            "limit resident memory by a control group rather than by `ulimit -v`",
        )
    if limits["open_files"] is not None and limits["open_files"] < _FEW_FILES:
        yield Finding(
            "advice",
            "open-files",
            f"at most {limits['open_files']} files and connections may be open",
            f"`ulimit -n {4 * _FEW_FILES}` before the server starts",
        )


def _packages(facts: Facts) -> Iterator[Finding]:
    if facts["versions"]["kailash"]["installed"] is None:
        return
    missing = [name for name, there in facts["science"].items() if not there]
    if missing:
        yield Finding(
            "advice",
            "science-missing",
            f"not installed: {', '.join(missing)}. Kailash's own runtime tries to import each of them again for every "
            "value between nodes; nexus-core does not, but runs that are delegated do",
            "install them where many runs are delegated, or where stock Kailash is what you compare with",
        )
    if os.environ.get("CI") and facts["science"]["scipy"]:
        yield Finding(
            "advice",
            "ci-variable",
            "the variable CI is set: Kailash hides scipy from the code of nodes, and warns of it at every one",
            "unset CI where nodes need scipy",
        )
    if not facts["extras"]["metrics"]:
        yield Finding(
            "advice",
            "no-prometheus",
            "prometheus_client is not installed: an attached app's /metrics does not have the runtime's figures",
            "pip install nexus-core-rs[metrics]",
        )


def _history(facts: Facts) -> Iterator[Finding]:
    history = facts["run_history"]
    if facts["versions"]["kailash"]["installed"] is None:
        return
    if not history["writable"]:
        yield Finding(
            "problem",
            "history-read-only",
            f"LocalRuntime keeps a history of runs in {history['database']}, which cannot be written: every run warns",
            "LocalRuntime(enable_monitoring=False), or a HOME that can be written to",
        )
    elif history["bytes"] > _LARGE_HISTORY:
        yield Finding(
            "advice",
            "history-large",
            f"the run history {history['database']} has grown to {history['bytes'] / (1 << 30):.1f} GiB; it holds the "
            "inputs and outputs of every run of a LocalRuntime, in clear, and nothing removes them",
            "delete it if nobody reads it, and make runtimes with enable_monitoring=False",
        )


_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _versions, _extension, _interpreter, _limits, _packages, _history,
)  # fmt: skip
