"""Keys of code: functions, classes, and what they use."""

from __future__ import annotations

import dis
import functools
import importlib.metadata
import inspect
import logging
import re
import sys
import sysconfig
import types
import typing
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nexus_core._core import __version__
from nexus_core._key_reductions import Reduction, has_plain_layout, name_of, reduction

__all__ = ["CodeReduction", "globals_loaded", "root_version"]

_GLOBAL_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTE_LOADS = frozenset({"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM", "LOAD_SUPER_ATTR"})
_BUILTIN_CALLABLES = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
)
_CACHED = type(functools.lru_cache(lambda: None))
_FIELD_OF_TUPLE: Any = type(vars(namedtuple("_Any", "field"))["field"])
_ALIASES = (types.GenericAlias, types.UnionType, type(typing.List[int]), type(typing.Any))  # noqa: UP006


@functools.lru_cache(maxsize=1024)
def root_version(root: str) -> str | None:
    """What identifies the code of an installed package, or ``None`` for code that may change.

    Args:
        root: A top-level package. Of one that is not installed, such as a program's own
            modules or an editable install, the code itself has to be looked at.
    """
    if root in sys.stdlib_module_names:
        return f"python {sys.version_info.major}.{sys.version_info.minor}"
    if root == "nexus_core":
        return __version__
    module = sys.modules.get(root)
    place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if place is None or not _is_installed(Path(place)):
        return None
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(root)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_installed(place: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(place.parts):
        return True
    return any(place.is_relative_to(sysconfig.get_path(name)) for name in ("purelib", "platlib"))


class CodeReduction:
    """Reduces functions, classes and what they use; everything else as values are reduced.

    Of a package that is installed, the name and the version stand for the code. Other code is
    told by its bytecode, constants, defaults, closure and the globals that it loads, and so on
    through those. One instance serves one key.
    """

    def __init__(self) -> None:
        #: Functions and classes may use one another in circles: what was told in full before is
        #: told by its number. They are kept alive, so that their ids stay theirs.
        self._told: dict[int, tuple[int, Any]] = {}

    def _number(self, value: Any) -> int | None:
        """The number of what was told before; what was not gets one."""
        if (told := self._told.get(id(value))) is not None:
            return told[0]
        self._told[id(value)] = (len(self._told), value)
        return None

    def __call__(self, value: Any) -> Reduction:
        """What a value is made of, code included.

        Args:
            value: One whose type the native walk does not know.
        """
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.CodeType):
            return "code", _code(value)
        if isinstance(value, types.ModuleType):
            return "module", {"name": value.__name__, "version": _version(value.__name__)}
        if isinstance(value, types.MethodType):
            return "method", {"function": value.__func__, "self": value.__self__}
        if isinstance(value, _BUILTIN_CALLABLES):
            return _builtin(value)
        return self._rarer(value)

    def _rarer(self, value: Any) -> Reduction:
        if isinstance(value, (staticmethod, classmethod)):
            return type(value).__name__, {"function": value.__func__}
        if type(value) is property:
            return "property", {"get": value.fget, "set": value.fset, "delete": value.fdel}
        if type(value) is _FIELD_OF_TUPLE:
            return "field", {"index": value.__reduce__()[1][0]}
        if type(value) is functools.partial:
            return "partial", {"function": value.func, "args": value.args, "keywords": dict(value.keywords)}
        if type(value) is functools.cached_property:
            return "cached property", {"function": value.func}
        if type(value) is _CACHED:
            return "cached function", {"function": value.__wrapped__}
        if isinstance(value, logging.Logger):
            return "logger", {"name": value.name}
        if type(value) is re.Pattern:
            return "pattern", {"pattern": value.pattern, "flags": value.flags}
        if isinstance(value, _ALIASES):
            return "type", {"shown": repr(value)}
        if type(value) is inspect.Signature:
            # Kailash keeps that of every node's __init__ with it.
            return "signature", {"parameters": list(value.parameters.values()), "returns": value.return_annotation}
        if type(value) is inspect.Parameter:
            told = {"name": value.name, "kind": value.kind.name}
            return "parameter", {**told, "default": value.default, "annotation": value.annotation}
        if type(value).__module__ == "numpy" and type(value).__name__ == "ufunc":
            return _ufunc(value)
        found = reduction(value)
        if isinstance(found, str):
            return self._instance(value, found) if hasattr(value, "__dict__") else found
        cls = type(value)
        if _version(cls.__module__) is None:
            # What its methods do is code as well.
            return found[0], {**found[1], "its class": cls}
        return found

    def _instance(self, value: Any, reason: str) -> Reduction:
        """An object of a class without a key of its own: its class and what it holds."""
        cls = type(value)
        slots = any(vars(base).get("__slots__") for base in cls.__mro__)
        if slots or not has_plain_layout(cls):
            return reason
        return "instance", {"class": cls, "state": dict(vars(value))}

    def _function(self, function: types.FunctionType) -> Reduction:
        version = _version(function.__module__)
        name = f"{function.__module__}:{function.__qualname__}"
        # Many may share a name such as f.<locals>.g.
        if version is not None and name_of(function):
            return "installed function", {"name": name, "version": version}
        told = {"name": name, "code": function.__code__}
        if (number := self._number(function)) is not None:
            return "function again", {**told, "number": number}
        return "function", {
            **told,
            "defaults": function.__defaults__,
            "keyword_defaults": function.__kwdefaults__,
            "closure": [_cell(cell) for cell in function.__closure__ or ()],
            "globals": _globals(function),
            "state": {key: value for key, value in vars(function).items() if key != "__wrapped__"},
        }

    def _class(self, cls: type) -> Reduction:
        version = _version(cls.__module__)
        name = f"{cls.__module__}:{cls.__qualname__}"
        if version is not None and name_of(cls):
            return "installed class", {"name": name, "version": version}
        members = _members(cls)
        if (number := self._number(cls)) is not None:
            code = {key: held.__code__ for key, held in members.items() if isinstance(held, types.FunctionType)}
            return "class again", {"name": name, "code": code, "number": number}
        if (fields := vars(cls).get("__pydantic_fields__")) is not None:
            # Defaults and constraints are nowhere else in the class.
            members["__pydantic_fields__"] = shown = {key: repr(field) for key, field in fields.items()}
            if any(" at 0x" in text for text in shown.values()):
                return "its fields can only be shown by addresses"
        return "class", {"name": name, "type": type(cls), "bases": list(cls.__bases__), "members": members}


