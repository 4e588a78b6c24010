//! How a handed-over run is seen by those that nobody's thread waits for: when
//! its outcome is certain, and what may start while it is paused or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use crate::core::schedule::{Outcome, Outlook, Run, RunSettings, Take, Taker};

use super::harness::{HandOver, Setup, drive};
use super::{built, fresh_run, learned, random, wait_for_work};

const ENDED: Outlook = Outlook {
    ready: 0,
    blocking: 0,
    pinned: 0,
    running: 0,
    settled: true,
};

#[test]
fn it_counts_what_may_start_within_the_limit() {
    // 0, 1 and 2 block, 3 does not, 4 to 6 are pinned, 7 is not ready.
    let dag = built(8, &[(0, 7)]);
    let seconds = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0].map(Some);
    let settings = RunSettings {
        limit: 5,
        pinned: (0..8).map(|node| (4..7).contains(&node)).collect(),
        durations: learned(&dag, &seconds),
    };
    let run = Run::new(dag, settings);
    run.hand_over_at_rest();
    let mut expected = Outlook {
        ready: 4,
        blocking: 3,
        pinned: 3,
        running: 0,
        settled: false,
    };
    assert_eq!(run.outlook(), expected);
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    assert_eq!(run.take_one_pinned(), Some(4));
    assert_eq!(run.take_one_pinned(), Some(5));
    (expected.ready, expected.blocking) = (2, 2);
    (expected.pinned, expected.running) = (1, 3);
    assert_eq!(run.outlook(), expected);
    // 7 becomes ready, and there is room for another.
    (expected.ready, expected.blocking, expected.running) = (3, 3, 2);
    assert_eq!(run.finish_and_look(0, Outcome::Done, 1.0), expected);
}

#[test]
fn a_run_is_settled_when_what_still_runs_comes_after_the_failure() {
    let run = fresh_run(&built(5, &[(0, 3)]), 5, &[4]);
    run.hand_over_at_rest();
    for node in 0..3 {
        assert_eq!(run.take(Taker::Worker), Take::Node(node));
    }
    assert_eq!(run.take_one_pinned(), Some(4));
    let seen = run.finish_and_look(1, Outcome::Failed, 0.0);
    assert!(!seen.settled, "0 may fail too, and would be reported");
    let seen = run.finish_and_look(0, Outcome::Done, 0.0);
    let waited_for = Outlook {
        running: 2,
        ..ENDED
    };
    assert_eq!(seen, waited_for, "3 does not start; 2 and 4 change nothing");
    let seen = run.finish_and_look(4, Outcome::Failed, 0.0);
    assert_eq!(
        seen,
        Outlook {
            running: 1,
            ..ENDED
        }
    );
    assert_eq!(run.finish_and_look(2, Outcome::Done, 0.0), ENDED);
}

#[test]
fn a_run_without_a_failure_is_settled_with_its_last_node() {
    let run = fresh_run(&built(2, &[(0, 1)]), 2, &[]);
    run.hand_over_at_rest();
    assert!(!run.outlook().settled);
    for node in 0..2 {
        assert_eq!(run.take(Taker::Worker), Take::Node(node));
        assert!(!run.outlook().settled);
        let seen = run.finish_and_look(node, Outcome::Done, 0.0);
        assert_eq!(seen.settled, node == 1);
    }
}

#[test]
fn a_stopped_run_is_settled_whatever_still_runs() {
    let run = fresh_run(&built(3, &[(0, 2)]), 2, &[]);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    run.stop();
    assert_eq!(
        run.outlook(),
        Outlook {
            running: 1,
            ..ENDED
        }
    );
    assert_eq!(run.finish_and_look(0, Outcome::Done, 0.0), ENDED);
}

#[test]
fn a_run_that_ended_alone_is_settled() {
    let run = fresh_run(&built(2, &[]), 2, &[]);
    run.close_solo(0);
    assert_eq!(run.outlook(), ENDED);
}

/// As a run with a caller does it: two nodes one after the other are in order.
#[test]
fn one_at_a_time_pinned_nodes_wait_for_their_turn_too() {
    let run = fresh_run(&built(3, &[]), 1, &[1]);
    run.hand_over_at_rest();
    assert_eq!(run.take_one_pinned(), None);
    assert_eq!(run.take_pinned(), []);
    assert_eq!((run.outlook().ready, run.outlook().pinned), (1, 0));
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    let seen = run.finish_and_look(0, Outcome::Done, 0.0);
    assert_eq!((seen.ready, seen.pinned), (0, 1), "no worker has to come");
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.take_one_pinned(), Some(1));
    let seen = run.finish_and_look(1, Outcome::Done, 0.0);
    assert_eq!((seen.ready, seen.pinned), (1, 0));
}

