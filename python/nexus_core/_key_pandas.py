"""How pandas' objects are keyed, by content; used only where pandas is imported."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["pandas_reduction"]

Reduction = tuple[str, dict[str, Any]] | str


def pandas_reduction(value: Any) -> Reduction | None:
    """What an object of pandas is made of.

    Args:
        value: Any object.

    Returns:
        A name and attributes that have keys, the reason why it has none, or ``None``
        where it is not pandas'.
    """
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or type(value).__module__.partition(".")[0] != "pandas":
        return None
    if value is pandas.NA:
        return "pandas.NA", {}
    if value is pandas.NaT:
        return "pandas.NaT", {}
    cls = type(value)
    if cls is pandas.DataFrame:
        columns = [value.iloc[:, place].array for place in range(value.shape[1])]
        return "pandas.DataFrame", {"columns": value.columns, "data": columns, **_frame(value)}
    if cls is pandas.Series:
        return "pandas.Series", {"name": value.name, "data": value.array, **_frame(value)}
    if isinstance(value, pandas.Index):
        return _index(pandas, cls, value)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return _array(pandas, value)
    if cls is pandas.Timestamp:
        return "pandas.Timestamp", {"value": value.asm8, "fold": value.fold, "tz": value.tzinfo}
    if cls is pandas.Timedelta:
        return "pandas.Timedelta", {"value": value.asm8}
    if cls is pandas.Interval:
        return "pandas.Interval", {"left": value.left, "right": value.right, "closed": value.closed}
    if cls is pandas.Period:
        return "pandas.Period", {"ordinal": value.ordinal, "freq": value.freqstr}
    return None


def _frame(value: Any) -> dict[str, Any]:
    return {
        "index": value.index,
        "attrs": value.attrs,
        "allows_duplicate_labels": value.flags.allows_duplicate_labels,
    }


def _index(pandas: Any, cls: type, value: Any) -> Reduction | None:
    name = f"pandas.{cls.__name__}"
    if cls is pandas.RangeIndex:
        return name, {"name": value.name, "start": value.start, "stop": value.stop, "step": value.step}
    if cls is pandas.MultiIndex:
        arrays = [value.get_level_values(place).array for place in range(value.nlevels)]
        return name, {"names": list(value.names), "data": arrays}
    if cls is pandas.Index or getattr(pandas, cls.__name__, None) is cls:
        return name, {"name": value.name, "data": value.array, "freq": getattr(value, "freqstr", None)}
    return None


def _array(pandas: Any, value: Any) -> Reduction | None:
    arrays = pandas.arrays
    cls = type(value)
    name = f"pandas.{cls.__name__}"
    if cls is arrays.NumpyExtensionArray:
        return name, {"data": value.to_numpy()}
    if cls in (arrays.DatetimeArray, arrays.TimedeltaArray):
        zone = getattr(value, "tz", None)
        return name, {"unit": value.unit, "tz": zone, "data": value.asi8}
    if cls is arrays.PeriodArray:
        return name, {"dtype": str(value.dtype), "data": value.asi8}
    if cls is pandas.Categorical:
        return name, {"categories": value.categories, "ordered": value.ordered, "codes": value.codes}
    if cls in (arrays.IntegerArray, arrays.FloatingArray, arrays.BooleanArray):
        # What is behind the mask is arbitrary.
        missing = value.isna()
        data = value.to_numpy(dtype=value.dtype.numpy_dtype, na_value=0)
        return name, {"data": data, "missing": missing}
    if isinstance(value.dtype, pandas.StringDtype):
        missing = value.isna()
        texts = value.to_numpy(dtype=object, na_value=None)
        return "pandas.StringArray", {"dtype": repr(value.dtype), "data": texts, "missing": missing}
    if cls is arrays.IntervalArray:
        return name, {"left": value.left, "right": value.right, "closed": value.closed}
    return None
