"""The docstrings of public objects name every argument, and their examples run as they stand."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import nexus_core

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# Doctest's own collection does not see the classes of an extension module.
_EXTENSION_CLASSES = {
    f"nexus_core.{name}": cls for name in nexus_core.__all__ if inspect.isclass(cls := getattr(nexus_core, name))
}


def _members(name: str, obj: Any) -> Iterator[tuple[str, Any]]:
    """An object and, of a class, the public methods and properties of its own or its native base."""
    yield name, obj
    if inspect.isclass(obj):
        native = (vars(base) for base in obj.__mro__[1:] if base.__module__ == "nexus_core._core")
        members = {key: value for each in (*native, vars(obj)) for key, value in each.items()}
        # An extension class lists them in another order in every process.
        for member, value in sorted(members.items(), key=lambda item: item[0]):
            if not member.startswith("_") and (inspect.isroutine(value) or inspect.isgetsetdescriptor(value)):
                yield f"{name}.{member}", value


def _python_objects() -> Iterator[tuple[str, Any]]:
    """What modules without a need for Kailash make public."""
    for found in pkgutil.iter_modules(nexus_core.__path__, "nexus_core."):
        if not found.ispkg and not found.name.startswith("nexus_core._"):
            module = importlib.import_module(found.name)
            yield from ((f"{found.name}.{name}", getattr(module, name)) for name in module.__all__)


_OF_EXTENSION = dict(member for found in _EXTENSION_CLASSES.items() for member in _members(*found))
_OF_PYTHON = dict(member for found in _python_objects() for member in _members(*found))
_PUBLIC = {"nexus_core": nexus_core} | _OF_EXTENSION | _OF_PYTHON
_METHODS = [name for name, obj in _OF_EXTENSION.items() if inspect.isroutine(obj)]


def _doctest(name: str) -> doctest.DocTest:
    obj = _PUBLIC[name]
    # The examples of extension classes import what they use; others stand in their module.
    names = dict(vars(inspect.getmodule(obj))) if name in _OF_PYTHON and inspect.getmodule(obj) else {}
    return doctest.DocTestParser().get_doctest(inspect.getdoc(obj) or "", names, name, None, None)


def _section(name: str, title: str) -> str:
    """The indented lines below a title of a docstring, such as ``Args:``."""
    found = re.search(rf"^{title}:\n((?: +.*\n|\n)+)", f"{inspect.getdoc(_PUBLIC[name])}\n", re.M)
    return inspect.cleandoc(found[1]) if found else ""


def _parameters(name: str) -> set[str]:
    member = _PUBLIC[name]
    function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def _constructible(cls: type) -> bool:
    """Whether users make instances themselves: a class that they do not cannot be called."""
    return "__new__" in vars(cls)


@pytest.mark.parametrize("name", ["nexus_core.TaskGraph.add", "nexus_core.CompiledGraph.run", "nexus_core.Ref.name"])
def test_members_of_extension_classes_are_found(name: str) -> None:
    assert name in _OF_EXTENSION


@pytest.mark.parametrize("name", [name for name in _PUBLIC if _doctest(name).examples])
def test_example_runs(name: str) -> None:
    report: list[str] = []
    results = doctest.DocTestRunner(optionflags=_FLAGS).run(_doctest(name), out=report.append)
    assert results.attempted > 0
    assert results.failed == 0, "".join(report)


@pytest.mark.parametrize("name", [*_EXTENSION_CLASSES, *_METHODS])
def test_extension_class_or_method_shows_an_example(name: str) -> None:
    assert _section(name, "Example").startswith(">>> ")


@pytest.mark.parametrize("name", _PUBLIC)
def test_docstring_starts_with_one_sentence(name: str) -> None:
    # Up to the first empty line; a sentence may go over two lines.
    summary = (inspect.getdoc(_PUBLIC[name]) or "").split("\n\n")[0]
    assert summary.endswith(".")
    assert len(summary) < 160


@pytest.mark.parametrize(
    "name",
    [*_METHODS, *(name for name, cls in _EXTENSION_CLASSES.items() if _constructible(cls)), "nexus_core.gantt.render"],
)
def test_docstring_names_exactly_the_arguments(name: str) -> None:
    named = set(re.findall(r"^(\w+): \S", _section(name, "Args"), re.M))
    assert named == _parameters(name)


@pytest.mark.parametrize("name", ["nexus_core.CompiledGraph", "nexus_core.GraphStepper"])
def test_class_made_by_a_method_says_which(name: str) -> None:
    cls = _EXTENSION_CLASSES[name]
    with pytest.raises(TypeError):
        cls()
    assert re.search(r"`\w+\.\w+\(\)` makes it", inspect.getdoc(cls) or "")
