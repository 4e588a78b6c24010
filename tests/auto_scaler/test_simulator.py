"""The simulator beside queueing theory, and that it neither loses nor invents work."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_scaler.support import history_of
from nexus_core.parallel_execution.queueing import mean_wait
from nexus_core.scaling import LoadRecord, Outcome, ScalingPolicy, simulated
from nexus_core.scaling.simulator import fitted_variability, replayed, response_error


def _load(
    rates: list[float], instances: int | list[int] = 4, service: float = 0.5, seconds: float = 60.0
) -> LoadRecord:
    found = LoadRecord.of(history_of(rates, instances, service, seconds))
    assert found is not None
    return found


def _simulated(load: LoadRecord, *policies: ScalingPolicy, start: int = 4, variability: float = 1.0) -> Outcome:
    return simulated(load, policies, allowed_seconds=2.0, start_instances=start, variability=variability)


def _demand(**config: object) -> ScalingPolicy:
    return ScalingPolicy.of("demand", {"metric": "demand", "target": 60, "cooldown_period": 0, **config})


def test_a_record_says_what_happened() -> None:
    load = _load([4.0, 6.0], instances=4, service=0.5)
    assert (load.arrivals, load.seconds, load.service_seconds) == (600, 120, pytest.approx(0.5))
    assert [stretch.busy for stretch in load.stretches] == [pytest.approx(120), pytest.approx(180)]
    assert load.last(400).arrivals == 400
    assert LoadRecord.of([]) is None
    assert LoadRecord.of(history_of([0.0, 0.0])) is None


@pytest.mark.parametrize("variability", [0.0, 1.0])
@pytest.mark.parametrize(("servers", "rate"), [(1, 1.0), (4, 6.0), (8, 14.0)])
def test_with_workers_that_do_not_change_it_agrees_with_queueing_theory(
    variability: float, servers: int, rate: float
) -> None:
    load = _load([rate] * 120, instances=servers)
    outcome = replayed(load, allowed_seconds=2.0, variability=variability)
    expected = 0.5 + mean_wait(rate, 0.5, servers, 1.0, variability)
    assert outcome.mean_response == pytest.approx(expected, rel=0.1)
    busy = sum(step.utilization for step in outcome.steps) / len(outcome.steps)
    assert busy == pytest.approx(100 * rate * 0.5 / servers, rel=0.05)


@given(
    st.lists(st.floats(0, 20), min_size=2, max_size=12),
    st.integers(1, 8),
    st.integers(0, 5),
    st.sampled_from([0.0, 1.0, 4.0]),
)
def test_every_run_ends_and_the_work_done_is_the_work_there_was(
    rates: list[float], start: int, seed: int, variability: float
) -> None:
    rates[0] += 1.0
    load = _load(rates, seconds=10.0)
    outcome = simulated(
        load, [_demand()], allowed_seconds=2.0, start_instances=start, variability=variability, seed=seed
    )
    assert outcome.runs == pytest.approx(load.arrivals, abs=1)
    assert sum(step.ended for step in outcome.steps) <= outcome.runs
    assert 0 <= outcome.violations <= outcome.runs
    assert outcome.instance_seconds == pytest.approx(sum(10.0 * step.instances for step in outcome.steps))
    for step in outcome.steps:
        assert 0 <= step.utilization <= 100
        assert 1 <= step.instances <= 10 or step is outcome.steps[0]


def test_the_same_seed_gives_the_same() -> None:
    load = _load([5.0, 9.0, 3.0] * 5)
    assert _simulated(load, _demand()) == _simulated(load, _demand())


def test_more_workers_never_make_it_slower() -> None:
    load = _load([7.5] * 30)
    means = [
        replayed(_load([7.5] * 30, instances=count), allowed_seconds=2.0, variability=1.0).mean_response
        for count in (4, 5, 8, 16)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] == pytest.approx(load.service_seconds, rel=0.05)


def test_a_policy_follows_a_step_and_comes_to_rest() -> None:
    load = _load([2.0] * 10 + [16.0] * 20 + [2.0] * 10, instances=40, seconds=30.0)
    outcome = _simulated(load, _demand(max_instances=30), start=2, variability=0.0)
    counts = [step.instances for step in outcome.steps]
    assert counts[8] == 2
    assert counts[15:29] == [counts[15]] * 14, "while the load is steady, so are the workers"
    # Eight are busy all the time: at 60 % that takes fourteen, and a little more for the gap.
    assert counts[20] in (14, 15)
    assert counts[-1] == 2
    assert outcome.reversals == 1


def test_thresholds_with_a_long_cooldown_do_worse_than_a_target() -> None:
    rates = [8 - 7 * math.cos(math.tau * step / 48) for step in range(192)]
    load = _load(rates, instances=40)
    thresholds = ScalingPolicy.of("t", {"metric": "utilization", "cooldown_period": 300})
    slow, fast = _simulated(load, thresholds), _simulated(load, _demand(max_instances=20))
    assert slow.violation_share > 5 * fast.violation_share
    assert fast.violation_share < 0.04


def test_workers_that_go_end_what_they_do() -> None:
    load = _load([8.0, 8.0, 0.0, 0.0], instances=40, service=3.0, seconds=10.0)
    policy = ScalingPolicy.of(
        "q", {"metric": "request_rate", "target_per_instance": 0.3, "cooldown_period": 0, "max_instances": 40}
    )
    outcome = simulated(load, [policy], allowed_seconds=100, start_instances=30, variability=0.0)
    assert min(step.instances for step in outcome.steps) < 30
    assert outcome.runs == 160
    assert outcome.mean_response >= 3.0


def test_a_worker_that_takes_long_to_start_is_waited_for() -> None:
    load = _load([2.0] * 5 + [16.0] * 10, instances=40, seconds=30.0)
    policy = _demand(max_instances=30)
    at_once, later = (
        simulated(load, [policy], allowed_seconds=2.0, start_instances=2, variability=0.0, start_seconds=seconds)
        for seconds in (0.0, 60.0)
    )
    assert later.violations > at_once.violations


def test_how_uneven_service_times_are_is_seen_in_response_times() -> None:
    rates = [7.0] * 60
    for true in (0.0, 4.0):
        load = _load(rates)
        made = replayed(load, allowed_seconds=2.0, variability=true, seed=5)
        recorded = _as_recorded(load, made.steps)
        assert fitted_variability(recorded, 2.0) == true
        same, other = (
            response_error(recorded, replayed(recorded, allowed_seconds=2.0, variability=each, seed=9))
            for each in (true, 4.0 - true)
        )
        assert same < other


def _as_recorded(load: LoadRecord, steps: Sequence[object]) -> LoadRecord:
    from dataclasses import replace

    return LoadRecord(
        tuple(
            replace(stretch, response_time=step.response_time)  # type: ignore[attr-defined]
            for stretch, step in zip(load.stretches, steps, strict=True)
        ),
        load.service_seconds,
    )


def test_what_cannot_be_simulated_has_no_say() -> None:
    load = _load([5.0] * 10)
    memory = ScalingPolicy.of("memory", {"metric": "memory_usage"})
    outcome = _simulated(load, memory)
    assert (outcome.changes, {step.instances for step in outcome.steps}) == (0, {4})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("metric", ["utilization", "demand"])
def test_a_steady_load_of_random_runs_does_not_make_it_oscillate(metric: str, seed: int) -> None:
    load = _load([8.0] * 240, instances=40, seconds=30.0)
    policy = _demand(metric=metric, max_instances=30, scale_down_cooldown=300)
    outcome = simulated(load, [policy], allowed_seconds=2.0, start_instances=2, variability=1.0, seed=seed)
    assert outcome.reversals <= 1
    assert len({step.instances for step in outcome.steps[60:]}) <= 2
    assert outcome.violation_share < 0.05


def test_the_end_of_a_record_has_no_more_runs_than_asked_for() -> None:
    load = _load([1.0, 1000.0])
    for runs in (60_030.0, 60_000.0, 5000.0, 1.0):
        end = load.last(runs)
        assert end.arrivals == pytest.approx(runs)
        assert end.stretches[-1].start + end.stretches[-1].seconds == pytest.approx(1_000_120)
    assert load.last(1e9) == load
