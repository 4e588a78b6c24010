//! Lines beside queueing theory, and that no work is lost or invented.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Line, Random, Tally};

fn moments(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let numbers: Vec<f64> = numbers.collect();
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares = numbers.iter().map(|value| (value - mean).powi(2));
    (mean, squares.sum::<f64>() / count)
}

#[test]
fn random_numbers_have_the_moments_that_they_are_said_to_have() {
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let (mean, variance) = moments((0..100_000).map(|_| random.uniform()));
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002);
        let (mean, variance) = moments((0..100_000).map(|_| random.exponential()));
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.08);
        for wanted in [0.25, 1.0, 4.0] {
            let (mean, variance) = moments((0..100_000).map(|_| random.gamma(wanted)));
            assert!((mean - 1.0).abs() < 0.03, "{mean} for {wanted}");
            assert!(
                (variance / wanted - 1.0).abs() < 0.1,
                "{variance} for {wanted}"
            );
        }
        assert!((random.gamma(0.0) - 1.0).abs() < f64::EPSILON);
    }
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
    let first = |seed| Random::new(seed).uniform();
    assert!((first(7) - first(7)).abs() < f64::EPSILON);
    assert!((first(7) - first(8)).abs() > f64::EPSILON);
}

/// The mean wait of many runs, by this rate and with service times of 1 s.
fn mean_wait(workers: usize, rate: f64, variability: f64) -> f64 {
    let seconds = 100_000.0 / rate;
    let mut line = Line::new(workers, 1.0, variability, 10.0, 3);
    let tally = line.advance(0.0, seconds, 100_000);
    let rest = line.finish(seconds);
    let ended = tally.ended + rest.ended;
    assert_eq!(ended, 100_000);
    (tally.response_seconds + rest.response_seconds) / ended as f64 - 1.0
}

#[test]
fn waits_are_those_of_queueing_theory() {
    // Pollaczek and Khinchine's, for one worker.
    for (rate, variability) in [(0.5, 0.0), (0.5, 1.0), (0.8, 0.0), (0.7, 4.0)] {
        let expected = rate * (1.0 + variability) / (2.0 * (1.0 - rate));
        let found = mean_wait(1, rate, variability);
        assert!(
            (found / expected - 1.0).abs() < 0.1,
            "{found} for {expected}"
        );
    }
    // Erlang's C for two workers at half their capacity: a third of the runs wait.
    let found = mean_wait(2, 1.0, 1.0);
    assert!((found / (1.0 / 3.0) - 1.0).abs() < 0.1, "{found}");
}

#[test]
fn workers_that_go_end_what_they_do_and_new_ones_take_what_waits() {
    let mut line = Line::new(4, 10.0, 0.0, 100.0, 1);
    let tally = line.advance(0.0, 1.0, 6);
    assert_eq!((tally.ended, line.waiting()), (0, 2));
    line.resize(1, 1.0);
    // All four end in the next ten seconds, and the one that stays takes one more.
    let tally = line.advance(1.0, 11.0, 0);
    assert_eq!(tally.ended, 4);
    assert_eq!(line.waiting(), 1);
    line.resize(3, 11.0);
    line.advance(11.0, 11.5, 0);
    assert_eq!(line.waiting(), 0);
    assert_eq!(line.finish(11.5).ended, 2);
}

#[test]
fn quantiles_are_of_the_runs_that_have_ended() {
    let mut line = Line::new(1, 1.0, 0.0, 2.5, 1);
    assert!(line.quantile(0.5).abs() < f64::EPSILON);
    line.advance(0.0, 0.001, 4);
    let late = line.finish(0.001).late;
    assert_eq!(late, 2);
    for (share, expected) in [(0.0, 1.0), (0.25, 1.0), (0.5, 2.0), (0.95, 4.0), (1.0, 4.0)] {
        assert!((line.quantile(share) - expected).abs() < 0.01);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_run_ends_once_and_workers_are_busy_for_what_it_takes(
        stretches in vec((0..40_u64, 1..9_usize), 1..20),
        variability in prop_oneof![Just(0.0), Just(1.0), Just(4.0)],
        seed in any::<u64>(),
    ) {
        let mut line = Line::new(3, 0.5, variability, 1.0, seed);
        let mut total = Tally::default();
        let mut end = 0.0;
        let mut arrived = 0;
        for (runs, workers) in stretches {
            let tally = line.advance(end, end + 2.0, runs);
            end += 2.0;
            arrived += runs;
            line.resize(workers, end);
            prop_assert!(tally.busy_seconds >= -1e-9);
            prop_assert!(tally.late <= tally.ended);
            total.ended += tally.ended;
            total.busy_seconds += tally.busy_seconds;
            total.response_seconds += tally.response_seconds;
        }
        let rest = line.finish(end);
        prop_assert_eq!(total.ended + rest.ended, arrived);
        prop_assert_eq!(line.waiting(), 0);
        let busy = total.busy_seconds + rest.busy_seconds;
        if variability == 0.0 {
            prop_assert!((busy - 0.5 * arrived as f64).abs() < 1e-6);
        }
        // Nobody is answered before the work is done.
        prop_assert!(total.response_seconds + rest.response_seconds >= busy - 1e-6);
    }
}
