"""Every Python block of the README and of the guides runs, and prints what the block below it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
GUIDES = (README, *sorted((ROOT / "docs").glob("*.md")))

# A `text` block that follows a Python block directly is its output.
_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.M | re.S)


@dataclass(frozen=True)
class Example:
    page: str
    line: int
    code: str
    output: str | None


def _examples(page: Path = README) -> list[Example]:
    text = page.read_text(encoding="utf-8")
    return [
        Example(page.stem, text.count("\n", 0, match.start()) + 1, match["code"], match["output"])
        for match in _BLOCK.finditer(text)
    ]


def test_the_first_screen_shows_the_three_ways_in() -> None:
    first_screen = [example.code for example in _examples() if example.line < 70]
    for way in ("from nexus_core.runtime import LocalRuntime", "nexus_core.attach(app)", "nexus_core.install()"):
        assert sum(way in code for code in first_screen) == 1, way


def test_readme_has_an_example_of_the_task_graph() -> None:
    assert any("TaskGraph()" in example.code for example in _examples())


def test_every_python_block_is_found() -> None:
    for page in GUIDES:
        assert len(_examples(page)) == page.read_text(encoding="utf-8").count("```python\n"), page


@pytest.mark.parametrize(
    "example",
    [example for page in GUIDES for example in _examples(page)],
    ids=lambda example: f"{example.page}-line-{example.line}",
)
def test_block_runs(example: Example, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    if example.output is not None:
        assert done.stdout == example.output
