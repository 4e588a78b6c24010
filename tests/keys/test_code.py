"""Changed code is another key, and code that only moved is not."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import types
from typing import Any

import pytest

from nexus_core.keys import NotKeyable, function_digest


def made(source: str, name: str = "f", **names: Any) -> Any:
    """A function of a module of its own, as a program would define it."""
    module = types.ModuleType("a_module_of_the_program")
    vars(module).update(names)
    exec(compile(textwrap.dedent(source), f"/{id(module)}.py", "exec"), vars(module))
    return vars(module)[name]


BASE = """
    import math
    LIMIT = 3
    def helper(x):
        return x + LIMIT
    class Rule:
        factor = 2
        def apply(self, x):
            return helper(x) * self.factor
    def f(x, y=1, *, z=2):
        inner = lambda a: a + 1
        return math.floor(Rule().apply(inner(x)) + y + z)
    """


def test_the_same_code_has_the_same_digest_wherever_it_stands() -> None:
    assert function_digest(made(BASE)) == function_digest(made(BASE))
    assert function_digest(made("\n\n\n" + BASE)) == function_digest(made(BASE))
    assert function_digest(made(BASE.replace("LIMIT = 3", "LIMIT = 3  # a comment"))) == function_digest(made(BASE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a + 1", "a + 2"),
        ("a + 1", "a - 1"),
        ("y=1", "y=2"),
        ("z=2", "z=3"),
        ("z=2", "w=2"),
        ("math.floor", "math.ceil"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("x + LIMIT", "x - LIMIT"),
        ("factor = 2", "factor = 3"),
        ("* self.factor", "+ self.factor"),
        ("class Rule:", "class Rule(dict):"),
    ],
)
def test_every_change_is_another_digest(old: str, new: str) -> None:
    changed = BASE.replace(old, new)
    if "w=2" in new:
        changed = changed.replace("+ z", "+ w")
    assert changed != BASE
    assert function_digest(made(changed)) != function_digest(made(BASE))


def test_what_is_not_used_does_not_count() -> None:
    beside = BASE + "def other(): return 1\n    UNUSED = object()\n"
    assert function_digest(made(beside)) == function_digest(made(BASE))


def test_what_is_closed_over_counts() -> None:
    def adding(amount: Any) -> Any:
        return lambda x: x + amount

    assert function_digest(adding(1)) == function_digest(adding(1))
    assert len({function_digest(adding(amount)) for amount in (1, 1.0, 2, "1")}) == 4
    with pytest.raises(NotKeyable, match=r"^function\[3\]\.closure\[0\]\[0\], of type object"):
        function_digest(adding(object()))


def test_functions_that_use_one_another_have_digests() -> None:
    source = """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        """
    assert function_digest(made(source, "even")) == function_digest(made(source, "even"))
    assert function_digest(made(source, "even")) != function_digest(made(source, "odd"))
    assert function_digest(made(source.replace("!= 0", "!= 1"), "even")) != function_digest(made(source, "even"))


def test_a_function_shared_by_many_is_told_once() -> None:
    """Else this would take two to the power of sixty steps."""
    lines = ["def f0(x): return x"]
    lines += [f"def f{n}(x): return f{n - 1}(x) + f{n - 1}(x) if x else g{n}(x)" for n in range(1, 60)]
    lines += [f"def g{n}(x): return f{n - 1}(x)" for n in range(1, 60)]
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    assert function_digest(names["f59"]) == function_digest(names["f59"])
    assert function_digest(names["f59"]) != function_digest(names["f58"])


def test_which_of_two_functions_is_used_again_counts() -> None:
    def adding(amount: int) -> Any:
        return lambda x: x + amount

    one, other = adding(1), adding(2)
    assert function_digest(functools.partial(print, one, other, one)) != function_digest(
        functools.partial(print, one, other, other)
    )


@pytest.mark.parametrize("wrap", [functools.cache, functools.partial, staticmethod, classmethod, property])
def test_wrapped_functions_count(wrap: Any) -> None:
    one = wrap(made("def f(x): return x + 1"))
    other = wrap(made("def f(x): return x + 2"))
    assert function_digest(one) == function_digest(wrap(made("def f(x): return x + 1")))
    assert function_digest(one) != function_digest(other)


def test_a_method_counts_with_its_instance() -> None:
    rule = made(BASE, "Rule")
    one, other = rule(), rule()
    assert function_digest(one.apply) == function_digest(other.apply)
    other.factor = 5
    assert function_digest(one.apply) != function_digest(other.apply)


def test_modules_of_the_program_count_by_what_is_taken_from_them() -> None:
    def using(amount: int, unused: object) -> Any:
        helpers = types.ModuleType("helpers_of_the_program")
        helpers.add = made(f"def f(x): return x + {amount}")  # type: ignore[attr-defined]
        helpers.unused = unused  # type: ignore[attr-defined]
        return made("def f(x): return helpers.add(x)", helpers=helpers)

    assert function_digest(using(1, 1)) == function_digest(using(1, object()))
    assert function_digest(using(1, 1)) != function_digest(using(2, 1))


def test_builtins_and_installed_functions_have_digests() -> None:
    import math

    found = [
        function_digest(each) for each in (len, max, math.floor, str.upper, [].append, [1].append, functools.reduce)
    ]
    assert len(set(found)) == len(found)


def test_local_functions_of_installed_packages_count_by_their_code() -> None:
    """Their names say too little: all that one factory makes share one."""
    import operator
    from collections import namedtuple

    from nexus_core import keys

    one, other = (eval(f"lambda x: x + {amount}", vars(keys)) for amount in (1, 2))
    assert one.__module__ == other.__module__ == "nexus_core.keys"
    assert function_digest(one) != function_digest(other)
    assert function_digest(namedtuple("A", "x", module="json")) != function_digest(namedtuple("A", "y", module="json"))
    assert function_digest(operator.itemgetter) != function_digest(operator.attrgetter)


CLASSES = """
    import abc, dataclasses, enum, typing
    import pydantic
    class Colour(enum.Enum):
        RED = 1
    class Model(pydantic.BaseModel):
        x: int = pydantic.Field(default=1, gt=0)
    @dataclasses.dataclass(slots=True)
    class Point:
        x: int = 1
        y: list = dataclasses.field(default_factory=list)
    class Named(typing.NamedTuple):
        x: int = 1
    class Base(abc.ABC):
        @abc.abstractmethod
        def apply(self): return 1
    class Derived(Base):
        __slots__ = ("a",)
        def apply(self): return super().apply()
    """


def test_the_methods_of_values_that_code_uses_count() -> None:
    source = """
        import dataclasses
        @dataclasses.dataclass
        class Rule:
            factor: int
            def apply(self, x): return x * self.factor
        RULE = Rule(2)
        def f(x): return RULE.apply(x)
        """
    digests = []
    for each in (source, source, source.replace("x *", "x +"), source.replace("Rule(2)", "Rule(3)")):
        module = types.ModuleType("a_module_of_the_program")
        sys.modules[module.__name__] = module
        try:
            exec(textwrap.dedent(each), vars(module))
            digests.append(function_digest(vars(module)["f"]))
        finally:
            del sys.modules[module.__name__]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Colour", "RED = 1", "RED = 2"),
        ("Model", "default=1", "default=2"),
        ("Model", "gt=0", "gt=1"),
        ("Point", "x: int = 1", "x: int = 2"),
        ("Point", "default_factory=list", "default_factory=dict"),
        ("Named", "x: int = 1", "x: int = 2"),
        ("Base", "return 1", "return 2"),
        ("Derived", "return 1", "return 2"),
    ],
)
def test_classes_of_every_kind_count_by_what_they_define(name: str, old: str, new: str) -> None:
    pytest.importorskip("pydantic")
    digests = []
    for source in (CLASSES, CLASSES, CLASSES.replace(old, new)):
        module = types.ModuleType("a_module_of_the_program")
        sys.modules[module.__name__] = module
        try:
            exec(textwrap.dedent(source), vars(module))
            digests.append(function_digest(vars(module)[name]))
        finally:
            del sys.modules[module.__name__]
    assert digests[0] == digests[1] != digests[2]


_IN_A_PROCESS = textwrap.dedent(
    """
    from nexus_core.keys import function_digest
    def helper(x):
        return x in {"a", "b", "c", "d", 1, None}
    def f(x):
        return helper(x) or [helper(y) for y in x]
    print(function_digest(f).hex())
    """
)


def test_the_digest_does_not_depend_on_the_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", _IN_A_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("0", "1", "random")
    }
    assert len(found) == 1
