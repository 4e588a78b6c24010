"""``python -m nexus_core run app.py``: a program with the drop-in installed, and no line of it changed."""

from __future__ import annotations

import argparse
import builtins
import io
import os
import pkgutil
import runpy
import sys
import zipfile
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from types import ModuleType, TracebackType

from nexus_core import __version__, install

__all__ = ["main"]

_DESCRIPTION = "Runs a program with nexus-core in the place of Kailash's LocalRuntime and AsyncLocalRuntime."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``nexus-core``, which is also ``python -m nexus_core``.

    Args:
        arguments: What follows the command's name; ``None`` takes it from ``sys.argv``.

    Returns:
        The exit status, unless the program that is run exits by itself or fails.
    """
    parser = argparse.ArgumentParser(prog="nexus-core", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"nexus-core {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run")
    run = commands.add_parser(
        "run",
        help="run a script or module, with nexus_core.install() done first",
        description=_DESCRIPTION,
        usage="nexus-core run [-h] (-m module | script) [arguments ...]",
    )
    run.add_argument("-m", dest="module", action="store_true", help="run a module, as python -m does")
    run.add_argument("program", metavar="script", help="the script, or with -m the module")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the program")
    given = parser.parse_args(arguments)
    return _run(given.program, given.arguments, given.module)


def _run(program: str, arguments: list[str], is_module: bool) -> int:
    if not is_module and not os.path.exists(program):
        return _refuse(2, f"can't open file {os.path.abspath(program)!r}: [Errno 2] No such file or directory")
    if find_spec("kailash") is None:
        return _refuse(1, "Kailash is not installed: pip install nexus-core-rs[nexus]")
    install()
    sys.argv = [program, *arguments]
    try:
        if is_module:
            _put_first(os.getcwd())
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        elif os.path.isfile(program) and not zipfile.is_zipfile(program):
            _put_first(os.path.dirname(os.path.realpath(program)))
            _run_script(os.path.abspath(program))
        else:  # a folder or archive, which is put first by runpy
            runpy.run_path(program, run_name="__main__")
    except SystemExit:
        raise
    except BaseException as error:
        if isinstance(error, ImportError) and _own_part(error.__traceback__) is None:
            return _refuse(1, str(error))  # there is nothing to run
        # Left to the interpreter, which knows the exit status, and to the program's own hook.
        _hide_our_frames()
        raise
    return 0


def _run_script(path: str) -> None:
    """As the interpreter runs its script: the module stays, for threads and what is done at exit."""
    main_module = ModuleType("__main__")
    names = {"__file__": path, "__builtins__": builtins, "__cached__": None, "__annotations__": {}}
    vars(main_module).update(names, __loader__=SourceFileLoader("__main__", path))
    with io.open_code(path) as file:
        code = pkgutil.read_code(file)
    if code is None:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec")
    sys.modules["__main__"] = main_module
    exec(code, vars(main_module))


def _refuse(status: int, reason: str) -> int:
    print(f"nexus-core: {reason}", file=sys.stderr)  # noqa: T201
    return status


def _put_first(folder: str) -> None:
    """Where Python looks for modules first: the script's folder, in the place of the command's own."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _own_part(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames before the program's own."""
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    return trace


def _hide_our_frames() -> None:
    show = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        own = _own_part(trace)
        show(kind, error.with_traceback(own), own)

    sys.excepthook = excepthook


# The frames of runpy are named differently when it is part of the frozen interpreter.
_OURS = {__file__, _run.__code__.co_filename, runpy.run_path.__code__.co_filename}

if __name__ == "__main__":
    sys.exit(main())
