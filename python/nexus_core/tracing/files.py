"""Files that are there as a whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

__all__ = ["replaced"]


@contextmanager
def replaced(path: Path) -> Iterator[TextIO]:
    """A text file, compressed where its name ends in ``.gz``, that takes its place when all is written.

    Args:
        path: Where it shall be.

    Yields:
        The file to write to.

    Raises:
        OSError: If it cannot be written.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():  # a device or a pipe is written to, not replaced
        with place.open("w", encoding="utf-8") as text:
            yield text
        return
    # Not tempfile's: those are for their owner alone.
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as raw:
            if path.name.endswith(".gz"):
                # Without a time in it, the same trace is the same file.
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=5, mtime=0) as packed:
                    yield from _text(cast("IO[bytes]", packed))
            else:
                yield from _text(raw)
        os.replace(unfinished, place)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _text(raw: IO[bytes]) -> Iterator[TextIO]:
    text = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
    try:
        yield text
    finally:
        text.detach()  # so that whoever opened the file closes it
