"""Digests of inputs, beside what people compute for the same purpose."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MEGABYTE = 1_000_000


class InputUnavailable(RuntimeError):
    """This input cannot be made here; the message says why."""


@dataclass(frozen=True)
class Input:
    name: str
    title: str
    make: Callable[[], Any]
    usual: Callable[[Any], bytes]
    """What is computed without a library for it."""
    usual_title: str
    size: int
    """Bytes of its content, about; what throughput is counted in."""


def sha256_of_json(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


def sha256_of_memory(value: Any) -> bytes:
    return hashlib.sha256(value).digest()


def sha256_of_frame(frame: Any) -> bytes:
    import pandas as pd

    return hashlib.sha256(pd.util.hash_pandas_object(frame).values).digest()


def nested(size: int) -> Any:
    """Records as an API returns them, of about so many bytes as JSON."""
    draw = random.Random(3)
    count = max(1, size // 190)
    return {
        "records": [
            {
                "id": number,
                "name": f"user {number}",
                "scores": [draw.random() for _ in range(4)],
                "active": number % 3 == 0,
                "address": {"city": f"city {number % 50}", "code": 10_000 + number, "note": None},
            }
            for number in range(count)
        ]
    }


def array() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise InputUnavailable(f"numpy is not installed: {error}") from None
    return np.random.default_rng(4).random(100 * MEGABYTE // 8)


def frame() -> Any:
    try:
        import numpy as np
        import pandas as pd
    except ImportError as error:
        raise InputUnavailable(f"pandas is not installed: {error}") from None
    draw = np.random.default_rng(5)
    rows = 100_000
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "price": draw.random(rows),
            "amount": draw.integers(0, 100, rows),
            "city": pd.Categorical.from_codes(draw.integers(0, 50, rows), [f"city {n}" for n in range(50)]),
            "name": [f"user {number}" for number in range(rows)],
        }
    )


SMALL = {"user": "ada", "limit": 10, "filters": ["new", "open"], "ratio": 0.5, "all": True}

INPUTS = {
    each.name: each
    for each in (
        Input("small", "dict of five", lambda: dict(SMALL), sha256_of_json, "json.dumps + sha256", 80),
        Input("nested_10kB", "nested, 10 kB", lambda: nested(10_000), sha256_of_json, "json.dumps + sha256", 10_000),
        Input("nested_1MB", "nested, 1 MB", lambda: nested(MEGABYTE), sha256_of_json, "json.dumps + sha256", MEGABYTE),
        Input("bytes", "bytes, 10 MB", lambda: bytes(range(250)) * 40_000, sha256_of_memory, "sha256", 10 * MEGABYTE),
        Input("array", "numpy array, 100 MB", array, sha256_of_memory, "sha256", 100 * MEGABYTE),
        Input("frame", "pandas frame, 100,000×5", frame, sha256_of_frame, "hash_pandas_object + sha256", 4 * MEGABYTE),
    )
}


def ours(value: Any) -> bytes:
    from nexus_core.keys import digest

    return digest(value)


def joblib_hash(value: Any) -> bytes:
    try:
        import joblib
    except ImportError as error:
        raise InputUnavailable(f"joblib is not installed: {error}") from None
    found: str = joblib.hash(value)
    return found.encode()


@dataclass(frozen=True)
class DigestPeer:
    key: str
    title: str
    digest: Callable[[Input], Callable[[Any], bytes]]

    @property
    def ours(self) -> bool:
        return self.key.startswith("nexus_core")


PEERS = {
    peer.key: peer
    for peer in (
        DigestPeer("nexus_core", "nexus_core digest", lambda _input: ours),
        DigestPeer("usual", "standard library", lambda given: given.usual),
        DigestPeer("joblib", "joblib.hash (MD5)", lambda _input: joblib_hash),
    )
}
