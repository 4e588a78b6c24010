"""``nexus-core doctor [app.py:app]``: what there is, what is wrong with it, and what to do."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nexus_core.commands.printing import has_colour, print_text
from nexus_core.commands.programs import ProgramError, import_program
from nexus_core.commands.refusal import refuse
from nexus_core.commands.waiting import waiting

if TYPE_CHECKING:
    from nexus_core.doctor import Diagnosis

__all__ = ["add_to"]

_DESCRIPTION = "Tells versions, how the extension was built, the interpreter, the machine and its limits, and what to \
change; of an app also what is attached, and what is left to Kailash and why. The program is imported, nothing is \
served. The exit status is 1 where there is a problem."


def add_to(commands: Any) -> None:
    """Makes the command known.

    Args:
        commands: The subparsers of ``nexus-core``.
    """
    parser = commands.add_parser("doctor", help="what is wrong here, and what to do", description=_DESCRIPTION)
    parser.add_argument("program", nargs="?", metavar="app.py[:app]", help="a program or module with a Nexus app")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for advice, too")
    parser.set_defaults(handle=_examine)


def _examine(given: argparse.Namespace) -> int:
    from nexus_core.doctor import examine

    if given.program is None:
        return _tell(examine(), given)
    if find_spec("nexus") is None:
        return refuse(1, "Nexus is not installed: pip install nexus-core-rs[nexus]")
    try:
        from nexus import Nexus
    except Exception as error:
        return refuse(1, f"Nexus cannot be imported: {type(error).__name__}: {error}; `nexus-core doctor` says more")
    try:
        # What the program prints is not what was asked for.
        with waiting(f"importing {given.program}"), contextlib.redirect_stdout(sys.stderr):
            app = import_program(given.program).find(Nexus, "Nexus app", ("app",))
    except ProgramError as error:
        return refuse(2, str(error))
    if app.runtime is None:
        return refuse(2, f"the app of {given.program} is closed")
    try:
        with waiting("examining the app"), contextlib.redirect_stdout(sys.stderr):
            diagnosis = examine(app)
        return _tell(diagnosis, given)
    finally:
        app.close()


def _tell(diagnosis: Diagnosis, given: argparse.Namespace) -> int:
    from nexus_core.doctor.text import as_text

    if given.json:
        text = json.dumps(diagnosis.as_dict(), indent=2)
    else:
        text = as_text(diagnosis, shutil.get_terminal_size((100, 24)).columns, has_colour())
    return print_text(text) or int(bool(diagnosis.problems or (given.strict and diagnosis.findings)))
