"""What Kailash's rules say of the code of nodes, and what is watched so that a plan goes by them as they are.

Kailash checks a node's code and makes its namespace anew at every execution. It goes by ``ALLOWED_MODULES`` and
``ALLOWED_BUILTINS``, which anybody may change at any time, and by the sets of the node's executor.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Set
from types import CodeType
from typing import Any, NamedTuple, TypeGuard

from nexus_core.runtime import stock
from nexus_core.runtime.explain import REFUSED

__all__ = ["CHECKER_METHODS", "CheckedCode", "NoProgram", "ReadSets", "checked", "is_dynamic", "is_set"]

#: Names, and whether they are in a set.
Looked = list[tuple[str, bool]]
#: A set; names that are looked up in it; and all that it has, if all of it matters.
Description = tuple[Set[Any], Looked, Looked | None]

#: What the check of code calls if it is there: whoever is stricter than Kailash adds some.
CHECKER_METHODS = (
    "__init__", "visit", "generic_visit",
    *(f"visit_{name}" for name, kind in vars(ast).items() if isinstance(kind, type) and issubclass(kind, ast.AST)),
)  # fmt: skip


class NoProgram(Exception):
    """A node that is left to its own ``execute``; the text says why."""


class CheckedCode(NamedTuple):
    """Code that may run.

    Attributes:
        code: It, compiled.
        names: All names and attributes that it mentions.
        imports: Packages that it may run with only while they are allowed.
    """

    code: CodeType
    names: frozenset[str]
    imports: frozenset[str]


class ReadSets:
    """The sets that the programs of one plan are made from, and what was looked up in them."""

    def __init__(self) -> None:
        self._common: dict[int, _CommonSet] = {}
        #: Sets of one node each.
        self._own: list[Description] = []
        self._lists: dict[tuple[frozenset[Any], frozenset[Any]], Looked] = {}

    def own(self, held: Set[Any], names: frozenset[str] | None) -> frozenset[Any]:
        """What is in a set in which no other node looks up.

        Args:
            held: A set or frozenset.
            names: What matters; ``None`` for all that there is.
        """
        whole = None
        if names is None:
            present = names = frozenset(held)
            whole = self._list(present, present)
        else:
            present = names.intersection(held)
        if type(held) is set:
            self._own.append((held, self._list(names, present), whole))
        return present

    def common(self, held: Set[Any]) -> _CommonSet:
        """A set in which many nodes look up.

        Args:
            held: A set or frozenset.
        """
        known = self._common.get(id(held))
        if known is None:
            known = self._common[id(held)] = _CommonSet(held)
        return known

    def __iter__(self) -> Iterator[Description]:
        """What has to stay as it is."""
        yield from self._own
        for common in self._common.values():
            yield common.description()

    def _list(self, names: frozenset[Any], present: frozenset[Any]) -> Looked:
        known = self._lists.get((names, present))
        if known is None:
            known = self._lists[names, present] = _looked(names, present)
        return known


class _CommonSet:
    """A set as it was at the first look: programs that were made from two states would fit neither.

    Attributes:
        then: What was in it.
        whole: Whether all of that matters.
    """

    __slots__ = ("_held", "_looked", "_seen", "then", "whole")

    def __init__(self, held: Set[Any]) -> None:
        self._held = held
        self.then = frozenset(held)
        self.whole = False
        self._looked: set[str] = set()
        self._seen: set[frozenset[str]] = set()

    def look(self, names: frozenset[str]) -> None:
        """Notes that it matters whether some names are in it.

        Args:
            names: The names.
        """
        if names not in self._seen:
            self._seen.add(names)
            self._looked |= names

    def description(self) -> Description:
        whole = _looked(self.then, self.then) if self.whole else None
        return self._held, _looked(self._looked, self.then), whole


def _looked(names: Set[Any], present: frozenset[Any]) -> Looked:
    # What is no string is no module and no builtin.
    return [(name, name in present) for name in names if type(name) is str]


def is_set(held: Any) -> TypeGuard[Set[Any]]:
    """Whether what is in a set can be told by looking: a class of its own may answer as it likes."""
    return type(held) in (set, frozenset)


def checked(text: str, trusted: bool, sets: ReadSets) -> CheckedCode:
    """Code that ``CodeExecutor.check_code_safety`` lets pass now.

    Args:
        text: The code.
        trusted: Whether the check is left out.
        sets: Learns which modules the verdict depends on.

    Raises:
        NoProgram: If it is refused, or cannot be compiled.
    """
    if trusted:
        return _compiled(text)
    allowed = stock.code_module.ALLOWED_MODULES
    if not is_set(allowed):
        raise NoProgram(f"ALLOWED_MODULES is a {type(allowed).__name__}, not a set")
    try:
        passed = _passed(text)
    except NoProgram:
        # Once they are allowed, it may pass.
        sets.common(allowed).look(_imports(text))
        raise
    imports = passed.imports
    if imports:
        common = sets.common(allowed)
        common.look(imports)
        if not imports <= common.then:
            raise NoProgram(f"{REFUSED}SafetyViolationError")
    return passed


@functools.lru_cache(maxsize=4096)
def _passed(text: str) -> CheckedCode:
    """Code that has passed the check, and will pass it whenever what it imports is allowed.

    Beside the imports, the verdict depends on nothing that changes.
    """
    try:
        try:
            _, _, imports = stock.CodeExecutor().check_code_safety(text)
        except SystemError:
            # Two threads that parse at once may confuse Python 3.11: "AST constructor recursion depth mismatch".
            _, _, imports = stock.CodeExecutor().check_code_safety(text)
    except Exception as refused:
        raise NoProgram(f"{REFUSED}{type(refused).__name__}") from refused
    return _read(text, frozenset(imports))


def _imports(text: str) -> frozenset[str]:
    """Packages of which the check of some code asks whether they are allowed."""
    checker = stock.code_module.SafeCodeChecker()
    try:
        checker.visit(ast.parse(text))
    except Exception:  # it is refused whatever is allowed
        return frozenset()
    return frozenset(checker.imports_found)


@functools.lru_cache(maxsize=4096)
def _compiled(text: str) -> CheckedCode:
    return _read(text, frozenset())


def _read(text: str, imports: frozenset[str]) -> CheckedCode:
    try:
        code = compile(text, "<string>", "exec", dont_inherit=True)
    except Exception as refused:
        raise NoProgram(f"its code does not compile: {type(refused).__name__}") from refused
    names: set[str] = set()
    pending = [code]
    while pending:
        current = pending.pop()
        names.update(current.co_names)
        for constant in current.co_consts:
            if isinstance(constant, CodeType):
                pending.append(constant)
            elif isinstance(constant, str) and "globals" in constant:
                names.add(constant)
    return CheckedCode(code, frozenset(names), imports)


@functools.lru_cache(maxsize=4096)
def is_dynamic(names: frozenset[str]) -> bool:
    """Whether code may look names up that it does not mention.

    Args:
        names: Those that it mentions.
    """
    return any("globals" in name or "builtins" in name for name in names)
