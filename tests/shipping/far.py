"""Another process that has only what is sent to it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from typing import Any


def in_another_process(program: str, given: Any = None) -> Any:
    """What a program leaves in ``answer``; it finds ``given`` in a variable of that name."""
    text = textwrap.dedent(program)
    source = (
        "import pickle, sys\n"
        "given = pickle.loads(sys.stdin.buffer.read())\n"
        f"{text}\n"
        "sys.stdout.buffer.write(pickle.dumps(answer))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], input=pickle.dumps(given), capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)
