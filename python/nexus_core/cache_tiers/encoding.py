"""Values as bytes: MessagePack with a type for everything that it does not tell apart, never pickle.

What is decoded equals what was encoded, in type and value: tuples, sets, bytearrays, integers of
any size, complex numbers, ``Decimal``, ``Fraction``, dates, times and zones, ``UUID``, dicts with
any keys in their order, numpy's arrays and scalars, and pandas' frames, series and indexes. What
cannot be represented exactly raises :class:`~nexus_core.errors.NotSerializable`.

The memory of arrays is not copied through MessagePack but stands behind it. An object that occurs
twice is two objects afterwards.
"""

from __future__ import annotations

import functools
import gc
import reprlib
import struct
import sys
from collections.abc import Callable
from typing import Any

from nexus_core.cache_tiers._encoding_types import DECODERS, ENCODERS
from nexus_core.errors import NotSerializable, UnreadableEntry

try:
    import msgpack
except ModuleNotFoundError:  # told when it is needed: `from nexus_core import *` is to work without it
    msgpack = None

__all__ = ["Decoder", "Encoder", "decode", "encode", "require_msgpack"]

#: The first byte: MessagePack alone, or with buffers behind it; and more by so much where there are tuples.
_PLAIN, _BUFFERS = 1, 2
_TUPLES = 2
_COUNTS = struct.Struct(">II")

# What decoding can still read: the C extension's stack ends at 1,024 levels, Python's own at about as many.
_MAX_DEPTH = 256
_MAX_NESTED = 48
_MAX_ITEMS = 2**26

_LEAVES: frozenset[type] = frozenset({int, float, bool, str, bytes, type(None)})
_CONTAINERS: frozenset[type] = frozenset({list, tuple, dict})
_PLAIN_TYPES = _LEAVES | _CONTAINERS
_BYTEARRAY = 13
#: The extension that a tuple's items begin with. One that held them would have to be packed by itself first.
_TUPLE = 1
_MARK: Any = object()


# Not in use by anybody; only those that came to a good end, and did not grow.
_spare: list[Encoder] = []
_MAX_SPARE = 2**16


class _Refused(Exception):
    """Something cannot be represented; where it is, is found out by whoever catches it."""

    def __init__(self, value: object, reason: str) -> None:
        self.value = value
        self.reason = reason


class Encoder:
    """One value on its way to bytes. Not for use outside of this package."""

    def __init__(self) -> None:
        self.buffers: list[Any] = []
        self.has_tuples = False
        self._nested = 0
        # One for each level of extensions within extensions: none is used while it is in use.
        self._packers: list[Any] = []

    def pack(self, value: Any) -> bytes:
        """The MessagePack of a value, buffers aside."""
        if self._nested > _MAX_NESTED:
            raise _Refused(value, "it is nested too deeply, or holds itself")
        kind = type(value)
        if kind in _LEAVES or ((kind is list or kind is tuple) and _LEAVES.issuperset(map(type, value))):
            pass
        elif _has_bytearrays(value):
            value = _with_bytearrays_marked(value)
        if self._nested == len(self._packers):
            size = 1024 if self._nested else 16 * 1024
            self._packers.append(
                msgpack.Packer(default=self._default, strict_types=True, unicode_errors="surrogatepass", buf_size=size)
            )
        packed: bytes = self._packers[self._nested].pack(value)
        return packed

    def buffer(self, memory: Any) -> int:
        """Has memory stand behind the MessagePack; its number."""
        self.buffers.append(memory)
        return len(self.buffers) - 1

    def refuse(self, value: object, reason: str) -> Exception:
        """The error for a value that cannot be represented."""
        return _Refused(value, reason)

    def _default(self, value: Any) -> Any:
        if type(value) is tuple:
            self.has_tuples = True
            return [_tuple_mark(), *value]
        self._nested += 1
        found = _encoder_of(value)
        if found is None:
            raise _Refused(value, "it has no encoding; give the cache a serializer, or keep plain values")
        code, reduce = found
        packed = self.pack(reduce(value, self)) if code >= 0 else reduce(value, self)
        self._nested -= 1
        return msgpack.ExtType(abs(code), packed)


