//! The moment of the hand-over, and where it may find the caller.

use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::core::schedule::{Advance, Outcome, Run, Take, Taker};

use super::{built, fresh_run, wait_for_work};

#[test]
fn a_caller_alone_goes_from_node_to_node() {
    let run = fresh_run(&built(2, &[(0, 1)]), 2, &[]);
    assert_eq!(run.solo_position(), Some(0));
    assert_eq!(run.advance(0), Advance::Solo);
    assert_eq!(run.solo_position(), Some(1));
    assert_eq!(run.advance(1), Advance::Solo);
    assert_eq!(run.solo_position(), Some(2));
}

#[test]
fn the_node_that_the_caller_is_in_is_not_handed_out() {
    let run = fresh_run(&built(4, &[(0, 3), (1, 3)]), 4, &[]);
    assert_eq!(run.advance(0), Advance::Solo);
    run.hand_over();
    assert_eq!(run.solo_position(), None);
    assert_eq!(run.take(Taker::Worker), Take::Node(2));
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.advance(1), Advance::HandedOver);
    run.finish(1, Outcome::Done, 0.001);
    assert_eq!(run.take(Taker::Caller), Take::Node(3));
    run.finish(2, Outcome::Done, 0.001);
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    run.finish(3, Outcome::Done, 0.001);
    assert_eq!(run.take(Taker::Worker), Take::Finished);
    assert_eq!(run.progress(), Take::Finished);
}

#[test]
fn the_callers_node_counts_towards_the_limit() {
    let run = fresh_run(&built(3, &[]), 2, &[]);
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Node(1));
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    run.finish(0, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Worker), Take::Node(2));
}

#[test]
fn a_second_hand_over_changes_nothing() {
    let run = fresh_run(&built(3, &[]), 3, &[]);
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Node(1));
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Node(2));
    assert_eq!(run.take(Taker::Worker), Take::Wait);
}

#[test]
fn handing_over_a_run_whose_nodes_are_all_done_leaves_nothing() {
    let run = fresh_run(&built(1, &[]), 2, &[]);
    assert_eq!(run.advance(0), Advance::Solo);
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Finished);
    assert_eq!(run.backlog(), (0, 0));
}

#[test]
fn an_empty_run_is_finished_however_it_is_handed_over() {
    let run = fresh_run(&built(0, &[]), 2, &[]);
    run.hand_over();
    assert_eq!(run.take(Taker::Caller), Take::Finished);
    let run = fresh_run(&built(0, &[]), 2, &[]);
    run.hand_over_at_rest();
    assert_eq!(run.progress(), Take::Finished);
}

/// The watcher cannot know that the caller has not begun yet.
#[test]
fn a_caller_handed_over_before_its_first_node_gets_that_node_back() {
    let run = fresh_run(&built(2, &[(0, 1)]), 2, &[]);
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.take(Taker::Caller), Take::Node(0));
    run.finish(0, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Caller), Take::Node(1));
    assert_eq!(run.take(Taker::Caller), Take::Wait);
    run.finish(1, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Caller), Take::Finished);
}

#[test]
fn a_caller_that_only_waits_leaves_the_node_it_was_thought_to_be_in_to_workers() {
    let run = fresh_run(&built(1, &[]), 2, &[]);
    run.hand_over();
    assert_eq!(run.progress(), Take::Wait);
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
}

#[test]
fn a_caller_that_comes_late_to_hand_over_at_rest_gives_its_node_back() {
    let run = fresh_run(&built(2, &[]), 2, &[1]);
    assert_eq!(run.advance(0), Advance::Solo);
    run.hand_over();
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.take(Taker::Caller), Take::Node(1));
    assert_eq!(run.take(Taker::Caller), Take::Wait);
}

#[test]
fn a_run_stopped_between_two_nodes_and_handed_over_meanwhile_ends() {
    let run = fresh_run(&built(3, &[]), 2, &[]);
    assert_eq!(run.advance(0), Advance::Solo);
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Node(2));
    run.stop();
    assert_eq!(run.close_solo(1), Advance::HandedOver);
    assert_eq!(run.take(Taker::Caller), Take::Wait);
    run.finish(2, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Caller), Take::Finished);
}

#[test]
fn a_caller_waits_only_while_it_has_nothing_to_do() {
    let run = Arc::new(fresh_run(&built(2, &[(0, 1)]), 2, &[]));
    run.hand_over_at_rest();
    wait_for_work(&run);
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    // Returns after its limit when nothing happens.
    run.wait(true, Duration::from_millis(1));
    let worker = after_a_moment(&run, |run| {
        run.finish(0, Outcome::Done, 0.0);
    });
    wait_for_work(&run);
    worker.join().expect("the worker does not panic");
    assert_eq!(run.take(Taker::Caller), Take::Node(1));
    run.finish(1, Outcome::Done, 0.0);
    wait_for_work(&run);
}

#[test]
fn a_stop_wakes_a_caller_that_waits() {
    let run = Arc::new(fresh_run(&built(2, &[]), 1, &[]));
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    let stopper = after_a_moment(&run, Run::stop);
    wait_for_work(&run);
    assert!(run.is_stopped());
    stopper.join().expect("the stopper does not panic");
}

fn after_a_moment(run: &Arc<Run>, act: fn(&Run)) -> JoinHandle<()> {
    let run = Arc::clone(run);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        act(&run);
    })
}

/// Of an ending and a hand-over at the same time, exactly one comes first.
#[test]
fn ending_alone_and_being_handed_over_exclude_each_other() {
    for round in 0..2000 {
        let run = Arc::new(fresh_run(&built(3, &[]), 3, &[]));
        assert_eq!(run.advance(0), Advance::Solo);
        let together = Arc::new(Barrier::new(2));
        let other = {
            let (run, together) = (Arc::clone(&run), Arc::clone(&together));
            std::thread::spawn(move || {
                together.wait();
                run.hand_over();
                run.take(Taker::Worker)
            })
        };
        together.wait();
        let closed = run.close_solo(1);
        if closed == Advance::HandedOver {
            run.finish(1, Outcome::Failed, 0.001);
        }
        let taken = other.join().expect("the other thread does not panic");
        match (closed, taken) {
            (Advance::Solo, Take::Finished)
            | (Advance::HandedOver, Take::Node(2) | Take::Wait | Take::Finished) => {}
            unexpected => panic!("round {round}: {unexpected:?}"),
        }
        if taken == Take::Node(2) {
            assert_eq!(run.take(Taker::Caller), Take::Wait);
            run.finish(2, Outcome::Done, 0.0);
        }
        assert_eq!(run.take(Taker::Caller), Take::Finished);
    }
}
