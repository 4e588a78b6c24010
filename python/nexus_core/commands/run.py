"""``nexus-core run app.py``: a program with the drop-in installed, and no line of it changed."""

from __future__ import annotations

import argparse
import atexit
import builtins
import io
import os
import pkgutil
import runpy
import signal
import sys
import threading
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from types import ModuleType, TracebackType
from typing import Any

from nexus_core import install
from nexus_core.commands.refusal import refuse
from nexus_core.commands.spawned import install_in_children
from nexus_core.tracing.recording import ProcessRecording

__all__ = ["add_to"]

#: Seconds for a trace to be written after SIGTERM.
_PATIENCE = 60.0

_DESCRIPTION = "Runs a program with nexus-core in the place of Kailash's LocalRuntime and AsyncLocalRuntime."


def add_to(commands: Any) -> None:
    """Makes the command known.

    Args:
        commands: The subparsers of ``nexus-core``.
    """
    parser = commands.add_parser(
        "run",
        help="run a script or module, with nexus_core.install() done first",
        description=_DESCRIPTION,
        usage="nexus-core run [-h] [--trace FILE] (-m module | script) [arguments ...]",
    )
    parser.add_argument(
        "--trace",
        metavar="FILE",
        help="write what all runs of the program did, as .json, .json.gz (nexus-core trace, Perfetto) or .html (a page)",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="run a module, as python -m does")
    parser.add_argument("program", metavar="script", help="the script, or with -m the module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the program")
    parser.set_defaults(handle=lambda given: _run(given.program, given.arguments, given.module, given.trace))


def _run(program: str, arguments: list[str], is_module: bool, trace: str | None) -> int:
    if not is_module and not os.path.exists(program):
        return refuse(2, f"can't open file {os.path.abspath(program)!r}: [Errno 2] No such file or directory")
    if find_spec("kailash") is None:
        return refuse(1, "Kailash is not installed: pip install nexus-core-rs[nexus]")
    if trace is not None and (reason := _why_not(trace)):
        return refuse(2, reason)
    try:
        install()
    except ImportError as error:
        return refuse(1, f"Kailash cannot be imported: {error}; `nexus-core doctor` says more")
    install_in_children()
    if trace is not None:
        _trace(os.path.abspath(trace))
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
            return refuse(1, str(error))  # there is nothing to run
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


def _why_not(path: str) -> str | None:
    """Why a trace could not be written there: better said before hours of work than after."""
    if not path.endswith((".json", ".json.gz", ".html", ".htm")):
        return f"--trace writes .json, .json.gz or .html, not {path!r}"
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        return f"--trace {path}: there is no folder {folder!r}"
    return None if os.access(folder, os.W_OK) else f"--trace {path}: the folder {folder!r} cannot be written to"


def _trace(path: str) -> None:
    """Traces the process until its very end: after main, other threads may go on with runs."""
    recording, process = ProcessRecording(), os.getpid()

    def write() -> None:
        if os.getpid() != process:  # a child that was forked from the program
            return
        trace = recording.stop()
        try:
            trace.write(path)
        except OSError as error:
            refuse(1, f"the trace could not be written: {error}")
            return
        if sys.stderr is not None:
            print(f"nexus-core: wrote {trace!r} to {path}", file=sys.stderr)  # noqa: T201

    def end(number: int, _: object) -> None:
        # Not on this thread, which may hold a lock that writing needs.
        writer = threading.Thread(target=write, name="nexus-core trace", daemon=True)
        writer.start()
        writer.join(_PATIENCE)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    atexit.register(write)
    # How services are stopped; uvicorn, too, ends by the signal that it was sent, and then nothing is done at exit.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


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


_FOLDER = os.path.dirname(__file__)
_OURS = {
    __file__,
    os.path.join(_FOLDER, "__init__.py"),
    os.path.join(os.path.dirname(_FOLDER), "__main__.py"),
    # Named differently when it is part of the frozen interpreter.
    _run.__code__.co_filename,
    runpy.run_path.__code__.co_filename,
}
