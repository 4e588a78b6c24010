"""Commands run as users run them: in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

LIMIT = 120  # seconds: what may hang gets no more

APP = """
    from kailash.workflow.builder import WorkflowBuilder
    from nexus import Nexus

    def one(code="result = 1"):
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "node", {"code": code})
        return builder.build()

    def made(**options):
        return Nexus(**{"enable_auth": False, "rate_limit": None, "enable_durability": False, **options})
"""


def command(*arguments: str, home: Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """``nexus-core`` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "nexus_core", *arguments], env=environment(home, **variables), cwd=cwd,
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A child process's: it finds the modules that this one finds."""
    return {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **variables}


def program(folder: Path, text: str, name: str = "app.py") -> str:
    """A program that begins with what makes apps and workflows."""
    path = folder / name
    path.write_text(textwrap.dedent(APP) + textwrap.dedent(text), encoding="utf-8")
    return str(path)
