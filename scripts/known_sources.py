"""Adds the functions of the installed Kailash to those that the engine knows.

Run it with every version of the tested range (python/nexus_core/versions.py), after its
differential tests have passed:

    PYTHONPATH=python python scripts/known_sources.py
"""

from __future__ import annotations

from pathlib import Path

from nexus_core.runtime.known_digests import DIGESTS
from nexus_core.runtime.known_sources import current_digests

FILE = Path(__file__).resolve().parents[1] / "python" / "nexus_core" / "runtime" / "known_digests.py"

HEAD = '''"""Digests of the sources of Kailash's functions in the tested versions.

Written by scripts/known_sources.py; read where Kailash is of another version.
"""

from __future__ import annotations

__all__ = ["DIGESTS"]

DIGESTS: dict[str, tuple[str, ...]] = {
'''


def main() -> None:
    """Writes the file."""
    lines = []
    for name, digest in sorted(current_digests().items()):
        assert digest is not None, f"{name} is gone, or has no source"
        known = sorted({*DIGESTS.get(name, ()), digest})
        lines.append(f'    "{name}": ({", ".join(f"{each!r}" for each in known)},),\n'.replace("'", '"'))
    FILE.write_text(HEAD + "".join(lines) + "}\n", encoding="utf-8")
    print(f"wrote {len(lines)} functions")


if __name__ == "__main__":
    main()
