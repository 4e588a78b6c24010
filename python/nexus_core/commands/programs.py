"""A user's program, imported for its app or workflow, while nothing of it serves."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["Program", "ProgramError", "import_program"]


class ProgramError(Exception):
    """What was named cannot be found or imported; the message says why, and what would do."""


class _Serves(BaseException):
    """The program wants to serve: it is as far as it is to go. No ``except Exception`` of it stops this."""


@dataclass(frozen=True, slots=True)
class Program:
    """An imported program.

    Attributes:
        name: As it was given, such as ``app.py:app``.
        module: The module, as far as it came.
        attribute: The name after the colon, or ``None``.
    """

    name: str
    module: ModuleType
    attribute: str | None

    def find(self, kind: type | tuple[type, ...], what: str, usual: tuple[str, ...]) -> Any:
        """The object of that type that is meant.

        Args:
            kind: Its type, or several of them.
            what: What to call it in errors.
            usual: Names that it usually has, the first of which counts.

        Raises:
            ProgramError: If there is none, or several of which none is meant.
        """
        if self.attribute is not None:
            return self._named(kind, what)
        names = vars(self.module)
        for name in usual:
            if isinstance(names.get(name), kind):
                return names[name]
        found = {id(value): (name, value) for name, value in names.items() if isinstance(value, kind)}
        if len(found) == 1:
            return next(iter(found.values()))[1]
        if found:
            listed = ", ".join(sorted(name for name, _ in found.values()))
            raise ProgramError(f"{self.name} has several of {what}: say which, such as {self.name}:NAME of {listed}")
        raise ProgramError(
            f"{self.name} has no {what} among its names; one that a function makes is named as {self.name}:FUNCTION"
        )

    def _named(self, kind: type | tuple[type, ...], what: str) -> Any:
        value: Any = self.module
        for part in str(self.attribute).split("."):
            if not hasattr(value, part):
                raise ProgramError(f"{self.name}: there is no {part!r} in {self.module.__name__}")
            value = getattr(value, part)
        if not isinstance(value, kind) and callable(value):
            with _nothing_serves():
                try:
                    value = value()
                except _Serves:
                    raise ProgramError(f"{self.name} serves by itself, and returns no {what}") from None
                except SystemExit as exit_:
                    raise ProgramError(f"{self.name}() ended with status {exit_.code!r}") from exit_
                except Exception as error:
                    raise ProgramError(f"{self.name}() failed: {_told(error)}") from error
        if not isinstance(value, kind):
            raise ProgramError(f"{self.name} is no {what}, but of type {type(value).__qualname__}")
        return value


def import_program(given: str) -> Program:
    """Imports ``app.py``, ``app.py:name``, ``package.module`` or ``package.module:name``.

    Where it would serve (``app.start()``, ``uvicorn.run``) the import ends, and what is there by
    then counts.

    Args:
        given: The program.

    Raises:
        ProgramError: If there is none, or it fails.
    """
    path, attribute = _split(given)
    is_file = path.endswith(".py") or os.sep in path
    if is_file and not os.path.isfile(path):
        raise ProgramError(f"there is no file {path!r}")
    folder = os.path.dirname(os.path.abspath(path)) if is_file else os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    seen: list[ModuleType] = []
    with _nothing_serves():
        try:
            module = _import_file(path, seen) if is_file else _import_module(path, seen)
        except _Serves:
            if not seen:
                raise ProgramError(f"a package of {path} serves when it is imported") from None
            module = seen[0]
        except SystemExit as exit_:
            raise ProgramError(f"{path} ended with status {exit_.code!r} while it was imported") from exit_
        except Exception as error:
            if not is_file and isinstance(error, ModuleNotFoundError) and (path + ".").startswith(f"{error.name}."):
                raise ProgramError(f"there is no module {path!r}; a file is named with its .py") from error
            raise ProgramError(f"{path} cannot be imported: {_told(error)}") from error
    return Program(given, module, attribute)


_SERVING = (
    ("nexus", ("Nexus.start", "Nexus.run", "Nexus.serve")),
    ("uvicorn", ("run", "Server.run", "Server.serve")),
)

# Not the file's own name, which a module of the library may have.
_FILE_MODULE = "__nexus_core_program__"


def _split(given: str) -> tuple[str, str | None]:
    path, separator, attribute = given.rpartition(":")
    # A colon may be part of a path, such as after a drive.
    if not separator or not all(part.isidentifier() for part in attribute.split(".")):
        return given, None
    return path, attribute


def _import_file(path: str, seen: list[ModuleType]) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_FILE_MODULE, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    return _executed(spec, spec.loader, seen)


def _import_module(name: str, seen: list[ModuleType]) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    if spec.loader is None:  # a folder without code
        return importlib.import_module(name)
    return _executed(spec, spec.loader, seen)


def _executed(spec: ModuleSpec, loader: Loader, seen: list[ModuleType]) -> ModuleType:
    """Not by ``importlib``, which lets go of a module that does not come to its end."""
    module = importlib.util.module_from_spec(spec)
    seen.append(module)
    sys.modules[spec.name] = module
    try:
        loader.exec_module(module)
    except Exception:
        del sys.modules[spec.name]
        raise
    package, _, last = spec.name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)
    return module


def _told(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)
    line = f" ({where[-1].filename}, line {where[-1].lineno})" if where else ""
    return f"{type(error).__name__}: {error}{line}"


@contextmanager
def _nothing_serves() -> Iterator[None]:
    """Whatever would serve, or run forever, ends the import instead."""
    replaced: list[tuple[Any, str, Any]] = []

    def replace(holder: Any, name: str) -> None:
        def serves(*_: Any, **__: Any) -> Any:
            raise _Serves(name)

        if name in vars(holder):
            replaced.append((holder, name, vars(holder)[name]))
            setattr(holder, name, serves)

    for module, names in _SERVING:
        if importlib.util.find_spec(module) is None:
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ProgramError(f"{module} is installed, but cannot be imported: {_told(error)}") from error
        for name in names:
            holder: Any = sys.modules[module]
            *inner, last = name.split(".")
            for part in inner:
                holder = getattr(holder, part)
            replace(holder, last)
    try:
        yield
    finally:
        for holder, name, value in replaced:
            setattr(holder, name, value)
