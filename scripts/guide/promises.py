"""What a guide's classes promise: their methods, the keys of their replies, their attributes; and what is lacking."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["Keys", "attributes_of", "keys_of_value", "lacking", "methods_of", "reply_keys"]

#: The keys of a reply, each with those below it; ``None`` is anything. ``"*"`` stands for any key.
Keys = dict[str, Any] | None

ANY = "*"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def methods_of(defined: ast.ClassDef) -> Iterator[tuple[str, Function, ast.ClassDef]]:
    """The public methods of a class, and of the classes that are made inside of them: dotted name, method and class."""
    for node in defined.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield f"{defined.name}.{node.name}", node, defined
            for part in node.body:
                if isinstance(part, ast.ClassDef):
                    yield from methods_of(part)


def attributes_of(defined: ast.ClassDef, inner: bool = False) -> Iterator[tuple[str, str]]:
    """The public attributes that a class's ``__init__`` sets, with the class's name; inner classes included.

    Of those what it is given and the figures: the queues and lists that the guide works with are its own affair.
    """
    for node in defined.body:
        if isinstance(node, Function) and node.name == "__init__":
            for part in ast.walk(node):
                if isinstance(part, ast.Assign) and not (inner and isinstance(part.value, (ast.Call, ast.List))):
                    yield from (
                        (defined.name, target.attr)
                        for target in part.targets
                        if isinstance(target, ast.Attribute)
                        and isinstance(target.value, ast.Name)
                        and target.value.id == "self"
                        and not target.attr.startswith("_")
                    )
        elif isinstance(node, Function):
            for part in node.body:
                if isinstance(part, ast.ClassDef):
                    yield from attributes_of(part, inner=True)


def reply_keys(function: Function, defined: ast.ClassDef, deep: int = 5) -> list[Keys]:
    """What a method of a class can return, as far as it is written as a dict; one for each ``return``."""

    def keys_of(value: ast.expr) -> Keys:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and deep:
            called = value.func
            for method in defined.body:
                is_own = isinstance(called.value, ast.Name) and called.value.id == "self"
                if is_own and isinstance(method, Function) and method.name == called.attr:
                    promised = reply_keys(method, defined, deep - 1)
                    return promised[-1] if promised else None
        return _keys(value, names, keys_of)

    names: dict[str, Keys] = {}
    found: list[Keys] = []
    for node in _own_statements(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                _assign(names, target, keys_of(node.value))
        elif isinstance(node, ast.Return) and node.value is not None:
            keys = keys_of(node.value)
            if keys:
                found.append(keys)
    return found


def _own_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a function in their order, without those of functions and classes inside of it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _own_statements(child)


def _keys(value: ast.expr, names: Mapping[str, Keys], keys_of: Callable[[ast.expr], Keys]) -> Keys:
    if isinstance(value, ast.Name):
        return names.get(value.id)
    if not isinstance(value, ast.Dict):
        return None
    found: dict[str, Any] = {}
    for key, part in zip(value.keys, value.values, strict=True):
        name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ANY
        found[name] = keys_of(part)
    return found


def _assign(names: dict[str, Keys], target: ast.expr, keys: Keys) -> None:
    if isinstance(target, ast.Name):
        names[target.id] = keys
        return
    path: list[str] = []
    while isinstance(target, ast.Subscript):
        constant = isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str)
        path.insert(0, target.slice.value if constant else ANY)  # type: ignore[attr-defined]
        target = target.value
    if not path or not isinstance(target, ast.Name):
        return
    into = names.get(target.id)
    for name in path[:-1]:
        into = into.get(name) if into is not None else None
    if into is not None:
        into[path[-1]] = keys


def keys_of_value(value: object) -> Keys:
    """The keys of a value that was returned."""
    if not isinstance(value, Mapping):
        return None
    return {str(key): keys_of_value(part) for key, part in value.items()}


def lacking(promised: Keys, returned: Keys, path: str = "") -> list[str]:
    """The promised keys that a reply does not have, as paths."""
    if not promised:
        return []
    if returned is None:
        return [f"{path or 'the reply'} is no dict"]
    found: list[str] = []
    for name, below in promised.items():
        if name == ANY:
            for each, part in returned.items():
                found += lacking(below, part, f"{path}[{each!r}]")
        elif name not in returned:
            found.append(f"{path}[{name!r}]")
        else:
            found += lacking(below, returned[name], f"{path}[{name!r}]")
    return found
