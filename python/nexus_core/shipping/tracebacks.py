"""Tracebacks as data, and tracebacks made of it that Python prints like the first ones."""

from __future__ import annotations

from types import CodeType, TracebackType

__all__ = ["Frame", "frames_of", "traceback_of"]

#: File, function, its first line, the line that was running, and the module.
Frame = tuple[str, str, int, int, str]

#: A traceback of a recursion without end is told by its ends.
_MOST_FRAMES = 200


class _Here(Exception):
    """Raised for its frame."""


_STUB: CodeType = compile("raise stop", "<stub>", "exec")


def frames_of(traceback: TracebackType | None) -> list[Frame]:
    """What is printed of a traceback, the outermost frame first.

    Args:
        traceback: The traceback, or ``None``.
    """
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = traceback.tb_frame.f_globals.get("__name__")
        frames.append(
            (code.co_filename, code.co_name, code.co_firstlineno, traceback.tb_lineno or 0, str(module or "?"))
        )
        traceback = traceback.tb_next
    if len(frames) > _MOST_FRAMES:
        half = _MOST_FRAMES // 2
        return frames[:half] + frames[-half:]
    return frames


def traceback_of(frames: list[Frame]) -> TracebackType | None:
    """A traceback that prints as the one that the frames were taken from.

    Args:
        frames: What :func:`frames_of` has returned.
    """
    traceback = None
    for file, name, first_line, line, module in reversed(frames):
        code = _STUB.replace(co_filename=file, co_name=name, co_qualname=name, co_firstlineno=first_line)
        try:
            # Its frame is all that is wanted; what ran there is in the other process.
            exec(code, {"__name__": module, "__file__": file, "stop": _Here})
        except _Here as here:
            assert here.__traceback__ is not None and here.__traceback__.tb_next is not None
            frame = here.__traceback__.tb_next.tb_frame
            frame.f_globals.pop("stop")
            traceback = TracebackType(traceback, frame, -1, line)
    return traceback
