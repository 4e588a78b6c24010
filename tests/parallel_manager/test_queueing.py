"""The formulas against known values, and against queues that are simulated."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

import pytest

from nexus_core.parallel_execution.measurements import Measurements, Sample
from nexus_core.parallel_execution.queueing import erlang_c, mean_wait, servers_needed


@pytest.mark.parametrize(
    ("servers", "offered", "expected"),
    [
        (1, 0.8, 0.8),  # M/M/1: the utilization
        (2, 1.0, 1 / 3),
        (5, 4.0, 0.5541),  # from published tables of Erlang's C formula
        (10, 8.0, 0.4092),
        (3, 3.0, 1.0),
        (2, 5.0, 1.0),
    ],
)
def test_erlangs_formula(servers: int, offered: float, expected: float) -> None:
    assert erlang_c(servers, offered) == pytest.approx(expected, abs=1e-4)


def test_a_thousand_servers_do_not_overflow() -> None:
    assert 0 < erlang_c(1000, 950.0) < 1


@pytest.mark.parametrize("variability", [0.0, 0.5, 1.0, 4.0])
def test_one_server_is_pollaczek_and_khinchines(variability: float) -> None:
    rate, seconds = 7.0, 0.1
    expected = rate * seconds**2 * (1 + variability) / 2 / (1 - rate * seconds)
    assert mean_wait(rate, seconds, 1, 1.0, variability) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("servers", "service", "variability"),
    [
        (1, lambda source: 0.1, 0.0),
        (3, lambda source: source.expovariate(10.0), 1.0),
        (4, lambda source: source.choice((0.02, 0.18)), 0.64),
    ],
)
def test_waits_are_those_of_a_simulated_queue(
    servers: int, service: Callable[[random.Random], float], variability: float
) -> None:
    source = random.Random(5)
    rate = 0.7 * servers / 0.1
    free = [0.0] * servers
    now = waited = 0.0
    count = 200_000
    for _ in range(count):
        now += source.expovariate(rate)
        begin = max(now, heapq.heappop(free))
        waited += begin - now
        heapq.heappush(free, begin + service(source))
    assert mean_wait(rate, 0.1, servers, 1.0, variability) == pytest.approx(waited / count, rel=0.05)


def test_the_number_of_servers_is_the_least() -> None:
    for rate, seconds, longest in ((50.0, 0.1, 0.01), (3.0, 0.2, 0.02), (200.0, 0.5, 0.001)):
        servers = servers_needed(rate, seconds, longest)
        assert mean_wait(rate, seconds, servers) <= longest
        assert mean_wait(rate, seconds, servers - 1) > longest


def test_too_few_servers_wait_for_ever_and_too_many_are_an_error() -> None:
    assert mean_wait(10.0, 0.1, 1) == math.inf
    with pytest.raises(ValueError, match="more than 100,000 servers"):
        servers_needed(1e6, 1.0, 0.1)


def test_only_runs_that_had_room_show_the_service_time() -> None:
    measured = Measurements()
    assert measured.service_time() is None
    measured.add([Sample(0.1, 2), Sample(0.3, 2), Sample(9.0, 5)], 3, 10.0, 0.3, places=4, limit=5)
    found = measured.service_time()
    assert found is not None
    assert (found.mean, found.runs, found.method) == (pytest.approx(0.2), 2, "observed")
    assert found.variability == pytest.approx(0.5)
    assert found.cpu == pytest.approx(0.1)
    assert found.blocking == pytest.approx(0.1)


def test_runs_beside_each_other_on_a_busy_interpreter_do_not() -> None:
    measured = Measurements()
    measured.add([Sample(0.1, 1), Sample(0.3, 2)], 2, 1.0, 0.9, places=4, limit=2)
    found = measured.service_time()
    assert found is not None
    assert (found.mean, found.runs) == (pytest.approx(0.1), 1)


def test_where_all_places_are_taken_the_throughput_shows_it() -> None:
    measured = Measurements()
    measured.add([Sample(1.0, 10)] * 40, 40, 0.5, 0.04, places=4, limit=10)
    found = measured.service_time()
    assert found is not None
    assert (found.mean, found.method) == (pytest.approx(0.05), "utilization law")
    assert (found.cpu, found.variability) == (pytest.approx(0.001), 1.0)


def test_a_single_run_shows_no_variability() -> None:
    measured = Measurements()
    measured.add([Sample(0.1, 1)], 1, 0.1, 0.0, places=1, limit=1)
    found = measured.service_time()
    assert found is not None
    assert (found.variability, found.runs) == (1.0, 1)


def test_very_many_servers_are_found_in_one_pass() -> None:
    servers = servers_needed(95_000.0, 1.0, 1e-9)
    assert mean_wait(95_000.0, 1.0, servers) <= 1e-9 < mean_wait(95_000.0, 1.0, servers - 1)
    with pytest.raises(ValueError, match="more than 100,000 servers"):
        servers_needed(99_999.0, 1.0, 1e-300)


@pytest.mark.parametrize(("servers", "offered"), [(1, 0.5), (3, 2.0), (12, 10.5), (40, 35.0)])
def test_erlangs_formula_as_textbooks_write_it(servers: int, offered: float) -> None:
    full = offered**servers / math.factorial(servers) * servers / (servers - offered)
    others = sum(offered**number / math.factorial(number) for number in range(servers))
    assert erlang_c(servers, offered) == pytest.approx(full / (others + full), rel=1e-12)
    # And the mean wait is Erlang's C by the spare capacity.
    assert mean_wait(offered / 0.2, 0.2, servers) == pytest.approx(
        full / (others + full) / (servers / 0.2 - offered / 0.2), rel=1e-9
    )
