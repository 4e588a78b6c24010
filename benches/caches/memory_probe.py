"""Prints, as JSON, the bytes that a cache takes for an entry beside its key and value (resident memory of a fresh process)."""

from __future__ import annotations

import gc
import json
import sys

import memory_probe
from caches.peers import PEERS

ENTRIES = 200_000


def main(peer: str) -> dict[str, float]:
    keys = [f"key-{number}" for number in range(ENTRIES)]
    # Whatever is allocated once, at first use, must not be charged to the entries.
    with PEERS[peer].open(1_000) as cache:
        cache.fill(keys[:1_000])
    # Values are their own keys, and cost nothing.
    with PEERS[peer].open(ENTRIES) as cache:
        gc.collect()
        before = memory_probe.resident()
        cache.fill(keys)
        return {"bytes": (memory_probe.resident() - before) / ENTRIES}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
