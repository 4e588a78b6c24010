//! A model of a handed-over run that looks at every node each time.

use std::sync::Arc;

use proptest::prelude::*;

use crate::core::graph::TaskDag;
use crate::core::schedule::{
    Advance, BLOCKING_SECONDS, Outcome, Outlook, Run, RunSettings, Take, Taker,
};

use super::{learned, random};

#[derive(Clone)]
pub struct Model {
    pub dag: Arc<TaskDag>,
    pub limit: usize,
    pub pinned: Vec<bool>,
    pub blocking: Vec<bool>,
    pub priorities: Vec<f64>,
    pub started: Vec<bool>,
    pub done: Vec<bool>,
    pub running: Vec<u32>,
    pub stop_from: u32,
    pub paused: bool,
    pub takes: u64,
}

impl Model {
    /// Ready nodes, the most urgent first.
    pub fn ready(&self) -> Vec<u32> {
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

    pub fn is_pinned(&self, node: u32) -> bool {
        self.pinned[node as usize]
    }

    /// Nodes that may start beside those that run.
    pub fn room(&self) -> usize {
        if self.paused {
            0
        } else {
            self.limit - self.running.len()
        }
    }

    /// One at a time means in order.
    fn may_come_next(&self, node: u32) -> bool {
        self.limit > 1 || self.ready().first() == Some(&node)
    }

    pub fn start(&mut self, node: u32) {
        self.started[node as usize] = true;
        self.running.push(node);
        self.takes += 1;
    }

    pub fn take(&mut self, taker: Taker) -> Take {
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

    pub fn take_pinned(&mut self) -> Vec<u32> {
        let nodes: Vec<u32> = self.pinned_ready().collect();
        for &node in &nodes {
            self.start(node);
        }
        nodes
    }

    /// Nodes that the caller may start now, the most urgent first.
    pub fn pinned_ready(&self) -> impl Iterator<Item = u32> {
        let ready = self.ready().into_iter();
        let pinned = ready.filter(|&node| self.is_pinned(node) && self.may_come_next(node));
        pinned.take(self.room())
    }

    pub fn finish(&mut self, place: usize, outcome: Outcome) -> u32 {
        let node = self.running.remove(place);
        if outcome == Outcome::Failed {
            self.stop_from = self.stop_from.min(node);
        } else {
            self.done[node as usize] = true;
        }
        node
    }

    pub fn put_back(&mut self, place: usize) -> u32 {
        let node = self.running.remove(place);
        self.started[node as usize] = false;
        node
    }

    pub fn unpinned_ready(&self) -> Vec<u32> {
        let ready = self.ready().into_iter();
        ready.filter(|&node| !self.is_pinned(node)).collect()
    }

    pub fn blocking_ready(&self) -> usize {
        let ready = self.unpinned_ready().into_iter();
        let blocking = ready.filter(|&node| self.blocking[node as usize]);
        blocking.count().min(self.room())
    }

    pub fn outlook(&self) -> Outlook {
        let mut ready = self.unpinned_ready();
        if self.limit == 1
            && self
                .ready()
                .first()
                .is_some_and(|&node| self.is_pinned(node))
        {
            ready.clear();
        }
        let is_blocking = |node: &&u32| self.blocking[**node as usize];
        Outlook {
            ready: ready.len().min(self.room()),
            blocking: ready.iter().filter(is_blocking).count().min(self.room()),
            pinned: self.pinned_ready().count(),
            running: self.running.len(),
            settled: self.is_certain(),
        }
    }

    /// Whether, however and in whatever order the running nodes end, nothing
    /// starts any more and the same node is the first that failed.
    fn is_certain(&self) -> bool {
        if !self.ready().is_empty() {
            return false;
        }
        let mut ends = self.after_one_end();
        ends.all(|after| after.stop_from == self.stop_from && after.is_certain())
    }

    fn after_one_end(&self) -> impl Iterator<Item = Model> {
        let outcomes = [Outcome::Done, Outcome::Failed];
        (0..self.running.len()).flat_map(move |place| {
            outcomes.map(|outcome| {
                let mut after = self.clone();
                after.finish(place, outcome);
                after
            })
        })
    }
}

/// A graph, which nodes are pinned, how long nodes are known to take, how many
/// may run together, how far the caller comes alone, whether it is inside a
/// node at the hand-over.
pub type Beginning = (Arc<TaskDag>, Vec<bool>, Vec<Option<f32>>, usize, u32, bool);

pub fn beginnings() -> impl Strategy<Value = Beginning> {
    random::dag(16).prop_flat_map(|dag| {
        let count = dag.node_count();
        let (pinned, seconds) = (random::some_nodes(count, 3), random::seconds(count));
        let alone = 0..=count as u32;
        (Just(dag), pinned, seconds, 1..5_usize, alone, any::<bool>())
    })
}

pub fn begin((dag, pinned, seconds, limit, alone, inside): Beginning) -> (Arc<Run>, Model) {
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
        paused: false,
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
