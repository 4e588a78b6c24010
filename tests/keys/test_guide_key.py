"""``guide_cache_key`` is the performance guide's formula."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.keys import NotKeyable, guide_cache_key

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.dictionaries(st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=15,
)


def of_the_guide(workflow_name: Any, inputs: Any, parameters: Any = None) -> str:
    """The guide's own lines."""
    cache_data = {"workflow": workflow_name, "inputs": inputs, "parameters": parameters or {}}
    cache_string = json.dumps(cache_data, sort_keys=True)
    return hashlib.sha256(cache_string.encode()).hexdigest()[:16]


@given(st.text(), documents, st.none() | st.dictionaries(st.text(max_size=3), documents, max_size=3))
def test_it_gives_what_the_guide_gives(name: str, inputs: Any, parameters: Any) -> None:
    assert guide_cache_key(name, inputs, parameters) == of_the_guide(name, inputs, parameters)


def test_it_is_what_it_was() -> None:
    assert guide_cache_key("data-processor", {"data": "test_dataset_1"}) == "12bcad042f6b59ee"


_CIRCULAR: list[Any] = []
_CIRCULAR.append(_CIRCULAR)


@pytest.mark.parametrize("inputs", [{"a": {1}}, {"a": b""}, {1: 1, "1": 2}, {(1,): 2}, _CIRCULAR], ids=repr)
def test_what_json_cannot_write_is_refused(inputs: Any) -> None:
    with pytest.raises(NotKeyable, match=r"^inputs, of type (dict|list), has no key: as JSON, "):
        guide_cache_key("workflow", inputs)
