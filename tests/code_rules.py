"""Kailash's rules for code, changed and put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def code_rules() -> Iterator[None]:
    """The sets are the process's: they are in the end what they were."""
    from kailash.nodes.code import python as code_module

    names = ("ALLOWED_MODULES", "ALLOWED_BUILTINS")
    held = {name: getattr(code_module, name) for name in names}
    contents = {name: set(each) for name, each in held.items()}
    yield
    for name in names:
        setattr(code_module, name, held[name])
        held[name].clear()
        held[name].update(contents[name])