#[test]
fn a_paused_run_starts_nothing_and_goes_on_afterwards() {
    let dag = built(4, &[(0, 3)]);
    let settings = RunSettings {
        limit: 4,
        pinned: Arc::from([false, false, true, false]),
        durations: learned(&dag, &[Some(1.0); 4]),
    };
    let run = Run::new(dag, settings);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    run.set_paused(true);
    let seen = run.finish_and_look(0, Outcome::Done, 1.0);
    let held_up = Outlook {
        settled: false,
        ..ENDED
    };
    assert_eq!(seen, held_up);
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.take(Taker::Caller), Take::Wait);
    assert_eq!(run.take_one_pinned(), None);
    assert_eq!(run.take_pinned(), []);
    assert_eq!(run.progress(), Take::Wait, "it is not over");
    // Nobody has to come.
    assert_eq!(run.backlog(), (0, 1));
    assert_eq!(run.blocking_ready_now(), 0);
    run.set_paused(false);
    let seen = run.outlook();
    assert_eq!((seen.ready, seen.blocking, seen.pinned), (2, 2, 1));
    assert_eq!(run.backlog(), (2, 1));
    assert_eq!(run.take_one_pinned(), Some(2));
    assert_eq!(run.take(Taker::Worker), Take::Node(1));
    assert_eq!(run.take(Taker::Worker), Take::Node(3));
}

#[test]
fn a_run_that_was_paused_before_its_hand_over_starts_nothing_after_it() {
    let run = fresh_run(&built(2, &[]), 2, &[]);
    run.set_paused(true);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    run.set_paused(false);
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
}

#[test]
fn a_paused_run_that_has_nothing_left_is_finished() {
    let run = fresh_run(&built(2, &[(0, 1)]), 2, &[]);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    run.set_paused(true);
    assert_eq!(run.finish_and_look(0, Outcome::Failed, 0.0), ENDED);
    assert_eq!(run.take(Taker::Worker), Take::Finished);
}

#[test]
fn a_stop_ends_a_paused_run() {
    let run = Arc::new(fresh_run(&built(2, &[]), 2, &[]));
    run.hand_over_at_rest();
    run.set_paused(true);
    run.stop();
    assert_eq!(run.outlook(), ENDED);
    wait_for_work(&run);
    assert_eq!(run.take(Taker::Caller), Take::Finished);
}

#[test]
fn a_caller_waits_while_its_run_is_paused_and_is_woken_when_it_goes_on() {
    let run = Arc::new(fresh_run(&built(1, &[]), 1, &[]));
    run.hand_over_at_rest();
    run.set_paused(true);
    let goes_on = Arc::new(AtomicBool::new(false));
    let other = {
        let (run, goes_on) = (Arc::clone(&run), Arc::clone(&goes_on));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            goes_on.store(true, Ordering::SeqCst);
            run.set_paused(false);
        })
    };
    wait_for_work(&run);
    assert!(goes_on.load(Ordering::SeqCst), "it waited for nothing");
    other.join().expect("the other thread does not panic");
    assert_eq!(run.take(Taker::Caller), Take::Node(0));
}

fn setups() -> impl Strategy<Value = Setup> {
    random::dag(24).prop_flat_map(|dag| {
        let count = dag.node_count();
        let nodes = (
            random::some_nodes(count, 4),
            random::some_nodes(count, 8),
            random::seconds(count),
        );
        let pause = 0..=count as u32;
        (Just(dag), nodes, 1..5_usize, 1..4_usize, pause).prop_map(
            |(dag, (pinned, failing, seconds), limit, workers, pause)| Setup {
                pace: vec![1; dag.node_count()],
                dag,
                limit,
                pinned,
                failing,
                seconds,
                workers,
                hand_over: HandOver::AtRest(0),
                stop_after_starts: None,
                pause_after_starts: Some(pause),
                caller_runs: true,
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn nothing_starts_during_a_pause_and_everything_after_it(setup in setups()) {
        let report = drive(setup.clone());
        let (paused, goes_on) = report.paused.expect("the pausing thread has ended");
        for span in &report.spans {
            prop_assert!(
                span.asked < paused || span.started > goes_on,
                "node {} started during the pause", span.node
            );
        }
        let first = setup.failing.iter().position(|&fails| fails);
        for node in 0..first.map_or(setup.dag.node_count(), |first| first + 1) as u32 {
            let ran = report.spans.iter().any(|span| span.node == node);
            prop_assert!(ran, "node {} did not run", node);
        }
        prop_assert_eq!(report.left, Take::Finished);
    }
}
