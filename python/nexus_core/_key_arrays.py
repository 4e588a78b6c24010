"""How numpy's dtypes are described in a key; imported only where numpy is."""

from __future__ import annotations

from typing import Any

__all__ = ["dtype_reduction"]

#: Kinds whose memory is their content.
_BY_MEMORY = frozenset("biufcmMSUV")


def dtype_reduction(dtype: Any) -> tuple[Any, bool] | str:
    """A dtype in terms that have a key.

    Args:
        dtype: A ``numpy.dtype``.

    Returns:
        A description, and whether the memory of an array of it is its content; or the
        reason why its arrays have no key.
    """
    if dtype.metadata:
        return "its dtype has metadata"
    if dtype.kind in "OT":
        return dtype.kind, False
    if dtype.names is None and dtype.subdtype is None:
        # An extension's dtype, such as bfloat16, may call itself what another one does.
        if dtype.kind not in _BY_MEMORY or dtype.isbuiltin == 2:
            return f"its dtype {dtype} is not one of numpy's own"
        return dtype.str, True
    if dtype.hasobject:
        return "its fields hold objects"
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        inner = dtype_reduction(base)
        return inner if isinstance(inner, str) else ((inner[0], shape), True)
    fields = []
    for name in dtype.names:
        of_field, offset = dtype.fields[name][:2]
        inner = dtype_reduction(of_field)
        if isinstance(inner, str):
            return inner
        fields.append((name, offset, inner[0]))
    return (dtype.itemsize, fields), True
