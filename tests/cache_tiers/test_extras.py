"""What is not installed is named, and missed only where it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("missing", "use", "extra"),
    [
        ("msgpack", "TieredCache(SQLiteTier('/tmp/nobody/c.sqlite'))", "cache"),
        ("msgpack", "encode(1)", "cache"),
        ("msgpack", "decode(b'')", "cache"),
        ("redis", "from nexus_core.cache_tiers import RedisTier", "redis"),
        ("msgpack", "from nexus_core.cache_tiers import RedisTier", "redis"),
    ],
)
def test_what_is_missing_is_named(missing: str, use: str, extra: str) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
from nexus_core import *
from nexus_core.cache_tiers import SQLiteTier
from nexus_core.cache_tiers.encoding import decode, encode
try:
    {use}
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert f"pip install nexus-core-rs[{extra}]" in done.stdout, done.stderr


def test_importing_the_package_imports_none_of_it() -> None:
    program = "import sys, nexus_core; print({'msgpack', 'redis', 'sqlite3', 'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr
