"""What the generator measures at queues whose percentiles are known; in virtual time, so that only chance is left."""

from __future__ import annotations

import math

import pytest

from nexus_core.load_testing import OpenLoop

from .virtual_time import Server, constant, exponential, generate

_SHARES = (0.5, 0.9, 0.95, 0.99)


def test_one_server_with_exponential_service() -> None:
    # M/M/1: the time in the system is exponential with the rate mu - lambda.
    rate, mean = 50.0, 0.01
    generator, _ = generate(Server(exponential(mean)), OpenLoop(rate, "poisson", seed=3), requests=60_000, warmup=10)
    for share in _SHARES:
        expected = -math.log(1 - share) / (1 / mean - rate)
        assert generator.recorder.latency.quantile(share) == pytest.approx(expected, rel=0.05), share


def test_one_server_with_constant_service() -> None:
    rate, service = 60.0, 0.01
    generator, _ = generate(Server(constant(service)), OpenLoop(rate, "poisson", seed=5), requests=40_000, warmup=10)
    for share in _SHARES:
        expected = service + waiting_quantile(share, rate, service)
        assert generator.recorder.latency.quantile(share) == pytest.approx(expected, rel=0.05), share


def test_servers_without_a_queue() -> None:
    server = Server(exponential(0.02), queue=False)
    generator, _ = generate(server, OpenLoop(100, "poisson", seed=11), requests=30_000)
    for share in _SHARES:
        expected = -math.log(1 - share) * 0.02
        assert generator.recorder.latency.quantile(share) == pytest.approx(expected, rel=0.05), share


def test_poisson_arrivals_have_the_rate_that_was_asked_for() -> None:
    generator, _ = generate(Server(constant(0.0), queue=False), OpenLoop(40, "poisson"), duration=500)
    assert generator.recorder.started == pytest.approx(20_000, rel=0.02)


def waiting_quantile(share: float, rate: float, service: float) -> float:
    """The time that a share of the requests waits no longer than, in M/D/1 (Erlang's series)."""

    def waits_no_longer(time: float) -> float:
        total = 0.0
        for number in range(int(time / service) + 1):
            reach = rate * (number * service - time)
            total += reach**number / math.factorial(number) * math.exp(-reach)
        return (1 - rate * service) * total

    low, high = 0.0, 40 * service
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if waits_no_longer(middle) >= share else (middle, high)
    return high
