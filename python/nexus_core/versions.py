"""The versions of Kailash that the drop-in is tested with: the one place that states them."""

from __future__ import annotations

import re
import threading
import warnings
from importlib.metadata import PackageNotFoundError, version

__all__ = ["UntestedVersionWarning", "installed_versions", "range_in_words", "untested", "warn_once"]

#: By package, the oldest and the newest version that the tests run with.
TESTED_RANGE: dict[str, tuple[str, str]] = {
    "kailash": ("2.63.0", "2.65.0"),
    "kailash-nexus": ("2.16.0", "2.16.0"),
    "kailash-mcp": ("0.6.0", "0.6.0"),
}

#: Packages that the runtimes depend on; the others matter to ``attach`` alone.
_OF_RUNTIMES = ("kailash", "kailash-nexus")


class UntestedVersionWarning(UserWarning):
    """Kailash is of a version that the drop-in is not tested with.

    What the engine does not recognise of it is left to Kailash itself; ``explain`` says what.
    """


def range_in_words(*names: str) -> str:
    """The range in words.

    Args:
        *names: Packages; those that the runtimes depend on if there are none.

    Example:
        >>> range_in_words("kailash-mcp")
        'kailash-mcp 0.6.0'
    """
    said = []
    for name in names or _OF_RUNTIMES:
        oldest, newest = TESTED_RANGE[name]
        said.append(f"{name} {oldest}" if oldest == newest else f"{name} {oldest} to {newest}")
    return " and ".join(said)


def installed_versions() -> dict[str, str | None]:
    """The versions that are installed, by package; ``None`` where a package is not."""
    return {name: _installed(name) for name in TESTED_RANGE}


def untested(*names: str) -> dict[str, str]:
    """The installed versions that are outside the tested range, by package.

    Args:
        *names: Packages; those that the runtimes depend on if there are none.
    """
    found = {name: _installed(name) for name in names or _OF_RUNTIMES}
    return {name: number for name, number in found.items() if number is not None and not _is_tested(name, number)}


_warned = threading.Event()


def warn_once(stacklevel: int = 2) -> None:
    """Warns of versions outside the tested range, once in a process.

    Args:
        stacklevel: As for ``warnings.warn``, from the caller on.
    """
    if _warned.is_set():
        return
    _warned.set()
    found = untested()
    if found:
        warnings.warn(
            f"nexus_core is tested with {range_in_words()}; here is "
            + " and ".join(f"{name} {number}" for name, number in found.items())
            + ". Runs go on: what the engine does not recognise is left to Kailash, and explain(workflow) says what",
            UntestedVersionWarning,
            stacklevel=stacklevel + 1,
        )


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _is_tested(name: str, number: str) -> bool:
    oldest, newest = TESTED_RANGE[name]
    key = _key(number)
    return key is not None and _key(oldest) <= key <= _key(newest)  # type: ignore[operator]


def _key(number: str) -> tuple[int, ...] | None:
    """The numbers of a release; ``None`` for any other version: none of those is tested."""
    match = re.fullmatch(r"(\d+(?:\.\d+)*)(?:\.post\d+)?(?:\+[\w.]+)?", number)
    if match is None:
        return None
    numbers = [int(part) for part in match[1].split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))
