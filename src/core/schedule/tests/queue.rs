//! The queue of a handed-over run, step by step beside a model that looks at
//! every node each time.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::core::schedule::{Outcome, Run, RunSettings, Take, Taker};

use super::model::{begin, beginnings};
use super::{built, fresh_run, learned, wait_for_work};

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(Taker),
    TakePinned,
    TakeOnePinned,
    /// Of the running nodes, the one at this place.
    Finish(usize, Outcome),
    FinishAndLook(usize, Outcome),
    PutBack(usize),
    Pause(bool),
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Take(Taker::Worker)),
        6 => Just(Step::Take(Taker::Caller)),
        1 => Just(Step::TakePinned),
        1 => Just(Step::TakeOnePinned),
        5 => any::<usize>().prop_map(|pick| Step::Finish(pick, Outcome::Done)),
        1 => any::<usize>().prop_map(|pick| Step::Finish(pick, Outcome::Failed)),
        5 => any::<usize>().prop_map(|pick| Step::FinishAndLook(pick, Outcome::Done)),
        1 => any::<usize>().prop_map(|pick| Step::FinishAndLook(pick, Outcome::Failed)),
        2 => any::<usize>().prop_map(Step::PutBack),
        1 => Just(Step::Pause(true)),
        2 => Just(Step::Pause(false)),
    ];
    let mostly = prop_oneof![60 => step, 1 => Just(Step::Stop)];
    vec(mostly, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_queue_agrees_with_a_model_at_every_step(beginning in beginnings(), steps in steps()) {
        let (run, mut model) = begin(beginning.clone());
        // Until it has reported the node that it was found in, the caller asks
        // for nothing.
        let found = model.running.first().copied();
        for step in steps {
            let caller_is_busy = found.is_some_and(|node| model.running.contains(&node));
            match step {
                Step::Take(Taker::Caller) | Step::TakePinned | Step::TakeOnePinned
                    if caller_is_busy => {}
                Step::Take(taker) => {
                    let can_run = model.room() > 0 && !model.ready().is_empty();
                    if taker == Taker::Caller && can_run {
                        // Would wait for ever if it missed that there is work.
                        wait_for_work(&run);
                    }
                    prop_assert_eq!(run.take(taker), model.take(taker));
                }
                Step::TakePinned => prop_assert_eq!(run.take_pinned(), model.take_pinned()),
                Step::TakeOnePinned => {
                    let one = model.pinned_ready().next();
                    if let Some(node) = one {
                        model.start(node);
                    }
                    prop_assert_eq!(run.take_one_pinned(), one);
                }
                Step::Finish(..) | Step::FinishAndLook(..) | Step::PutBack(_)
                    if model.running.is_empty() => {}
                Step::PutBack(pick) => {
                    let place = pick % model.running.len();
                    // One that was taken; the caller has not taken the one that it was found in.
                    if Some(model.running[place]) != found {
                        run.put_back(model.put_back(place));
                    }
                }
                Step::Finish(pick, outcome) => {
                    let node = model.finish(pick % model.running.len(), outcome);
                    // As long as it is known to take: nothing new is learned.
                    let seconds = beginning.2[node as usize].unwrap_or(0.0);
                    prop_assert_eq!(run.finish(node, outcome, seconds), model.blocking_ready());
                }
                Step::FinishAndLook(pick, outcome) => {
                    let node = model.finish(pick % model.running.len(), outcome);
                    let seconds = beginning.2[node as usize].unwrap_or(0.0);
                    prop_assert_eq!(run.finish_and_look(node, outcome, seconds), model.outlook());
                }
                Step::Pause(paused) => {
                    run.set_paused(paused);
                    model.paused = paused;
                }
                Step::Stop => {
                    run.stop();
                    prop_assert!(run.is_stopped());
                    model.stop_from = 0;
                }
            }
            let helpers = model.unpinned_ready().len().min(model.room());
            prop_assert_eq!(run.backlog(), (helpers, model.takes));
            prop_assert_eq!(run.blocking_ready_now(), model.blocking_ready());
            prop_assert_eq!(run.outlook(), model.outlook());
            let caller_is_busy = found.is_some_and(|node| model.running.contains(&node));
            if !caller_is_busy {
                let is_over = model.running.is_empty() && model.ready().is_empty();
                let progress = if is_over { Take::Finished } else { Take::Wait };
                prop_assert_eq!(run.progress(), progress);
            }
        }
    }
}

