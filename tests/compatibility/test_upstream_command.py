"""``make compat`` says what it needs, and fails for a test that nobody has explained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .table import ROOT, page_writer

EXPLAINED = next(iter(page_writer().ids_that_fail()))

#: Stands in for the harness: "runs" the tests whose outcomes lie beside it.
RUN = """
set -eu
[ "$1" = nexus_core.runtime:LocalRuntime,nexus_core.runtime:AsyncLocalRuntime ]
[ -d "$KAILASH_SRC" ] && [ -x "$VENV/bin/python" ]
"$VENV/bin/python" -c 'import nexus_core.runtime as r; print("with", r.__file__)'
cp "$(dirname "$0")/outcomes" "$OUT/not_passed.txt"
"""


@pytest.fixture
def harness(tmp_path: Path) -> Path:
    """A folder in the form of the harness."""
    folder = tmp_path / "harness"
    folder.mkdir()
    (folder / "run.sh").write_text(RUN)
    (folder / "requirements.txt").write_text("")
    (folder / "ids.txt").write_text(f"tests/a.py::test_a\n{EXPLAINED}\n")
    (folder / "outcomes").write_text("")
    return folder


def command(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    names = ("KAILASH_SRC", "COMPAT_DIR", "IDS", "VENV", "WORK")
    env = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "upstream_suite.py")],
        env={**env, "VENV": sys.prefix, "WORK": str(tmp_path / "work"), **settings},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def judged(tmp_path: Path, harness: Path, outcomes: str) -> subprocess.CompletedProcess[str]:
    (harness / "outcomes").write_text(outcomes)
    return command(tmp_path, KAILASH_SRC=str(tmp_path), COMPAT_DIR=str(harness))


def test_without_a_checkout_of_upstream_it_says_so(tmp_path: Path, harness: Path) -> None:
    done = command(tmp_path, COMPAT_DIR=str(harness))
    assert done.returncode == 2
    assert done.stderr == "make compat: set KAILASH_SRC to a clone or mirror of terrene-foundation/kailash-py\n"


def test_without_the_harness_it_says_so(tmp_path: Path) -> None:
    done = command(tmp_path, KAILASH_SRC=str(tmp_path))
    assert (done.returncode, done.stderr) == (2, "make compat: set COMPAT_DIR to the folder of the harness\n")


@pytest.mark.parametrize("name", ["KAILASH_SRC", "COMPAT_DIR"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, harness: Path, name: str) -> None:
    settings = {"KAILASH_SRC": str(tmp_path), "COMPAT_DIR": str(harness), name: str(tmp_path / "nowhere")}
    done = command(tmp_path, **settings)
    assert done.returncode == 2
    assert f"{name} is '{tmp_path / 'nowhere'}', which is no folder" in done.stderr


def test_a_folder_that_is_not_the_harness_is_named(tmp_path: Path, harness: Path) -> None:
    (harness / "ids.txt").unlink()
    done = command(tmp_path, KAILASH_SRC=str(tmp_path), COMPAT_DIR=str(harness))
    assert done.returncode == 2
    assert "which has no ids.txt" in done.stderr


def test_a_harness_that_breaks_is_no_pass(tmp_path: Path, harness: Path) -> None:
    (harness / "run.sh").write_text("exit 3")
    done = command(tmp_path, KAILASH_SRC=str(tmp_path), COMPAT_DIR=str(harness))
    assert done.returncode == 2
    assert "run.sh ended with status 3" in done.stderr


def test_all_pass(tmp_path: Path, harness: Path) -> None:
    done = judged(tmp_path, harness, "")
    assert done.returncode == 0, done.stderr
    assert f"with {tmp_path / 'work' / 'package'}" in done.stdout
    assert f"passes, although docs/compatibility/upstream.toml explains why it would not: {EXPLAINED}" in done.stdout


def test_an_explained_failure_is_let_pass_with_its_reason(tmp_path: Path, harness: Path) -> None:
    done = judged(tmp_path, harness, f"{EXPLAINED}\tfailed\tAssertionError\n")
    assert done.returncode == 0, done.stderr
    assert page_writer().ids_that_fail()[EXPLAINED] in done.stdout


def test_a_failure_that_nobody_has_explained_is_named_and_kept(tmp_path: Path, harness: Path) -> None:
    done = judged(tmp_path, harness, f"{EXPLAINED}\tfailed\tno\ntests/a.py::test_a\tnot run\t\n")
    assert done.returncode == 1
    assert "FAILED: tests/a.py::test_a\n    not run\n" in done.stdout
    failing = tmp_path / "work" / "results" / "failing_ids.txt"
    assert failing.read_text() == f"{EXPLAINED}\ntests/a.py::test_a\n"
