"""The command line: one module a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nexus_core import __version__
from nexus_core.commands import bench, doctor, run, top, trace
from nexus_core.commands.refusal import refuse

__all__ = ["main"]

_COMMANDS = (run, bench, doctor, top, trace)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``nexus-core``, which is also ``python -m nexus_core``.

    Args:
        arguments: What follows the command's name; ``None`` takes it from ``sys.argv``.

    Returns:
        The exit status, unless a program that is run exits by itself or fails.
    """
    parser = argparse.ArgumentParser(
        prog="nexus-core", description="Runs Kailash programs on the Rust core, and shows what happened."
    )
    parser.add_argument("--version", action="version", version=f"nexus-core {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in _COMMANDS:
        command.add_to(commands)
    given = parser.parse_args(arguments)
    try:
        status: int = given.handle(given)
    except KeyboardInterrupt:
        if given.command == "run":  # the program's own end, as the interpreter tells it
            raise
        return refuse(130, "interrupted")
    return status
