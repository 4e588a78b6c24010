"""The table of docs/compatibility, as the tests read it."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncRuntime
from kailash.runtime.local import LocalRuntime as StockRuntime

from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

ROOT = Path(__file__).resolve().parents[2]

#: Kailash's class and ours, by the name that the table calls both by.
STOCK: dict[str, type[Any]] = {"LocalRuntime": StockRuntime, "AsyncLocalRuntime": StockAsyncRuntime}
OURS: dict[str, type[Any]] = {"LocalRuntime": LocalRuntime, "AsyncLocalRuntime": AsyncLocalRuntime}

#: The only methods with underscores that a user calls, by way of ``with``.
_CONTEXT = {"__enter__", "__exit__", "__aenter__", "__aexit__"}


@functools.cache
def page_writer() -> ModuleType:
    """``scripts/compatibility.py``."""
    spec = importlib.util.spec_from_file_location("compatibility_page", ROOT / "scripts" / "compatibility.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sections() -> list[dict[str, Any]]:
    """All sections of the table."""
    found: list[dict[str, Any]] = page_writer().sections()
    return found


@dataclass(frozen=True)
class Row:
    """One name of one row: an argument, a method, or a situation."""

    runtime: str
    section: str
    name: str
    how: str
    of: tuple[str, ...]

    @property
    def argument(self) -> str:
        """The name without the value that the row is for."""
        return self.name.partition("=")[0]

    def __str__(self) -> str:
        return f"{self.runtime}: {self.name}"


def rows() -> list[Row]:
    """Every name of every row that says how it runs."""
    return [
        Row(_runtime_of(section), section["title"], name, row["how"], tuple(section.get("of", ())))
        for section in sections()
        for row in section.get("row", ())
        if "how" in row
        for name in row["names"]
    ]


def _runtime_of(section: dict[str, Any]) -> str:
    return "AsyncLocalRuntime" if section["file"].startswith("async") else "LocalRuntime"


def of_methods(of: tuple[str, ...]) -> bool:
    """Whether a section lists methods rather than arguments."""
    return all("." not in name for name in of)


def arguments_of(name: str) -> set[str]:
    """The arguments of a method of Kailash's; ``**kwargs`` hand on to another one, and are not listed."""
    owner, _, method = name.partition(".")
    signature = inspect.signature(getattr(STOCK[owner], method))
    return {
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


def public_names(cls: type[Any]) -> set[str]:
    """The methods and properties of a class that a user may call."""
    return {name for name in dir(cls) if not name.startswith("_")} | (_CONTEXT & set(dir(cls)))


@functools.cache
def functions_of(file: Path) -> frozenset[str]:
    """The tests that a file defines: ``test_x``, or ``Class::test_x``."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.update(f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef))
    return frozenset(found)
