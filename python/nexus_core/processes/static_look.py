"""Whether the code of a node shows that it could do something else in another process.

Nodes that go by themselves must do there what they do here. So one stays that shares something with others in this process:
globals and closures that can change, streams, the environment, locks. What the code does not show is seen when a run of it
is watched.
"""

from __future__ import annotations

import builtins
import datetime
import decimal
import dis
import enum
import fractions
import functools
import logging
import pathlib
import queue
import re
import sys
import threading
import types
import typing
import uuid
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from nexus_core._key_code import root_version
from nexus_core._node_attributes import attributes_of

__all__ = ["Look"]

#: What names in code give away.
_TELLTALE = {
    **dict.fromkeys(("print", "input", "stdin", "stdout", "stderr"), "it uses {!r}: this process's own streams"),
    **dict.fromkeys(
        ("environ", "getenv", "putenv", "getcwd", "chdir"),
        "it uses {!r}: a worker's environment and folder are those of its start",
    ),
    **dict.fromkeys(("get_workflow_context", "_workflow_context"), "it uses {!r}, whose values a worker has copies of"),
    **dict.fromkeys(
        ("globals", "exec", "eval", "__import__", "import_module"),
        "it uses {!r}: its code does not show what else it uses",
    ),
}
_NAMES = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM", "LOAD_FROM_DICT_OR_GLOBALS"})
_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
#: What code does with a module such that it shows what of it is used.
_OF_MODULES = _ATTRIBUTES | {"IMPORT_FROM", "STORE_ATTR", "DELETE_ATTR"}

#: These do not change, nor does what they refer to matter.
_PLAIN = (
    int, float, complex, str, bytes, bool, types.NoneType, types.EllipsisType, types.NotImplementedType, range,
    decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
    pathlib.PurePath, uuid.UUID, re.Pattern, logging.Logger, ContextVar, enum.Enum, types.GenericAlias, types.UnionType,
    typing.TypeVar, types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
_GUARDS = (
    type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event, threading.Semaphore,
    threading.Barrier, threading.local, queue.Queue, queue.SimpleQueue,
)  # fmt: skip
_TWO = re.compile("(?:LOAD|STORE)_FAST(?:_BORROW)?")
_CACHED = type(functools.lru_cache(lambda: None))


def _is_own(module: str | None) -> bool:
    """Whether code may change: it is no installed package's."""
    return module is None or root_version(module.partition(".")[0]) is None


class Look:
    """Looks through a node, and what its code uses.

    Args:
        node: The node.
    """

    def __init__(self, node: Any) -> None:
        #: Why it stays; the first reason that was found.
        self.reason: str | None = None
        #: Whose attributes it uses: modules and classes.
        self.used: dict[int, Any] = {}
        self._seen: dict[int, Any] = {}
        self._class(type(node))
        for name, value in attributes_of(node).items():
            if self.reason is None:
                self._attribute(name, value)

    def _stays(self, reason: str) -> None:
        self.reason = self.reason or reason

    def _attribute(self, name: str, value: Any) -> None:
        if isinstance(value, _GUARDS):
            self._stays(f"its attribute {name!r}, a {type(value).__qualname__}, would guard nothing there")
        elif isinstance(value, str) and name == "code":
            try:
                self._code(compile(value, "<code>", "exec"), {})
            except (SyntaxError, ValueError):  # it fails wherever it runs
                return
        elif isinstance(value, (types.FunctionType, type, types.MethodType, functools.partial)):
            self._value(value, name)
        elif _is_own(type(value).__module__) and id(value) not in self._seen:
            self._seen[id(value)] = value
            self._class(type(value))
            for inner, held in getattr(value, "__dict__", {}).items():
                self._attribute(f"{name}.{inner}", held)

    def _class(self, kind: type) -> None:
        for base in kind.__mro__:
            if not _is_own(base.__module__) or id(base) in self.used:
                continue
            self.used[id(base)] = base
            for name, held in list(vars(base).items()):
                if isinstance(held, (staticmethod, classmethod)):
                    held = held.__func__
                if isinstance(held, property):
                    for part in (held.fget, held.fset, held.fdel):
                        self._value(part, name)
                elif isinstance(held, types.FunctionType) or not (name.startswith("__") or name == "_abc_impl"):
                    self._value(held, f"{base.__qualname__}.{name}")

    def _value(self, value: Any, name: str) -> None:
        """Something that code uses."""
        if self.reason is not None or isinstance(value, _PLAIN):
            return
        if isinstance(value, types.FunctionType):
            if _is_own(value.__module__) and id(value) not in self._seen:
                self._seen[id(value)] = value
                self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.ModuleType):
            self._whole(value)
        elif isinstance(value, (tuple, frozenset)):
            for part in value:
                self._value(part, name)
        elif isinstance(value, types.BuiltinFunctionType):
            # A module's, or a method that is bound, such as a list's `append`.
            self._value(value.__self__, name)
        elif isinstance(value, _CACHED):
            self._value(value.__wrapped__, name)
        elif not self._is_installed_constant(value):
            self._stays(f"it uses {name!r}, a {type(value).__qualname__}, of which a worker has one of its own")

    def _whole(self, module: Any) -> None:
        """A module of which code may use anything: it is handed on, or in something else."""
        if not isinstance(module, types.ModuleType) or id(module) in self._seen or not _is_own(module.__name__):
            return
        self._seen[id(module)] = self.used[id(module)] = module
        for name, held in list(vars(module).items()):
            if isinstance(held, types.ModuleType):
                self._whole(held)
            elif not name.startswith("__"):
                self._value(held, f"{module.__name__}.{name}")

    @staticmethod
    def _is_installed_constant(value: Any) -> bool:
        # Such as NumPy's functions and types of elements, and what typing makes.
        return type(value).__module__ in ("numpy", "typing", "__future__") and type(value).__name__ != "ndarray"

    def _function(self, function: types.FunctionType) -> None:
        if vars(function):
            own = [name for name in vars(function) if not name.startswith("__")]
            if own:
                self._stays(f"function {function.__qualname__!r} has attributes of its own: {', '.join(own)}")
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._value(value, f"a default of {function.__qualname__}")
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                held = cell.cell_contents
            except ValueError:  # it is empty
                continue
            self._value(held, name)
        self._code(function.__code__, function.__globals__)

    def _code(self, code: types.CodeType, namespace: Mapping[str, Any], around: frozenset[str] = frozenset()) -> None:
        modules = _Modules()
        for kind, name in _instructions(code):
            if self.reason is not None:
                return
            for escaped in modules.escape(kind, name):
                self._whole(escaped)
            module = modules.top
            if kind in _NAMES and name in _TELLTALE:
                self._stays(_TELLTALE[name].format(name))
            elif kind in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                self._stays(f"it sets the global {name!r}")
            elif kind in ("STORE_DEREF", "DELETE_DEREF") and name in {*code.co_freevars} - around:
                self._stays(f"it sets {name!r} of the function around it")
            elif kind in ("STORE_ATTR", "DELETE_ATTR") and module is not None:
                self._stays(f"it sets {name!r} of module {module.__name__!r}")
            elif kind == "IMPORT_NAME" and name not in sys.modules and _is_own(name):
                self._stays(f"it imports {name!r}, which is relative, or was not imported yet")
            found = modules.found(kind, name)
            if found is None and kind in _GLOBALS:
                found = namespace.get(name, getattr(builtins, name, None))
            modules.top = None
            if not isinstance(found, types.ModuleType):
                self._value(found, name)
            elif _is_own(found.__name__):
                self.used[id(found)] = modules.top = found
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, namespace, around.union(code.co_cellvars))


