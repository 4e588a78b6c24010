use std::time::{Duration, Instant};

use super::{Place, Placement, Policy, Verdict, thread_time};
use crate::core::threads::Spent;

const POLICY: Policy = Policy {
    least_work: Duration::from_millis(5),
    least_share: 0.5,
    most_overhead: 0.5,
    sightings: 2,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn waiting(elapsed: Duration) -> Spent {
    Spent {
        elapsed,
        waited: true,
        worked: false,
    }
}

#[test]
fn a_node_that_works_for_long_twice_in_a_row_is_worth_another_process() {
    let node = Placement::new(Place::Measured);
    assert_eq!(
        node.ran_here(ms(6), waiting(ms(7)), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_here(ms(1), waiting(ms(1)), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_here(ms(6), waiting(ms(7)), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_here(ms(5), waiting(ms(10)), &POLICY),
        Verdict::Worth
    );
    assert_eq!(node.place(), Place::Measured, "whoever asked decides");
    node.put(Place::There);
    assert_eq!(node.place(), Place::There);
}

#[test]
fn a_node_that_waits_stays() {
    let node = Placement::new(Place::Measured);
    for _ in 0..10 {
        assert_eq!(
            node.ran_here(ms(6), waiting(ms(100)), &POLICY),
            Verdict::AsBefore
        );
        assert_eq!(
            node.ran_here(ms(0), waiting(ms(50)), &POLICY),
            Verdict::AsBefore
        );
    }
}

#[test]
fn a_node_that_others_kept_from_a_processor_computes() {
    let node = Placement::new(Place::Measured);
    let kept = Spent {
        elapsed: ms(200),
        waited: false,
        worked: true,
    };
    assert_eq!(node.ran_here(ms(6), kept, &POLICY), Verdict::AsBefore);
    assert_eq!(node.ran_here(ms(6), kept, &POLICY), Verdict::Worth);
}

#[test]
fn a_node_that_was_put_somewhere_stays_there_when_it_runs_here() {
    let node = Placement::new(Place::Here);
    for _ in 0..5 {
        assert_eq!(
            node.ran_here(ms(60), waiting(ms(60)), &POLICY),
            Verdict::AsBefore
        );
    }
    assert_eq!(node.place(), Place::Here);
}

#[test]
fn a_node_that_is_watched_is_moved_by_whoever_watches_alone() {
    let node = Placement::new(Place::Measured);
    node.ran_here(ms(6), waiting(ms(6)), &POLICY);
    assert_eq!(
        node.ran_here(ms(6), waiting(ms(6)), &POLICY),
        Verdict::Worth
    );
    node.put(Place::Watched);
    assert_eq!(node.place(), Place::Watched);
    // Runs that were under way meanwhile, wherever they were.
    for _ in 0..5 {
        assert_eq!(
            node.ran_here(ms(60), waiting(ms(60)), &POLICY),
            Verdict::AsBefore
        );
        assert_eq!(
            node.ran_there(ms(1), ms(10), ms(20), &POLICY),
            Verdict::AsBefore
        );
    }
    assert_eq!(node.place(), Place::Watched);
    // Then it counts from the beginning.
    node.put(Place::Measured);
    assert_eq!(
        node.ran_here(ms(6), waiting(ms(6)), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_here(ms(6), waiting(ms(6)), &POLICY),
        Verdict::Worth
    );
}

#[test]
fn a_node_that_is_dear_to_send_comes_back_for_good() {
    let node = Placement::new(Place::There);
    assert_eq!(
        node.ran_there(ms(10), ms(0), ms(20), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_there(ms(10), ms(0), ms(1), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_there(ms(10), ms(0), ms(20), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_there(ms(10), ms(0), ms(20), &POLICY),
        Verdict::TooDear
    );
    assert_eq!(node.place(), Place::Here);
    assert_eq!(
        node.ran_there(ms(10), ms(0), ms(20), &POLICY),
        Verdict::AsBefore
    );
}

#[test]
fn a_node_that_turns_out_to_wait_comes_back_for_good() {
    let node = Placement::new(Place::There);
    assert_eq!(
        node.ran_there(ms(10), ms(30), ms(0), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_there(ms(10), ms(30), ms(0), &POLICY),
        Verdict::TooIdle
    );
    assert_eq!(node.place(), Place::Here);
}

#[test]
fn a_node_that_has_become_short_is_measured_again() {
    let node = Placement::new(Place::There);
    assert_eq!(
        node.ran_there(ms(1), ms(0), ms(0), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_there(ms(1), ms(0), ms(0), &POLICY),
        Verdict::TooShort
    );
    assert_eq!(node.place(), Place::Measured);
    assert_eq!(
        node.ran_here(ms(6), waiting(ms(6)), &POLICY),
        Verdict::AsBefore
    );
    assert_eq!(
        node.ran_here(ms(6), waiting(ms(6)), &POLICY),
        Verdict::Worth
    );
}

#[test]
fn the_figures_follow_the_last_runs() {
    let node = Placement::new(Place::Measured);
    assert_eq!(node.figures(), (0, 0.0, 0.0));
    node.ran_here(ms(8), waiting(ms(16)), &POLICY);
    assert_eq!(node.figures(), (1, 0.008, 0.016));
    for _ in 0..100 {
        node.ran_here(ms(1), waiting(ms(2)), &POLICY);
    }
    let (runs, work, elapsed) = node.figures();
    assert_eq!(runs, 101);
    assert!((work - 0.001).abs() < 1e-6 && (elapsed - 0.002).abs() < 1e-6);
}

#[test]
fn a_thread_that_works_spends_time_and_one_that_sleeps_does_not() {
    let began = thread_time().unwrap();
    let started = Instant::now();
    let mut sum = 0_u64;
    let since = |before: Duration| thread_time().unwrap().saturating_sub(before);
    while since(began) < ms(2) {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
    assert!(started.elapsed() >= ms(1));
    let before = thread_time().unwrap();
    std::thread::sleep(ms(20));
    assert!(since(before) < ms(10));
}
