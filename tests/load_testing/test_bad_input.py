"""What makes no sense is refused with its name and value, and nothing runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from apps import function_workflow
from nexus_core.errors import NexusCoreError, UnknownWorkflow
from nexus_core.load_testing import ClosedLoop, OpenLoop, run_load_test


@pytest.fixture
def calls(app: Any) -> list[int]:
    made: list[int] = []

    def call() -> int:
        made.append(1)
        return 1

    app.register("called", function_workflow(call))
    return made


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"duration": 0}, ValueError, "duration must be a number of seconds, more than 0, got 0"),
        ({"duration": -1.5}, ValueError, "duration must be a number of seconds, more than 0, got -1.5"),
        ({"duration": math.nan}, ValueError, "duration must be .* got nan"),
        ({"duration": math.inf}, ValueError, "duration must be .* got inf"),
        ({"duration": "60"}, TypeError, "duration must be a number of seconds, got '60'"),
        ({"duration": True}, TypeError, "duration must be a number of seconds, got True"),
        ({"duration": None}, ValueError, "a test without an end"),
        ({"requests": 0}, ValueError, "requests must be at least 1, got 0"),
        ({"requests": 2.5}, TypeError, "requests must be a whole number, got 2.5"),
        ({"warmup": -1}, ValueError, "warmup must be a number of seconds, not negative, got -1"),
        ({"timeout": 0}, ValueError, "timeout must be"),
        ({"progress": "yes"}, TypeError, "progress must be a function, True or None, got 'yes'"),
        ({"progress_interval": 0}, ValueError, "progress_interval must be"),
        ({"inputs": "x"}, TypeError, "inputs must be a mapping, a sequence of mappings or a function, got 'x'"),
        ({"inputs": []}, ValueError, "inputs are an empty sequence"),
        ({"inputs": [{}, 3]}, TypeError, r"inputs\[1\] must be a mapping, got 3"),
        ({"load": 10}, TypeError, "load must be a ClosedLoop or an OpenLoop, got 10"),
        (
            {"url": "http://127.0.0.1:1", "inputs": {"x": object()}},
            TypeError,
            "inputs cannot be posted as JSON: Object of type object is not JSON serializable",
        ),
        ({"url": 8000}, TypeError, "url must be a string, got 8000"),
    ],
)
def test_arguments(app: Any, calls: list[int], options: dict[str, Any], error: type[Exception], said: str) -> None:
    load = options.pop("load", ClosedLoop(1))
    with pytest.raises(error, match=said):
        run_load_test(app, "called", load, **options)
    assert calls == []


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: ClosedLoop(0), ValueError, "users must be at least 1, got 0"),
        (lambda: ClosedLoop(-3), ValueError, "users must be at least 1, got -3"),
        (lambda: ClosedLoop(1.0), TypeError, "users must be a whole number, got 1.0"),
        (lambda: ClosedLoop(1, math.nan), ValueError, "think_time must be .* got nan"),
        (lambda: ClosedLoop(1, 1, "normal"), ValueError, "thinking must be 'constant' or 'exponential', got 'normal'"),
        (lambda: OpenLoop(0), ValueError, "rate must be a number of requests a second, more than 0, got 0"),
        (lambda: OpenLoop("9"), TypeError, "rate must be a number of requests a second, got '9'"),
        (lambda: OpenLoop(1, "uniform"), ValueError, "arrivals must be 'constant' or 'poisson', got 'uniform'"),
        (lambda: OpenLoop(1, max_in_flight=0), ValueError, "max_in_flight must be at least 1, got 0"),
    ],
)
def test_shapes(make: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_an_unknown_workflow_names_the_near_ones(app: Any, calls: list[int]) -> None:
    with pytest.raises(UnknownWorkflow, match=r"no workflow 'caled' is registered; did you mean 'called'\?") as caught:
        run_load_test(app, "caled")
    assert (caught.value.name, caught.value.known) == ("caled", ("called",))
    with pytest.raises(UnknownWorkflow, match=r"no workflow 'zzz' is registered; registered are 'called'$"):
        run_load_test(app, "zzz")
    with pytest.raises(TypeError, match="a workflow's name must be a string, got 3"):
        run_load_test(app, 3)  # type: ignore[arg-type]


def test_an_app_without_workflows(app: Any) -> None:
    with pytest.raises(UnknownWorkflow, match=r"none is; app\.register"):
        run_load_test(app, "any")


def test_no_app(app: Any, calls: list[int]) -> None:
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins\.object"):
        run_load_test(object(), "called")
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins\.NoneType"):
        run_load_test(None, "called")
    app.close()
    with pytest.raises(NexusCoreError, match="the app is closed"):
        run_load_test(app, "called")


def test_a_function_that_makes_no_mapping(app: Any, calls: list[int]) -> None:
    with pytest.raises(TypeError, match=r"inputs\(0\) must return a mapping, got None"):
        run_load_test(app, "called", ClosedLoop(1), inputs=lambda number: None)  # type: ignore[arg-type, return-value]
    assert calls == []
