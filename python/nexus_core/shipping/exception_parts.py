"""What an exception consists of, and an exception made of it without running its class's own code."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from nexus_core.shipping.tracebacks import Frame, frames_of, traceback_of

__all__ = ["make", "parts", "reduce"]

#: A class flag: it was made by a class statement.
_IS_HEAP_TYPE = 1 << 9

#: Attributes that are no arguments, and in no dict.
_OF_SYNTAX_ERRORS = ("filename", "lineno", "offset", "text", "end_lineno", "end_offset", "print_file_and_line")


def reduce(error: BaseException) -> tuple[Any, ...]:
    """How an exception is pickled: type, arguments, attributes, what it was caused by, and where it came from.

    Args:
        error: The exception.
    """
    kind, custom, args, attributes = parts(error)
    state = (
        attributes,
        error.__cause__,
        error.__context__,
        error.__suppress_context__,
        frames_of(error.__traceback__),
    )
    return make, (kind, custom, args), state, None, None, fill


def parts(error: BaseException) -> tuple[type[BaseException], tuple[Any, ...] | None, tuple[Any, ...], dict[str, Any]]:
    """Its class; how it says that it is made, if it says so; its arguments; its attributes.

    Args:
        error: The exception.
    """
    kind = type(error)
    base = _builtin_base(kind)
    custom = None
    if kind.__reduce__ is not base.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
        custom = _own_reduction(error)
    reduced: Any = base.__reduce__(error)
    _, args, *rest = reduced
    attributes = dict(rest[0]) if rest and rest[0] else {}
    if isinstance(error, SyntaxError):
        # Set after it was made by whoever compiles, and in its arguments only where it was made with them.
        attributes.update((name, getattr(error, name)) for name in _OF_SYNTAX_ERRORS)
    return kind, custom, args, attributes


def _own_reduction(error: BaseException) -> tuple[Any, ...] | None:
    try:
        reduced = error.__reduce_ex__(5)
    except Exception:  # it cannot be pickled that way: its parts are taken
        return None
    return reduced[:2] if isinstance(reduced, tuple) and len(reduced) >= 2 else None


def _builtin_base(kind: type[BaseException]) -> type[BaseException]:
    """The class of Python's own that lies below."""
    return next(base for base in kind.__mro__ if not base.__flags__ & _IS_HEAP_TYPE)


def make(kind: type[BaseException], custom: tuple[Any, ...] | None, args: tuple[Any, ...]) -> BaseException:
    """An exception of a class with the given arguments.

    Its ``__init__`` is not called: it may take other arguments than it has passed on.

    Args:
        kind: The class.
        custom: A callable and its arguments, where the class says how it is made.
        args: The exception's ``args``.
    """
    if custom is not None:
        try:
            made = custom[0](*custom[1])
        except Exception:  # as with any class whose arguments are not those of its base
            made = None
        if type(made) is kind:
            return made
    base: Any = _builtin_base(kind)
    made = base.__new__(kind, *args)
    base.__init__(made, *args)
    made_anew: BaseException = made
    return made_anew


def fill(error: BaseException, state: tuple[Any, ...]) -> None:
    """Gives an exception what it had.

    Args:
        error: One that :func:`make` has made.
        state: As :func:`reduce` describes it.
    """
    attributes: dict[str, Any]
    frames: list[Frame]
    attributes, cause, context, suppress, frames = state
    if attributes:
        BaseException.__setstate__(error, attributes)
    error.__cause__ = cause
    error.__context__ = context
    error.__suppress_context__ = suppress
    traceback: TracebackType | None = traceback_of(frames)
    error.__traceback__ = traceback
