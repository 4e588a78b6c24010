"""When requests begin, and from when their latencies count; in virtual time, so that every figure is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from nexus_core.load_testing import ClosedLoop, OpenLoop
from nexus_core.load_testing.targets import Answer

from .virtual_time import Server, VirtualTimeLoop, constant, exponential, generate


def test_users_wait_for_their_replies_and_think() -> None:
    server = Server(constant(0.25), queue=False)
    generator, stopped_by = generate(server, ClosedLoop(4, think_time=0.75), duration=10)
    assert stopped_by == "duration"
    assert generator.recorder.started == 40  # a request a second for each user
    assert generator.recorder.latency.longest == pytest.approx(0.25)
    assert generator.recorder.latency.shortest == pytest.approx(0.25)


def test_users_of_one_server_queue() -> None:
    generator, _ = generate(Server(constant(0.1)), ClosedLoop(5), duration=20, warmup=1)
    assert generator.recorder.latency.quantile(0.5) == pytest.approx(0.5, rel=0.001)
    assert generator.recorder.latency.count == pytest.approx(200, abs=5)


def test_random_think_times_have_the_mean_that_was_asked_for() -> None:
    generator, _ = generate(Server(constant(0.0), queue=False), ClosedLoop(10, 0.5, "exponential"), duration=500)
    assert generator.recorder.started == pytest.approx(10 * 500 / 0.5, rel=0.05)


def test_constant_arrivals_do_not_wait_for_replies() -> None:
    server = Server(constant(3.0), queue=False)
    generator, _ = generate(server, OpenLoop(10), duration=5)
    assert generator.recorder.started == 50
    assert [round(time - 1000, 6) for time in server.arrivals[:3]] == [0.0, 0.1, 0.2]
    assert generator.recorder.latency.shortest == pytest.approx(3.0)


def test_a_servers_pause_delays_all_that_were_to_come_meanwhile() -> None:
    # The first takes a second, the others nothing: of ten that come while it lasts, the n-th waits for what is left.
    server = Server(lambda number: 1.0 if number == 0 else 0.0)
    generator, _ = generate(server, OpenLoop(10), duration=2)
    assert generator.recorder.latency.total == pytest.approx(sum((10 - number) / 10 for number in range(10)))
    assert generator.recorder.latency.quantile(0.75) == pytest.approx(0.5, rel=0.001)
    # A closed loop would have seen one slow request in many.
    closed, _ = generate(Server(lambda number: 1.0 if number == 0 else 0.0), ClosedLoop(1, think_time=0.1), duration=2)
    assert closed.recorder.latency.quantile(0.75) == 0.0


class Holding:
    """Holds the event loop while it executes, as a generator that is short of time would be held."""

    apart = True

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def execute(self, inputs: Mapping[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.advance(self._seconds)


def test_a_generator_that_is_held_up_counts_from_the_intended_time_and_says_so() -> None:
    generator, _ = generate(Holding(0.15), OpenLoop(10), requests=11)
    recorder = generator.recorder
    # Each is 0.05 s later than the last.
    assert recorder.lateness.longest == pytest.approx(10 * 0.05)
    assert recorder.latency.longest == pytest.approx(10 * 0.05 + 0.15)
    report = recorder.generator_report(OpenLoop(10), 0.1, apart=True)
    assert report.fell_behind
    assert "began 500.0 ms late" in report.why


def test_a_generator_that_cannot_keep_up_ends_all_the_same() -> None:
    generator, stopped_by = generate(Holding(0.2), OpenLoop(100), duration=5)
    assert stopped_by == "duration"
    recorder = generator.recorder
    assert recorder.not_sent + recorder.started == pytest.approx(500, abs=1)
    assert recorder.started == pytest.approx(6 / 0.2, abs=1)  # a second of grace
    assert f"{recorder.not_sent} of 500 requests were not sent" in recorder.generator_report(OpenLoop(100), 0, True).why


def test_what_was_not_sent_is_of_what_was_asked_for() -> None:
    generator, _ = generate(Holding(0.2), OpenLoop(100), duration=5, requests=100)
    assert generator.recorder.not_sent == 100 - generator.recorder.started > 0


def test_one_that_keeps_up_is_not_blamed() -> None:
    generator, _ = generate(Server(constant(0.3)), OpenLoop(10), duration=10)
    report = generator.recorder.generator_report(OpenLoop(10), 0.1, apart=True)
    assert (report.fell_behind, report.why) == (False, "")
    assert generator.recorder.generator_report(OpenLoop(10), 0.99, apart=True).fell_behind
    assert not generator.recorder.generator_report(OpenLoop(10), 0.99, apart=False).fell_behind
    starved = generator.recorder.generator_report(ClosedLoop(10), 0.2, True, 0.75)
    assert (starved.fell_behind, starved.cpu_wait_share) == (True, 0.75)
    assert starved.why == "this process was busy for 20% of the time, and waited for a processor for 75%"
    assert generator.recorder.generator_report(ClosedLoop(10), 0.2, True, 0.3).fell_behind
    assert not generator.recorder.generator_report(ClosedLoop(10), 0.2, True, 0.2).fell_behind


def test_requests_in_flight_are_bounded_and_late_ones_still_count_from_when_they_were_to_begin() -> None:
    server = Server(constant(1.0), queue=False)
    shape = OpenLoop(10, max_in_flight=5)
    generator, _ = generate(server, shape, requests=10)
    recorder = generator.recorder
    assert recorder.held_back == 5
    # The sixth was to begin after 0.5 s, begins after 1 s, and ends after 2 s.
    assert recorder.latency.longest == pytest.approx(1.5)
    assert recorder.generator_report(shape, 0, True).fell_behind


def test_the_warm_up_is_in_no_figure() -> None:
    server = Server(lambda number: 5.0 if number < 10 else 0.01, queue=False)
    generator, _ = generate(server, OpenLoop(10), warmup=1.0, duration=2.0)
    recorder = generator.recorder
    assert (recorder.warmup_requests, recorder.started) == (10, 20)
    assert recorder.latency.count == 20
    assert recorder.latency.longest == pytest.approx(0.01)
    assert len(server.executed) == 30


@pytest.mark.parametrize("shape", [ClosedLoop(7), OpenLoop(100), OpenLoop(100, "poisson")])
def test_a_number_of_requests_is_exact(shape: ClosedLoop | OpenLoop) -> None:
    server = Server(exponential(0.05), queue=False)
    generator, stopped_by = generate(server, shape, requests=100, warmup=0.5)
    assert stopped_by == "requests"
    recorder = generator.recorder
    assert recorder.started == recorder.latency.count == 100
    assert len(server.executed) == 100 + recorder.warmup_requests


@pytest.mark.parametrize("shape", [ClosedLoop(5), OpenLoop(2.5)])
def test_stopping_keeps_what_was_found_and_counts_what_was_not_answered(shape: ClosedLoop | OpenLoop) -> None:
    server = Server(constant(2.0), queue=False)
    generator, stopped_by = generate(server, shape, duration=100, stop_after=5.0)
    assert stopped_by == "interrupt"
    recorder = generator.recorder
    assert recorder.started == recorder.latency.count + recorder.unfinished
    assert recorder.latency.count > 0
    assert recorder.unfinished == 5


def test_a_request_that_takes_too_long_fails() -> None:
    generator, _ = generate(
        Server(lambda n: 9.0 if n == 1 else 0.1, queue=False), OpenLoop(10), requests=3, timeout=0.5
    )
    (group,) = generator.recorder.errors()
    assert (group.type, group.count, group.example) == ("TimeoutError", 1, "no reply within 0.5 s")
    assert generator.recorder.error_latency.longest == pytest.approx(0.5)
    assert generator.recorder.latency.count == 2


def test_what_is_given_up_at_the_end_makes_no_test_longer() -> None:
    server = Server(lambda number: 0.01 if number < 20 else 1e9, queue=False)
    generator, _ = generate(server, OpenLoop(100), duration=0.25, timeout=60.0)
    recorder = generator.recorder
    assert (recorder.latency.count, recorder.failed) == (20, 5)
    assert recorder.seconds() == pytest.approx(0.19 + 0.01)
    # They are in the timeline all the same, where they failed.
    timeline = recorder.timeline(0.25)
    assert (timeline[0].succeeded, timeline[60].failed) == (20, 5)
    assert all(each.seconds > 0.2 for each in timeline)
    # Where there was no reply at all, it is until the last was given up.
    generator, _ = generate(Server(constant(1e9), queue=False), ClosedLoop(1), requests=2, timeout=3.0)
    assert generator.recorder.seconds() == pytest.approx(6.0)


def test_a_reply_counts_when_it_was_there_and_not_when_its_task_had_its_turn() -> None:
    class Late:
        apart = True

        async def execute(self, inputs: Mapping[str, Any]) -> Answer:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(0.2)
            there = loop.time()
            await asyncio.sleep(0.5)
            return Answer(there, from_cache=inputs["number"] == 1)

    generator, _ = generate(Late(), OpenLoop(10), requests=3, inputs=lambda number: {"number": number})
    assert generator.recorder.latency.longest == pytest.approx(0.2)
    assert generator.recorder.from_cache == 1


class Failing:
    apart = True

    async def execute(self, inputs: Mapping[str, Any]) -> None:
        await asyncio.sleep(0.1)
        if inputs["number"] % 3 == 0:
            raise LookupError("no such thing\nand a traceback")
        if inputs["number"] % 3 == 1:
            raise asyncio.CancelledError("cancelled by itself")


def test_failures_are_counted_by_type_with_an_example() -> None:
    generator, _ = generate(Failing(), OpenLoop(10), requests=30, inputs=lambda number: {"number": number})
    groups = {group.type: (group.count, group.example) for group in generator.recorder.errors()}
    assert groups == {
        "LookupError": (10, "no such thing"),
        "asyncio.exceptions.CancelledError": (10, "cancelled by itself"),
    }
    assert generator.recorder.latency.count == 10


@pytest.mark.parametrize("shape", [ClosedLoop(3), OpenLoop(10)])
def test_what_the_inputs_function_raises_ends_the_test(shape: ClosedLoop | OpenLoop) -> None:
    def inputs(number: int) -> dict[str, int]:
        if number == 5:
            raise ZeroDivisionError("of the test's author")
        return {"number": number}

    server = Server(constant(0.5), queue=False)
    with pytest.raises(ZeroDivisionError, match="author"):
        generate(server, shape, duration=100, inputs=inputs)
    assert [each["number"] for each in server.executed] == [0, 1, 2, 3, 4]


def test_the_timeline_says_when_what_was_answered() -> None:
    generator, _ = generate(Server(constant(0.05), queue=False), OpenLoop(4), duration=3)
    found = generator.recorder.timeline(3.0)
    assert [(each.start, each.succeeded, each.failed) for each in found] == [(0.0, 4, 0), (1.0, 4, 0), (2.0, 4, 0)]


def test_the_last_interval_ends_with_the_test() -> None:
    generator, _ = generate(Server(constant(0.05), queue=False), OpenLoop(4), duration=2.5)
    found = generator.recorder.timeline(2.5)
    assert [(each.seconds, each.succeeded) for each in found] == [(1.0, 4), (1.0, 4), (0.5, 2)]


def test_the_timeline_of_a_long_test_is_bounded_and_complete() -> None:
    generator, _ = generate(Server(constant(0.05), queue=False), OpenLoop(1), duration=3 * 3600)
    found = generator.recorder.timeline(3 * 3600.0)
    assert len(found) <= 600
    assert sum(each.succeeded for each in found) == 3 * 3600
    assert {each.succeeded for each in found[:-1]} == {int(found[0].seconds)}
