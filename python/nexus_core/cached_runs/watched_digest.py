"""A workflow's digest, kept for as long as nothing that it was made of has changed."""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import re
import types
import uuid
from typing import Any

from nexus_core._core import DigestWatch, _digest
from nexus_core._key_code import CodeReduction, globals_loaded, root_version
from nexus_core._key_workflow import WorkflowReduction, is_workflow
from nexus_core._node_attributes import KAILASHS_OWN
from nexus_core.keys import workflow_digest
from nexus_core.runtime import stock

__all__ = ["WatchedDigest"]

_ATOMS: frozenset[type] = frozenset(
    {
        bool, bytes, complex, float, int, range, slice, str, type(None), type(...),
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
        decimal.Decimal, uuid.UUID, re.Pattern, types.ModuleType, types.CodeType,
    }
)  # fmt: skip

_UNCHANGING = (staticmethod, classmethod, property, types.MethodType, inspect.Signature, inspect.Parameter)

_PLAIN_ELEMENTS = frozenset({bool, bytes, float, int, str, type(None)})

_OF_WORKFLOWS = ["metadata", "version", "nodes", "connections", "graph", "_node_instances"]

#: Of what every node holds for its own purposes; its metadata say the version, and no more that matters.
_NODES_OWN = frozenset(KAILASHS_OWN - {"_node_metadata"})

#: The plan, too, goes by what these were when it was made.
_EXECUTORS_OWN = frozenset({"_execution_namespace"})


class WatchedDigest:
    """The digest of a workflow as it is now.

    Args:
        workflow: A built workflow.

    Raises:
        NotKeyable: If something in it has no key.

    Attributes:
        digest: 32 bytes.
    """

    __slots__ = ("_watch", "digest")

    def __init__(self, workflow: Any) -> None:
        walk = _Walk()
        walk.workflow(workflow)
        watch = walk.watch()
        self.digest = workflow_digest(workflow)
        replaced = _replaced_methods(workflow)
        if replaced:
            self.digest = _digest((self.digest, replaced), "a replaced method", CodeReduction())
        #: None if something in it can be changed unnoticed.
        self._watch = watch if watch is not None and watch.is_current() else None

    def is_current(self) -> bool:
        """Whether nothing has changed since; ``False`` also if that cannot be told."""
        return self._watch is not None and self._watch.is_current()

    @property
    def watch(self) -> DigestWatch | None:
        """What notices changes; ``None`` if nothing can."""
        return self._watch

    @property
    def is_watched(self) -> bool:
        """Whether changes are noticed; otherwise it has to be made anew for every run."""
        return self._watch is not None


