"""Values there and back."""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.errors import NotShippable
from nexus_core.shipping import pack, unpack
from nexus_core.shipping.values import LARGE
from shipping.far import in_another_process

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.sets(st.integers())
    ),
    max_leaves=20,
)


@dataclass
class Point:
    x: int
    y: Any


@given(PLAIN)
def test_plain_values_come_back_equal(value: Any) -> None:
    back = unpack(pack(value))
    assert back == value
    assert type(back) is type(value)


def test_large_buffers_are_apart_and_are_the_values_own_memory() -> None:
    array = np.arange(LARGE, dtype=np.uint8)
    packed = pack({"array": array, "small": np.arange(8)})
    assert [memoryview(buffer).nbytes for buffer in packed.buffers] == [LARGE]
    assert packed.size == len(packed.header) + LARGE
    assert np.shares_memory(np.frombuffer(packed.buffers[0], dtype=np.uint8), array)
    back = unpack(packed)
    assert np.array_equal(back["array"], array)
    assert np.array_equal(back["small"], np.arange(8))


def test_an_array_may_be_written_to_where_its_buffer_may() -> None:
    packed = pack(np.zeros(LARGE, dtype=np.uint8))
    theirs = bytearray(memoryview(packed.buffers[0]))
    back = unpack(type(packed)(packed.header, [theirs]))
    back[0] = 1
    assert theirs[0] == 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_order_and_strided_ones_go_too(order: Any) -> None:
    array = np.asarray(np.arange(40_000, dtype=float).reshape(200, 200), order=order)
    assert np.array_equal(unpack(pack(array)), array)
    assert np.array_equal(unpack(pack(array[::2, ::3])), array[::2, ::3])


def test_what_is_packed_can_be_pickled_itself() -> None:
    packed = pickle.loads(pickle.dumps(pack([np.ones(LARGE), "text"])))
    back = unpack(packed)
    assert np.array_equal(back[0], np.ones(LARGE))


def test_functions_without_a_name_go_by_value() -> None:
    factor = 3
    assert in_another_process(
        "from nexus_core.shipping import unpack\nanswer = unpack(given)(2)", pack(lambda value: factor * value)
    ) == 6  # fmt: skip


def test_classes_without_a_module_go_by_value() -> None:
    names: dict[str, Any] = {"__builtins__": __builtins__}
    exec("made = type('S', (int,), {})(3)", names)
    assert not hasattr(type(names["made"]), "__module__")
    back = unpack(pack(names["made"]))
    assert back == 3 and type(back).__name__ == "S"


def test_classes_of_the_main_module_come_back_as_the_same_class() -> None:
    program = """
        import subprocess, sys
        from dataclasses import dataclass
        from nexus_core.shipping import pack, unpack

        @dataclass
        class Own:
            x: int

        far = (
            "import pickle, sys\\n"
            "from nexus_core.shipping import pack, unpack\\n"
            "own = unpack(pickle.loads(sys.stdin.buffer.read()))\\n"
            "own.x += 1\\n"
            "sys.stdout.buffer.write(pickle.dumps(pack(own)))\\n"
        )
        done = subprocess.run([sys.executable, "-c", far], input=pickle.dumps(pack(Own(1))), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        back = unpack(pickle.loads(done.stdout))
        answer = (type(back) is Own, back == Own(2))
    """
    assert in_another_process(program) == (True, True)


def test_a_refusal_says_which_part_and_why() -> None:
    value = {"rows": [1, Point(1, threading.Lock())]}
    with pytest.raises(NotShippable) as refused:
        pack(value)
    assert refused.value.path == "['rows'][1].y"
    assert refused.value.type_name == "_thread.lock"
    assert "_thread.lock" in str(refused.value)
    again = pickle.loads(pickle.dumps(refused.value))
    assert str(again) == str(refused.value)


def test_a_refusal_of_the_value_itself() -> None:
    with pytest.raises(NotShippable) as refused:
        pack(threading.Lock())
    assert refused.value.path == ""
    assert "it is a _thread.lock" in str(refused.value)


def test_what_a_class_raises_when_it_is_pickled_is_the_cause() -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise RuntimeError("never")

    with pytest.raises(NotShippable, match="never") as refused:
        pack([Stubborn()])
    assert refused.value.path == "[0]"
    assert isinstance(refused.value.__cause__, RuntimeError)


def test_exceptions_among_values_keep_their_type_and_arguments() -> None:
    class Picky(Exception):
        def __init__(self, code: int, *, text: str) -> None:
            super().__init__(f"{code}: {text}")
            self.code = code

    back = unpack(pack({"error": Picky(7, text="no")}))["error"]
    assert type(back) is Picky
    assert (str(back), back.code) == ("7: no", 7)


def test_without_cloudpickle_the_refusal_says_how_to_get_it() -> None:
    program = """
        sys.modules["cloudpickle"] = None
        from nexus_core.shipping import pack, unpack
        assert unpack(pack([1])) == [1]
        try:
            pack(lambda: 1)
        except Exception as refused:
            answer = str(refused)
    """
    answer = in_another_process(program)
    assert "pip install nexus-core-rs[processes]" in answer
    assert "cannot be pickled: <lambda> is of __main__, which is another module there. What" in answer


class Base:
    def says(self) -> str:
        return "base"


class Sub(Base):
    def says(self) -> str:
        return "sub"


def otherwise(self: Any) -> str:
    return f"otherwise, {type(self).__name__}"


def test_methods_that_were_put_into_an_object_stay_there() -> None:
    sub = Sub()
    sub.says = MethodType(otherwise, sub)  # type: ignore[method-assign]
    back = unpack(pack(sub))
    assert back.says() == "otherwise, Sub"
    assert back.says.__self__ is back
    assert unpack(pack(sub.says))() == "otherwise, Sub"
    # Not the one that its class has in its place.
    assert unpack(pack(super(Sub, Sub()).says))() == "base"
    assert unpack(pack(Sub().says))() == "sub"
    patched = Sub()
    patched.says = MethodType(lambda self: "by value", patched)  # type: ignore[method-assign]
    assert unpack(pack(patched)).says() == "by value"