fn taken(run: &Run, taker: Taker) -> Vec<u32> {
    let next = || match run.take(taker) {
        Take::Node(node) => Some(node),
        Take::Wait | Take::Finished => None,
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn the_longest_remaining_path_is_taken_first_and_ties_by_position() {
    // 1 leads to the long 4; 0 and 3 are alike; nothing is known of 2.
    let dag = built(5, &[(1, 4)]);
    let seconds = [Some(0.25), Some(0.125), None, Some(0.25), Some(1.0)];
    let settings = RunSettings {
        limit: 4,
        pinned: Arc::from([]),
        durations: learned(&dag, &seconds),
    };
    let run = Run::new(dag, settings);
    run.hand_over_at_rest();
    assert_eq!(taken(&run, Taker::Worker), [1, 0, 3, 2]);
}

#[test]
fn a_run_in_topological_order_does_not_look_at_what_was_learned() {
    let dag = built(5, &[(1, 4)]);
    let seconds = [Some(0.25), Some(0.125), None, Some(0.25), Some(1.0)];
    let settings = RunSettings {
        limit: 4,
        pinned: Arc::from([]),
        durations: learned(&dag, &seconds),
    };
    let run = Run::new(dag, settings).in_topological_order();
    run.hand_over_at_rest();
    assert_eq!(taken(&run, Taker::Worker), [0, 1, 2, 3]);
}

#[test]
fn one_at_a_time_keeps_to_the_order_whatever_was_learned() {
    let dag = built(3, &[]);
    let settings = RunSettings {
        limit: 1,
        pinned: Arc::from([]),
        durations: learned(&dag, &[Some(0.25), Some(0.5), Some(1.0)]),
    };
    let run = Run::new(dag, settings);
    run.hand_over_at_rest();
    for node in 0..3 {
        assert_eq!(run.take(Taker::Worker), Take::Node(node));
        assert_eq!(run.take(Taker::Worker), Take::Wait);
        run.finish(node, Outcome::Done, 0.5);
    }
    assert_eq!(run.take(Taker::Worker), Take::Finished);
}

#[test]
fn one_at_a_time_a_worker_does_not_overtake_a_pinned_node() {
    let run = fresh_run(&built(2, &[]), 1, &[0]);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.take(Taker::Caller), Take::Node(0));
    run.finish(0, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Worker), Take::Node(1));
}

#[test]
fn pinned_nodes_are_taken_together_but_not_beyond_the_limit() {
    let run = fresh_run(&built(5, &[]), 3, &[0, 1, 2, 3]);
    run.hand_over_at_rest();
    assert_eq!(run.take(Taker::Worker), Take::Node(4));
    assert_eq!(run.take(Taker::Caller), Take::Node(0));
    assert_eq!(run.take_pinned(), [1]);
    assert_eq!(run.take_pinned(), []);
    run.finish(4, Outcome::Done, 0.0);
    assert_eq!(run.take(Taker::Worker), Take::Wait);
    assert_eq!(run.take_pinned(), [2]);
}

#[test]
fn nodes_that_will_not_start_do_not_ask_for_helpers() {
    let dag = built(4, &[]);
    let settings = RunSettings {
        limit: 4,
        pinned: Arc::from([]),
        durations: learned(&dag, &[Some(1.0); 4]),
    };
    let run = Run::new(dag, settings);
    run.hand_over_at_rest();
    assert_eq!(run.blocking_ready_now(), 4);
    assert_eq!(run.take(Taker::Worker), Take::Node(0));
    assert_eq!(run.take(Taker::Worker), Take::Node(1));
    assert_eq!(run.backlog(), (2, 2));
    assert_eq!(run.finish(1, Outcome::Failed, 1.0), 0);
    assert_eq!(run.backlog(), (0, 2));
    assert_eq!(run.blocking_ready_now(), 0);
}
