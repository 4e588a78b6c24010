"""Compiles floor.c for the interpreter that runs and imports it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).with_name("floor.c")
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "floor"
NAME = "nexus_core_floor"
FLAGS = ("-O3", "-DNDEBUG", "-shared", "-fPIC")


class FloorUnavailable(RuntimeError):
    """The floor cannot be measured here; the message says why."""


def load() -> ModuleType:
    """Return the compiled floor, compiling it first unless this source was compiled before."""
    if NAME in sys.modules:
        return sys.modules[NAME]
    compiler = compiler_command()
    built = CACHE / digest(compiler) / f"{NAME}{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not built.exists():
        compile_to(built, compiler)
    spec = importlib.util.spec_from_file_location(NAME, built)
    if spec is None or spec.loader is None:
        raise FloorUnavailable(f"{built} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module
    return module


def compiler_command() -> list[str]:
    asked = shlex.split(os.environ.get("CC", ""))
    for command in ([asked] if asked else []) + [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    raise FloorUnavailable("no C compiler (looked for $CC, cc, gcc and clang): the floor is not measured")


def digest(compiler: list[str]) -> str:
    key = "\0".join([SOURCE.read_text(), sys.version, *compiler, *FLAGS])
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def compile_to(built: Path, compiler: list[str]) -> None:
    built.parent.mkdir(parents=True, exist_ok=True)
    # Another process may compile at the same time: only a finished file gets the final name.
    partial = built.with_name(f"{os.getpid()}-{built.name}")
    include = sysconfig.get_paths()["include"]
    command = [*compiler, *FLAGS, f"-I{include}", str(SOURCE), "-o", str(partial)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        partial.unlink(missing_ok=True)
        raise FloorUnavailable(f"{shlex.join(command)} failed:\n{done.stderr.strip()}")
    partial.replace(built)
