"""What an entry looks like outside of the process: compressed when large, and sealed.

A header, a keyed BLAKE2b over header, key, tags and payload, the tags, and the payload. The key is part of what is
authenticated, so that an entry that was moved to another key does not open. Without a secret the
same digest without a key still tells damage, and does not tell malice.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from collections.abc import Iterable
from typing import Any, Protocol

from nexus_core.cache_tiers.encoding import decode, encode, require_msgpack
from nexus_core.errors import NotSerializable, UnreadableEntry

__all__ = ["Envelope", "Serializer"]

_MAGIC = b"NxT"
_VERSION = 1
_COMPRESSED, _SERIALIZED, _SECRET = 1, 2, 4
# Magic, version, flags, lengths of the tags, and of the payload when it is not compressed.
_HEADER = struct.Struct(">3sBBIQ")
_SEAL_SIZE = 32
_SAMPLE = 64 * 1024


class Serializer(Protocol):
    """Turns values into bytes and back, such as the module `pickle`."""

    def dumps(self, value: Any, /) -> Any:
        """The bytes of a value."""

    def loads(self, data: bytes, /) -> Any:
        """The value of bytes."""


class Envelope:
    """Seals values and opens what was sealed.

    Args:
        secrets: Secrets of at least 16 bytes: the first one seals, each one opens. None for no secret.
        context: What else an entry belongs to, beside its key.
        compress_over: Bytes from which on a payload is compressed, where that makes it smaller.
        max_bytes: How large a payload may be, compressed or not.
        serializer: Used instead of the package's own encoding.

    Raises:
        ImportError: msgpack is not installed.
        TypeError: If an argument is of the wrong kind.
        ValueError: If a secret is too short or a size is negative.

    Example:
        >>> envelope = Envelope([b"sixteen bytes or more"])
        >>> envelope.open(b"a key", envelope.seal(b"a key", {"a": 1}))
        ({'a': 1}, ())
        >>> envelope.open(b"another", envelope.seal(b"a key", {"a": 1}))
        Traceback (most recent call last):
        nexus_core.errors.UnreadableEntry: the entry cannot be read: unauthenticated
    """

    def __init__(
        self,
        secrets: Iterable[bytes] = (),
        *,
        context: bytes = b"",
        compress_over: int | None = 4096,
        max_bytes: int = 64 * 2**20,
        serializer: Serializer | None = None,
    ) -> None:
        require_msgpack()
        self._keys = [_key(secret) for secret in secrets]
        for name, size in (("compress_over", compress_over), ("max_bytes", max_bytes)):
            if size is None and name == "compress_over":
                continue
            if isinstance(size, bool) or not isinstance(size, int):
                raise TypeError(f"{name} must be a number of bytes, got {size!r}")
            if size < 0:
                raise ValueError(f"{name} must be at least 0 bytes, got {size}")
        for method in ("dumps", "loads"):
            if serializer is not None and not callable(getattr(serializer, method, None)):
                raise TypeError(f"a serializer must have dumps() and loads(), got {serializer!r}")
        self._context = len(context).to_bytes(4, "big") + context
        self._compress_over = compress_over
        self._max_bytes = max_bytes
        self._serializer = serializer

    def seal(self, key: bytes, value: Any, tags: tuple[str, ...] = ()) -> bytes:
        """The entry of a value.

        Args:
            key: The key that it is for.
            value: The value.
            tags: What it can be removed by; who reads it has to know.

        Returns:
            The bytes.

        Raises:
            NotSerializable: The value cannot be represented exactly, or is too large.
        """
        flags = _SECRET if self._keys else 0
        if self._serializer is None:
            payload = encode(value)
        else:
            flags |= _SERIALIZED
            payload = self._dumped(value)
        size = len(payload)
        if size > self._max_bytes:
            kind = type(value).__qualname__
            raise NotSerializable("value", kind, f"it takes {size} bytes, and {self._max_bytes} are allowed")
        if self._compress_over is not None and size > self._compress_over:
            smaller = _compressed(payload)
            if smaller is not None:
                payload = smaller
                flags |= _COMPRESSED
        labels = encode(list(tags)) if tags else b""
        header = _HEADER.pack(_MAGIC, _VERSION, flags, len(labels), size)
        seal = self._seal(self._keys[0] if self._keys else b"", header, key, (labels, payload))
        return b"".join((header, seal, labels, payload))

    def open(self, key: bytes, data: bytes) -> tuple[Any, tuple[str, ...]]:
        """The value of an entry, and its tags.

        Args:
            key: The key that it was found under.
            data: The bytes.

        Returns:
            The value and the tags.

        Raises:
            UnreadableEntry: It is not what was sealed for this key.
        """
        view = memoryview(data)
        at = _HEADER.size + _SEAL_SIZE
        if len(view) < at:
            raise UnreadableEntry("foreign", "it is too short")
        header = bytes(view[: _HEADER.size])
        magic, version, flags, length, size = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise UnreadableEntry("foreign", "it does not begin as an entry does")
        if version != _VERSION:
            raise UnreadableEntry("version", f"it is of version {version}, and this is version {_VERSION}")
        self._check(flags, bytes(view[_HEADER.size : at]), header, key, view[at:])
        labels, payload = view[at : at + length], view[at + length :]
        return self._value(flags, payload, size), _tags(labels)

    def _value(self, flags: int, payload: memoryview, size: int) -> Any:
        if size > self._max_bytes:
            raise UnreadableEntry("too_large", f"it takes {size} bytes, and {self._max_bytes} are allowed")
        if flags & _COMPRESSED:
            payload = memoryview(_decompressed(payload, size))
        elif len(payload) != size:
            raise UnreadableEntry("malformed", "its length is not what it says")
        if bool(flags & _SERIALIZED) != (self._serializer is not None):
            raise UnreadableEntry("serializer", "it was written with another serializer")
        if self._serializer is None:
            return decode(payload)
        try:
            return self._serializer.loads(bytes(payload))
        except Exception as error:
            raise UnreadableEntry("malformed", f"{type(error).__name__}: {error}") from error

    def _dumped(self, value: Any) -> bytes:
        assert self._serializer is not None
        try:
            payload = self._serializer.dumps(value)
        except Exception as error:
            # Somebody else's serializer may raise anything; a value that it cannot take stays local.
            raise NotSerializable("value", type(value).__qualname__, f"{type(error).__name__}: {error}") from error
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            kind = type(payload).__qualname__
            raise NotSerializable(
                "value", type(value).__qualname__, f"the serializer's dumps() gave a {kind}, no bytes"
            )
        return bytes(payload)

    def _check(self, flags: int, seal: bytes, header: bytes, key: bytes, rest: memoryview) -> None:
        if bool(flags & _SECRET) != bool(self._keys):
            raise UnreadableEntry("unauthenticated", "it was sealed " + ("with" if flags & _SECRET else "without") + " a secret")  # fmt: skip
        for secret in self._keys or [b""]:
            if hmac.compare_digest(seal, self._seal(secret, header, key, (rest,))):
                return
        raise UnreadableEntry("unauthenticated" if self._keys else "damaged")

    def _seal(self, secret: bytes, header: bytes, key: bytes, parts: tuple[bytes | memoryview, ...]) -> bytes:
        state = hashlib.blake2b(key=secret, digest_size=_SEAL_SIZE, person=b"nexus-core tier")
        state.update(header + self._context + len(key).to_bytes(4, "big") + key)
        for part in parts:
            state.update(part)
        return state.digest()


def _tags(labels: memoryview) -> tuple[str, ...]:
    tags = decode(labels) if len(labels) else []
    if not isinstance(tags, list) or not all(type(tag) is str for tag in tags):
        raise UnreadableEntry("malformed", "its tags are none")
    return tuple(tags)


def _key(secret: object) -> bytes:
    if not isinstance(secret, bytes):
        raise TypeError(f"a secret must be bytes, got {type(secret).__qualname__}")
    if len(secret) < 16:
        raise ValueError(f"a secret must have at least 16 bytes, got {len(secret)}; secrets.token_bytes(32) makes one")
    return secret if len(secret) <= 64 else hashlib.blake2b(secret).digest()


def _compressed(payload: bytes) -> bytes | None:
    # What is not worth it, such as random numbers, mostly shows at its beginning.
    if len(payload) > 4 * _SAMPLE:
        middle = len(payload) // 2
        sample = payload[: _SAMPLE // 2] + payload[middle : middle + _SAMPLE // 2]
        if len(zlib.compress(sample, 1)) > 0.9 * len(sample):
            return None
    smaller = zlib.compress(payload, 1)
    return smaller if len(smaller) < 0.9 * len(payload) else None


def _decompressed(payload: memoryview, size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload, size + 1)
    except zlib.error as error:
        raise UnreadableEntry("malformed", str(error)) from error
    if len(data) != size or not inflater.eof or inflater.unused_data:
        raise UnreadableEntry("malformed", "its length is not what it says")
    return data
