"""Values that are hard on code that walks through values."""

from __future__ import annotations

import datetime
from collections import OrderedDict
from decimal import Decimal
from typing import Any, NoReturn

from hypothesis import strategies as st


class TextSubclass(str):
    """A string that is not exactly a string."""


class IntSubclass(int):
    """An int that is not exactly an int."""


class DictSubclass(dict[Any, Any]):
    """A dict that is not exactly a dict."""


class ListSubclass(list[Any]):
    """A list that is not exactly a list."""


class Uncomparable:
    """Refuses to be compared, and says the same of every instance."""

    def __eq__(self, other: object) -> NoReturn:
        raise ValueError("not comparable")

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "Uncomparable()"


class EqualToAll:
    """Equal to everything, with the hash of ``"a"`` and so in its way as a key."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("a")

    def __repr__(self) -> str:
        return "EqualToAll()"


class ClaimsToBeDict:
    """``isinstance(it, dict)`` holds and ``type(it)`` says otherwise."""

    __class__ = property(lambda _: dict)

    def items(self) -> list[tuple[str, int]]:
        return [("claimed", 1)]

    def __repr__(self) -> str:
        return "ClaimsToBeDict()"


class ConvertsToDict:
    """What stock takes for serialisable by its ``to_dict``."""

    def to_dict(self) -> dict[str, Any]:
        return {"when": datetime.date(2024, 2, 29), "what": ("a", "b")}

    def __repr__(self) -> str:
        return "ConvertsToDict()"


_FRAGMENTS = [
    "<", ">", "</", "<script>", "</script>", "<SCRIPT src=x>", "<iframe>", "<b>",
    "javascript", "JavaScript:", "java", "script:", "javascript:", "jav\u0061\u017fcript:",
    "javascr\u0131pt:", "JAVASCR\u0130PT:", "javascr\u00e9pt:", ":", "pt:", "http://",
    "$", "${", "{", "}", "${a}", "${b}", "${c}", "${missing}", "${}", "a", " ", "\n", "\0",
    "\x7f", '"', "\\", "\u00e9", "\u20ac", "\U0001f600", "\ud800", "\udfff", "x" * 31, "y" * 33,
]  # fmt: skip

plain_texts = st.one_of(
    st.sampled_from(["", "a", "b", "value", "result", "path", "é", "x" * 10_000, "€" * 10_000]),
    st.text(alphabet=st.characters(), max_size=40),
)
texts = st.one_of(
    plain_texts,
    st.lists(st.sampled_from(_FRAGMENTS), max_size=8).map("".join),
    st.sampled_from(["x" * 10_001, "€" * 10_001, "\U0001f600" * 10_001, "<" * 10_001, "${a}" + "x" * 9_999]),
)
integers = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**1023, 2**1024, -(2**1024), 10**308]),
)
# Mapped, because a strategy shows what it samples from, and these cannot be shown.
huge_integers = st.sampled_from([4299, 4300, 5000, 20_000]).map(lambda digits: 10**digits)
floats = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, 1e16, 1e22, 1e-5, 5e-324, 1.7976931348623157e308, 0.1]),
)
plain_scalars = st.one_of(st.none(), st.booleans(), integers, floats, plain_texts)
plain_keys = st.one_of(plain_texts, integers, floats, st.booleans(), st.none())

_odd_leaves = st.one_of(
    texts,
    texts.map(TextSubclass),
    integers.map(IntSubclass),
    huge_integers,
    st.sets(st.integers(), max_size=3),
    st.frozensets(st.integers(), max_size=3),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(),
    st.decimals(),
    st.complex_numbers(),
    st.builds(Uncomparable),
    st.builds(EqualToAll),
    st.builds(ClaimsToBeDict),
    st.builds(ConvertsToDict),
    st.sampled_from([Decimal("1.50"), datetime.timedelta(1), object, len, ...]),
)
_odd_keys = st.one_of(
    texts,
    texts.map(TextSubclass),
    integers.map(IntSubclass),
    huge_integers,
    st.tuples(st.integers(), texts),
    st.binary(max_size=3),
    st.dates(),
    st.builds(EqualToAll),
)


def _dicts(keys: st.SearchStrategy[Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    return st.lists(st.tuples(keys, values), max_size=5).map(dict)


def _containers(keys: st.SearchStrategy[Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(values, max_size=5)
    return st.one_of(_dicts(keys, values), lists, lists.map(tuple))


#: JSON in the wide sense of ``json.dumps``.
plain_values = st.recursive(plain_scalars, lambda inner: _containers(plain_keys, inner), max_leaves=15)
_keys = st.one_of(plain_keys, plain_keys, _odd_keys)
#: Anything.
values = st.recursive(
    st.one_of(plain_scalars, texts, _odd_leaves),
    lambda inner: st.one_of(
        _containers(_keys, inner),
        _containers(plain_keys, inner),
        _dicts(plain_keys, inner).map(DictSubclass),
        _dicts(plain_keys, inner).map(OrderedDict),
        st.lists(inner, max_size=4).map(ListSubclass),
    ),
    max_leaves=15,
)
#: What templates may name.
runtime_inputs = st.fixed_dictionaries({}, optional={"a": values, "b": values, "": values})
#: Outputs of a node.
outputs = _dicts(st.one_of(st.just("result"), _keys), values)
# Stock formats keys; ours asks it about ints that may be too long for that.
_short_keys = st.one_of(plain_texts, st.integers(-(2**70), 2**70), floats, st.booleans(), st.none())
plain_outputs = _dicts(
    st.one_of(st.just("result"), _short_keys),
    st.recursive(plain_scalars, lambda inner: _containers(_short_keys, inner), max_leaves=15),
)
#: Inputs of a node's code.
parameters = _dicts(
    st.one_of(
        texts,
        st.sampled_from(["file", "my_path", "PROFILE", "f\u0130le", "Pathos", "fil", "pat"]),
        _keys,
    ),
    values,
)
