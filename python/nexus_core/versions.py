"""The versions of Kailash that the drop-in is tested with: the one place that states them.

Imports nothing, so that tools can read it without the extension or Kailash.
"""

from __future__ import annotations

__all__ = ["TESTED_RANGE", "tested_versions"]

#: By package, the oldest and the newest version that the tests run with.
TESTED_RANGE: dict[str, tuple[str, str]] = {
    "kailash": ("2.65.0", "2.65.0"),
    "kailash-nexus": ("2.16.0", "2.16.0"),
}


def tested_versions() -> str:
    """The range in words.

    Example:
        >>> tested_versions().startswith("kailash ")
        True
    """
    return " and ".join(
        f"{name} {oldest}" if oldest == newest else f"{name} {oldest} to {newest}"
        for name, (oldest, newest) in TESTED_RANGE.items()
    )
