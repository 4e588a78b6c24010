//! The state that threads share once a run has been handed over.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

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

/// What decides when a ready node runs, and where.
#[derive(Clone, Copy)]
pub(super) struct Rank {
    pub(super) priority: f32,
    pub(super) pinned: bool,
    pub(super) blocking: bool,
}

#[derive(Clone, Copy)]
struct Ready {
    priority: f32,
    node: u32,
    blocking: bool,
}

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
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
    /// How many of `ready` are known to block: counting them at each finished
    /// node would make a wide run quadratic.
    ready_blocking: usize,
    /// Nodes that have been taken and not been reported.
    running: Vec<u32>,
    /// The node that the hand-over found the caller in, until it is reported.
    found_in_caller: Option<u32>,
    /// No node at or after this position starts any more; none of them is in
    /// the queues.
    stop_from: u32,
    /// Nothing starts until somebody has caught up with what has ended.
    paused: bool,
    /// Grows with each node taken: a watcher sees from it whether a run moves.
    pub(super) takes: u64,
    /// Since when nodes have been ready; empty unless somebody measures it.
    ready_since: Vec<Option<Instant>>,
    is_measured: bool,
}

impl Shared {
    pub(super) fn new(node_count: usize) -> Self {
        Self {
            missing: Vec::new(),
            ready: BinaryHeap::new(),
            ready_pinned: BinaryHeap::new(),
            ready_blocking: 0,
            running: Vec::new(),
            found_in_caller: None,
            stop_from: node_count as u32,
            paused: false,
            takes: 0,
            ready_since: Vec::new(),
            is_measured: false,
        }
    }

    /// Builds the queue for a run whose nodes before `cursor` are finished.
    /// With `cursor_running`, the node at `cursor` is being run by the caller.
    pub(super) fn build(
        &mut self,
        dag: &TaskDag,
        cursor: u32,
        cursor_running: bool,
        rank: &impl Fn(u32) -> Rank,
    ) {
        let node_count = dag.node_count() as u32;
        self.missing = vec![0; node_count as usize];
        if self.is_measured {
            self.ready_since = vec![None; node_count as usize];
        }
        self.running.extend(cursor_running.then_some(cursor));
        self.found_in_caller = cursor_running.then_some(cursor);
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

    fn push(&mut self, node: u32, rank: &impl Fn(u32) -> Rank) {
        if node >= self.stop_from {
            return;
        }
        let Rank {
            priority,
            pinned,
            blocking,
        } = rank(node);
        let entry = Ready {
            priority,
            node,
            blocking,
        };
        if let Some(since) = self.ready_since.get_mut(node as usize) {
            *since = Some(Instant::now());
        }
        if pinned {
            self.ready_pinned.push(entry);
        } else {
            self.ready_blocking += usize::from(blocking);
            self.ready.push(entry);
        }
    }

    /// The caller asks for work, so it is inside no node. It is where the
    /// hand-over found it only if that came before the node started: the node
    /// goes back to the others.
    pub(super) fn caller_is_at_rest(&mut self, rank: &impl Fn(u32) -> Rank) {
        if let Some(node) = self.found_in_caller.take() {
            self.is_no_longer_running(node);
            self.push(node, rank);
        }
    }

    /// A node that was taken and has not ended is ready once more.
    pub(super) fn put_back(&mut self, node: u32, rank: &impl Fn(u32) -> Rank) {
        self.is_no_longer_running(node);
        self.push(node, rank);
    }

    /// From the hand-over on it is taken down since when nodes are ready.
    pub(super) fn measure(&mut self) {
        self.is_measured = true;
    }

    /// Since when a node has been ready, if that is measured; asked once.
    pub(super) fn ready_since(&mut self, node: u32) -> Option<Instant> {
        self.ready_since.get_mut(node as usize)?.take()
    }

    fn is_no_longer_running(&mut self, node: u32) {
        // The latest are the likeliest to end.
        if let Some(place) = self.running.iter().rposition(|&running| running == node) {
            self.running.swap_remove(place);
        }
    }

    fn start(&mut self, entry: Ready) -> u32 {
        self.running.push(entry.node);
        self.takes += 1;
        entry.node
    }

    /// The next node for a thread; pinned ones only for the caller.
    pub(super) fn take(&mut self, is_caller: bool, limit: usize) -> Take {
        if self.is_finished() {
            return Take::Finished;
        }
        if self.paused || self.running.len() >= limit {
            return Take::Wait;
        }
        let next = match (is_caller, self.next_is_pinned()) {
            (true, true) => self.ready_pinned.pop(),
            // One at a time means in order, so the caller's node is waited for.
            (false, true) if limit == 1 => None,
            _ => {
                let next = self.ready.pop();
                self.ready_blocking -= usize::from(next.is_some_and(|entry| entry.blocking));
                next
            }
        };
        let Some(entry) = next else {
            return Take::Wait;
        };
        Take::Node(self.start(entry))
    }

    /// Whether the most urgent ready node is one of the caller's own.
    pub(super) fn next_is_pinned(&self) -> bool {
        self.ready_pinned.peek() > self.ready.peek()
    }

    /// Every ready node of the caller's own, at most `limit` with those running.
    pub(super) fn take_pinned(&mut self, limit: usize) -> Vec<u32> {
        std::iter::from_fn(|| self.take_one_pinned(limit)).collect()
    }

    /// One of them.
    pub(super) fn take_one_pinned(&mut self, limit: usize) -> Option<u32> {
        let waits_its_turn = limit == 1 && !self.next_is_pinned();
        if self.paused || self.running.len() >= limit || waits_its_turn {
            return None;
        }
        let entry = self.ready_pinned.pop()?;
        Some(self.start(entry))
    }

    pub(super) fn finish(
        &mut self,
        dag: &TaskDag,
        node: u32,
        outcome: Outcome,
        rank: &impl Fn(u32) -> Rank,
    ) {
        self.is_no_longer_running(node);
        if self.found_in_caller == Some(node) {
            self.found_in_caller = None;
        }
        if outcome == Outcome::Failed {
            self.stop_from(node);
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

    /// From now on no node at or after `position` starts.
    pub(super) fn stop_from(&mut self, position: u32) {
        if position < self.stop_from {
            self.stop_from = position;
            self.ready.retain(|entry| entry.node < position);
            self.ready_blocking = self.ready.iter().filter(|entry| entry.blocking).count();
            self.ready_pinned.retain(|entry| entry.node < position);
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Ready nodes that any thread may run.
    pub(super) fn ready_for_workers(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn ready_pinned(&self) -> usize {
        self.ready_pinned.len()
    }

    /// Those of them that are known to block.
    pub(super) fn ready_blocking(&self) -> usize {
        self.ready_blocking
    }

    /// Nothing runs and nothing will start.
    pub(super) fn is_finished(&self) -> bool {
        self.running.is_empty() && self.ready.is_empty() && self.ready_pinned.is_empty()
    }

    /// Whether the outcome is certain: nothing will start, and what still runs
    /// comes later in topological order than the failure that stopped the run.
    pub(super) fn is_settled(&self) -> bool {
        self.ready.is_empty()
            && self.ready_pinned.is_empty()
            && self.running.iter().all(|&node| node >= self.stop_from)
    }

    /// Whether `take` would give the caller a node.
    pub(super) fn has_work_for_caller(&self, limit: usize) -> bool {
        !self.paused
            && self.running.len() < limit
            && !(self.ready.is_empty() && self.ready_pinned.is_empty())
    }
}
