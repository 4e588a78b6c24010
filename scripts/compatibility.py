"""Writes docs/compatibility.md from the table in docs/compatibility/*.toml.

    scripts/compatibility.py          writes the page
    scripts/compatibility.py --check  says whether it is up to date

The tests in tests/compatibility read the same table. How to edit it is said at the head of
docs/compatibility/local.toml.
"""

from __future__ import annotations

import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "ROOT", "exceptions", "ids_that_fail", "render", "sections"]

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "compatibility"
PAGE = ROOT / "docs" / "compatibility.md"
WIDTH = 120

#: The files of the table, in the order of the page.
FILES = ("local", "local_methods", "elsewhere", "async_local", "nexus", "upstream")

_HEAD = "<!-- Written by `make docs-compatibility` from docs/compatibility/*.toml: edit those. -->\n"
_PLAIN_NAME = re.compile(r"\w+(=.*)?")


def sections() -> list[dict[str, Any]]:
    """The sections of the table, in order."""
    found: list[dict[str, Any]] = []
    for name in FILES:
        content = tomllib.loads((TABLE / f"{name}.toml").read_text(encoding="utf-8"))
        found.extend({**section, "file": name} for section in content["section"])
    return found


def exceptions(kind: str = "exception") -> dict[str, str]:
    """Tests of Kailash's own suite that pass on its runtimes and not on ours, each with its reason."""
    return {entry["id"]: entry["reason"] for section in sections() for entry in section.get(kind, ())}


def ids_that_fail() -> dict[str, str]:
    """Those, and the ones that may fail on either."""
    return {**exceptions(), **exceptions("fails_on_kailashs")}


def render() -> str:
    """The page."""
    return _HEAD + "\n" + "\n".join(block for section in sections() for block in _blocks(section))


def _blocks(section: dict[str, Any]) -> Iterator[str]:
    if title := section.get("title"):
        yield f"{'#' * section.get('level', 2)} {title}\n"
    text = section.get("text", "")
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph:
            yield _filled(paragraph.replace("{versions}", _versions())) + "\n"
    if section.get("row") or section.get("exception"):
        if general := section.get("tests"):
            yield f"Every row is held by {_links(general)}.\n"
        yield "\n".join(_table(section)) + "\n"
    if differences := section.get("difference"):
        yield "\n".join(_difference(entry) for entry in differences) + "\n"


def _table(section: dict[str, Any]) -> Iterator[str]:
    if "exception" in section:
        rows = [[f"`{entry['id']}`", entry["reason"]] for entry in section["exception"]]
        head = section["columns"]
    elif "head" in section:
        head = [section["head"], "how", "", "also held by"]
        rows = [[_names(row), row["how"], row["text"], _links(row.get("tests", ()))] for row in section["row"]]
    else:
        head = list(section["columns"])
        rows = [list(row["cells"]) for row in section["row"]]
        if any("tests" in row for row in section["row"]):
            head.append("held by")
            rows = [[*cells, _links(row.get("tests", ()))] for cells, row in zip(rows, section["row"], strict=True)]
    yield _row(head)
    yield "|" + "---|" * len(head)
    for row in rows:
        yield _row(row)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _names(row: dict[str, Any]) -> str:
    return ", ".join(f"`{name}`" if _PLAIN_NAME.fullmatch(name) else name for name in row["names"])


def _links(tests: tuple[str, ...] | list[str]) -> str:
    """Links to tests, named by their function, or by their file where it is the whole file."""
    links = []
    for test in tests:
        file, _, function = test.partition("::")
        links.append(f"[`{function or file.rpartition('/')[2]}`](../tests/{file})")
    return ", ".join(links)


def _difference(entry: dict[str, Any]) -> str:
    title = f"**{entry['title']}**{entry.get('joined', ' ')}" if entry["title"] else ""
    held = f" Held by {_links(entry['tests'])}." if entry.get("tests") else ""
    return _filled(f"{title}{' '.join(entry['text'].split())}{held}", initial="- ", following="  ")


def _filled(paragraph: str, initial: str = "", following: str = "") -> str:
    return textwrap.fill(
        " ".join(paragraph.split()),
        WIDTH,
        initial_indent=initial,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _versions() -> str:
    """The versions that the drop-in is tested with, as words, from the one place that states them."""
    # By its path: the package itself needs its extension, and the page does not.
    spec = util.spec_from_file_location("versions", ROOT / "python" / "nexus_core" / "versions.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said: str = module.range_in_words()
    return said


def main(arguments: list[str]) -> int:
    """Writes or checks the page; returns the exit status."""
    page = render()
    if arguments == ["--check"]:
        if PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is not what the table says: make docs-compatibility", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    PAGE.write_text(page, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