class _Modules:
    """The module that code has just loaded, and those that are in its variables."""

    def __init__(self) -> None:
        self.top: Any = None
        self._imported: Any = None
        self._in_variables: dict[str, Any] = {}
        #: `import package.module as other` loads the package first, which is dropped.
        self._drops = False

    def escape(self, kind: str, name: Any) -> list[Any]:
        """Modules of which code may use anything from here on, for all that it shows.

        Args:
            kind: Of the next instruction.
            name: What it has for an argument.
        """
        module, drops, self._drops = self.top, self._drops, False
        if module is None or kind in _OF_MODULES:
            return []
        root = sys.modules.get(module.__name__.partition(".")[0])
        if drops and kind in ("SWAP", "ROT_TWO", "POP_TOP"):
            self._drops = True
        elif kind in ("STORE_FAST", "STORE_NAME"):
            is_package = module is self._imported and root is not None and name == root.__name__
            self._in_variables[name] = root if is_package else module
        else:
            return [module, root] if module is self._imported else [module]
        return []

    def found(self, kind: str, name: Any) -> Any:
        """What an instruction loads, as far as it comes from a module.

        Args:
            kind: Of the instruction.
            name: What it has for an argument.
        """
        if kind in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_NAME"):
            return self._in_variables.get(name)
        if kind in _ATTRIBUTES and self.top is not None:
            return vars(self.top).get(name)
        if kind == "IMPORT_NAME":
            self._imported = sys.modules.get(name)
            return self._imported
        if kind == "IMPORT_FROM" and self._imported is not None:
            self._drops = name in self._imported.__name__.split(".")[1:]
            return self._imported if self._drops else vars(self._imported).get(name)
        return self.top if self._drops else None


def _instructions(code: types.CodeType) -> Iterator[tuple[str, Any]]:
    for instruction in dis.get_instructions(code):
        if instruction.opname not in ("CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL", "RESUME", "PRECALL"):
            kinds = _TWO.findall(instruction.opname)
            if len(kinds) == 2:
                # In one, such as LOAD_FAST_LOAD_FAST, with a name each.
                yield from zip(kinds, instruction.argval, strict=True)
            else:
                yield instruction.opname, instruction.argval
