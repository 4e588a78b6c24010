"""Each direct dependency has its reason in docs/dependencies.md, and each lock is complete."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def _crates() -> set[str]:
    cargo = _toml("Cargo.toml")
    tables = [cargo, *cargo.get("target", {}).values()]
    kinds = ("dependencies", "dev-dependencies", "build-dependencies")
    return {crate for table in tables for kind in kinds for crate in table.get(kind, {})}


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _packages() -> set[str]:
    project = _toml("pyproject.toml")
    lists = [
        project["project"].get("dependencies", []),
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return {_name(entry) for entries in lists for entry in entries if isinstance(entry, str)}


@pytest.mark.parametrize("name", sorted(_crates() | _packages()))
def test_dependency_has_a_reason(name: str) -> None:
    rows = [
        line for line in (ROOT / "docs/dependencies.md").read_text(encoding="utf-8").splitlines() if line[:1] == "|"
    ]
    assert any(f"`{name}`" in row.split("|")[1] and row.split("|")[2].strip() for row in rows)


@pytest.mark.parametrize("name", sorted(_packages()))
def test_dependency_is_locked_with_hashes(name: str) -> None:
    lock = (ROOT / "requirements/bench.txt").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(name)}==\S+.*\\\n +--hash=sha256:[0-9a-f]{{64}}", lock, re.M)


def test_both_locks_agree() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==[^\\\n]*", (ROOT / "requirements" / name).read_text(), re.M))

    assert pins("dev.txt") < pins("bench.txt")
