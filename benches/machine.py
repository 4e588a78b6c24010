"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def processor() -> str:
    """The processor's name as /proc/cpuinfo has it, or what the platform module knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        field, _, value = line.partition(":")
        if field.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, str]:
    described = {
        "processor": processor(),
        "cores": str(cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    if hasattr(os, "getloadavg"):
        described["load before the run"] = f"{os.getloadavg()[0]:.1f}"
    return described


def build_of_subject() -> dict[str, str]:
    """What nexus_core says about its own build, where it says anything."""
    nexus_core = sys.modules.get("nexus_core")
    info = getattr(nexus_core, "build_info", None)
    if info is None:
        return {}
    built = info()
    return {str(key): str(value) for key, value in built.items()} if isinstance(built, dict) else {"build": str(built)}
