"""The drop-in in processes that a program spawns: pools of ``multiprocessing``, uvicorn's workers."""

from __future__ import annotations

from multiprocessing import spawn
from typing import Any

__all__ = ["install_in_children"]

# By text: a child that cannot find this package is to run all the same, and say so.
_INSTALL = """
try:
    import nexus_core
    nexus_core.install()
except ImportError as error:
    import sys
    print(f"nexus-core: a child process runs without the drop-in: {error}", file=sys.stderr)
"""


class _Installs:
    """Unpickled, it installs the drop-in, before the child imports anything of the program."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (_INSTALL,)


def install_in_children() -> None:
    """Has children installed that this process spawns, or that a fork server forks for it.

    Those that are forked from this very process have what it has.
    """
    original = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        # Nobody in the child looks at it; to be unpickled is all that it is for.
        return {"nexus_core": _Installs(), **data}

    spawn.get_preparation_data = get_preparation_data
