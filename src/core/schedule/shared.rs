//! The state that threads share once a run has been handed over.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::core::graph::TaskDag;

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
}

/// What a thread that asks for work gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Run this node, then report it finished.
    Node(u32),
    /// Nothing to start now, but nodes are still running.
    Wait,
    /// Nothing will ever start again and nothing is running.
    Finished,
}

#[derive(Clone, Copy, PartialEq)]
struct Ready {
    priority: f32,
    node: u32,
}

impl Eq for Ready {}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority
            .total_cmp(&other.priority)
            .then_with(|| other.node.cmp(&self.node))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(super) struct Shared {
    /// Unfinished predecessors of each node; empty until the hand-over.
    missing: Vec<u32>,
    ready: BinaryHeap<Ready>,
    /// Ready nodes that only the calling thread may run.
    ready_pinned: BinaryHeap<Ready>,
    running: usize,
    /// No node at or after this position starts any more.
    stop_from: u32,
    /// Grows with each node taken: a watcher sees from it whether a run moves.
    pub(super) takes: u64,
}

impl Shared {
    pub(super) fn new(node_count: usize) -> Self {
        Self {
            missing: Vec::new(),
            ready: BinaryHeap::new(),
            ready_pinned: BinaryHeap::new(),
            running: 0,
            stop_from: node_count as u32,
            takes: 0,
        }
    }

    /// Builds the queue for a run whose nodes before `cursor` are finished.
    /// With `cursor_running`, the node at `cursor` is being run by the caller.
    pub(super) fn build(
        &mut self,
        dag: &TaskDag,
        cursor: u32,
        cursor_running: bool,
        rank: &impl Fn(u32) -> (f32, bool),
    ) {
        let node_count = dag.node_count() as u32;
        self.missing = vec![0; node_count as usize];
        self.running = usize::from(cursor_running);
        for node in cursor + u32::from(cursor_running)..node_count {
            // Predecessors come earlier in the order, so the finished ones are
            // exactly those before the cursor.
            let missing = dag
                .predecessors(node)
                .iter()
                .filter(|&&p| p >= cursor)
                .count();
            self.missing[node as usize] = missing as u32;
            if missing == 0 {
                self.push(node, rank);
            }
        }
    }

    fn push(&mut self, node: u32, rank: &impl Fn(u32) -> (f32, bool)) {
        let (priority, pinned) = rank(node);
        let entry = Ready { priority, node };
        if pinned {
            self.ready_pinned.push(entry);
        } else {
            self.ready.push(entry);
        }
    }

    /// The next node for a thread; pinned ones only for the caller.
    pub(super) fn take(&mut self, is_caller: bool, limit: usize) -> Take {
        self.discard_stopped();
        if self.running < limit {
            let next = if is_caller && self.ready_pinned.peek() > self.ready.peek() {
                self.ready_pinned.pop()
            } else {
                self.ready.pop()
            };
            if let Some(entry) = next {
                self.running += 1;
                self.takes += 1;
                return Take::Node(entry.node);
            }
        }
        if self.running == 0 && self.ready.is_empty() && self.ready_pinned.is_empty() {
            Take::Finished
        } else {
            Take::Wait
        }
    }

    /// Every ready node of the caller's own, at most `limit` with those running.
    pub(super) fn take_pinned(&mut self, limit: usize) -> Vec<u32> {
        self.discard_stopped();
        let mut nodes = Vec::new();
        while self.running < limit {
            let Some(entry) = self.ready_pinned.pop() else {
                break;
            };
            self.running += 1;
            self.takes += 1;
            nodes.push(entry.node);
        }
        nodes
    }

    fn discard_stopped(&mut self) {
        let stop_from = self.stop_from;
        for heap in [&mut self.ready, &mut self.ready_pinned] {
            while heap.peek().is_some_and(|entry| entry.node >= stop_from) {
                heap.pop();
            }
        }
        // Priorities may hide stopped nodes below the top.
        if (stop_from as usize) < self.missing.len() {
            self.ready.retain(|entry| entry.node < stop_from);
            self.ready_pinned.retain(|entry| entry.node < stop_from);
        }
    }

    pub(super) fn finish(
        &mut self,
        dag: &TaskDag,
        node: u32,
        outcome: Outcome,
        rank: &impl Fn(u32) -> (f32, bool),
    ) {
        self.running -= 1;
        if outcome == Outcome::Failed {
            self.stop_from = self.stop_from.min(node);
            return;
        }
        for &successor in dag.successors(node) {
            let missing = &mut self.missing[successor as usize];
            *missing -= 1;
            if *missing == 0 {
                self.push(successor, rank);
            }
        }
    }

    pub(super) fn stop(&mut self) {
        self.stop_from = 0;
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Ready nodes that any thread may run.
    pub(super) fn ready_for_workers(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn ready_nodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.ready.iter().map(|entry| entry.node)
    }

    /// Nothing runs and nothing will start.
    pub(super) fn is_finished(&mut self) -> bool {
        self.discard_stopped();
        self.running == 0 && self.ready.is_empty() && self.ready_pinned.is_empty()
    }

    /// Whether `take` would give the caller a node.
    pub(super) fn has_work_for_caller(&mut self, limit: usize) -> bool {
        self.discard_stopped();
        self.running < limit && !(self.ready.is_empty() && self.ready_pinned.is_empty())
    }
}