class Decoder:
    """Bytes on their way to a value. Not for use outside of this package."""

    def __init__(self, buffers: list[memoryview] | None = None, *, has_tuples: bool = False) -> None:
        self._buffers = buffers or []
        self._nested = 0
        self._list_hook = self._tuple if has_tuples else None
        self._marks = 0

    def value(self, packed: memoryview) -> Any:
        """The value of all the MessagePack that there is."""
        value = self.unpack(packed)
        if self._marks:
            raise ValueError("a tuple's mark is not where a tuple begins")
        return value

    def unpack(self, packed: bytes | memoryview) -> Any:
        """The value of MessagePack."""
        if len(packed) > 4096:
            # A list's length is believed before its items are read: so that what is reserved is in
            # proportion to what is there, it is made sure first that they are.
            unpacker = msgpack.Unpacker(max_buffer_size=len(packed))
            unpacker.feed(packed)
            unpacker.skip()
        return msgpack.unpackb(
            packed,
            ext_hook=self._hook,
            list_hook=self._list_hook,
            strict_map_key=False,
            raw=False,
            unicode_errors="surrogatepass",
        )

    def buffer(self, number: Any) -> memoryview:
        """Memory that stands behind the MessagePack."""
        if type(number) is not int or number < 0:
            raise ValueError("a buffer's number must be a natural number")
        return self._buffers[number]

    def _tuple(self, items: list[Any]) -> Any:
        if items and items[0] is _MARK:
            self._marks -= 1
            del items[0]
            return tuple(items)
        return items

    def _hook(self, code: int, packed: bytes) -> Any:
        if code == _TUPLE:
            self._marks += 1
            return _MARK
        self._nested += 1
        if self._nested > _MAX_NESTED + 1:
            raise ValueError("nested too deeply")
        takes_raw, restore = DECODERS[code]
        value = restore(packed if takes_raw else self.unpack(packed), self)
        self._nested -= 1
        return value


def require_msgpack() -> None:
    """Makes sure that values can be encoded.

    Raises:
        ImportError: msgpack is not installed.
    """
    if msgpack is None:
        raise ImportError("a cache's tiers need msgpack, which is not installed: pip install nexus-core-rs[cache]")


def encode(value: object) -> bytes:
    """The bytes of a value.

    Args:
        value: What to encode.

    Returns:
        The bytes, for `decode()`.

    Raises:
        NotSerializable: Something in it cannot be represented exactly.

    Example:
        >>> len(encode([1, 2, 3]))
        5
        >>> encode({"rows": [1, object()]})
        Traceback (most recent call last):
        nexus_core.errors.NotSerializable: value['rows'][1], of type object, cannot be serialized: it has no encoding; ...
    """
    require_msgpack()
    # Making one anew takes longer than most values do.
    try:
        encoder = _spare.pop()
    except IndexError:
        encoder = Encoder()
    encoder.has_tuples = False
    refusal: NotSerializable | None = None
    packed = b""
    try:
        packed = encoder.pack(value)
    except _Refused as refused:
        refusal = _located(value, refused)
    except Exception as error:
        # What was changed by another thread meanwhile, or whatever numpy or pandas have against it.
        raise NotSerializable("value", _name(value), str(error)) from error
    if refusal is not None:
        raise refusal  # here, where no context keeps the value
    more = _TUPLES if encoder.has_tuples else 0
    if not encoder.buffers:
        if len(packed) <= _MAX_SPARE:
            _spare.append(encoder)
        return bytes((_PLAIN + more,)) + packed
    buffers = encoder.buffers
    sizes = [memoryview(buffer).nbytes for buffer in buffers]
    head = _COUNTS.pack(len(packed), len(buffers)) + struct.pack(f">{len(sizes)}Q", *sizes)
    return b"".join((bytes((_BUFFERS + more,)), head, packed, *buffers))


