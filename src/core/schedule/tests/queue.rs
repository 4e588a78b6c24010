//! The queue of a handed-over run, step by step beside a model that looks at
//! every node each time.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::core::graph::TaskDag;
use crate::core::schedule::{Advance, BLOCKING_SECONDS, Outcome, Run, RunSettings, Take, Taker};

use super::{built, fresh_run, learned, random, wait_for_work};

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(Taker),
    TakePinned,
    /// Of the running nodes, the one at this place.
    Finish(usize, Outcome),
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Take(Taker::Worker)),
        6 => Just(Step::Take(Taker::Caller)),
        1 => Just(Step::TakePinned),
        10 => any::<usize>().prop_map(|pick| Step::Finish(pick, Outcome::Done)),
        1 => any::<usize>().prop_map(|pick| Step::Finish(pick, Outcome::Failed)),
    ];
    let mostly = prop_oneof![60 => step, 1 => Just(Step::Stop)];
    vec(mostly, 0..120)
}

struct Model {
    dag: Arc<TaskDag>,
    limit: usize,
    pinned: Vec<bool>,
    blocking: Vec<bool>,
    priorities: Vec<f64>,
    started: Vec<bool>,
    done: Vec<bool>,
    running: Vec<u32>,
    stop_from: u32,
    takes: u64,
}

impl Model {
    /// Ready nodes, the most urgent first.
    fn ready(&self) -> Vec<u32> {
        let mut ready: Vec<u32> = (0..self.stop_from)
            .filter(|&node| {
                let mut before = self.dag.predecessors(node).iter();
                !self.started[node as usize] && before.all(|&other| self.done[other as usize])
            })
            .collect();
        if self.limit > 1 {
            // Stable: ties stay in topological order.
            let urgency = |node: &u32| self.priorities[*node as usize];
            ready.sort_by(|a, b| urgency(b).total_cmp(&urgency(a)));
        }
        ready
    }

    fn is_pinned(&self, node: u32) -> bool {
        self.pinned[node as usize]
    }

    fn room(&self) -> usize {
        self.limit - self.running.len()
    }

    fn start(&mut self, node: u32) {
        self.started[node as usize] = true;
        self.running.push(node);
        self.takes += 1;
    }

    fn take(&mut self, taker: Taker) -> Take {
        let ready = self.ready();
        if ready.is_empty() && self.running.is_empty() {
            return Take::Finished;
        }
        let may_take = |node: u32| taker == Taker::Caller || !self.is_pinned(node);
        let choice = if self.limit == 1 {
            ready.first().copied().filter(|&node| may_take(node))
        } else {
            ready.into_iter().find(|&node| may_take(node))
        };
        match choice {
            Some(node) if self.room() > 0 => {
                self.start(node);
                Take::Node(node)
            }
            _ => Take::Wait,
        }
    }

    fn take_pinned(&mut self) -> Vec<u32> {
        let ready = self.ready();
        let pinned = ready.into_iter().filter(|&node| self.is_pinned(node));
        let nodes: Vec<u32> = pinned.take(self.room()).collect();
        for &node in &nodes {
            self.start(node);
        }
        nodes
    }

    fn finish(&mut self, place: usize, outcome: Outcome) -> u32 {
        let node = self.running.remove(place);
        if outcome == Outcome::Failed {
            self.stop_from = self.stop_from.min(node);
        } else {
            self.done[node as usize] = true;
        }
        node
    }

    fn unpinned_ready(&self) -> Vec<u32> {
        let ready = self.ready().into_iter();
        ready.filter(|&node| !self.is_pinned(node)).collect()
    }

    fn blocking_ready(&self) -> usize {
        let ready = self.unpinned_ready().into_iter();
        let blocking = ready.filter(|&node| self.blocking[node as usize]);
        blocking.count().min(self.room())
    }
}

/// A graph, which nodes are pinned, how long nodes are known to take, how many
/// may run together, how far the caller comes alone, whether it is inside a
/// node at the hand-over.
type Beginning = (Arc<TaskDag>, Vec<bool>, Vec<Option<f32>>, usize, u32, bool);

fn beginnings() -> impl Strategy<Value = Beginning> {
    random::dag(16).prop_flat_map(|dag| {
        let count = dag.node_count();
        let (pinned, seconds) = (random::some_nodes(count, 3), random::seconds(count));
        let alone = 0..=count as u32;
        (Just(dag), pinned, seconds, 1..5_usize, alone, any::<bool>())
    })
}

fn begin((dag, pinned, seconds, limit, alone, inside): Beginning) -> (Arc<Run>, Model) {
    let durations = learned(&dag, &seconds);
    let settings = RunSettings {
        limit,
        pinned: Arc::from(pinned.clone()),
        durations,
    };
    let run = Run::new(Arc::clone(&dag), settings);
    for node in 0..alone {
        assert_eq!(run.advance(node), Advance::Solo);
    }
    if inside {
        run.hand_over();
    } else {
        run.hand_over_at_rest();
    }
    let count = dag.node_count();
    let known: Vec<f64> = seconds
        .iter()
        .map(|s| f64::from(s.unwrap_or(0.0)))
        .collect();
    let is_done = |node: usize| node < alone as usize;
    let mut model = Model {
        priorities: dag.remaining_path(&known).expect("durations are finite"),
        blocking: seconds
            .iter()
            .map(|s| s.is_some_and(|s| s >= BLOCKING_SECONDS))
            .collect(),
        started: (0..count).map(is_done).collect(),
        done: (0..count).map(is_done).collect(),
        running: Vec::new(),
        stop_from: count as u32,
        takes: 0,
        dag,
        limit,
        pinned,
    };
    if inside && (alone as usize) < count {
        model.start(alone);
        model.takes = 0;
    }
    (Arc::new(run), model)
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
                Step::Take(Taker::Caller) | Step::TakePinned if caller_is_busy => {}
                Step::Take(taker) => {
                    let can_run = model.room() > 0 && !model.ready().is_empty();
                    if taker == Taker::Caller && can_run {
                        // Would wait for ever if it missed that there is work.
                        wait_for_work(&run);
                    }
                    prop_assert_eq!(run.take(taker), model.take(taker));
                }
                Step::TakePinned => prop_assert_eq!(run.take_pinned(), model.take_pinned()),
                Step::Finish(..) if model.running.is_empty() => {}
                Step::Finish(pick, outcome) => {
                    let node = model.finish(pick % model.running.len(), outcome);
                    // As long as it is known to take: nothing new is learned.
                    let seconds = beginning.2[node as usize].unwrap_or(0.0);
                    prop_assert_eq!(run.finish(node, outcome, seconds), model.blocking_ready());
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
