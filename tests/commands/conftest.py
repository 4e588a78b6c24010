"""Commands are about apps and workflows: without Nexus there are none."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("nexus") else ["*.py"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory for a program's run history."""
    folder = tmp_path / "home"
    (folder / ".kailash" / "tracking").mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def _programs_leave_no_open_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands that are called here import programs into this process, which outlives them."""
    from nexus import Nexus

    made: list[Any] = []
    begin = Nexus.__init__

    def remembered(self: Any, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        begin(self, *args, **kwargs)

    monkeypatch.setattr(Nexus, "__init__", remembered)
    yield
    for app in made:
        if app.runtime is not None:
            app.close()
