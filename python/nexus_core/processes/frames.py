"""Values over a socket pair: small ones inline, large ones in memory that the other side maps.

What is large is written once, into an anonymous file that goes along as a descriptor. Whoever receives it
maps it privately: an array can be written to, without a second copy. The file has no name, so nothing is left
behind whoever dies.
"""

from __future__ import annotations

import array
import os
import pickle
import socket
import struct
import tempfile
from typing import TYPE_CHECKING, cast

from nexus_core._core import _PrivateMapping
from nexus_core.shipping.values import Packed

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["INLINE", "receive", "send"]

#: Pickles of up to so many bytes go through the socket; it takes them at once, whether or not anybody reads.
INLINE = 32 * 1024

#: Bytes inline, segments in the file, bytes in the file.
_HEAD = struct.Struct("<IIQ")
#: Of segments in a file, for any type of element.
_ALIGNMENT = 64
_MOST_AT_ONCE = 1 << 30
#: A node's own child processes are not to have it.
_CLOSED_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_ROOM_FOR_DESCRIPTOR = socket.CMSG_SPACE(array.array("i").itemsize)


def send(channel: socket.socket, packed: Packed) -> int:
    """Sends a value.

    Args:
        channel: A stream socket of this machine.
        packed: The value.

    Returns:
        Bytes that were copied for it, beside those that went through the socket.

    Raises:
        OSError: If nobody is at the other end, or there is no memory for what is large.
    """
    header = packed.header
    if len(header) <= INLINE and not packed.buffers:
        channel.sendall(_HEAD.pack(len(header), 0, 0) + header)
        return 0
    segments: list[Buffer] = list(packed.buffers)
    inline = header
    if len(header) > INLINE:
        inline = b""
        segments.insert(0, header)
    lengths = [memoryview(segment).nbytes for segment in segments]
    with _anonymous_file() as file:
        size = _write(file.fileno(), segments, lengths)
        table = struct.pack(f"<{len(lengths)}Q", *lengths)
        message = _HEAD.pack(len(inline), len(segments), size) + table + inline
        descriptors = array.array("i", [file.fileno()])
        sent = channel.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        if sent < len(message):
            channel.sendall(memoryview(message)[sent:])
    return size


def receive(channel: socket.socket) -> Packed:
    """Receives a value.

    Args:
        channel: A stream socket of this machine.

    Returns:
        The value. Its buffers are memory of its own.

    Raises:
        EOFError: If the other end is closed, and nothing more has come.
        ConnectionError: If it was closed in the middle of a value.
        OSError: If what is large cannot be mapped.
    """
    data, ancillary, _, _ = channel.recvmsg(2 * INLINE, _ROOM_FOR_DESCRIPTOR, _CLOSED_ON_EXEC)
    if not data:
        raise EOFError("the other end is closed")
    descriptor = _descriptor_in(ancillary)
    try:
        while len(data) < _HEAD.size:
            data += _more(channel, _HEAD.size - len(data))
        inline, count, size = _HEAD.unpack_from(data)
        total = _HEAD.size + 8 * count + inline
        if len(data) < total:
            data += _more(channel, total - len(data))
        if not count:
            return Packed(data[_HEAD.size :])
        if descriptor is None:
            raise ConnectionError("a value came without what belongs to it")
        lengths = struct.unpack_from(f"<{count}Q", data, _HEAD.size)
        segments = _map(descriptor, size, lengths)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    if inline:
        return Packed(data[_HEAD.size + 8 * count :], segments)
    header, *buffers = segments
    return Packed(header, buffers)  # type: ignore[arg-type]  # pickle reads any buffer


def _descriptor_in(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found = array.array("i")
            found.frombytes(data[: found.itemsize])
            if not _CLOSED_ON_EXEC:
                os.set_inheritable(found[0], False)
            return found[0]
    return None


def _more(channel: socket.socket, missing: int) -> bytes:
    parts = []
    while missing:
        part = channel.recv(missing)
        if not part:
            raise ConnectionError("the other end was closed in the middle of a value")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _anonymous_file() -> _File:
    if hasattr(os, "memfd_create"):
        return _File(os.memfd_create("nexus-core", os.MFD_CLOEXEC))
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    descriptor, path = tempfile.mkstemp(dir=folder)
    os.unlink(path)
    return _File(descriptor)


class _File:
    """A descriptor that is closed in the end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _padding(length: int) -> int:
    return -length % _ALIGNMENT


def _write(descriptor: int, segments: list[Buffer], lengths: list[int]) -> int:
    size = 0
    for segment, length in zip(segments, lengths, strict=True):
        left = _bytes_of(segment) if length else memoryview(b"")
        while left:
            # At its place, so that gaps need not be written.
            written = os.pwrite(descriptor, left[:_MOST_AT_ONCE], size + length - len(left))
            left = left[written:]
        size += length + _padding(length)
    os.ftruncate(descriptor, size)
    return size


def _bytes_of(segment: Buffer) -> memoryview:
    # In whichever order an array has its elements.
    return segment.raw() if isinstance(segment, pickle.PickleBuffer) else memoryview(segment).cast("B")


def _map(descriptor: int, size: int, lengths: tuple[int, ...]) -> list[Buffer]:
    if not size:
        return [bytearray() for _ in lengths]
    whole = memoryview(cast("Buffer", _PrivateMapping(descriptor, size)))
    segments: list[Buffer] = []
    offset = 0
    for length in lengths:
        segments.append(whole[offset : offset + length])
        offset += length + _padding(length)
    return segments