def _version(module: str | None) -> str | None:
    return root_version((module or "").partition(".")[0])


def _ufunc(value: Any) -> Reduction:
    name: str = value.__name__
    if getattr(sys.modules.get("numpy"), name, None) is not value:
        return "it is not one of numpy's own functions"
    return "ufunc", {"name": name, "version": _version("numpy")}


def _builtin(value: Any) -> Reduction:
    owner = getattr(value, "__self__", None)
    of_class = getattr(value, "__objclass__", None)
    if owner is None or isinstance(owner, types.ModuleType):
        module = getattr(value, "__module__", None) or (of_class.__module__ if of_class else "builtins")
        return "builtin", {"name": f"{module}:{value.__qualname__}", "version": _version(module)}
    return "builtin method", {"name": value.__qualname__, "self": owner}


def _code(code: types.CodeType) -> dict[str, Any]:
    """What a code object does: nothing of where it stands."""
    return {
        "bytecode": code.co_code,
        "constants": code.co_consts,
        "names": code.co_names,
        "variables": code.co_varnames,
        "cells": code.co_cellvars,
        "free": code.co_freevars,
        "arguments": (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        "flags": code.co_flags,
        "exceptions": code.co_exceptiontable,
    }


def _cell(cell: types.CellType) -> Any:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not yet bound
        return None


def _all_code(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_code(constant)


def globals_loaded(function: types.FunctionType) -> tuple[set[str], set[str]]:
    """The names of the globals that a function may load, and of the attributes that it may take of anything.

    Args:
        function: The function; what is defined in it counts as its own.
    """
    loaded: set[str] = set()
    attributes: set[str] = set()
    for code in _all_code(function.__code__):
        for instruction in dis.get_instructions(code):
            if instruction.opname in _GLOBAL_LOADS:
                loaded.add(instruction.argval)
            elif instruction.opname in _ATTRIBUTE_LOADS:
                attributes.add(instruction.argval)
    return loaded, attributes


def _globals(function: types.FunctionType) -> dict[str, Any]:
    """The globals that a function loads, and of modules that may change what it takes from them."""
    loaded, attributes = globals_loaded(function)
    found = {name: function.__globals__[name] for name in sorted(loaded) if name in function.__globals__}
    modules = [(name, value) for name, value in found.items() if isinstance(value, types.ModuleType)]
    seen: set[int] = set()
    while modules:
        path, module = modules.pop()
        if id(module) in seen or _version(module.__name__) is not None:
            continue
        seen.add(id(module))
        for attribute in sorted(attributes & set(vars(module))):
            value = found[f"{path}.{attribute}"] = vars(module)[attribute]
            if isinstance(value, types.ModuleType):
                modules.append((f"{path}.{attribute}", value))
    return found


def _members(cls: type) -> dict[str, Any]:
    """What a class defines; of what Python keeps in it by itself, only the functions."""
    return {
        name: value
        for name, value in vars(cls).items()
        if not _is_kept_by_python(name) or isinstance(value, types.FunctionType)
        if not isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))
    }


def _is_kept_by_python(name: str) -> bool:
    return name.startswith("_abc_") or (name.startswith("__") and name.endswith("__"))