def decode(data: bytes | memoryview) -> Any:
    """The value of bytes that `encode()` made.

    What it takes is in proportion to the length of the bytes, whatever they are.

    Args:
        data: The bytes.

    Returns:
        The value.

    Raises:
        UnreadableEntry: They are no such bytes.

    Example:
        >>> decode(encode((1, {2: b"x"})))
        (1, {2: b'x'})
    """
    require_msgpack()
    try:
        view = memoryview(data)
        if not _PLAIN <= view[0] <= _BUFFERS + _TUPLES:
            raise ValueError("no such encoding")
        has_tuples = view[0] > _TUPLES
        kind = view[0] - _TUPLES if has_tuples else view[0]
        if kind == _PLAIN:
            return Decoder(has_tuples=has_tuples).value(view[1:])
        length, count = _COUNTS.unpack_from(view, 1)
        at = 1 + _COUNTS.size
        if count * 8 > len(view) - at:
            raise ValueError("too short")
        sizes = struct.unpack_from(f">{count}Q", view, at)
        at += 8 * count
        if at + length + sum(sizes) != len(view):
            raise ValueError("its length is not what it says")
        packed = view[at : at + length]
        at += length
        buffers = []
        for size in sizes:
            buffers.append(view[at : at + size])
            at += size
        return Decoder(buffers, has_tuples=has_tuples).value(packed)
    except Exception as error:
        # Whatever hostile bytes provoke in MessagePack, numpy or pandas: it is no entry of ours.
        raise UnreadableEntry("malformed", f"{type(error).__name__}: {error}") from error


def _has_bytearrays(value: Any) -> bool:
    """Whether it has bytearrays, which MessagePack would take for bytes; level by level, in native code."""
    level: list[Any] = [value]
    items = 0
    found = False
    for _ in range(_MAX_DEPTH):
        kinds = set(map(type, level))
        if memoryview in kinds:
            raise _Refused(next(each for each in level if type(each) is memoryview), "make it bytes")
        found = found or bytearray in kinds
        if kinds.isdisjoint(_CONTAINERS):
            return found
        if not kinds <= _PLAIN_TYPES:
            level = [each for each in level if type(each) in _CONTAINERS]
        level = gc.get_referents(*level)
        items += len(level)
        if items > _MAX_ITEMS:
            raise _Refused(value, f"it has more than {_MAX_ITEMS} items")
    raise _Refused(value, f"it is nested more than {_MAX_DEPTH} levels deep, or holds itself")


def _with_bytearrays_marked(value: Any) -> Any:
    kind = type(value)
    if kind is bytearray:
        return msgpack.ExtType(_BYTEARRAY, bytes(value))
    if kind is list:
        return [_with_bytearrays_marked(each) for each in value]
    if kind is tuple:
        return tuple([_with_bytearrays_marked(each) for each in value])
    if kind is dict:
        return {key: _with_bytearrays_marked(each) for key, each in value.items()}
    return value


@functools.cache
def _tuple_mark() -> Any:
    return msgpack.ExtType(_TUPLE, b"")


def _encoder_of(value: Any) -> tuple[int, Callable[[Any, Encoder], Any]] | None:
    cls = type(value)
    found = ENCODERS.get(cls)
    if found is not None:
        return found
    top = cls.__module__.partition(".")[0]
    if top == "numpy" and "numpy" in sys.modules:
        from nexus_core.cache_tiers._encoding_arrays import encoder_of_numpy

        return encoder_of_numpy(value)
    if top == "pandas" and "pandas" in sys.modules:
        from nexus_core.cache_tiers._encoding_pandas import encoder_of_pandas

        return encoder_of_pandas(value)
    return None


def _name(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


# Short, and whatever an object's own `__repr__` raises.
_reprs = reprlib.Repr()
_reprs.maxstring = _reprs.maxother = 100
_shown = _reprs.repr


def _located(value: object, refused: _Refused) -> NotSerializable:
    """The error, with the way to what was refused."""
    todo: list[tuple[object, str, int]] = [(value, "value", 0)]
    while todo:
        each, path, depth = todo.pop()
        if each is refused.value:
            return NotSerializable(path, _name(each), refused.reason)
        if depth > _MAX_DEPTH:
            continue
        if isinstance(each, dict):
            for key, item in reversed(each.items()):
                todo.append((item, f"{path}[{_shown(key)}]", depth + 1))
                if key is refused.value or isinstance(key, (tuple, frozenset)):
                    todo.append((key, f"{path}'s key {_shown(key)}", depth + 1))
        elif isinstance(each, (list, tuple)):
            todo.extend((item, f"{path}[{place}]", depth + 1) for place, item in reversed(list(enumerate(each))))
        elif isinstance(each, (set, frozenset)):
            todo.extend((item, f"{path}'s item {_shown(item)}", depth + 1) for item in each)
    return NotSerializable("value", _name(refused.value), f"it holds what cannot be: {refused.reason}")
