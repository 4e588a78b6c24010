"""Pages of which parts are written by what measures them: between `<!-- measured: name -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_parts(page: str, parts: Mapping[str, str]) -> str:
    """A page with what is between its marks replaced.

    Args:
        page: As it was.
        parts: By the names in the marks.

    Raises:
        ValueError: If the page has no such mark.
    """
    missing = set(parts) - {found[2] for found in _PART.finditer(page)}
    if missing:
        raise ValueError(f"the page has no <!-- measured: {min(missing)} --> … <!-- end -->")
    return _PART.sub(lambda found: f"{found[1]}{parts[found[2]]}\n{found[3]}" if found[2] in parts else found[0], page)
