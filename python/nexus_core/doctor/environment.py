"""What there is: versions, how the extension was built, the interpreter, the machine and its limits."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nexus_core import __version__
from nexus_core._core import _build_info
from nexus_core.metrics import process_metrics
from nexus_core.versions import TESTED_RANGE, installed_versions, range_in_words, untested

__all__ = ["EXTRAS", "SCIENCE", "examine_environment", "is_installed"]

#: By extra of the package, the modules that it brings.
EXTRAS: dict[str, tuple[str, ...]] = {
    "nexus": ("kailash", "nexus"),
    "metrics": ("prometheus_client",),
    "top": ("textual",),
    "cache": ("msgpack",),
    "redis": ("redis", "msgpack"),
    "sqlalchemy": ("sqlalchemy",),
    "psycopg": ("psycopg",),
    "asyncpg": ("asyncpg",),
    "httpx": ("httpx",),
}

#: What Kailash lets a node's code import, and tries to import again for every value where it is missing.
SCIENCE = ("numpy", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "plotly")


def is_installed(module: str) -> bool:
    """Whether a top-level module could be imported; it is not."""
    try:
        return find_spec(module) is not None
    except ValueError:  # it is there, made by hand and without a specification
        return True


def examine_environment() -> dict[str, Any]:
    """What the interpreter, the machine and the installed packages are.

    Returns:
        ``versions``, ``extension``, ``interpreter``, ``machine``, ``limits``, ``extras``,
        ``science``, ``event_loop`` and ``run_history``, each a dict of plain values.

    Example:
        >>> examine_environment()["interpreter"]["gil_enabled"] in (True, False)
        True
    """
    return {
        "versions": _versions(),
        "extension": _build_info(),
        "interpreter": _interpreter(),
        "machine": _machine(),
        "limits": _limits(),
        "extras": {extra: all(map(is_installed, modules)) for extra, modules in EXTRAS.items()},
        "science": {module: is_installed(module) for module in SCIENCE},
        "event_loop": _event_loop(),
        "run_history": _run_history(),
    }


def _versions() -> dict[str, Any]:
    outside = untested(*TESTED_RANGE)
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "nexus_core": __version__,
        "nexus-core-rs": _distribution("nexus-core-rs"),
    }
    for name, number in installed_versions().items():
        tested = None if number is None else name not in outside
        found[name] = {"installed": number, "tested": tested, "tested_range": range_in_words(name)}
    return found


def _distribution(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _interpreter() -> dict[str, Any]:
    return {
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil_enabled": bool(getattr(sys, "_is_gil_enabled", lambda: True)()),
        "debug_build": hasattr(sys, "gettotalrefcount"),
        "development_mode": sys.flags.dev_mode,
        "switch_interval_seconds": sys.getswitchinterval(),
        "gc_enabled": gc.isenabled(),
        "gc_thresholds": list(gc.get_threshold()),
        "gc_frozen_objects": gc.get_freeze_count(),
    }


def _machine() -> dict[str, Any]:
    seen = process_metrics()
    return {
        "platform": platform.platform(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "usable_processors": seen.cpus,
        "memory_bytes": _physical_memory(),
    }


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _limits() -> dict[str, Any]:
    seen = process_metrics()
    found: dict[str, Any] = {
        "container_processors": seen.cpu_limit,
        "container_memory_bytes": seen.memory_limit_bytes,
        "container_memory_used_bytes": seen.limited_memory_used_bytes,
        "resident_bytes": seen.resident_bytes,
        "address_space_bytes": None,
        "open_files": None,
    }
    try:
        import resource
    except ImportError:  # Windows
        return found
    for name, limit in (("address_space_bytes", resource.RLIMIT_AS), ("open_files", resource.RLIMIT_NOFILE)):
        soft, _ = resource.getrlimit(limit)
        found[name] = None if soft == resource.RLIM_INFINITY else soft
    return found


def _event_loop() -> dict[str, Any]:
    loop = asyncio.new_event_loop()
    try:
        kind = type(loop)
    finally:
        loop.close()
    return {
        "of_asyncio": f"{kind.__module__}.{kind.__qualname__}",
        # As uvicorn's `loop="auto"` chooses, which Nexus leaves in place.
        "of_a_served_app": "uvloop.Loop" if is_installed("uvloop") else f"{kind.__module__}.{kind.__qualname__}",
        "debug": bool(os.environ.get("PYTHONASYNCIODEBUG")) or sys.flags.dev_mode,
    }


def _run_history() -> dict[str, Any]:
    database = Path(os.path.expanduser("~"), ".kailash", "tracking", "tracking.db")
    # Not by pathlib, which raises where a folder may not be looked into.
    exists = os.path.isfile(database)
    folder = next((each for each in database.parents if os.path.isdir(each)), Path(os.sep))
    return {
        "database": str(database),
        "bytes": os.path.getsize(database) if exists else 0,
        "writable": os.access(database if exists else folder, os.W_OK),
    }
