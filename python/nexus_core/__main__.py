"""The command ``nexus-core``, which is also ``python -m nexus_core``."""

from __future__ import annotations

import sys

from nexus_core.commands import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
