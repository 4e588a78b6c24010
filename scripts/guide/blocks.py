"""The Python blocks of a guide, made to run on ``nexus_core``."""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass, field

__all__ = ["Block", "blocks_of", "classes_of", "mended"]

_FENCE = re.compile(r"^```python[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)

# A call that the guide leaves to its reader.
_LEFT_OUT = re.compile(r"^# *(asyncio\.run\(.+\)) *$", re.MULTILINE)

# Methods whose first argument is the name of a workflow that has to be there.
_OF_A_WORKFLOW = (
    "optimize_workflow_execution",
    "execute_concurrent_workflows",
    "optimize_for_throughput",
    "run_load_test",
)

_FOR_A_MISSING_WORKFLOW = "nexus_core.PerformanceBestPractices.create_optimized_workflow()"


@dataclass(frozen=True)
class Block:
    """A block, and where it is."""

    number: int
    line: int
    heading: str
    source: str


@dataclass
class Mended:
    """A block that can run, and what was done for it."""

    source: str
    done: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def blocks_of(text: str) -> list[Block]:
    """The Python blocks of a Markdown text."""
    found = []
    for number, match in enumerate(_FENCE.finditer(text), 1):
        before = _HEADING.findall(_without_code(text[: match.start()]))
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(number, line, before[-1] if before else "", match.group(1)))
    return found


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```[ \t]*$", "", text, flags=re.DOTALL | re.MULTILINE)


def classes_of(source: str) -> dict[str, ast.ClassDef]:
    """The classes that a block defines, by name."""
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def mended(source: str, provided: frozenset[str], attach: bool = False) -> Mended:
    """Lets a block use the package's classes for its own, and mends what keeps it from running.

    Args:
        source: The block.
        provided: The classes that the package has.
        attach: Whether the block's apps are attached, too.

    Returns:
        The source to run. Classes that the package does not have are listed; they stay in it.
    """
    found = Mended(source)
    source, count = _LEFT_OUT.subn(r"\1", source)
    if count:
        found.done.append("runs what is commented out")
    tree = ast.parse(source)
    own = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found.taken = [node.name for node in own if node.name in provided]
    found.missing = [node.name for node in own if node.name not in provided]
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ClassDef) and node.name in provided)]
    head = ["import nexus_core"]
    if found.taken:
        head.append(f"from nexus_core import {', '.join(found.taken)}")
    _mend_deques(tree, found)
    if _uses_without_import(tree, "time"):
        head.append("import time")
        found.done.append("imports time")
    _mend_names(tree, found, {*dir(builtins), *_bound(tree), *_bound(ast.parse("\n".join(head)))})
    after_app = ["nexus_core.attach(app)"] if attach else []
    for name in _unregistered(tree):
        after_app.append(f"app.register({name!r}, {_FOR_A_MISSING_WORKFLOW})")
        found.done.append(f"registers {name!r}, which it names and does not have")
    body = [*ast.parse("\n".join(head)).body]
    for node in tree.body:
        body.append(node)
        if after_app and _makes_the_app(node):
            body += ast.parse("\n".join(after_app)).body
    tree.body = body
    found.source = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return found


def _mend_deques(tree: ast.AST, found: Mended) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "deque":
            for keyword in node.keywords:
                if keyword.arg == "maxsize":
                    keyword.arg = "maxlen"
                    found.done.append("deque(maxsize=…) is deque(maxlen=…)")


def _mend_names(tree: ast.Module, found: Mended, known: set[str]) -> None:
    """Gives a function's variable that nothing reads the name that the function reads and nothing sets."""
    for function in tree.body:
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        set_here = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        arguments = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        unset, unread = sorted(read - set_here - arguments - known), sorted(set_here - read)
        if len(unset) == 1 and len(unread) == 1:
            for node in names:
                if node.id == unread[0]:
                    node.id = unset[0]
            found.done.append(f"{unread[0]} is {unset[0]}")


def _bound(tree: ast.Module) -> set[str]:
    """The names that a module's own statements set."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                names.add(part.id)
            elif isinstance(part, ast.alias):
                names.add((part.asname or part.name).split(".")[0])
    return names


def _uses_without_import(tree: ast.Module, name: str) -> bool:
    if name in _bound(tree):
        return False
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def _makes_the_app(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and any(isinstance(target, ast.Name) and target.id == "app" for target in node.targets)
    )


def _unregistered(tree: ast.Module) -> list[str]:
    """Workflows that are asked for by name, and that the block registers nowhere."""
    asked: list[str] = []
    registered: set[str] = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        first = node.args[0]
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            continue
        if node.func.attr == "register":
            registered.add(first.value)
        elif node.func.attr in _OF_A_WORKFLOW and first.value not in asked:
            asked.append(first.value)
    return [name for name in asked if name not in registered]
