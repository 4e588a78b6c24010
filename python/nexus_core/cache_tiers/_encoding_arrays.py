"""How numpy's arrays and scalars are encoded; imported only where numpy is."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.cache_tiers.encoding import Decoder, Encoder

__all__ = ["NUMPY", "encoder_of_numpy", "restore_numpy"]

# Its types are too exact for what is known only when the program runs.
numpy: Any = importlib.import_module("numpy")

#: The number of the extension.
NUMPY = 20

#: Kinds whose memory is their content.
_BY_MEMORY = frozenset("biufcmMSUV")
_PLAIN_DTYPE = re.compile(r"[<>|][biufcmMSUV]\d{1,10}(\[\d{0,9}[a-zA-Z]{1,2}\])?", re.ASCII)


def encoder_of_numpy(value: Any) -> tuple[int, Callable[[Any, Encoder], Any]] | None:
    """How an object of numpy is taken apart; ``None`` if it cannot be."""
    cls = type(value)
    if cls is numpy.ndarray:
        return NUMPY, _array
    if isinstance(value, numpy.dtype):
        return NUMPY, lambda value, encoder: ["dtype", _dtype(value, value, encoder)]
    if cls in (numpy.str_, numpy.bytes_):
        # As an array of one, its last zeros would be gone.
        return NUMPY, lambda value, _: ["text", str(value) if type(value) is numpy.str_ else bytes(value)]
    if isinstance(value, numpy.generic) and numpy.dtype(cls).type is cls and value.dtype.kind != "V":
        return NUMPY, lambda value, encoder: ["scalar", _dtype(value.dtype, value, encoder), value.tobytes()]
    return None


def restore_numpy(value: Any, decoder: Decoder) -> Any:
    """An object of numpy out of its parts."""
    what, *parts = value
    if what == "array":
        described, shape, order, number = parts
        dtype = _restored_dtype(described)
        memory = decoder.buffer(number)
        if not all(type(length) is int and length >= 0 for length in shape):
            raise ValueError("a shape must be natural numbers")
        if not memory.nbytes:
            return numpy.empty(_of_no_items(shape), dtype)
        # The entry's bytes are shared and cannot be written; an array has memory of its own.
        flat = numpy.frombuffer(memory, numpy.uint8).copy().view(dtype)
        return flat.reshape(shape, order="F" if order == "F" else "C")
    if what == "scalar":
        described, memory = parts
        return numpy.frombuffer(memory, _restored_dtype(described), count=1)[0]
    if what == "dtype":
        return _restored_dtype(parts[0])
    if what == "text":
        return numpy.str_(parts[0]) if type(parts[0]) is str else numpy.bytes_(parts[0])
    raise ValueError(f"numpy has no {what!r}")


def _of_no_items(shape: list[int]) -> list[int]:
    if 0 not in shape:
        raise ValueError("an array without memory has items")
    return shape


def _array(value: Any, encoder: Encoder) -> Any:
    described = _dtype(value.dtype, value, encoder)
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    straight = value.T if order == "F" else value
    if not straight.flags.c_contiguous:
        straight = numpy.ascontiguousarray(straight)
    memory = straight.reshape(-1).view(numpy.uint8) if value.size else b""
    return ["array", described, list(value.shape), order, encoder.buffer(memory)]


def _dtype(dtype: Any, value: Any, encoder: Encoder) -> Any:
    if dtype.metadata:
        raise encoder.refuse(value, "its dtype has metadata")
    if dtype.kind == "O" or dtype.hasobject:
        raise encoder.refuse(value, "its dtype holds objects; give it a dtype of numbers, text or dates")
    if not dtype.itemsize:
        raise encoder.refuse(value, "its items have no size")
    if dtype.names is not None:
        if dtype.fields is None or any(len(field) > 2 for field in dtype.fields.values()):
            raise encoder.refuse(value, "its fields have titles")
        offsets = [dtype.fields[name][1] for name in dtype.names]
        formats = [_dtype(dtype.fields[name][0], value, encoder) for name in dtype.names]
        return [list(dtype.names), formats, offsets, dtype.itemsize, dtype.isalignedstruct]
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_dtype(base, value, encoder), list(shape)]
    # An extension's dtype, such as bfloat16, may call itself what another one does.
    if dtype.kind not in _BY_MEMORY or dtype.isbuiltin == 2:
        raise encoder.refuse(value, f"its dtype {dtype} is not one of numpy's own")
    return dtype.str


def _restored_dtype(described: Any) -> Any:
    if type(described) is str:
        # numpy understands far more in a text, such as lists of fields, and evaluates some of it.
        if _PLAIN_DTYPE.fullmatch(described) is None:
            raise ValueError("no dtype of such a kind")
        dtype = numpy.dtype(described)
        if dtype.kind not in _BY_MEMORY or not dtype.itemsize or dtype.str != described:
            raise ValueError("no dtype of such a kind")
        return dtype
    if len(described) == 2:
        base, shape = described
        return numpy.dtype((_restored_dtype(base), tuple(shape)))
    names, formats, offsets, itemsize, aligned = described
    fields = {"names": names, "formats": [_restored_dtype(each) for each in formats], "offsets": offsets, "itemsize": itemsize}  # fmt: skip
    return numpy.dtype(fields, align=bool(aligned))
