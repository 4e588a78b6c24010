//! Runs that end early: by a failure, or because somebody stops them.

use crate::core::schedule::{Advance, Outcome, Take, Taker};

use super::{built, fresh_run};

#[test]
fn a_run_that_ends_alone_is_not_handed_over_any_more() {
    let run = fresh_run(&built(3, &[]), 3, &[]);
    assert_eq!(run.advance(0), Advance::Solo);
    assert_eq!(run.close_solo(1), Advance::Solo);
    assert_eq!(run.solo_position(), None);
    run.hand_over();
    run.hand_over_at_rest();
    assert_eq!(run.backlog(), (0, 0));
    assert_eq!(run.take(Taker::Worker), Take::Finished);
    assert_eq!(run.take(Taker::Caller), Take::Finished);
}

#[test]
fn after_a_failure_earlier_nodes_still_start_and_later_ones_do_not() {
    // 0 is before 2; 1 fails at first, and 0 later on.
    let run = fresh_run(&built(5, &[(0, 2)]), 5, &[]);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    assert_eq!(run.take(Taker::Worker), Take::Node(1));
    assert_eq!(run.take(Taker::Worker), Take::Node(3));
    run.finish(3, Outcome::Failed, 0.0);
    assert_eq!(
        run.take(Taker::Worker),
        Take::Wait,
        "4 comes after the failed 3"
    );
    run.finish(0, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Worker), Take::Node(2), "2 comes before it");
    run.finish(1, Outcome::Failed, 0.0);
    run.finish(2, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Worker), Take::Finished);
}

#[test]
fn a_failure_at_the_caller_during_the_hand_over_stops_the_others() {
    let run = fresh_run(&built(4, &[]), 4, &[]);
    assert_eq!(run.advance(0), Advance::Solo);
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Node(2));
    assert_eq!(run.close_solo(1), Advance::HandedOver);
    run.finish(1, Outcome::Failed, 0.001);
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    run.finish(2, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Caller), Take::Finished);
}

#[test]
fn a_stop_before_the_hand_over_still_holds_after_it() {
    let run = fresh_run(&built(3, &[]), 3, &[]);
    run.stop();
    run.hand_over();
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.advance(0), Advance::HandedOver);
    run.finish(0, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Worker), Take::Finished);
}

#[test]
fn nodes_that_run_at_the_stop_may_end_but_start_nothing() {
    let run = fresh_run(&built(4, &[(0, 2), (1, 3)]), 2, &[3]);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    assert_eq!(run.take(Taker::Worker), Take::Node(1));
    run.stop();
    run.finish(0, Outcome::Done, 0.0);
    run.finish(1, Outcome::Done, 0.0);
    assert_eq!(run.take_pinned(), []);
    assert_eq!(run.take(Taker::Caller), Take::Finished);
}
