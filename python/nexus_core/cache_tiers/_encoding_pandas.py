"""How pandas' objects are encoded; imported only where pandas is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.cache_tiers.encoding import Decoder, Encoder

__all__ = ["PANDAS", "encoder_of_pandas", "restore_pandas"]

#: The number of the extension.
PANDAS = 21


def _pandas() -> Any:
    return importlib.import_module("pandas")


def encoder_of_pandas(value: Any) -> tuple[int, Callable[[Any, Encoder], Any]] | None:
    """How an object of pandas is taken apart; ``None`` if it cannot be."""
    return PANDAS, _reduce


def _reduce(value: Any, encoder: Encoder) -> Any:
    pandas = _pandas()
    cls = type(value)
    if value is pandas.NA:
        return ["NA"]
    if value is pandas.NaT:
        return ["NaT"]
    if cls is pandas.DataFrame:
        _check_axes(value, encoder)
        columns = [_column(value.iloc[:, place].array, value, encoder) for place in range(value.shape[1])]
        return ["frame", value.index, value.columns, columns, value.attrs, value.flags.allows_duplicate_labels]
    if cls is pandas.Series:
        _check_axes(value, encoder)
        data = _column(value.array, value, encoder)
        return ["series", value.index, data, value.name, value.attrs, value.flags.allows_duplicate_labels]
    if isinstance(value, pandas.Index):
        return _index(pandas, value, encoder)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return _column(value, value, encoder)
    if cls is pandas.Timestamp:
        return ["timestamp", int(value.asm8.view("i8")), value.unit, value.fold, _zone(value.tz, value, encoder)]
    if cls is pandas.Timedelta:
        return ["timedelta", int(value.asm8.view("i8")), value.unit]
    if cls is pandas.Interval:
        return ["interval", value.left, value.right, value.closed]
    if cls is pandas.Period:
        return ["period", value.ordinal, value.freqstr]
    raise encoder.refuse(value, "it has no encoding; give the cache a serializer, or keep plain values")


def _check_axes(value: Any, encoder: Encoder) -> None:
    if not value.flags.allows_duplicate_labels and not all(axis.is_unique for axis in value.axes):
        raise encoder.refuse(value, "its labels contradict its flags")


def _zone(zone: Any, value: Any, encoder: Encoder) -> Any:
    import datetime
    import zoneinfo

    if zone is not None and type(zone) not in (datetime.timezone, zoneinfo.ZoneInfo):
        raise encoder.refuse(value, f"its zone is a {type(zone).__qualname__}; take datetime.timezone or ZoneInfo")
    return zone


def _index(pandas: Any, value: Any, encoder: Encoder) -> Any:
    cls = type(value)
    if cls is pandas.RangeIndex:
        return ["range", value.start, value.stop, value.step, value.name]
    if cls is pandas.MultiIndex:
        return ["multi", list(value.levels), [_numbers(each) for each in value.codes], list(value.names)]
    if cls is not getattr(pandas, cls.__name__, None):
        raise encoder.refuse(value, "its class is not pandas' own")
    return ["index", cls.__name__, _column(value.array, value, encoder), value.name, getattr(value, "freqstr", None)]


def _numbers(codes: Any) -> Any:
    import numpy

    return numpy.asarray(codes)


def _column(array: Any, owner: Any, encoder: Encoder) -> Any:
    """An array of pandas in terms of arrays of numpy; `owner` is what an error is about."""
    pandas = _pandas()
    arrays: Any = pandas.arrays
    cls = type(array)
    if cls is arrays.NumpyExtensionArray:
        data = array.to_numpy()
        if data.dtype.kind == "O":
            raise encoder.refuse(owner, "a column or index of it has dtype object; give it a dtype of its own")
        return ["numpy", data]
    if cls is arrays.DatetimeArray:
        return ["datetimes", array.asi8, array.unit, _zone(array.tz, owner, encoder)]
    if cls is arrays.TimedeltaArray:
        return ["timedeltas", array.asi8, array.unit]
    if cls is arrays.PeriodArray:
        return ["periods", array.asi8, array.freqstr]
    if cls is pandas.Categorical:
        return ["categorical", _numbers(array.codes), array.categories, bool(array.ordered)]
    if cls in (arrays.IntegerArray, arrays.FloatingArray, arrays.BooleanArray):
        # What is behind the mask is arbitrary.
        missing = array.isna()
        data = array.to_numpy(dtype=array.dtype.numpy_dtype, na_value=0)
        return ["masked", data, _numbers(missing)]
    if isinstance(array.dtype, pandas.StringDtype):
        texts = array.to_numpy(dtype=object, na_value=None).tolist()
        return ["texts", texts, array.dtype.storage, array.dtype.na_value is pandas.NA]
    if cls is arrays.IntervalArray:
        return ["intervals", array.left, array.right, array.closed]
    raise encoder.refuse(owner, f"a column or index of it has dtype {array.dtype}, which has no encoding")


def restore_pandas(value: Any, decoder: Decoder) -> Any:
    """An object of pandas out of its parts."""
    pandas = _pandas()
    what, *parts = value
    restore = _RESTORE.get(what)
    return restore(pandas, *parts) if restore is not None else _restored_column(pandas, value)


def _frame(pandas: Any, index: Any, columns: Any, data: Any, attrs: Any, duplicates: Any) -> Any:
    arrays = [_restored_column(pandas, each) for each in data]
    if not len(arrays) == len(columns) or any(len(each) != len(index) for each in arrays):
        raise ValueError("a frame's columns are not as long as its index")
    frame = pandas.DataFrame(dict(enumerate(arrays)), index=index, copy=False)
    frame.columns = columns
    return _flagged(frame, attrs, duplicates)


def _series(pandas: Any, index: Any, data: Any, name: Any, attrs: Any, duplicates: Any) -> Any:
    array = _restored_column(pandas, data)
    if len(array) != len(index):
        raise ValueError("a series is not as long as its index")
    return _flagged(pandas.Series(array, index=index, name=name, copy=False), attrs, duplicates)


def _flagged(value: Any, attrs: Any, duplicates: Any) -> Any:
    value.attrs.update(attrs)
    if not duplicates:
        value.flags.allows_duplicate_labels = False
    return value


def _multi(pandas: Any, levels: Any, codes: Any, names: Any) -> Any:
    return pandas.MultiIndex(levels=levels, codes=codes, names=names)


def _plain_index(pandas: Any, cls: Any, data: Any, name: Any, freq: Any) -> Any:
    array = _restored_column(pandas, data)
    index = pandas.Index(array, name=name, copy=False)
    if freq is not None and isinstance(index, (pandas.DatetimeIndex, pandas.TimedeltaIndex)):
        index.freq = freq
    if type(index).__name__ != cls or getattr(index, "freqstr", None) != freq:
        raise ValueError("an index is not what it says")
    return index


def _timestamp(pandas: Any, value: Any, unit: Any, fold: Any, zone: Any) -> Any:
    import numpy

    stamp = pandas.Timestamp(numpy.datetime64(value, unit))
    if zone is not None:
        stamp = stamp.tz_localize("UTC").tz_convert(zone)
    return stamp if stamp.fold == fold else stamp.replace(fold=fold)


def _timedelta(pandas: Any, value: Any, unit: Any) -> Any:
    import numpy

    return pandas.Timedelta(numpy.timedelta64(value, unit))


def _restored_column(pandas: Any, value: Any) -> Any:
    import numpy

    what, *parts = value
    arrays = pandas.arrays
    if what == "numpy":
        return arrays.NumpyExtensionArray(parts[0])
    if what == "datetimes":
        data, unit, zone = parts
        made = pandas.DatetimeIndex(data.view(numpy.dtype(f"M8[{unit}]")), copy=False)
        if zone is not None:
            made = made.tz_localize("UTC").tz_convert(zone)
        return made.array
    if what == "timedeltas":
        data, unit = parts
        return pandas.TimedeltaIndex(data.view(numpy.dtype(f"m8[{unit}]")), copy=False).array
    if what == "periods":
        return arrays.PeriodArray(parts[0], dtype=pandas.PeriodDtype(parts[1]))
    if what == "categorical":
        codes, categories, ordered = parts
        return pandas.Categorical.from_codes(codes, categories=categories, ordered=ordered)
    if what == "masked":
        data, missing = parts
        cls = {"i": arrays.IntegerArray, "u": arrays.IntegerArray, "f": arrays.FloatingArray, "b": arrays.BooleanArray}
        return cls[data.dtype.kind](data, missing)
    if what == "texts":
        texts, storage, uses_na = parts
        dtype = pandas.StringDtype(storage, na_value=pandas.NA if uses_na else numpy.nan)
        return pandas.array(texts, dtype=dtype)
    if what == "intervals":
        left, right, closed = parts
        return arrays.IntervalArray.from_arrays(left, right, closed=closed)
    raise ValueError(f"pandas has no {what!r}")


_RESTORE: dict[Any, Callable[..., Any]] = {
    "NA": lambda pandas: pandas.NA,
    "NaT": lambda pandas: pandas.NaT,
    "frame": _frame,
    "series": _series,
    "range": lambda pandas, start, stop, step, name: pandas.RangeIndex(start, stop, step, name=name),
    "multi": _multi,
    "index": _plain_index,
    "timestamp": _timestamp,
    "timedelta": _timedelta,
    "interval": lambda pandas, left, right, closed: pandas.Interval(left, right, closed),
    "period": lambda pandas, ordinal, freq: pandas.Period(ordinal=ordinal, freq=freq),
}
