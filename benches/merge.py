"""Puts the sections of a run of some groups into docs/benchmarks.md, whose other sections stay as they are."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence

import measuring
import process_nodes
from caches import tables as cache_tables
from digests import tables as digest_tables
from layered import tables as layered_tables
from pools import tables as pool_tables
from report import markdown_table
from session import Session

#: Groups whose sections say themselves what they are about, and who writes them.
SECTIONS: dict[str, Callable[..., Iterator[str]]] = {
    "pools": pool_tables.markdown,
    "cache": cache_tables.markdown,
    "digest": digest_tables.markdown,
    "measuring": measuring.markdown,
    "processes": process_nodes.markdown,
    "scaling": layered_tables.markdown,
}

#: What comes after all sections of groups.
_LAST = "## Machine and versions"


def with_groups(page: str, session: Session, groups: Sequence[str], command: str) -> str:
    """The page with sections of some groups replaced, or added where they are new.

    Args:
        page: As it was.
        session: What was measured.
        groups: Of `SECTIONS`.
        command: That measured it.
    """
    parts = _divided(page)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    told = f"Of a run of its own on {today} (`{command}`)."
    for group in groups:
        for heading, body in _divided("\n".join(SECTIONS[group](session, markdown_table)) + "\n").items():
            if heading:
                _put(parts, heading, f"\n{told}\n{body}")
    return "".join(f"{heading}\n{body}" if heading else body for heading, body in parts.items())


def _put(parts: dict[str, str], heading: str, body: str) -> None:
    """In its old place, or before the last ones."""
    if heading in parts:
        parts[heading] = body
        return
    later = {known: parts.pop(known) for known in list(parts)[_place_of_last(parts) :]}
    parts[heading] = body
    parts.update(later)


def _place_of_last(parts: dict[str, str]) -> int:
    headings = list(parts)
    return headings.index(_LAST) if _LAST in headings else len(headings)


def _divided(page: str) -> dict[str, str]:
    """Bodies by heading, in their order; what comes before the first one is under the empty heading."""
    parts: dict[str, str] = {"": ""}
    heading = ""
    for line in page.splitlines(keepends=True):
        if line.startswith("## "):
            heading = line.rstrip("\n")
            parts[heading] = ""
        else:
            parts[heading] += line
    return parts