class _Walk:
    """Finds what can be changed of all that a digest is made of."""

    def __init__(self) -> None:
        self._reduce = WorkflowReduction()
        self._met: dict[int, Any] = {}
        self._dicts: list[tuple[dict[Any, Any], list[Any] | None]] = []
        self._parts: list[tuple[dict[Any, Any], frozenset[str]]] = []
        self._lists: list[list[Any]] = []
        self._sets: list[set[Any]] = []
        self._classes: list[type] = []
        #: Attributes of functions and cells, which no dict holds.
        self._attributes_held: list[tuple[Any, str, Any]] = []
        self._modules: dict[int, Any] = {}
        self._is_watchable = True

    def watch(self) -> DigestWatch | None:
        if not self._is_watchable:
            return None
        return DigestWatch(self._dicts, self._parts, self._lists, self._sets, self._classes, self._attributes_held)

    def workflow(self, workflow: Any) -> None:
        self._met[id(workflow)] = workflow
        self._dicts.append((vars(workflow), _OF_WORKFLOWS))
        self._value(workflow.metadata)
        for name, node in workflow.nodes.items():
            self._dicts.append((vars(node), ["node_type", "config"]))
            self._value(node.config)
            self._value(workflow._node_instances.get(name))
        self._dicts.append((workflow.nodes, None))
        self._dicts.append((workflow._node_instances, None))
        self._lists.append(workflow.connections)
        for connection in workflow.connections:
            self._attributes(connection)
        graph = workflow.graph
        edges = getattr(graph, "_edge_attrs", None)
        if type(edges) is not dict:
            self._is_watchable = False
            return
        self._value(edges)

    def _value(self, value: Any) -> None:
        cls = type(value)
        if cls in _ATOMS or id(value) in self._met:
            return
        # Kept alive, so that its id stays its own.
        self._met[id(value)] = value
        if cls is dict:
            self._dicts.append((value, None))
            for key, held in list(value.items()):
                self._value(key)
                self._value(held)
        elif cls is list:
            self._lists.append(value)
            for item in list(value):
                self._value(item)
        elif cls in (tuple, frozenset):
            for item in value:
                self._value(item)
        elif cls is set:
            if all(type(element) in _PLAIN_ELEMENTS for element in value):
                self._sets.append(value)
            else:
                self._is_watchable = False
        else:
            self._object(value)

    def _object(self, value: Any) -> None:
        if isinstance(value, (enum.Enum, types.BuiltinFunctionType)):
            return
        reduced = self._reduce(value)
        if isinstance(reduced, str):
            # It has no key, as the digest will say; or one of its content, such as an array.
            self._is_watchable = False
            return
        kind, attributes = reduced
        if kind in ("installed function", "installed class", "logger", "type", "ufunc", "builtin"):
            return
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._classes.append(value)
        elif is_workflow(value):
            self.workflow(value)
            return
        elif type(value) is stock.CodeExecutor:
            # What it allows is the same for all code of the process, and the plan goes by it.
            self._parts.append((vars(value), _EXECUTORS_OWN))
            self._attributes(value.security_config)
            return
        elif kind == "node":
            self._parts.append((vars(value), _NODES_OWN))
            self._classes.extend(base for base in type(value).__mro__ if base is not object)
            self._dicts.append((vars(value._node_metadata), ["version"]))
            # A class keeps its tag when what its methods use is changed, or what it holds.
            self._value(type(value))
            attributes = {key: held for key, held in vars(value).items() if key not in KAILASHS_OWN}
        elif not self._attributes_are_all(value):
            self._is_watchable = False
        for held in list(attributes.values()):
            self._value(held)

    def _attributes_are_all(self, value: Any) -> bool:
        """Whether all that can be changed of an object is in its ``__dict__``, which is watched then."""
        if _refuses_changes(value):
            return True
        if isinstance(value, _UNCHANGING):
            return True
        if "__pydantic_fields__" in vars(type(value)):
            self._dicts.append((vars(value), None))
            for held in (value.__pydantic_extra__, value.__pydantic_private__, value.__pydantic_fields_set__):
                self._value(held)
            return True
        own = getattr(value, "__dict__", None)
        if type(own) is not dict or any(vars(base).get("__slots__") for base in type(value).__mro__):
            return False
        if isinstance(value, (dict, list, set, bytearray)) or type(value).__flags__ & _HEAP_TYPE == 0:
            return False
        self._attributes(value)
        return True

    def _attributes(self, value: Any) -> None:
        own = vars(value)
        self._dicts.append((own, None))
        for held in list(own.values()):
            self._value(held)

    def _function(self, function: types.FunctionType) -> None:
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            self._attributes_held.append((function, name, getattr(function, name)))
        for cell in function.__closure__ or ():
            self._attributes_held.append((cell, "cell_contents", _content(cell)))
        if function.__kwdefaults__ is not None:
            self._dicts.append((function.__kwdefaults__, None))
        self._dicts.append((vars(function), None))
        loaded, attributes = globals_loaded(function)
        self._dicts.append((function.__globals__, sorted(loaded)))
        modules = [function.__globals__.get(name) for name in loaded]
        while modules:
            module = modules.pop()
            if type(module) is not types.ModuleType or id(module) in self._modules:
                continue
            if root_version(module.__name__.partition(".")[0]) is None:
                self._modules[id(module)] = module
                self._dicts.append((vars(module), sorted(attributes)))
                modules.extend(vars(module).get(name) for name in attributes)


_HEAP_TYPE = 1 << 9


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return None


def _refuses_changes(value: Any) -> bool:
    """Whether a value is of a dataclass that refuses changes, or of a named tuple."""
    cls = type(value)
    if isinstance(value, tuple):
        return cls.__bases__ == (tuple,) and not cls.__dictoffset__
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _replaced_methods(workflow: Any) -> dict[str, Any]:
    """Methods of nodes' classes that somebody has put there since their package was imported.

    A package's name and version stand for the code of its classes, and say nothing of those.
    """
    classes = {cls for node in workflow._node_instances.values() for cls in type(node).__mro__}
    return {
        f"{cls.__module__}:{cls.__qualname__}.{name}": held
        for cls in classes
        # The code of others is in the digest.
        if _is_installed(cls.__module__)
        for name, held in vars(cls).items()
        if _is_put_there(name, held)
    }


def _is_put_there(name: str, held: Any) -> bool:
    function = getattr(held, "__func__", held)
    if isinstance(function, types.FunctionType):
        return not _is_installed(function.__module__)
    if name not in _CALLED or not callable(held):
        return False
    kind = type(held).__module__
    return kind.startswith("unittest.") or not _is_installed(kind)


def _is_installed(module: str | None) -> bool:
    return root_version((module or "").partition(".")[0]) is not None


#: What runtimes call of a node.
_CALLED = frozenset(
    {"execute", "execute_async", "run", "async_run", "validate_inputs", "validate_outputs", "get_parameters"}
)
