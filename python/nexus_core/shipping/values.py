"""Values as bytes, their large buffers apart."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nexus_core.errors import NotShippable
from nexus_core.shipping.picklers import dumps, install_hint

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LARGE", "Packed", "culprit", "pack", "unpack"]

#: Buffers of so many bytes are kept apart; a smaller one is copied sooner than handed over.
LARGE = 32 * 1024


@dataclass(frozen=True, slots=True)
class Packed:
    """A value on its way.

    Attributes:
        header: What pickle makes of it (protocol 5).
        buffers: Large buffers that the header refers to, in its order. They are the value's own
            memory, not copies: they change with it.
    """

    header: bytes
    buffers: list[Buffer] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes, all in all."""
        return len(self.header) + sum(memoryview(buffer).nbytes for buffer in self.buffers)

    def __reduce_ex__(self, protocol: Any) -> tuple[type[Packed], tuple[bytes, list[Any]]]:
        apart = pickle.PickleBuffer if protocol >= 5 else bytearray
        return type(self), (self.header, [apart(buffer) for buffer in self.buffers])


def pack(value: Any) -> Packed:
    """Describes a value for another process.

    Args:
        value: Anything that pickle or cloudpickle can describe.

    Returns:
        The description; nothing large has been copied.

    Raises:
        NotShippable: If neither can describe it. The error says which part of it.

    Example:
        >>> unpack(pack((1, "two")))
        (1, 'two')
    """
    buffers: list[Buffer] = []
    try:
        header = dumps(value, _collect(buffers), before_again=buffers.clear)
    except Exception as refused:
        raise _refusal(value, refused) from refused
    return Packed(header, buffers)


def unpack(packed: Packed) -> Any:
    """The value that :func:`pack` has described.

    Args:
        packed: The description. Its buffers become the value's own memory where they can be written to.

    Returns:
        An equal value.
    """
    return pickle.loads(packed.header, buffers=packed.buffers)


def _collect(buffers: list[Buffer]) -> Callable[[pickle.PickleBuffer], bool]:
    def keep_apart(buffer: pickle.PickleBuffer) -> bool:
        if memoryview(buffer).nbytes < LARGE:
            return True
        buffers.append(buffer)
        return False

    return keep_apart


def _refusal(value: Any, refused: Exception) -> NotShippable:
    path, part, reason = culprit(value, refused)
    return NotShippable(path, f"{type(part).__module__}.{type(part).__qualname__}", f"{reason}{install_hint()}")


def culprit(value: Any, refused: Exception, path: str = "") -> tuple[str, Any, Exception]:
    """The innermost part of a value that cannot be described: where it is, what it is, and why.

    Args:
        value: The value.
        refused: Why it as a whole cannot.
        path: Where it is itself, as an expression.
    """
    if len(path) > 200:
        return path, value, refused
    for step, part in _children(value):
        try:
            dumps(part)
        except RecursionError:
            break
        except Exception as why:
            return culprit(part, why, path + step)
    return path, value, refused


def _children(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{place}]", part) for place, part in enumerate(value)]
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict) and not isinstance(value, type):
        return [(f".{name}", part) for name, part in own.items()]
    return []
