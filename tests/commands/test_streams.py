"""What commands are started with: outputs that are closed or full, readers that leave, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_core.commands.refusal import refuse

from .support import LIMIT, environment, program


def shell(line: str, home: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``$NC`` in a line for the shell is ``nexus-core``."""
    return subprocess.run(
        ["bash", "-c", line], env=environment(home, NC=f"{sys.executable} -m nexus_core"), cwd=cwd,
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("doctor", ">&-"),
        ("doctor --json", "2>&-"),
        ("bench app.py --runs 1 --runtime local", "2>&-"),
        ("bench app.py --runs 1 --runtime local", ">&- 2>&-"),
    ],
)
def test_closed_outputs(home: Path, tmp_path: Path, command: str, output: str) -> None:
    program(tmp_path, "workflow = one()\n")
    done = shell(f"$NC {command} {output}", home, tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    # What would go to a closed standard error is not mixed with what was asked for.
    assert "importing" not in done.stdout
    if output == "2>&-":
        assert done.stdout


def test_a_disk_that_is_full_is_told(home: Path, tmp_path: Path) -> None:
    done = shell("$NC doctor > /dev/full", home, tmp_path)
    assert done.returncode == 1
    assert done.stderr == "nexus-core: what was to be printed is lost: No space left on device\n"


def test_a_reader_that_leaves_early_is_no_error(home: Path, tmp_path: Path) -> None:
    done = shell("set -o pipefail; $NC doctor --json | true; echo status $?", home, tmp_path)
    assert done.stdout in ("status 0\n", "status 1\n") and done.stderr == ""


@pytest.mark.parametrize("command", ["doctor", "bench", "trace", "top"])
def test_ctrl_c_ends_a_command_in_a_line(home: Path, tmp_path: Path, command: str) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    program(tmp_path, f"import threading\nopen({str(begun)!r}).close()\nthreading.Event().wait()\n")
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as held:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        arguments = {"trace": [str(begun)], "top": ["--once", address]}.get(command, ["app.py"])
        process = subprocess.Popen(
            [sys.executable, "-m", "nexus_core", command, *arguments], env=environment(home),
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        held.enter_context(process)
        held.callback(process.kill)
        silent.settimeout(LIMIT)
        if command == "top":
            held.enter_context(silent.accept()[0])
        else:
            held.enter_context(open(begun, "w"))  # when the other side opens it
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "nexus-core: interrupted" and "Traceback" not in err and out == ""


def test_what_others_have_said_gives_no_orders_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert refuse(2, "no workflow '\x1b]0;title\x07'\nat all") == 2
    assert capsys.readouterr().err == "nexus-core: no workflow '\\x1b]0;title\\x07'\nat all\n"
