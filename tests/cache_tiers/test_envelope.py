"""What is opened is what was sealed, for the key that it was sealed for."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zlib
from typing import Any

import pytest

from nexus_core.cache_tiers.envelope import _HEADER, Envelope
from nexus_core.errors import NotSerializable, UnreadableEntry

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

KEY = b"k" * 32
SECRET = b"a secret of enough bytes"
OTHER = b"another secret of enough bytes"


def _reason(envelope: Envelope, data: bytes, key: bytes = KEY) -> str:
    with pytest.raises(UnreadableEntry) as raised:
        envelope.open(key, data)
    return raised.value.reason


@pytest.mark.parametrize("secrets", [(), (SECRET,)])
@pytest.mark.parametrize("value", [None, {"a": (1, 2)}, "text " * 5000])
def test_a_value_comes_back_with_its_tags(secrets: tuple[bytes, ...], value: Any) -> None:
    envelope = Envelope(secrets)
    assert envelope.open(KEY, envelope.seal(KEY, value, ("a", "b\ud800"))) == (value, ("a", "b\ud800"))


def test_large_entries_are_compressed_where_that_helps() -> None:
    text = "text " * 50_000
    assert len(Envelope().seal(KEY, text)) < 10_000
    assert len(Envelope(compress_over=None).seal(KEY, text)) > len(text)
    noise = zlib.compress(bytes(range(256)) * 10) * 1
    assert len(Envelope(compress_over=0).seal(KEY, noise)) < len(noise) + 100


@pytest.mark.parametrize("secrets", [(), (SECRET,)])
def test_an_entry_does_not_open_under_another_key_or_in_another_context(secrets: tuple[bytes, ...]) -> None:
    data = Envelope(secrets).seal(KEY, 1)
    reason = "unauthenticated" if secrets else "damaged"
    assert _reason(Envelope(secrets), data, b"x" * 32) == reason
    assert _reason(Envelope(secrets, context=b"x"), data) == reason


def test_secrets_can_be_changed() -> None:
    old, new = Envelope([SECRET]), Envelope([OTHER])
    during = Envelope([OTHER, SECRET])
    assert during.open(KEY, old.seal(KEY, 1)) == (1, ())
    assert new.open(KEY, during.seal(KEY, 2)) == (2, ())
    assert _reason(new, old.seal(KEY, 1)) == "unauthenticated"
    assert _reason(Envelope(), old.seal(KEY, 1)) == "unauthenticated"
    assert _reason(old, Envelope().seal(KEY, 1)) == "unauthenticated"


@pytest.mark.parametrize("place", range(0, 90, 3))
def test_every_bit_is_authenticated(place: int) -> None:
    envelope = Envelope([SECRET])
    data = bytearray(envelope.seal(KEY, {"a": "text" * 10}, ("tag",)))
    data[place] ^= 1
    assert _reason(envelope, bytes(data)) in {"foreign", "version", "unauthenticated"}


@given(st.binary(max_size=200), st.booleans())
def test_foreign_bytes_are_the_one_error(data: bytes, begins: bool) -> None:
    with pytest.raises(UnreadableEntry):
        Envelope().open(KEY, (b"NxT\x01" if begins else b"") + data)


def _forged(flags: int, size: int, payload: bytes, labels: bytes = b"") -> bytes:
    """An entry as somebody can write it where no secret is set."""
    envelope = Envelope()
    header = _HEADER.pack(b"NxT", 1, flags, len(labels), size)
    return header + envelope._seal(b"", header, KEY, (labels, payload)) + labels + payload


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_forged(1, 2**40, zlib.compress(b"x")), "too_large"), (_forged(1, 10, zlib.compress(bytes(2**20))), "malformed"),
        (_forged(1, 10, b"no zlib"), "malformed"), (_forged(1, 1, zlib.compress(b"\xc0") + b"more"), "malformed"),
        (_forged(0, 10, b"\x01\xc0"), "malformed"), (_forged(2, 2, b"\x01\xc0"), "serializer"), (_forged(0, 2, b"\x07\xc0"), "malformed"),
        (_forged(0, 2, b"\x01\xc0", b"\x01\xc0"), "malformed"), (_forged(0, 2, b"\x01\xc0", b"\x01\x91\x01"), "malformed"),
    ],
)  # fmt: skip
def test_forged_entries_are_rejected(data: bytes, reason: str) -> None:
    assert _reason(Envelope(), data) == reason


def test_a_bomb_takes_no_memory() -> None:
    program = """
import resource, zlib
from nexus_core.cache_tiers.envelope import Envelope, _HEADER
from nexus_core.errors import UnreadableEntry
packer = zlib.compressobj(1)
bomb = b"".join([packer.compress(bytes(2**20)) for _ in range(1024)]) + packer.flush()
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**28, 3 * 2**28))
envelope = Envelope(max_bytes=2**20)
for size in (2**20, 2**32):
    header = _HEADER.pack(b"NxT", 1, 1, 0, size)
    try:
        envelope.open(b"k", header + envelope._seal(b"", header, b"k", (bomb,)) + bomb)
    except UnreadableEntry as error:
        print(error.reason)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["malformed", "too_large"], done.stderr


def test_a_serializer_of_the_user_is_used() -> None:
    envelope = Envelope([SECRET], serializer=pickle)
    assert envelope.open(KEY, envelope.seal(KEY, {1, range(3)})) == ({1, range(3)}, ())
    assert _reason(Envelope([SECRET]), envelope.seal(KEY, 1)) == "serializer"
    with pytest.raises(NotSerializable, match="pickle"):
        envelope.seal(KEY, lambda: 1)


def test_nothing_is_unpickled_that_is_not_authenticated() -> None:
    class Trap:
        def dumps(self, value: Any) -> bytes:
            return b"x"

        def loads(self, data: bytes) -> Any:
            raise AssertionError("it was loaded")

    data = Envelope([OTHER], serializer=Trap()).seal(KEY, 1)
    assert _reason(Envelope([SECRET], serializer=Trap()), data) == "unauthenticated"


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(NotSerializable, match="and 100 are allowed"):
        Envelope(max_bytes=100).seal(KEY, "x" * 200)
    assert _reason(Envelope(max_bytes=100), Envelope().seal(KEY, "x" * 200)) == "too_large"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"secrets": ["text"]}, TypeError, "must be bytes"), ({"secrets": [b"short"]}, ValueError, "at least 16"),
        ({"compress_over": -1}, ValueError, "compress_over"), ({"max_bytes": "1"}, TypeError, "max_bytes"),
        ({"max_bytes": None}, TypeError, "max_bytes"), ({"serializer": object()}, TypeError, "dumps"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Envelope(**arguments)
